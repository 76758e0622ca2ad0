"""Scripts of whole conversations, drawn by Hypothesis: what a model may say, what people answer, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from letta_ade.llm.errors import ModelBadRequest, ModelOverloaded
from letta_ade.llm.messages import ChatMessage
from letta_ade.llm.testing import (
    ScriptedReply,
    ending,
    error,
    hang,
    hidden_reasoning,
    reasoning,
    text,
    tool_call,
)

#: What a script's calls are named; `Names` gives the tools of a test.
CALL_KINDS = ("plain", "silent", "bad json", "incomplete", "unknown", "asks", "client", "exits", "fails")


@dataclass(frozen=True, kw_only=True)
class Names:
    """The tools that stand for each kind of call, and the arguments with which the first one works."""

    plain: str
    asks: str
    client: str
    exits: str
    fails: str
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What the model says in one run, and how a request before it is answered: yes, no or with a return."""

    replies: tuple[tuple[Any, ...], ...]
    answer: str
    says_more: bool


_WORDS = st.sampled_from(["Hello there", "", " ", "I look. ", "a null \0 inside"])
_CALLS = st.tuples(
    st.just("call"), st.sampled_from(CALL_KINDS), st.sampled_from(["call_1", "", None]), st.booleans()
)
_PIECES = st.one_of(
    _CALLS,
    _CALLS,
    st.tuples(st.just("say"), _WORDS),
    st.tuples(st.just("think"), _WORDS),
    st.tuples(st.just("hide"), st.sampled_from([None, "blob"])),
)
_ENDS = st.sampled_from(
    [(), (), (), ("end", "length"), ("end", "refusal"), ("fail",), ("busy",), ("bug",), ("cancel",)]
)
_REPLIES = st.builds(
    lambda pieces, end: (*pieces, *((end,) if end else ())), st.lists(_PIECES, max_size=4), _ENDS
)
TURNS = st.lists(
    st.builds(
        lambda replies, answer, says_more: Turn(replies=tuple(replies), answer=answer, says_more=says_more),
        st.lists(_REPLIES, min_size=1, max_size=3),
        st.sampled_from(["yes", "no", "return"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def reply_of(pieces: tuple[Any, ...], names: Names, cancel: Callable[[], None]) -> ScriptedReply:
    """The reply for the scripted model. One that is cancelled waits for ever once it has said its pieces."""
    made = [_piece(piece, names) for piece in pieces]
    if ("cancel",) not in pieces:
        return made

    def reply(payload: dict[str, Any]) -> list[Any]:
        asyncio.get_running_loop().call_soon(cancel)
        return made

    return reply


def _piece(piece: tuple[Any, ...], names: Names) -> Any:
    match piece:
        case ("say", words):
            return text(words)
        case ("think", words):
            return reasoning(words)
        case ("hide", data):
            return hidden_reasoning(data)
        case ("call", kind, call_id, goes_on):
            return _call(kind, call_id, goes_on, names)
        case ("end", reason):
            return ending(reason)
        case ("fail",):
            return error(ModelBadRequest("no"))
        case ("busy",):
            return error(ModelOverloaded("busy"))
        case ("bug",):
            return error(RuntimeError("bug"))
        case ("cancel",):
            return hang()
    raise AssertionError(piece)


def _call(kind: str, call_id: str | None, goes_on: bool, names: Names) -> Any:
    more: dict[str, Any] = {"request_heartbeat": True} if goes_on else {}
    match kind:
        case "bad json":
            return tool_call(names.plain, call_id=call_id, json_text='{"a": ')
        case "incomplete":
            return tool_call(names.plain, call_id=call_id, **more)
        case "silent":
            return tool_call(names.plain, call_id=call_id, json_text="")
        case "unknown":
            return tool_call("no_such_tool", call_id=call_id, **more)
        case _:
            name = {
                "plain": names.plain,
                "asks": names.asks,
                "client": names.client,
                "exits": names.exits,
                "fails": names.fails,
            }[kind]
            return tool_call(name, call_id=call_id, **names.arguments, **more)


def assert_whole(context: list[ChatMessage], *, waits: bool) -> None:
    """Every call of the context has exactly one return, right behind it, and an id of its own. `waits`: but for the last turn's."""
    open_calls: list[str] = []
    seen: set[str] = set()
    for message in context:
        if message.role == "tool":
            returned = [each.tool_call_id for each in message.tool_returns]
            assert returned == open_calls, "returns are those of the calls before, in their order"
            open_calls = []
            continue
        if message.role == "approval" and not message.tool_calls:
            continue
        calls = [call.id for call in message.tool_calls]
        if message.role != "approval":
            assert open_calls == [], "nothing is said before the calls have returned"
        assert all(calls)
        assert not seen & {*calls}
        assert len({*calls}) == len(calls)
        seen |= {*calls}
        open_calls += calls
    assert bool(open_calls) == waits
