"""Anthropic's messages API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.environment import ProviderConfig
from letta_ade.llm.events import ChatEvent
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.anthropic_reply import AnthropicReply
from letta_ade.llm.providers.anthropic_request import build_payload
from letta_ade.llm.providers.clients import anthropic_client
from letta_ade.llm.providers.wire import Limits, WireCall

#: The last version that takes sampling fields; the SDK's own refuses them even at their defaults.
_SAMPLING_VERSION = {"anthropic-version": "2023-06-01"}


class AnthropicChat:
    """One of Anthropic's models."""

    def __init__(self, *, config: ProviderConfig, model: str, limits: Limits | None = None) -> None:
        self._config = config
        self._model = model
        self._limits = limits or Limits()

    @property
    def handle(self) -> str:
        return f"{self._config.name}/{self._model}"

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        return build_payload(request, model=self._model)

    async def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        client = await anthropic_client(self._config, silence_seconds=self._limits.silence_seconds)
        from anthropic import AsyncStream

        reply = AnthropicReply(payload=payload)
        call = WireCall(self._config, self._limits)
        headers = _SAMPLING_VERSION if "temperature" in payload else {}
        chunks = call.chunks(
            client, "/v1/messages", payload, stream_class=AsyncStream[object], headers=headers
        )
        try:
            async for chunk in chunks:
                for event in call.understood(reply.events, chunk):
                    yield event
        finally:
            await chunks.aclose()
        if not reply.is_ended:
            raise failures.cut_off(self._config, call.request_id)
        yield reply.end(call.request_id)
