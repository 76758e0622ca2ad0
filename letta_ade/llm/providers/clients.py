"""The SDK clients: imported on first use, one for each address and key, all of a loop over one connection pool."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from letta_ade.llm.environment import ProviderConfig
from letta_ade.llm.providers.guard import check_allowed

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from httpx2 import Timeout
    from openai import AsyncOpenAI, OpenAI

_CONNECT_SECONDS = 10.0
#: Sent to servers that need no key, because the SDK insists on one.
_NO_KEY = "not-needed"

_Key = tuple[str, str | None]

_lock = threading.Lock()
# A pool belongs to the event loop that opened its connections, so clients are kept by loop; a dead loop drops its own.
_openai: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, AsyncOpenAI]] = WeakKeyDictionary()
_anthropic: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, AsyncAnthropic]] = WeakKeyDictionary()
_sync_openai: dict[_Key, OpenAI] = {}


async def openai_client(config: ProviderConfig, *, silence_seconds: float) -> AsyncOpenAI:
    """This loop's client for the provider; `silence_seconds` is how long the provider may send nothing."""
    check_allowed(config.base_url)
    kept = _openai.setdefault(asyncio.get_running_loop(), {})
    key = (config.base_url, config.api_key)
    if key not in kept:
        # In a thread: the first import takes seconds, the first client 0.1 s.
        kept[key] = await asyncio.to_thread(_make_openai, next(iter(kept.values()), None), config)
    return kept[key].with_options(timeout=_timeout(silence_seconds))


async def anthropic_client(config: ProviderConfig, *, silence_seconds: float) -> AsyncAnthropic:
    """As `openai_client`, for Anthropic's protocol."""
    check_allowed(config.base_url)
    kept = _anthropic.setdefault(asyncio.get_running_loop(), {})
    key = (config.base_url, config.api_key)
    if key not in kept:
        kept[key] = await asyncio.to_thread(_make_anthropic, next(iter(kept.values()), None), config)
    return kept[key].with_options(timeout=_timeout(silence_seconds))


def sync_openai_client(config: ProviderConfig, *, silence_seconds: float) -> OpenAI:
    """The client for embeddings, shared by threads."""
    check_allowed(config.base_url)
    key = (config.base_url, config.api_key)
    with _lock:
        if key not in _sync_openai:
            _sync_openai[key] = _make_sync_openai(next(iter(_sync_openai.values()), None), config)
        return _sync_openai[key].with_options(timeout=_timeout(silence_seconds))


def import_sdk(config: ProviderConfig) -> None:
    """Load the SDK that the provider needs, so that the first message does not wait for it."""
    match config.profile.protocol:
        case "openai":
            import openai.resources.chat.completions  # noqa: F401 - loading it is the purpose
        case "anthropic":
            import anthropic.resources.messages  # noqa: F401 - loading it is the purpose
        case "demo":
            pass


async def close_clients() -> None:
    """Close the connections of the running loop; called when a server stops and at the end of a test."""
    loop = asyncio.get_running_loop()
    for client in _openai.pop(loop, {}).values():
        await client.close()
    for anthropic in _anthropic.pop(loop, {}).values():
        await anthropic.close()


def close_sync_clients() -> None:
    """Close the connections of the shared synchronous clients."""
    with _lock:
        for client in _sync_openai.values():
            client.close()
        _sync_openai.clear()


def _make_openai(root: AsyncOpenAI | None, config: ProviderConfig) -> AsyncOpenAI:
    from openai import AsyncOpenAI

    key = config.api_key or _NO_KEY
    if root is None:
        root = AsyncOpenAI(api_key=key, base_url=config.base_url, max_retries=0)
    return root.with_options(api_key=key, base_url=config.base_url, set_default_headers=dict(config.headers))


def _make_sync_openai(root: OpenAI | None, config: ProviderConfig) -> OpenAI:
    from openai import OpenAI

    key = config.api_key or _NO_KEY
    if root is None:
        root = OpenAI(api_key=key, base_url=config.base_url, max_retries=0)
    return root.with_options(api_key=key, base_url=config.base_url, set_default_headers=dict(config.headers))


def _make_anthropic(root: AsyncAnthropic | None, config: ProviderConfig) -> AsyncAnthropic:
    from anthropic import AsyncAnthropic

    headers = dict(config.headers)
    if config.api_key and not config.is_official_host:
        # SDK 2 sends the key as a bearer token; proxies made for the older ones look for this header.
        headers["X-Api-Key"] = config.api_key
    if root is None:
        root = AsyncAnthropic(api_key=config.api_key, base_url=config.base_url, max_retries=0)
    return root.with_options(api_key=config.api_key, base_url=config.base_url, set_default_headers=headers)


def _timeout(silence_seconds: float) -> Timeout:
    from httpx2 import Timeout

    return Timeout(silence_seconds, connect=min(_CONNECT_SECONDS, silence_seconds))
