"""The model call of a step: streamed, timed, and sent again when it failed for a passing reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from agents.runtime.cancellation import CancelToken
from agents.runtime.events import CallRetried, Event
from agents.runtime.reply_stream import ReplyRules, ReplyStream
from letta_ade.llm.client import ChatModel
from letta_ade.llm.errors import InvalidReply, ModelError
from letta_ade.llm.messages import OmittedReasoningPart, Reply, TextPart

#: Asked by a provider to wait longer than this, the run rather fails with the provider's text.
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a call that failed for a passing reason is sent again, and the first pause; it doubles."""

    attempts: int = 2
    pause_seconds: float = 0.5


@dataclass(slots=True, kw_only=True)
class ModelCall:
    """One call with its attempts; `stream` is the attempt that counts."""

    model: ChatModel
    token: CancelToken
    retry: Retry
    step_id: str
    message_id: str
    rules: ReplyRules
    #: An empty reply is one, and is not asked for again.
    may_say_nothing: bool = False
    stream: ReplyStream = field(init=False)
    #: Nanoseconds, of the last attempt; its beginning is Unix time.
    llm_start_ns: int | None = None
    llm_ns: int = 0
    ttft_ns: int | None = None

    def __post_init__(self) -> None:
        self.stream = self._new_stream()

    @property
    def reply(self) -> Reply:
        """The whole reply, once `run` has ended."""
        assert self.stream.reply is not None, "run raises when there is no reply"
        return self.stream.reply

    async def run(self, payload: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """Stream the reply. Passing failures are tried again while nothing was passed on yet. Raises ModelError, RunStopped."""
        attempt = 0
        while True:
            self.llm_start_ns, called_ns = time.time_ns(), time.monotonic_ns()
            try:
                try:
                    with self.token.cancellable():
                        async with aclosing(self.model.stream(payload)) as events:
                            async for model_event in events:
                                for event in self.stream.translate(model_event):
                                    if self.ttft_ns is None:
                                        self.ttft_ns = time.monotonic_ns() - called_ns
                                    yield event
                finally:
                    self.llm_ns = time.monotonic_ns() - called_ns
                reply = self.stream.reply
                if reply is None:
                    raise InvalidReply("The model's reply ended before it was complete.")
                if not self._is_worth_another_try(reply, attempt):
                    return
                reason, pause = "the model sent an empty reply", 0.0
            except ModelError as failure:
                pause = self._pause(failure, attempt)
                if self.stream.has_begun or not failure.is_transient or attempt >= self.retry.attempts:
                    raise
                if pause > _LONGEST_PAUSE_SECONDS:
                    raise
                reason = failure.message
            with self.token.cancellable():
                await asyncio.sleep(pause)
            attempt += 1
            self.stream = self._new_stream()
            yield CallRetried(
                step_id=self.step_id, message_id=self.message_id, attempt=attempt, reason=reason
            )

    def _is_worth_another_try(self, reply: Reply, attempt: int) -> bool:
        return (
            is_empty(reply)
            and attempt == 0
            and not self.may_say_nothing
            and reply.finish_reason not in ("refusal", "length")
        )

    def _pause(self, failure: ModelError, attempt: int) -> float:
        doubled = self.retry.pause_seconds * float(2**attempt)
        return max(doubled, failure.retry_after_seconds or 0.0)

    def _new_stream(self) -> ReplyStream:
        return ReplyStream(step_id=self.step_id, message_id=self.message_id, rules=self.rules)


def is_empty(reply: Reply) -> bool:
    """Whether the model neither said nor called anything. Reasoning that it keeps to itself says nothing."""
    has_content = any(
        not isinstance(part, OmittedReasoningPart) and (not isinstance(part, TextPart) or part.text)
        for part in reply.parts
    )
    return not reply.tool_calls and not has_content
