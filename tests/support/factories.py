"""Rows for tests: factories with keyword overrides. A row is in the local workspace unless told otherwise."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from django.db import models
from django.utils import timezone

from agents.models import (
    Agent,
    AgentArchive,
    AgentBlock,
    AgentTool,
    ContextEntry,
    Conversation,
    Message,
    Run,
    RunLease,
    Step,
)
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.models import Role, Workspace
from letta_ade.core.ids import LOCAL_USER_ID, LOCAL_WORKSPACE_ID, new_id
from memory.models import Archive, Block, Passage
from memory.services.blocks import BlockDraft, create_block
from tools.context import ToolContext
from tools.models import Tool

M = TypeVar("M", bound=models.Model)

_numbers = count(1)


def local_workspace() -> Workspace:
    """The workspace of trusted local mode: a migration makes it, the flush of a transactional test takes it away."""
    workspace, _ = Workspace.objects.get_or_create(id=LOCAL_WORKSPACE_ID, defaults={"name": "Local"})
    return workspace


def make_workspace(**fields: Any) -> Workspace:
    """Another workspace than the local one."""
    return _create(Workspace, {"name": f"Workspace {next(_numbers)}"} | fields)


def make_caller(*, workspace: Workspace | None = None, **fields: Any) -> Caller:
    """The owner of the workspace, as a person at the machine."""
    values: dict[str, Any] = {"id": LOCAL_USER_ID, "name": "You", "role": Role.OWNER, "kind": "local"}
    return Caller(workspace_id=(workspace or local_workspace()).id, **(values | fields))


def make_agent_caller(agent: Agent, **fields: Any) -> Caller:
    """The agent itself, as its tools act."""
    values: dict[str, Any] = {"id": agent.id, "name": agent.name, "role": Role.EDITOR, "kind": "agent"}
    return Caller(workspace_id=agent.workspace_id, **(values | fields))


def make_agent(*, workspace: Workspace | None = None, **fields: Any) -> Agent:
    """A bare agent: no block, no tool, no conversation."""
    values: dict[str, Any] = {
        "workspace": workspace or local_workspace(),
        "name": f"Agent {next(_numbers)}",
        "system": "You are a test agent.",
        "model": "demo/assistant",
        "context_window_limit": 32_000,
    }
    return _create(Agent, values | fields)


def make_block(*, agent: Agent | None = None, workspace: Workspace | None = None, **fields: Any) -> Block:
    """A block with its first version, attached to the agent when one is given."""
    caller = make_caller(workspace=workspace or (agent.workspace if agent else None))
    values: dict[str, Any] = {"label": f"label_{next(_numbers)}", "value": "First line."}
    block = create_block(caller=caller, draft=BlockDraft(**(values | fields)))
    if agent is not None:
        attach_block(agent, block)
    return block


def attach_block(agent: Agent, block: Block) -> AgentBlock:
    return AgentBlock.objects.create(agent=agent, block=block, position=agent.block_links.count())


def make_archive(*, agent: Agent | None = None, workspace: Workspace | None = None, **fields: Any) -> Archive:
    """An archive without an embedding model, attached to the agent when one is given."""
    values: dict[str, Any] = {
        "workspace": workspace or (agent.workspace if agent else local_workspace()),
        "name": f"Archive {next(_numbers)}",
    }
    archive = _create(Archive, values | fields)
    if agent is not None:
        AgentArchive.objects.create(agent=agent, archive=archive, position=agent.archive_links.count())
    return archive


def make_passage(*, archive: Archive | None = None, **fields: Any) -> Passage:
    archive = archive or make_archive()
    values: dict[str, Any] = {
        "workspace": archive.workspace,
        "archive": archive,
        "text": f"Passage {next(_numbers)}.",
        "dated_at": timezone.now(),
    }
    return _create(Passage, values | fields)


def make_tool(*, agent: Agent | None = None, workspace: Workspace | None = None, **fields: Any) -> Tool:
    """A custom tool, attached to the agent when one is given."""
    name = fields.get("name", f"tool_{next(_numbers)}")
    values: dict[str, Any] = {
        "workspace": workspace or (agent.workspace if agent else local_workspace()),
        "name": name,
        "description": "A tool of a test.",
        "json_schema": {
            "name": name,
            "description": "A tool of a test.",
            "parameters": {"type": "object", "properties": {}, "required": []},
        },
    }
    tool = _create(Tool, values | fields)
    if agent is not None:
        AgentTool.objects.create(agent=agent, tool=tool, position=agent.tool_links.count())
    return tool


def make_conversation(*, agent: Agent | None = None, **fields: Any) -> Conversation:
    """A conversation without messages; the first one of an agent is its default one."""
    agent = agent or make_agent()
    values: dict[str, Any] = {
        "workspace": agent.workspace,
        "agent": agent,
        "is_default": not agent.conversations.filter(is_default=True).exists(),
    }
    return _create(Conversation, values | fields)


def make_message(
    *,
    conversation: Conversation | None = None,
    role: str = "user",
    text: str = "Hello.",
    in_context: bool = False,
    **fields: Any,
) -> Message:
    """A message with one text part; with `in_context` it is the last one that the model sees."""
    conversation = conversation or make_conversation()
    values: dict[str, Any] = {
        "workspace": conversation.workspace,
        "agent": conversation.agent,
        "conversation": conversation,
        "role": role,
        "text": text,
        "content": [{"type": "text", "text": text, "signature": None}],
        "created_at": timezone.now(),
    }
    message = Message.objects.create(**(values | fields))
    if in_context:
        last = conversation.entries.order_by("-position").first()
        ContextEntry.objects.create(
            conversation=conversation, message=message, position=last.position + 1 if last else 0
        )
    return message


def make_run(*, conversation: Conversation | None = None, **fields: Any) -> Run:
    """A run that has ended well."""
    conversation = conversation or make_conversation()
    values: dict[str, Any] = {
        "workspace": conversation.workspace,
        "agent": conversation.agent,
        "conversation": conversation,
        "status": "completed",
        "stop_reason": "end_turn",
    }
    return _create(Run, values | fields)


def make_lease(conversation: Conversation, **fields: Any) -> RunLease:
    """A run of this conversation that goes on, somewhere else."""
    values: dict[str, Any] = {
        "conversation": conversation,
        "run": fields.pop("run", None)
        or make_run(conversation=conversation, status="running", stop_reason=None),
        "owner": "elsewhere:1:test",
        "expires_at": timezone.now() + timedelta(minutes=5),
    }
    return RunLease.objects.create(**(values | fields))


def make_step(*, run: Run | None = None, **fields: Any) -> Step:
    """The next step of the run."""
    run = run or make_run()
    values: dict[str, Any] = {
        "workspace": run.workspace,
        "run": run,
        "agent": run.agent,
        "conversation": run.conversation,
        "number": run.steps.count() + 1,
        "place": run.conversation.steps.count() + 1,
        "status": "success",
        "model_handle": "demo/assistant",
        "provider_name": "demo",
        "started_at": timezone.now(),
    }
    return _create(Step, values | fields)


def make_tool_context(agent: Agent, **fields: Any) -> ToolContext:
    """What a tool of the agent is given, with the blocks and archives that it holds now."""
    archives = [link.archive for link in agent.archive_links.select_related("archive")]
    values: dict[str, Any] = {
        "caller": make_agent_caller(agent),
        "agent_id": agent.id,
        "agent_name": agent.name,
        "conversation_id": new_id("conversation"),
        "run_id": new_id("run"),
        "step_id": new_id("step"),
        "message_id": new_id("message"),
        "tool_call_id": "call_1",
        "tool_name": "some_tool",
        "block_ids": dict(agent.block_links.values_list("block__label", "block_id")),
        "archive_ids": tuple(archive.id for archive in archives),
        "embedding": agent.embedding,
        "timezone": agent.timezone,
        "ensure_archive": lambda: archives[0] if archives else make_archive(agent=agent),
    }
    return ToolContext(**(values | fields))


def _create(model: type[M], values: dict[str, Any]) -> M:
    """The row; times that Django sets itself can be given too."""
    times: dict[str, datetime] = {
        name: values.pop(name) for name in ("created_at", "updated_at") if name in values
    }
    row: M = model._default_manager.create(**values)
    if times:
        model._default_manager.filter(pk=row.pk).update(**times)
        for name, moment in times.items():
            setattr(row, name, moment)
    return row
