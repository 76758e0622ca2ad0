"""How an agent writes to another one: it asks and waits for the answer, or leaves a message.

Everything happens in this process. Whoever waits is a task, no thread and no transaction, so that any number may wait; circles are
refused before they begin, and every wait has a limit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings

from agents.models import Agent
from agents.runtime.events import RunEnded, RunStarted, StepStored
from agents.runtime.spoken import AnswerTool
from agents.services import execution
from agents.services.agents import get_agent_for
from agents.services.approvals import PendingApproval
from agents.services.leases import RunBusy
from agents.services.opening import StartedRun
from agents.services.run_ends import DELIVER_MESSAGE
from agents.services.run_requests import InputMessage, RunRequest
from agents.streams import follow
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import AdeError, Conflict, Invalid, Unavailable
from letta_ade.core.jobs import app
from letta_ade.llm.messages import TextPart

logger = logging.getLogger(__name__)

#: Messages from agent to agent that may follow from one another.
MOST_HOPS = 5
_ANSWER_TOOL = AnswerTool()


class AskRefused(Invalid):
    """This agent cannot be asked from here."""


class AgentBusy(Conflict):
    """The other agent does something else, or waits for a person."""


class NoAnswer(Unavailable):
    """The other agent was asked and gave no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What led to a run: the agents that wait for it, the first one first, and how many messages between agents it took."""

    waiting_agent_ids: tuple[str, ...] = ()
    hops: int = 0

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Chain:
        """That of a run, from its metadata."""
        return cls(
            waiting_agent_ids=tuple(metadata.get("waiting_agent_ids", ())), hops=metadata.get("hops", 0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The agent that writes, and the run in which it does."""

    caller: Caller
    run_id: str
    chain: Chain

    def check(self, agent_id: str, *, waits: bool) -> None:
        """Raise AskRefused when writing to this agent would lead nowhere: to the agent itself, in a circle, or too far."""
        if agent_id == self.caller.id:
            raise AskRefused("That is your own id: an agent cannot write to itself.")
        if waits and agent_id in self.chain.waiting_agent_ids:
            raise AskRefused(
                f"The agent {agent_id!r} waits for your answer itself, so it cannot answer you now. Answer it first."
            )
        if self.chain.hops >= MOST_HOPS:
            raise AskRefused(
                f"This is message {self.chain.hops + 1} in a row between agents; more than {MOST_HOPS} are not passed on. "
                "Answer with what you know."
            )

    def metadata(self, *, waits: bool) -> dict[str, Any]:
        """What the run of the other agent remembers."""
        waiting = (*self.chain.waiting_agent_ids, self.caller.id) if waits else ()
        return {
            "asked_by_agent_id": self.caller.id,
            "asked_by_run_id": self.run_id,
            "waiting_agent_ids": list(waiting),
            "hops": self.chain.hops + 1,
        }


async def ask_agent(*, writer: Writer, agent_id: str, message: str) -> list[str]:
    """What the other agent answers, text by text; its run ends with the caller's own.

    Raises AskRefused, NotFound, AgentBusy, NoAnswer, or what starting a run raises.
    """
    writer.check(agent_id, waits=True)
    request = _request(writer, agent_id, message, waits=True)
    started = await _start_when_free(writer.caller, request)
    try:
        async with asyncio.timeout(settings.AGENT_REPLY_SECONDS):
            return await _hear(started.run_id, agent_id)
    except TimeoutError:
        execution.stop_here(started.run_id)
        raise NoAnswer(
            f"The agent {agent_id!r} gave no answer within {settings.AGENT_REPLY_SECONDS} seconds and was stopped."
        ) from None
    except asyncio.CancelledError:
        execution.stop_here(started.run_id)
        raise


def leave_message(*, writer: Writer, agent_id: str, message: str, otid: str) -> None:
    """Have the message delivered once the caller's transaction is committed. Raises AskRefused or NotFound.

    It waits while the other agent is busy. `otid` tells the same message from another one.
    """
    writer.check(agent_id, waits=False)
    get_agent_for(caller=writer.caller, agent_id=agent_id)
    app.configure_task(DELIVER_MESSAGE).defer(
        agent_id=agent_id,
        message=message,
        otid=otid,
        caller=asdict(writer.caller),
        run_id=writer.run_id,
        chain=asdict(writer.chain),
    )


