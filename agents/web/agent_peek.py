"""One agent at a glance: what it is, what it knows, what it did last."""

from __future__ import annotations

from dataclasses import dataclass

from agents.models import Agent, Run
from agents.models.run import RunStatus
from agents.services.agents import agents_of, count_agents_of_blocks
from agents.web import agent_rows
from agents.web.agent_rows import AgentRow, DotState
from agents.web.run_rows import substitute_title, titles_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from memory.models import Block

_LATEST_RUNS = 5
_DOT_OF_STATUS: dict[str, DotState] = {
    RunStatus.CREATED: "live",
    RunStatus.RUNNING: "live",
    RunStatus.COMPLETED: "ok",
    RunStatus.FAILED: "bad",
    RunStatus.CANCELLED: "idle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """A run as the words that started it."""

    run: Run
    dot: DotState
    title: str
    #: How long it took, or why it ended otherwise than well.
    duration_ms: float | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine:
    block: Block
    #: How many agents hold it.
    agent_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    row: AgentRow
    agent: Agent
    #: In the order of the prompt.
    blocks: list[BlockLine]
    tool_count: int
    runs: list[RunLine]


def look(*, caller: Caller, agent_id: str) -> Peek:
    """What the panel shows. Raises NotFound, also for an agent of another workspace."""
    caller.check("read")
    agent = agent_rows.with_latest(agents_of(caller=caller).filter(id=agent_id)).first()
    if agent is None:
        raise NotFound("Agent not found")
    blocks = list(agent.blocks.order_by("agent_links__position"))
    holders = count_agents_of_blocks([block.id for block in blocks])
    return Peek(
        row=agent_rows.rows_of([agent])[0],
        agent=agent,
        blocks=[BlockLine(block=block, agent_count=holders[block.id]) for block in blocks],
        tool_count=agent.tools.count(),
        runs=_latest_runs(agent),
    )


def _latest_runs(agent: Agent) -> list[RunLine]:
    runs = list(agent.runs.order_by("-created_at", "-id")[:_LATEST_RUNS])
    titles = titles_of(runs)
    return [
        RunLine(
            run=run,
            dot=_DOT_OF_STATUS[run.status],
            title=titles.get(run.id) or substitute_title(run),
            duration_ms=run.total_duration_ns / 1e6 if run.total_duration_ns is not None else None,
            note=""
            if run.status == RunStatus.COMPLETED
            else (run.stop_reason or run.status).replace("_", " "),
        )
        for run in runs
    ]
