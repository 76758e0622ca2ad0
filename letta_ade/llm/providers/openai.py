"""OpenAI's chat completions, and every server that speaks them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.events import ChatEvent
from letta_ade.llm.profiles import model_profile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.call_tags import CallTags
from letta_ade.llm.providers.clients import openai_client, request_headers
from letta_ade.llm.providers.openai_reply import OpenAIReply
from letta_ade.llm.providers.openai_request import build_payload, hides_reasoning
from letta_ade.llm.providers.thought_tags import ThoughtTags
from letta_ade.llm.providers.wire import Limits, WireCall


class OpenAIChat:
    """One model of one provider."""

    def __init__(
        self,
        *,
        config: ProviderConfig,
        model: str,
        limits: Limits | None = None,
        base_model: str | None = None,
    ) -> None:
        """`base_model`: what the model is, where its name does not tell (a deployment at Azure)."""
        self._config = config
        self._model = model
        self._limits = limits or Limits()
        self._known = model_profile(base_model or model)

    @property
    def handle(self) -> str:
        return f"{self._config.name}/{self._model}"

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        return build_payload(request, model=self._model, config=self._config, known=self._known)

    async def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        client = await openai_client(self._config, silence_seconds=self._limits.silence_seconds)
        from openai import AsyncStream

        is_openai_itself = self._config.hosts_openai_models and self._config.is_official_host
        offered = frozenset(tool["function"]["name"] for tool in payload.get("tools", ()))
        reply = OpenAIReply(
            payload=payload,
            hides_reasoning=hides_reasoning(payload, self._config, self._known),
            tags=None if is_openai_itself else ThoughtTags(),
            call_tags=CallTags(offered) if offered and self._config.is_self_hosted else None,
            counts_thoughts_apart=self._config.profile.thinking_style == "google",
        )
        call = WireCall(self._config, self._limits)
        batches = call.batches(
            client,
            self._config.path("/chat/completions", self._model),
            payload,
            stream_class=AsyncStream[object],
            headers=request_headers(self._config),
            query=self._config.query,
        )
        try:
            async for batch in batches:
                for chunk in batch:
                    for event in call.understood(reply.events, chunk):
                        yield event
        finally:
            await batches.aclose()
        # A server that names no reason has ended its reply when it said [DONE], one that says neither was cut off.
        if not call.is_announced_end and reply.finish_reason is None:
            raise failures.cut_off(self._config, call.request_id)
        for event in reply.end(call.request_id):
            yield event
