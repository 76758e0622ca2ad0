"""From the context to a model request (spec/agent-loop.md §2.3, §2.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agents.runtime.snapshot import Snapshot
from agents.runtime.tool_rules import Allowance
from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.messages import (
    ChatMessage,
    ReasoningPart,
    RedactedReasoningPart,
    SummarizedReasoningPart,
    TextPart,
    ToolReturn,
)

#: A return that the window has no room for is shortened for the model; what is stored stays whole.
_RETURN_SHARE = 0.2
_CHARACTERS_PER_TOKEN = 4
_LEAST_RETURN_CHARACTERS = 5000

MISSING_RETURN = "This call has no result: it was interrupted before it returned. Call the tool again if you still need it."


def build_request(snapshot: Snapshot, messages: Sequence[ChatMessage], allowance: Allowance) -> ChatRequest:
    """The request for the next call. Tools keep their order, so that the text before the messages stays the same."""
    tools = tuple(tool.spec for tool in snapshot.tools if tool.spec.name in allowance.names)
    limit = max(
        _LEAST_RETURN_CHARACTERS, int(snapshot.context_window * _RETURN_SHARE * _CHARACTERS_PER_TOKEN)
    )
    settings = snapshot.settings
    return ChatRequest(
        messages=tuple(shorten_returns(repair(messages), limit)),
        tools=tools,
        tool_choice=_tool_choice(allowance, len(tools)),
        parallel_tool_calls=settings.parallel_tool_calls and snapshot.rules.allows_parallel_calls,
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
        response_format=settings.response_format,
        user=snapshot.caller_id,
    )


def _tool_choice(allowance: Allowance, offered: int) -> ToolChoice:
    if not allowance.is_forced or offered == 0:
        return ToolChoice()
    if offered == 1:
        return ToolChoice(mode="one", name=next(iter(allowance.names)))
    return ToolChoice(mode="required")


def repair(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages in a form that providers accept.

    A call without a return gets one that says so; a return without a call, a second return of a call, and an assistant turn
    that holds only reasoning are left out. Broken pairs come from crashes and from messages that somebody hid.
    """
    repaired: list[ChatMessage] = []
    waiting: dict[str, None] = {}
    for message in messages:
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
