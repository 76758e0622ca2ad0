"""An agent one of whose tools asks first, the answers that it may get, and what is looked at afterwards."""

from __future__ import annotations

from typing import Any

from agents.models import Agent, Message, Run
from agents.services import execution
from agents.services.agents import AgentChanges, AgentDraft, create_agent, update_agent
from agents.services.conversations import get_default_conversation
from agents.services.run_requests import AnswersInput, ClientTool
from letta_ade.llm.testing import ScriptedModel, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller
from tests.support.sending import Finished, context_of, db, send

SHELL = ClientTool(name="shell", parameters={"type": "object", "properties": {"command": {"type": "string"}}})
RULE = {"type": "requires_approval", "tool_name": "memory_insert"}


def make_careful_agent(model: ScriptedModel, **fields: Any) -> Agent:
    """An agent that may change its block `human` only when somebody agrees."""
    values: dict[str, Any] = {
        "model": model.handle,
        "blocks": (BlockDraft(label="human", value="Name: Ada"),),
        "tool_rules": (RULE,),
    }
    return create_agent(caller=make_caller(), draft=AgentDraft(**{**values, **fields}))


def insert(words: str = "Likes tea.", **fields: Any) -> Any:
    """The call that waits."""
    return tool_call("memory_insert", label="human", new_string=words, **fields)


def replace(**fields: Any) -> Any:
    """A call that does not."""
    return tool_call("memory_replace", label="human", old_string="Ada", new_string="Grace", **fields)


def yes(call_id: str) -> dict[str, Any]:
    """The call may run."""
    return {"type": "approval", "tool_call_id": call_id, "approve": True, "reason": None}


def no(call_id: str, reason: str | None = None) -> dict[str, Any]:
    """The call may not run."""
    return {"type": "approval", "tool_call_id": call_id, "approve": False, "reason": reason}


def returned(call_id: str, value: Any = "42", status: str = "success") -> dict[str, Any]:
    """What the client's tool returned."""
    return {"type": "tool", "tool_call_id": call_id, "tool_return": value, "status": status}


def answers(*items: dict[str, Any], **fields: Any) -> AnswersInput:
    """The answers of a request."""
    return AnswersInput(items=items, **fields)


async def asked(agent: Agent, model: ScriptedModel, *pieces: Any, **fields: Any) -> Finished:
    """A run that ends in a request; the call that waits is c1."""
    model.add(list(pieces) or insert(call_id="c1"))
    run = await send(agent, "Hello", **fields)
    assert run.stop_reason == "requires_approval"
    return run


async def request_of(agent: Agent) -> Message:
    """What the agent waits for."""
    request = (await context_of(agent))[-1]
    assert (request.role, request.approvals) == ("approval", None)
    return request


async def block_of(agent: Agent) -> str:
    """What the agent's tools may have changed."""
    return await db(lambda: agent.blocks.get(label="human").value)


async def status_of(run_id: str) -> tuple[str, str | None]:
    """Status and stop reason of the run as stored."""
    run = await db(lambda: Run.objects.get(id=run_id))
    return run.status, run.stop_reason


async def assert_talks(agent: Agent, model: ScriptedModel, words: str = "Still there?") -> None:
    """The agent takes messages, and every call that the model reads has its one return."""
    model.add(text("Yes."))
    run = await send(agent, words)
    assert (run.stop_reason, run.end.status) == ("end_turn", "completed")
    calls, returns = [], []
    for message in model.payloads[-1]["messages"]:
        calls += [call["id"] for call in message.get("tool_calls", ())]
        returns += [each["tool_call_id"] for each in message.get("tool_returns", ())]
    assert calls == returns


async def cancel(agent: Agent, **fields: Any) -> dict[str, str]:
    """Cancel as the API does."""
    return await execution.cancel_runs(caller=await db(make_caller), agent_id=agent.id, **fields)


async def set_messages(agent: Agent, *message_ids: str) -> None:
    """Put these messages into the context, behind the system message."""

    def change() -> None:
        entries = get_default_conversation(agent).entries
        system_id = entries.get(position=0).message_id
        changes = AgentChanges(message_ids=(system_id, *message_ids))
        update_agent(caller=make_caller(), agent_id=agent.id, changes=changes)

    await db(change)
