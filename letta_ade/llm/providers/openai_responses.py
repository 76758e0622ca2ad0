"""OpenAI's Responses API: for its reasoning models, which reason better there and show what they do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.errors import ModelBadRequest
from letta_ade.llm.events import ChatEvent
from letta_ade.llm.profiles import model_profile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.clients import openai_client
from letta_ade.llm.providers.openai_responses_reply import ResponsesReply, failure_in
from letta_ade.llm.providers.openai_responses_request import (
    build_responses_payload,
    has_reasoning,
    without_reasoning,
    without_summary,
)
from letta_ade.llm.providers.wire import Limits, WireCall

#: Addresses and keys that were refused summaries; they are not asked for again.
_unsummarised: set[tuple[str, str | None]] = set()


class OpenAIResponses:
    """One of OpenAI's models."""

    def __init__(self, *, config: ProviderConfig, model: str, limits: Limits | None = None) -> None:
        self._config = config
        self._model = model
        self._limits = limits or Limits()
        self._known = model_profile(model)

    @property
    def handle(self) -> str:
        return f"{self._config.name}/{self._model}"

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        payload = build_responses_payload(request, model=self._model, known=self._known)
        has_summaries = (self._config.base_url, self._config.api_key) not in _unsummarised
        return payload if has_summaries else without_summary(payload)

    async def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        """As every ChatModel; but what the key's organisation may not have is left out, and the call made again.

        Reasoning that was encrypted for somebody else, else an agent could never be talked to again once its key has
        changed; and summaries, which OpenAI shows to verified organisations only.
        """
        has_begun = False
        while True:
            try:
                async with aclosing(self._stream(payload)) as events:
                    async for event in events:
                        has_begun = True
                        yield event
                return
            except ModelBadRequest as refusal:
                amended = None if has_begun else self._amended(payload, refusal)
                if amended is None:
                    raise
                payload = amended

    def _amended(self, payload: dict[str, Any], refusal: ModelBadRequest) -> dict[str, Any] | None:
        """The payload without what was refused; None when it was something else."""
        text = f"{refusal.detail or ''} {refusal.message}".lower()
        if "encrypted" in text and has_reasoning(payload):
            return without_reasoning(payload)
        if "summar" in text and "summary" in payload.get("reasoning", {}):
            _unsummarised.add((self._config.base_url, self._config.api_key))
            return without_summary(payload)
        return None

    async def _stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        client = await openai_client(self._config, silence_seconds=self._limits.silence_seconds)
        from openai import AsyncStream

        reply = ResponsesReply(payload=payload)
        call = WireCall(self._config, self._limits)
        batches = call.batches(client, "/responses", payload, stream_class=AsyncStream[object])
        try:
            async for batch in batches:
                for chunk in batch:
                    if (body := failure_in(chunk)) is not None:
                        status = failures.status_in(body)
                        raise failures.from_status(self._config, status, body, call.request_id)
                    for event in call.understood(reply.events, _as_event(chunk)):
                        yield event
        finally:
            await batches.aclose()
        if reply.response is None:
            raise failures.cut_off(self._config, call.request_id)
        yield reply.end(call.request_id)


def _as_event(chunk: Any) -> Any:
    """A whole response, from a server that does not stream, as its last event."""
    if isinstance(chunk, dict) and chunk.get("object") == "response" and "type" not in chunk:
        return {"type": "response.completed", "response": chunk}
    return chunk
