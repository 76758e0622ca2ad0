"""The SDK clients: imported on first use, one for each address and key, all of a loop over one connection pool."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from letta_ade.llm.errors import ModelAuthentication, ModelError
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers.guard import check_allowed

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncAnthropicBedrock
    from httpx2 import Timeout
    from openai import AsyncOpenAI, OpenAI

_CONNECT_SECONDS = 10.0
#: Sent to servers that need no key, because the SDK insists on one.
_NO_KEY = "not-needed"

_Key = tuple[str, ...]
_Client = TypeVar("_Client")
# A pool belongs to the event loop that opened its connections, so clients are kept by loop; a dead loop drops its own.
_Kept = WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, Any]]

_lock = threading.Lock()
_openai: _Kept = WeakKeyDictionary()
_anthropic: _Kept = WeakKeyDictionary()
_bedrock: _Kept = WeakKeyDictionary()
_making: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_sync_openai: dict[_Key, OpenAI] = {}


async def openai_client(config: ProviderConfig, *, silence_seconds: float) -> AsyncOpenAI:
    """This loop's client for the provider; `silence_seconds` is how long the provider may send nothing."""
    return await _kept(_openai, _make_openai, config, silence_seconds)


async def anthropic_client(config: ProviderConfig, *, silence_seconds: float) -> AsyncAnthropic:
    """As `openai_client`, for Anthropic's protocol."""
    return await _kept(_anthropic, _make_anthropic, config, silence_seconds)


async def bedrock_client(config: ProviderConfig, *, silence_seconds: float) -> AsyncAnthropicBedrock:
    """As `openai_client`, for Anthropic's models at AWS. ModelError when the extra is not installed."""
    check_bedrock_extra()
    return await _kept(_bedrock, _make_bedrock, config, silence_seconds)


def sync_openai_client(config: ProviderConfig, *, silence_seconds: float) -> OpenAI:
    """The client for embeddings, shared by threads."""
    check_allowed(config.base_url)
    key = _key(config)
    with _lock:
        if key not in _sync_openai:
            _sync_openai[key] = _make_sync_openai(next(iter(_sync_openai.values()), None), config)
        return _sync_openai[key].with_options(timeout=_timeout(silence_seconds))


def request_headers(config: ProviderConfig) -> dict[str, Any]:
    """What a request holds beside the client's own headers: the key, where it does not go into `Authorization`."""
    if not config.profile.key_header:
        return {}
    from openai import omit

    return {"Authorization": omit, config.profile.key_header: config.api_key or ""}


def check_bedrock_extra() -> None:
    """ModelError, naming the extra, when what signs requests to AWS is not installed."""
    if find_spec("boto3") is None:
        raise ModelError(
            "AWS Bedrock needs the extra of that name: pip install 'letta-ade[bedrock]', and start the server again."
        )


def import_sdk(config: ProviderConfig) -> None:
    """Load the SDK that the provider needs, so that the first message does not wait for it."""
    match config.profile.protocol:
        case "openai":
            import openai.resources.chat.completions  # noqa: F401 - loading it is the purpose
        case "anthropic" | "bedrock":
            import anthropic.resources.messages  # noqa: F401 - loading it is the purpose
        case "demo":
            pass


async def close_clients() -> None:
    """Close the connections of the running loop; called when a server stops and at the end of a test."""
    loop = asyncio.get_running_loop()
    for kind in (_openai, _anthropic, _bedrock):
        for client in kind.pop(loop, {}).values():
            await client.close()


def close_sync_clients() -> None:
    """Close the connections of the shared synchronous clients."""
    with _lock:
        for client in _sync_openai.values():
            client.close()
        _sync_openai.clear()


async def _kept(
    kind: _Kept,
    make: Callable[[_Client | None, ProviderConfig], _Client],
    config: ProviderConfig,
    silence_seconds: float,
) -> _Client:
    check_allowed(config.base_url)
    kept = kind.setdefault(asyncio.get_running_loop(), {})
    key = (*_key(config), str(silence_seconds))
    if key not in kept:
        # One at a time: of several that are made at once, all but the last would never be closed.
        async with _making.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if key not in kept:
                # In a thread: the first import takes seconds, the first client 0.1 s.
                made: Any = await asyncio.to_thread(make, next(iter(kept.values()), None), config)
                # Kept with its timeout: a copy for each call would find out anew, in a thread, what machine this is.
                kept[key] = made.with_options(timeout=_timeout(silence_seconds))
    client: _Client = kept[key]
    return client


def _key(config: ProviderConfig) -> _Key:
    secrets = (config.api_key, config.access_key, config.session_token, config.region)
    return (config.base_url, *(secret or "" for secret in secrets), *map(str, config.headers))


def _make_openai(root: AsyncOpenAI | None, config: ProviderConfig) -> AsyncOpenAI:
    from openai import AsyncOpenAI, DefaultAioHttpClient

    key = config.api_key or _NO_KEY
    if root is None:
        root = AsyncOpenAI(
            api_key=key, base_url=config.base_url, max_retries=0, http_client=DefaultAioHttpClient()
        )
    return root.with_options(api_key=key, base_url=config.base_url, set_default_headers=dict(config.headers))


def _make_sync_openai(root: OpenAI | None, config: ProviderConfig) -> OpenAI:
    from openai import OpenAI

    key = config.api_key or _NO_KEY
    if root is None:
        root = OpenAI(api_key=key, base_url=config.base_url, max_retries=0)
    return root.with_options(api_key=key, base_url=config.base_url, set_default_headers=dict(config.headers))


def _make_anthropic(root: AsyncAnthropic | None, config: ProviderConfig) -> AsyncAnthropic:
    from anthropic import AsyncAnthropic, DefaultAioHttpClient

    headers = dict(config.headers)
    if config.api_key and not config.is_official_host:
        # SDK 2 sends the key as a bearer token; proxies made for the older ones look for this header.
        headers["X-Api-Key"] = config.api_key
    if root is None:
        root = AsyncAnthropic(
            api_key=config.api_key,
            base_url=config.base_url,
            max_retries=0,
            http_client=DefaultAioHttpClient(),
        )
    return root.with_options(api_key=config.api_key, base_url=config.base_url, set_default_headers=headers)


def _make_bedrock(root: AsyncAnthropicBedrock | None, config: ProviderConfig) -> AsyncAnthropicBedrock:
    from anthropic import AsyncAnthropicBedrock

    try:
        # Not a copy of another: a copy keeps the session token of its model where it has none itself.
        return AsyncAnthropicBedrock(
            aws_access_key=config.access_key,
            aws_secret_key=config.api_key,
            aws_session_token=config.session_token,
            aws_region=config.region,
            base_url=config.base_url,
            max_retries=0,
        )
    except ValueError as error:
        # The SDK reads AWS_BEARER_TOKEN_BEDROCK by itself and refuses a second credential beside it.
        raise ModelAuthentication("AWS Bedrock has contradicting credentials.", detail=str(error)) from error


def _timeout(silence_seconds: float) -> Timeout:
    from httpx2 import Timeout

    return Timeout(silence_seconds, connect=min(_CONNECT_SECONDS, silence_seconds))
