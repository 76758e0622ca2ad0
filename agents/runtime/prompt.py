"""From the context to a model request (spec/agent-loop.md §2.3, §2.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from agents.runtime.snapshot import Snapshot
from agents.runtime.tool_rules import Allowance
from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.messages import (
    ChatMessage,
    Part,
    ReasoningPart,
    RedactedReasoningPart,
    SummarizedReasoningPart,
    TextPart,
    ToolReturn,
    ToolSpec,
)

#: A return that the window has no room for is shortened for the model; what is stored stays whole.
_RETURN_SHARE = 0.2
_CHARACTERS_PER_TOKEN = 4
_LEAST_RETURN_CHARACTERS = 5000

#: The tool through which an agent of the heartbeat loop speaks.
ANSWER_TOOL = "send_message"
_HEARTBEAT_PARAMETER = {
    "type": "boolean",
    "description": "True to be called again right after this call; false to end your response with it.",
}

MISSING_RETURN = "This call has no result: it was interrupted before it returned. Call the tool again if you still need it."


def build_request(snapshot: Snapshot, messages: Sequence[ChatMessage], allowance: Allowance) -> ChatRequest:
    """The request for the next call. Tools keep their order, so that the text before the messages stays the same."""
    tools = tuple(
        _offered(snapshot, tool.spec) for tool in snapshot.tools if tool.spec.name in allowance.names
    )
    limit = max(
        _LEAST_RETURN_CHARACTERS, int(snapshot.context_window * _RETURN_SHARE * _CHARACTERS_PER_TOKEN)
    )
    settings = snapshot.settings
    return ChatRequest(
        messages=tuple(shorten_returns(repair(messages), limit)),
        tools=tools,
        tool_choice=_tool_choice(snapshot, allowance, len(tools)),
        parallel_tool_calls=snapshot.allows_parallel_calls,
        max_output_tokens=settings.max_output_tokens,
        strict=settings.strict,
        temperature=settings.temperature,
        frequency_penalty=settings.frequency_penalty,
        reasoning_effort=settings.reasoning_effort,
        thinking_tokens=settings.thinking_tokens,
        shows_thoughts=settings.shows_thoughts,
        thinks=settings.thinks,
        effort=settings.effort,
        verbosity=settings.verbosity,
        return_logprobs=settings.return_logprobs,
        top_logprobs=settings.top_logprobs,
        response_format=settings.response_format if snapshot.loop == "direct" else None,
        user=snapshot.caller_id,
    )


def _tool_choice(snapshot: Snapshot, allowance: Allowance, offered: int) -> ToolChoice:
    if offered == 0:
        return ToolChoice()
    if allowance.is_forced and offered == 1:
        return ToolChoice(mode="one", name=next(iter(allowance.names)))
    if allowance.is_forced:
        return ToolChoice(mode="required")
    if snapshot.loop == "heartbeat":
        return ToolChoice(mode="required", forces_by_rule=False)
    return ToolChoice()


def _offered(snapshot: Snapshot, spec: ToolSpec) -> ToolSpec:
    """The tool as the loop of the agent shows it: in the heartbeat loop a call says whether the agent wants to go on."""
    if snapshot.loop == "direct":
        return spec
    properties = dict(spec.parameters.get("properties") or {})
    required = list(spec.parameters.get("required") or ())
    schema = ((snapshot.settings.response_format or {}).get("json_schema") or {}).get("schema")
    if spec.name == ANSWER_TOOL and isinstance(schema, dict):
        properties["message"] = schema
    if not snapshot.rules.ends_run(spec.name):
        properties["request_heartbeat"] = _HEARTBEAT_PARAMETER
        required.append("request_heartbeat")
    return replace(spec, parameters={**spec.parameters, "properties": properties, "required": required})


def repair(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages in a form that providers accept.

    A call without a return gets one that says so; a return without a call, a second return of a call, and an assistant turn
    that holds only reasoning are left out. Broken pairs come from crashes and from messages that somebody hid. A request for
    approval is the second half of an assistant's turn, and the answer to it is told by the returns.
    """
    repaired: list[ChatMessage] = []
    waiting: dict[str, None] = {}
    for message in _join_requests(messages):
        if message.role == "tool":
            returns = tuple(
                _first_of_each(each for each in message.tool_returns if each.tool_call_id in waiting)
            )
            for each in returns:
                waiting.pop(each.tool_call_id)
            if returns:
                repaired.append(replace(message, tool_returns=returns))
            continue
        _answer_waiting(repaired, waiting)
        if message.role == "assistant" and not message.tool_calls and _is_reasoning_only(message):
            continue
        repaired.append(message)
        waiting = dict.fromkeys(call.id for call in message.tool_calls)
    _answer_waiting(repaired, waiting)
    return repaired


def _join_requests(messages: Iterable[ChatMessage]) -> Iterator[ChatMessage]:
    held: ChatMessage | None = None
    for message in messages:
        if message.role == "approval":
            if not message.tool_calls:
                continue
            if held is not None and held.role == "assistant":
                held = replace(
                    held, parts=held.parts + message.parts, tool_calls=held.tool_calls + message.tool_calls
                )
                continue
            message = replace(message, role="assistant")
        if held is not None:
            yield held
        held = replace(message, parts=_spoken(message.parts)) if message.role == "assistant" else message
    if held is not None:
        yield held


def _spoken(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """What an agent of the heartbeat loop said to itself was said as text."""
    return tuple(
        TextPart(text=part.reasoning) if isinstance(part, ReasoningPart) and not part.is_native else part
        for part in parts
    )


def _first_of_each(returns: Iterable[ToolReturn]) -> list[ToolReturn]:
    return list({each.tool_call_id: each for each in reversed(list(returns))}.values())[::-1]


def _answer_waiting(repaired: list[ChatMessage], waiting: dict[str, None]) -> None:
    if not waiting:
        return
    missing = tuple(
        ToolReturn(tool_call_id=call_id, text=MISSING_RETURN, is_error=True) for call_id in waiting
    )
    waiting.clear()
    if repaired[-1].role == "tool":
        repaired[-1] = replace(repaired[-1], tool_returns=repaired[-1].tool_returns + missing)
    else:
        repaired.append(ChatMessage(role="tool", tool_returns=missing))


def _is_reasoning_only(message: ChatMessage) -> bool:
    return not any(
        not isinstance(part, ReasoningPart | RedactedReasoningPart | SummarizedReasoningPart)
        and not (isinstance(part, TextPart) and not part.text)
        for part in message.parts
    )


def shorten_returns(messages: Iterable[ChatMessage], limit: int) -> Iterable[ChatMessage]:
    """The messages with tool returns of at most `limit` characters."""
    for message in messages:
        if any(len(each.text) > limit for each in message.tool_returns):
            returns = tuple(replace(each, text=_shorten(each.text, limit)) for each in message.tool_returns)
            yield replace(message, tool_returns=returns)
        else:
            yield message


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[{len(text) - limit} more characters are not shown: the context window has no room for them.]"
