"""One streaming call over an SDK's connection: deadlines, every failure mapped, and the connection closed at the end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from letta_ade.llm.errors import ModelError, ModelTimeout
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.sse import EventCutter, SseCutter, read_event

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncAnthropicBedrock
    from httpx2 import Response
    from openai import AsyncOpenAI

#: How long to wait for the end of a body whose reply is whole, so that its connection can be used again.
_TAIL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    #: Without a byte.
    silence_seconds: float = 60
    #: For a whole reply.
    reply_seconds: float = 600


class WireCall:
    """`batches` may be iterated once; what the response said beside its chunks is here afterwards."""

    def __init__(self, config: ProviderConfig, limits: Limits, cutter: EventCutter | None = None) -> None:
        self.request_id: str | None = None
        #: The server said that its reply is whole; a connection that just ends proves nothing.
        self.is_announced_end = False
        self._config = config
        self._limits = limits
        self._cutter = cutter or SseCutter()

    async def batches(
        self,
        client: AsyncOpenAI | AsyncAnthropic | AsyncAnthropicBedrock,
        path: str,
        payload: dict[str, Any],
        *,
        stream_class: type[Any],
        headers: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[list[Any], None]:
        """The chunks that each read of the connection brought, as JSON; a server that does not stream sends one.

        Raises ModelError, after the chunks that came before the failure.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.reply_seconds
        stream: Any = None
        try:
            async with asyncio.timeout_at(deadline):
                # The low-level call sends the payload as it is; the typed one would rebuild it. The stream that it gives
                # is not iterated: its response is read here.
                stream = await client.post(
                    path,
                    body=payload,
                    cast_to=object,
                    options={"headers": dict(headers or {}), "params": dict(query or {})},
                    stream=True,
                    stream_cls=stream_class,
                )
            sent = stream.response.headers
            self.request_id = failures.request_id_in(sent)
            if "stream" not in (kind := sent.get("content-type", "event-stream")):
                yield [await self._whole_body(stream.response, kind)]
                self.is_announced_end = True
                return
            body = stream.response.aiter_bytes()
            has_ended = False
            while not (has_ended or self.is_announced_end):
                # One deadline for a whole read: a timer for each chunk cost more than reading it.
                async with asyncio.timeout_at(deadline):
                    data = await anext(body, None)
                has_ended = data is None
                chunks, failure = self._cut(data)
                if chunks:
                    yield chunks
                if failure is not None:
                    raise failure
            if not has_ended:
                await _read_tail(body)
        except TimeoutError as error:
            raise ModelTimeout(
                f"{self._config.profile.display_name} did not end its reply "
                f"within {self._limits.reply_seconds:g} seconds."
            ) from error
        except _sdk_errors() as error:
            raise failures.from_sdk(
                error, self._config, timeout_seconds=self._limits.silence_seconds
            ) from error
        finally:
            if stream is not None:
                await stream.close()

    def understood(self, read: Callable[[Any], Iterable[Any]], chunk: Any) -> Iterable[Any]:
        """What `read` makes of the chunk; InvalidReply when it has another shape than the protocol."""
        try:
            return read(chunk)
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise failures.not_understood(self._config, str(chunk), self.request_id) from error

    def _cut(self, data: bytes | None) -> tuple[list[Any], ModelError | None]:
        """The chunks that the bytes complete (None: the last ones), and the failure that comes after them."""
        chunks: list[Any] = []
        try:
            for event in self._cutter.rest() if data is None else self._cutter.feed(data):
                if event.startswith(b"[DONE]"):
                    self.is_announced_end = True
                    break
                chunk = read_event(event)
                if isinstance(chunk, dict) and chunk.get("error"):
                    return chunks, self._failure(chunk)
                chunks.append(chunk)
        except ValueError as error:
            return chunks, failures.not_understood(self._config, str(error), self.request_id)
        return chunks, None

    async def _whole_body(self, response: Response, kind: str) -> Any:
        text = (await response.aread()).decode("utf-8", "replace")
        body = json.loads(text) if "json" in kind else None
        if not isinstance(body, dict):
            raise failures.not_understood(self._config, text, self.request_id)
        if body.get("error"):
            raise self._failure(body)
        return body

    def _failure(self, body: Any) -> ModelError:
        return failures.from_status(self._config, failures.status_in(body), body, self.request_id)


async def _read_tail(body: AsyncIterator[bytes]) -> None:
    import httpx2

    try:
        async with asyncio.timeout(_TAIL_SECONDS):
            async for _ in body:
                pass
    except (TimeoutError, httpx2.HTTPError, httpx2.StreamError):
        # The reply is whole; only the connection is not used again.
        pass


def _sdk_errors() -> tuple[type[Exception], ...]:
    import httpx2

    # Only an SDK that is loaded can have raised; one that is just being loaded in another thread cannot yet. ValueError: a whole
    # body is not JSON.
    errors: list[type[Exception]] = [httpx2.HTTPError, httpx2.StreamError, ValueError]
    for sdk, name in (("openai", "OpenAIError"), ("anthropic", "AnthropicError")):
        if error := getattr(sys.modules.get(sdk), name, None):
            errors.append(error)
    return tuple(errors)
