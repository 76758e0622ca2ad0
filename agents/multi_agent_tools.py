"""Built-in tools by which agents write to each other (spec/memory.md §6)."""

from __future__ import annotations

import asyncio
from typing import Any

from agents.services.asking import Chain, Writer, ask_agent, find_agents, leave_message
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, NotFound
from tools import registry
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError

#: Agents that are asked at the same time, and with one call.
_AT_ONCE = 50
_MOST_ASKED = 200
_SILENCE = "<no response>"


async def ask_one(context: ToolContext, arguments: dict[str, Any]) -> str:
    agent_id, message = _agent_id(arguments), _message(arguments)
    return str(_answer(agent_id, await _asked(_writer(context), agent_id, message)))


async def ask_tagged(context: ToolContext, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    writer, message = _writer(context), _message(arguments)
    match_all, match_some = _tags(arguments, "match_all"), _tags(arguments, "match_some")
    agent_ids = await threads.run(find_agents, writer, match_all=match_all, match_some=match_some)
    if len(agent_ids) > _MOST_ASKED:
        raise ToolError(
            f"{len(agent_ids)} agents have these tags; at most {_MOST_ASKED} are asked at once. Name more tags."
        )
    room = asyncio.Semaphore(_AT_ONCE)

    async def ask(agent_id: str) -> dict[str, Any]:
        async with room:
            try:
                return _answer(agent_id, await _asked(writer, agent_id, message))
            except AdeError as error:
                return {"agent_id": agent_id, "response": [f"<error: {error.message}>"]}

    return list(await asyncio.gather(*map(ask, agent_ids)))


def leave(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    agent_id, message = _agent_id(arguments), _message(arguments)
    otid = f"{context.run_id}-{context.tool_call_id}"
    try:
        leave_message(writer=_writer(context), agent_id=agent_id, message=message, otid=otid)
    except NotFound:
        raise NotFound(f"There is no agent {agent_id!r}.") from None
    return "Successfully sent message"


def _given(_: ToolContext, __: dict[str, Any], answered: Any) -> Any:
    """The other half of a tool that has waited: its return."""
    return answered


async def _asked(writer: Writer, agent_id: str, message: str) -> list[str]:
    try:
        return await ask_agent(writer=writer, agent_id=agent_id, message=message)
    except NotFound:
        raise NotFound(f"There is no agent {agent_id!r}.") from None


def _answer(agent_id: str, texts: list[str]) -> dict[str, Any]:
    return {"agent_id": agent_id, "response": texts or [_SILENCE]}


def _writer(context: ToolContext) -> Writer:
    return Writer(caller=context.caller, run_id=context.run_id, chain=Chain.of(context.run_metadata))


def _agent_id(arguments: dict[str, Any]) -> str:
    agent_id = arguments["other_agent_id"]
    if not isinstance(agent_id, str) or not agent_id.strip():
        raise ToolError("other_agent_id must be the id of an agent, such as 'agent-…'.")
    return agent_id.strip()


def _message(arguments: dict[str, Any]) -> str:
    message = arguments["message"]
    if not isinstance(message, str) or not message.strip():
        raise ToolError("The message is empty: say what the other agent is to know or do.")
    return message


def _tags(arguments: dict[str, Any], name: str) -> list[str]:
    tags = arguments[name]
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ToolError(f"{name} must be a list of tags, not {tags!r}.")
    return tags


_MESSAGE = {
    "type": "string",
    "description": "What the other agent is told; it sees nothing of your conversation.",
}
_OTHER = {"type": "string", "description": "The id of the other agent, 'agent-…'."}


def register() -> None:
    """Put them into the registry."""
    registry.register(
        BuiltinTool(
            name="send_message_to_agent_and_wait_for_reply",
            tool_type=ToolType.LETTA_MULTI_AGENT_CORE,
            description="Ask another agent something and wait for its answer.",
            parameters=_parameters(message=_MESSAGE, other_agent_id=_OTHER),
            run=_given,
            wait=ask_one,
            enable_parallel_execution=True,
        )
    )
    registry.register(
        BuiltinTool(
            name="send_message_to_agents_matching_tags",
            tool_type=ToolType.LETTA_MULTI_AGENT_CORE,
            description="Ask all other agents that have certain tags, and wait for their answers.",
            parameters=_parameters(
                message=_MESSAGE,
                match_all=_tag_list("An agent must have every one of these tags; empty asks for none."),
                match_some=_tag_list("An agent must have one of these tags at least; empty asks for none."),
            ),
            run=_given,
            wait=ask_tagged,
            enable_parallel_execution=True,
        )
    )
    registry.register(
        BuiltinTool(
            name="send_message_to_agent_async",
            tool_type=ToolType.LETTA_MULTI_AGENT_CORE,
            description="Leave a message for another agent without waiting. If it answers, its answer comes as a message later.",
            parameters=_parameters(message=_MESSAGE, other_agent_id=_OTHER),
            run=leave,
        )
    )


def _tag_list(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


def _parameters(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}
