"""Anthropic's messages API, at Anthropic, at those who imitate it, and at AWS Bedrock."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.events import ChatEvent
from letta_ade.llm.profiles import model_profile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.anthropic_reply import AnthropicReply
from letta_ade.llm.providers.anthropic_request import build_payload
from letta_ade.llm.providers.aws_events import AwsEventCutter
from letta_ade.llm.providers.clients import anthropic_client, bedrock_client
from letta_ade.llm.providers.sse import EventCutter
from letta_ade.llm.providers.wire import Limits, WireCall

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncAnthropicBedrock

#: The last version that takes sampling fields; the SDK's own refuses them even at their defaults.
_SAMPLING_VERSION = {"anthropic-version": "2023-06-01"}


class AnthropicChat:
    """One of Anthropic's models."""

    def __init__(
        self,
        *,
        config: ProviderConfig,
        model: str,
        limits: Limits | None = None,
        base_model: str | None = None,
    ) -> None:
        """`base_model`: what the model is, where its name does not tell (an inference profile at AWS)."""
        self._config = config
        self._model = model
        self._limits = limits or Limits()
        self._known = model_profile(base_model or model)

    @property
    def handle(self) -> str:
        return f"{self._config.name}/{self._model}"

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        return build_payload(request, model=self._model, profile=self._config.profile, known=self._known)

    async def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        client = await self._client()
        from anthropic import AsyncStream

        reply = AnthropicReply(payload=payload)
        call = WireCall(self._config, self._limits, self._cutter())
        batches = call.batches(
            client,
            "/v1/messages",
            payload,
            stream_class=AsyncStream[object],
            headers=_SAMPLING_VERSION if "temperature" in payload else {},
        )
        try:
            async for batch in batches:
                for chunk in batch:
                    for event in call.understood(reply.events, chunk):
                        yield event
        finally:
            await batches.aclose()
        if not reply.is_ended:
            raise failures.cut_off(self._config, call.request_id)
        yield reply.end(call.request_id)

    async def _client(self) -> AsyncAnthropic | AsyncAnthropicBedrock:
        return await anthropic_client(self._config, silence_seconds=self._limits.silence_seconds)

    def _cutter(self) -> EventCutter | None:
        return None


class BedrockChat(AnthropicChat):
    """One of Anthropic's models at AWS: the same messages, signed, and answered in AWS's own framing."""

    async def _client(self) -> AsyncAnthropicBedrock:
        return await bedrock_client(self._config, silence_seconds=self._limits.silence_seconds)

    def _cutter(self) -> EventCutter:
        return AwsEventCutter()
