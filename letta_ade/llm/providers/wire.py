"""One streaming call over an SDK's connection: deadlines, every failure mapped, and the connection closed at the end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from letta_ade.llm.environment import ProviderConfig
from letta_ade.llm.errors import ModelTimeout
from letta_ade.llm.providers import failures

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from httpx2 import Response
    from openai import AsyncOpenAI


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    #: Without a byte.
    silence_seconds: float = 60
    #: For a whole reply.
    reply_seconds: float = 600


class WireCall:
    """`chunks` may be iterated once; what the response said beside its chunks is here afterwards."""

    def __init__(self, config: ProviderConfig, limits: Limits) -> None:
        self.request_id: str | None = None
        #: The server said that its reply is whole; a connection that just ends proves nothing.
        self.is_announced_end = False
        self._config = config
        self._limits = limits

    async def chunks(
        self,
        client: AsyncOpenAI | AsyncAnthropic,
        path: str,
        payload: dict[str, Any],
        *,
        stream_class: type[Any],
        headers: dict[str, str] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Each chunk as JSON; a server that answers without streaming gives one. Raises ModelError."""
        deadline = asyncio.get_running_loop().time() + self._limits.reply_seconds
        stream: Any = None
        try:
            async with asyncio.timeout_at(deadline):
                # The low-level call sends the payload as it is; the typed one would rebuild it.
                stream = await client.post(
                    path,
                    body=payload,
                    cast_to=object,
                    options={"headers": headers or {}},
                    stream=True,
                    stream_cls=stream_class,
                )
            sent = stream.response.headers
            self.request_id = sent.get("x-request-id") or sent.get("request-id")
            if "event-stream" not in (kind := sent.get("content-type", "event-stream")):
                yield await self._whole_body(stream.response, kind)
                self.is_announced_end = True
                return
            while True:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                yield chunk
            self.is_announced_end = getattr(stream, "is_announced_end", False)
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

    def understood(self, read: Callable[[Any], Iterable[Any]], chunk: Any) -> list[Any]:
        """What `read` makes of the chunk; InvalidReply when it has another shape than the protocol."""
        try:
            return list(read(chunk))
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise failures.not_understood(self._config, str(chunk), self.request_id) from error

    async def _whole_body(self, response: Response, kind: str) -> Any:
        text = (await response.aread()).decode("utf-8", "replace")
        body = json.loads(text) if "json" in kind else None
        if not isinstance(body, dict):
            raise failures.not_understood(self._config, text, self.request_id)
        if body.get("error"):
            raise failures.from_status(self._config, failures.status_in(body), body, self.request_id)
        return body


def _sdk_errors() -> tuple[type[Exception], ...]:
    import httpx2

    # Only the SDK that is loaded can have raised. ValueError: a line of the stream is not JSON.
    errors: list[type[Exception]] = [httpx2.HTTPError, httpx2.StreamError, ValueError]
    if "openai" in sys.modules:
        errors.append(sys.modules["openai"].OpenAIError)
    if "anthropic" in sys.modules:
        errors.append(sys.modules["anthropic"].AnthropicError)
    return tuple(errors)
