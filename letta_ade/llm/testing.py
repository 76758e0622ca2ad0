"""A model that says what a test tells it to, and the switch that keeps tests from calling a real one.

model = ScriptedModel([tool_call("conversation_search", query="tea"), text("You like tea.")])
with installed(model):
    ...  # agents whose handle is model.handle use it
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from letta_ade.llm import catalog
from letta_ade.llm.client import ChatRequest
from letta_ade.llm.events import ChatEvent, ReplyEnded
from letta_ade.llm.messages import Usage
from letta_ade.llm.providers.guard import forbid_remote_models
from letta_ade.llm.scripting import Call, End, Fail, Hide, Piece, Say, Think, Wait, play, request_data

__all__ = [
    "ScriptedModel",
    "ending",
    "error",
    "forbid_remote_models",
    "gate",
    "hang",
    "hidden_reasoning",
    "installed",
    "reasoning",
    "text",
    "tool_call",
]

#: One reply: a piece, several, or a function of the payload that makes them.
ScriptedReply = Piece | Sequence[Piece] | Callable[[dict[str, Any]], "Piece | Sequence[Piece]"]


def text(words: str) -> Say:
    return Say(text=words)


def reasoning(words: str, *, signature: str | None = None) -> Think:
    return Think(text=words, signature=signature)


def hidden_reasoning(data: str | None = None) -> Hide:
    return Hide(data=data)


def tool_call(
    tool: str, /, *, call_id: str | None = None, json_text: str | None = None, **arguments: Any
) -> Call:
    """A call with these arguments; `json_text` instead of them for arguments that are not what they should be."""
    return Call(name=tool, arguments=json.dumps(arguments) if json_text is None else json_text, id=call_id)


def error(failure: Exception) -> Fail:
    """The reply breaks off here."""
    return Fail(error=failure)


def gate(event: asyncio.Event) -> Wait:
    """The reply goes on when the event is set; the event must be set on the loop that streams."""
    return Wait(event=event)


def hang() -> Wait:
    """The reply stops here until somebody closes it."""
    return Wait()


def ending(
    finish_reason: str | None = None, *, usage: Usage | None = None, logprobs: dict[str, Any] | None = None
) -> End:
    """How the reply ends, e.g. `length`, and what it counts."""
    return End(finish_reason=finish_reason, usage=usage, logprobs=logprobs)


class ScriptedModel:
    """A ChatModel that gives its replies in order, one for each call; AssertionError when they are used up."""

    def __init__(
        self,
        replies: Sequence[ScriptedReply] = (),
        *,
        handle: str = "test/scripted",
        word_seconds: float = 0,
        context_window: int = 32_000,
    ) -> None:
        self._replies = list(replies)
        self._handle = handle
        self._word_seconds = word_seconds
        self.context_window = context_window
        #: What was asked, in order: before and after `payload`.
        self.requests: list[ChatRequest] = []
        self.payloads: list[dict[str, Any]] = []
        #: Streams that ended with their reply, and those that were closed or failed before.
        self.finished = 0
        self.broken_off = 0

    @property
    def handle(self) -> str:
        return self._handle

    def add(self, *replies: ScriptedReply) -> None:
        """More replies after those that are left."""
        self._replies += replies

    def clear(self) -> None:
        """Forget the replies that are left."""
        self._replies.clear()

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        self.requests.append(request)
        return request_data(request, model=self._handle.partition("/")[2])

    async def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        self.payloads.append(payload)
        assert self._replies, f"the script has no reply left for call {len(self.payloads)}"
        reply = self._replies.pop(0)
        made = reply(payload) if callable(reply) else reply
        pieces = list(made) if isinstance(made, Sequence) else [made]
        events = play(pieces, payload=payload, word_seconds=self._word_seconds)
        is_finished = False
        try:
            async for event in events:
                is_finished = isinstance(event, ReplyEnded)
                yield event
        finally:
            await events.aclose()
            self.finished += is_finished
            self.broken_off += not is_finished


@contextmanager
def installed(*models: ScriptedModel) -> Iterator[None]:
    """Inside, the catalog knows these models by their handles and lists them first."""
    with catalog.with_models(models):
        yield
