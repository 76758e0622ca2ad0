"""OpenAI's chat completions, and every server that speaks them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from functools import cache
from typing import TYPE_CHECKING, Any

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.environment import ProviderConfig
from letta_ade.llm.events import ChatEvent
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.clients import openai_client
from letta_ade.llm.providers.openai_reply import OpenAIReply
from letta_ade.llm.providers.openai_request import build_payload, hides_reasoning
from letta_ade.llm.providers.wire import Limits, WireCall

if TYPE_CHECKING:
    from openai._streaming import ServerSentEvent


class OpenAIChat:
    """One model of one provider."""

    def __init__(self, *, config: ProviderConfig, model: str, limits: Limits | None = None) -> None:
        self._config = config
        self._model = model
        self._limits = limits or Limits()

    @property
    def handle(self) -> str:
        return f"{self._config.name}/{self._model}"

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        return build_payload(request, model=self._model, config=self._config)

    async def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        client = await openai_client(self._config, silence_seconds=self._limits.silence_seconds)
        reply = OpenAIReply(payload=payload, hides_reasoning=hides_reasoning(payload, self._config))
        call = WireCall(self._config, self._limits)
        chunks = call.chunks(client, "/chat/completions", payload, stream_class=_announced_stream())
        try:
            async for chunk in chunks:
                for event in call.understood(reply.events, chunk):
                    yield event
        finally:
            await chunks.aclose()
        # A server that names no reason has ended its reply when it said [DONE], one that says neither was cut off.
        if not call.is_announced_end and reply.finish_reason is None:
            raise failures.cut_off(self._config, call.request_id)
        yield reply.end(call.request_id)


@cache
def _announced_stream() -> type[Any]:
    """The SDK's stream, which also remembers whether the server announced the end; made once the SDK is loaded."""
    from openai import AsyncStream

    class AnnouncedStream(AsyncStream[object]):
        is_announced_end = False

        async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
            # The SDK swallows [DONE]; without it a reply that was cut off looks like one that ended.
            async for event in super()._iter_events():
                if event.data.startswith("[DONE]"):
                    self.is_announced_end = True
                yield event

    return AnnouncedStream