async def deliver(letter: Mapping[str, Any]) -> None:
    """Start the run that reads a message which was left. For the job; raises RunBusy and PendingApproval: it is tried again."""
    chain = Chain(waiting_agent_ids=tuple(letter["chain"]["waiting_agent_ids"]), hops=letter["chain"]["hops"])
    writer = Writer(caller=Caller(**letter["caller"]), run_id=letter["run_id"], chain=chain)
    request = _request(
        writer, letter["agent_id"], letter["message"], waits=False, otid=letter["otid"], background=True
    )
    try:
        await execution.start_run(caller=writer.caller, request=request)
    except (RunBusy, PendingApproval):
        raise
    except AdeError as error:
        # Its agent was deleted meanwhile, or its model is gone: no other try would help.
        logger.warning("a message for agent %s could not be delivered: %s", letter["agent_id"], error.message)


def _request(writer: Writer, agent_id: str, message: str, *, waits: bool, **fields: Any) -> RunRequest:
    name, sender_id = writer.caller.name, writer.caller.id
    follows = (
        "It waits for your answer: what you say goes back to it."
        if waits
        else f"It does not wait. To answer, send a message to {sender_id}."
    )
    text = f"[Message from another agent, {name!r} ({sender_id}). {follows}]\n\n{message}"
    said = InputMessage(
        role="system", content=(TextPart(text=text),), sender_id=sender_id, otid=fields.pop("otid", None)
    )
    return RunRequest(agent_id=agent_id, messages=(said,), metadata=writer.metadata(waits=waits), **fields)


async def _start_when_free(caller: Caller, request: RunRequest) -> StartedRun:
    deadline = time.monotonic() + settings.AGENT_BUSY_SECONDS
    while True:
        starting = asyncio.ensure_future(execution.start_run(caller=caller, request=request))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # What has begun to start goes on to start, and nobody would hear it.
            starting.add_done_callback(_stop_late)
            raise
        except PendingApproval:
            raise AgentBusy(
                f"The agent {request.agent_id!r} waits for a person to answer a call of its own. Try later, or do without it."
            ) from None
        except RunBusy as busy:
            left = deadline - time.monotonic()
            run_id = busy.data.get("run_id")
            if run_id is None or left <= 0 or not await execution.ends_within(run_id, left):
                raise AgentBusy(
                    f"The agent {request.agent_id!r} has been busy for {settings.AGENT_BUSY_SECONDS} seconds. "
                    "Try later, or do without it."
                ) from None


def _stop_late(starting: asyncio.Future[StartedRun]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        execution.stop_here(starting.result().run_id)


async def _hear(run_id: str, agent_id: str) -> list[str]:
    texts: list[str] = []
    speaks_by_tool = False
    async for _, event in follow(run_id):
        match event:
            case RunStarted():
                speaks_by_tool = event.loop == "heartbeat"
            case StepStored():
                texts += _texts(event, speaks_by_tool=speaks_by_tool)
            case RunEnded(status="completed", stop_reason="requires_approval"):
                raise NoAnswer(
                    f"The agent {agent_id!r} stopped before it answered: a call of its own waits for a person."
                )
            case RunEnded(status="completed"):
                return texts
            case RunEnded():
                why = event.error["message"] if event.error else f"it ended with {event.stop_reason!r}"
                raise NoAnswer(f"The agent {agent_id!r} could not answer: {why}")
            case _:
                pass
    raise NoAnswer(f"The agent {agent_id!r} was deleted before it answered.")


def _texts(event: StepStored, *, speaks_by_tool: bool) -> list[str]:
    texts = []
    for message in event.messages:
        if message["role"] != "assistant":
            continue
        if speaks_by_tool:
            said = [_ANSWER_TOOL.words_of([call]) for call in message["tool_calls"]]
        else:
            said = [part["text"] for part in message["content"] if part["type"] == "text"]
        texts += [words for words in said if words]
    return texts


def find_agents(writer: Writer, *, match_all: list[str], match_some: list[str]) -> list[str]:
    """The ids of the other agents with all of the one and at least one of the other tags; an empty list asks nothing."""
    agents = Agent.objects.filter(workspace_id=writer.caller.workspace_id).exclude(id=writer.caller.id)
    if match_all:
        agents = agents.filter(tags__contains=match_all)
    if match_some:
        agents = agents.filter(tags__overlap=match_some)
    return list(agents.order_by("created_at", "id").values_list("id", flat=True))
