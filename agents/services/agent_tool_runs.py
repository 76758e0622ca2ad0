"""Running a tool of an agent by hand: with the agent's memory and secrets, without a message, a rule or an approval."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction

from agents.models import Agent
from agents.services.agent_archives import archives_of, ensure_archive
from agents.services.agent_blocks import attach_block, detach_block
from agents.services.agent_tools import tools_of
from agents.services.agent_types import as_caller
from agents.services.agents import get_agent_for, tell
from agents.services.tool_calls import call_scope
from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.errors import NotFound
from memory.models import Block
from memory.services.blocks import edit_block
from tools.context import ToolContext
from tools.custom import CustomTool
from tools.execution import ToolOutcome, is_waiting_call, prepare_call, run_call, wait_call
from tools.models import Tool
from tools.services.tool_runs import ToolRun, run_custom


async def run_agent_tool(
    *, caller: Caller, agent_id: str, tool_name: str, arguments: dict[str, Any]
) -> ToolRun:
    """How the tool went; one that fails is a run too.

    Raises NotFound for an unknown agent or a tool that it has not, Unsupported where there is no sandbox for a tool of a user.
    """
    caller.check("edit")
    agent, tool = await threads.run(_find, caller, agent_id, tool_name)
    if not tool.is_builtin and tool.source_code is not None:
        scope = await threads.run(call_scope, agent, CustomTool.of(tool))
        run = await run_custom(tool, arguments, scope)
        if run.changed_blocks:
            await threads.run(_write_blocks, agent, tool, run)
        return run
    context = await threads.run(_context, agent, tool)
    if is_waiting_call(tool.name, None):
        prepared = await wait_call(tool.name, context, arguments)
    else:
        prepared = await threads.run(prepare_call, tool.name, context, arguments)
    return _run_of(tool, await threads.run(_finish, agent, tool, context, arguments, prepared))


def _find(caller: Caller, agent_id: str, tool_name: str) -> tuple[Agent, Tool]:
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    tool = tools_of(agent).filter(name=tool_name).first()
    if tool is None:
        raise NotFound(f"The agent has no tool {tool_name!r}.")
    return agent, tool


def _blocks_of(agent: Agent) -> Any:
    return Block.objects.filter(agent_links__agent=agent).order_by("agent_links__position", "id")


def _context(agent: Agent, tool: Tool) -> ToolContext:
    return ToolContext(
        caller=as_caller(agent),
        agent_id=agent.id,
        agent_name=agent.name,
        conversation_id=agent.conversations.get(is_default=True).id,
        run_id="",
        step_id="",
        message_id="",
        tool_call_id="",
        tool_name=tool.name,
        block_ids=dict(_blocks_of(agent).values_list("label", "id")),
        archive_ids=tuple(archive.id for archive in archives_of(agent)),
        embedding=agent.embedding,
        timezone=agent.timezone,
        return_char_limit=tool.return_char_limit,
        ensure_archive=lambda: ensure_archive(agent=agent),
        attach_block=lambda block: _attach(agent, block),
        detach_block=lambda block_id: _detach(agent, block_id),
    )


def _attach(agent: Agent, block: Block) -> None:
    attach_block(caller=as_caller(agent), agent_id=agent.id, block_id=block.id)


def _detach(agent: Agent, block_id: str) -> None:
    detach_block(caller=as_caller(agent), agent_id=agent.id, block_id=block_id)


def _finish(
    agent: Agent, tool: Tool, context: ToolContext, arguments: dict[str, Any], prepared: Any
) -> ToolOutcome:
    with transaction.atomic():
        outcome = run_call(tool.name, context, arguments, prepared)
        if context.changes:
            tell(agent)
    return outcome


def _write_blocks(agent: Agent, tool: Tool, run: ToolRun) -> None:
    """What a tool made of its `agent_state`, in blocks that the agent has."""
    ids, origin = dict(_blocks_of(agent).values_list("label", "id")), _context(agent, tool).origin
    with transaction.atomic():
        for label, value in run.changed_blocks.items():
            if label in ids:
                edit_block(
                    caller=as_caller(agent),
                    block_id=ids[label],
                    edit=partial(_whole, value),
                    origin=origin,
                )
        tell(agent)


def _whole(value: str, _: str) -> str:
    return value


def _run_of(tool: Tool, outcome: ToolOutcome) -> ToolRun:
    return ToolRun(
        tool_name=tool.name,
        is_error=outcome.is_error,
        value=None if outcome.is_error else outcome.value_text,
        text=outcome.value_text,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
    )
