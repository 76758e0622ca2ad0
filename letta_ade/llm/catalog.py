"""The models that this server can use: listed from the configured providers, kept, and refreshed in the background.

Everything here is for synchronous code on a thread: listing speaks HTTP and must not run in an event loop.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from django.conf import settings

from letta_ade.core.errors import Invalid, NotFound
from letta_ade.llm.client import ChatModel, Embedder
from letta_ade.llm.environment import configured_providers, missing_variable, split_handle
from letta_ade.llm.errors import ModelError
from letta_ade.llm.listing import EmbeddingModelInfo, Listing, ModelInfo, describe_model, list_provider
from letta_ade.llm.model_rows import ModelRow
from letta_ade.llm.profiles import model_profile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.provider_profiles import PROVIDERS, ProviderProfile
from letta_ade.llm.providers.anthropic import AnthropicChat, BedrockChat
from letta_ade.llm.providers.clients import import_sdk
from letta_ade.llm.providers.demo import DEMO_MODEL, DemoChat
from letta_ade.llm.providers.failures import missing_key
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.providers.openai_embeddings import OpenAIEmbedder
from letta_ade.llm.providers.openai_responses import OpenAIResponses
from letta_ade.llm.providers.wire import Limits

_log = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0
#: How long the first caller waits for providers that were never listed.
_FIRST_WAIT_SECONDS = 6.0
_FRESH_SECONDS = 300.0
_RETRY_SECONDS = 15.0
#: An unknown name may be a model that was just added; the provider is asked again, but not for every wrong name.
_RECHECK_SECONDS = 10.0
_NAMED_IN_ERRORS = 20
#: "gpt-4o" stands for "gpt-4o-2024-08-06", "claude-haiku-4-5" for "claude-haiku-4-5-20251001".
_DATED = r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """How a configured provider is doing."""

    name: str
    display_name: str
    provider_type: str
    source: str
    base_url: str
    model_count: int
    #: Whether it was ever asked.
    is_listed: bool
    #: Why it could not be asked the last time.
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSource:
    """A provider that the environment switches on; `source` is the variable, or "built in"."""

    name: str
    source: str
    note: str


class InstallableModel(ChatModel, Protocol):
    context_window: int


class _Provider:
    """One provider with the listing that was last fetched."""

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self.listing: Listing | None = None
        self.error: ModelError | None = None
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._running: threading.Event | None = None

    @property
    def was_asked(self) -> bool:
        return self._asked_at is not None

    def age(self) -> float:
        return float("inf") if self._asked_at is None else time.monotonic() - self._asked_at

    def is_due(self) -> bool:
        return self.age() > (_FRESH_SECONDS if self.error is None else _RETRY_SECONDS)

    def refresh(self) -> threading.Event:
        """Ask in the background, once at a time; the event is set when the answer is here."""
        with self._lock:
            if self._running is None:
                self._running = threading.Event()
                # A daemon: a slow provider must not hold up the end of the process.
                name = f"models-{self.config.name}"
                threading.Thread(target=self._ask, args=(self._running,), name=name, daemon=True).start()
            return self._running

    def _ask(self, done: threading.Event) -> None:
        try:
            self.listing = list_provider(self.config, timeout_seconds=_REQUEST_SECONDS)
            self.error = None
        except ModelError as error:
            # The models it had stay listed.
            self.error = error
            _log.warning(
                "The models of %s cannot be listed: %s %s", self.config.name, error, error.detail or ""
            )
        finally:
            with self._lock:
                self._asked_at = time.monotonic()
                self._running = None
            done.set()


class _Catalog:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.providers = {config.name: _Provider(config) for config in configured_providers(environment)}

    def update(self, *, refresh: bool) -> None:
        """Fetch what was never fetched, and wait for it; refresh what is old, without waiting unless told to."""
        waited_for = []
        for provider in self.providers.values():
            if refresh or provider.is_due():
                must_wait = refresh or not provider.was_asked
                event = provider.refresh()
                if must_wait:
                    waited_for.append(event)
        deadline = time.monotonic() + _FIRST_WAIT_SECONDS
        for event in waited_for:
            event.wait(max(0.0, deadline - time.monotonic()))


_current: _Catalog | None = None
_current_lock = threading.Lock()
#: Models that tests put beside the real ones.
_installed: dict[str, InstallableModel] = {}


def list_models(*, refresh: bool = False) -> list[ModelInfo]:
    """All chat models, in the order of providers and then of names; providers that cannot be reached are left out."""
    catalog = _catalog()
    catalog.update(refresh=refresh)
    installed = [_installed_info(model) for model in _installed.values()]
    return installed + [info for listing in _listings(catalog) for info in listing.models]


def list_embedding_models(*, refresh: bool = False) -> list[EmbeddingModelInfo]:
    """All embedding models, in the order of `list_models`."""
    catalog = _catalog()
    catalog.update(refresh=refresh)
    return [info for listing in _listings(catalog) for info in listing.embeddings]


def provider_states() -> list[ProviderState]:
    """Every configured provider, with the error of those that cannot be reached. Asks nobody."""
    return [
        ProviderState(
            name=provider.config.name,
            display_name=provider.config.profile.display_name,
            provider_type=provider.config.profile.provider_type,
            source=provider.config.source,
            base_url=provider.config.base_url,
            model_count=len(provider.listing.models) if provider.listing else 0,
            is_listed=provider.was_asked,
            error=_error_text(provider.error),
        )
        for provider in _catalog().providers.values()
    ]


def get_model_info(handle: str) -> ModelInfo:
    """The model. NotFound, naming what there is, when no configured provider has it.

    A provider that cannot be listed now is trusted: the name is accepted, and the first call will tell.
    """
    if handle in _installed:
        return _installed_info(_installed[handle])
    catalog = _catalog()
    provider, name = _provider_of(catalog, handle)
    if provider is None:
        raise NotFound(f"The model {handle!r} is not available. {_why_not(catalog, handle)}")
    if provider.is_due():
        event = provider.refresh()
        if not provider.was_asked:
            event.wait(_FIRST_WAIT_SECONDS)
    if provider.listing is None:
        return describe_model(provider.config, ModelRow(name=name))
    info = _find(provider.listing, name)
    if info is None and provider.age() > _RECHECK_SECONDS:
        provider.refresh().wait(_FIRST_WAIT_SECONDS)
        info = _find(provider.listing, name)
    if info is None:
        names = _some(model.handle for model in provider.listing.models)
        raise NotFound(f"The model {handle!r} is not available. {provider.config.name} has {names}.")
    return info


def get_embedding_info(handle: str) -> EmbeddingModelInfo:
    """The embedding model. Invalid, naming what there is, when no configured provider has it."""
    found = next((info for info in list_embedding_models() if info.handle == handle), None)
    if found is not None:
        return found
    catalog = _catalog()
    provider, name = _provider_of(catalog, handle)
    if provider is not None and provider.listing is None and provider.config.profile.has_embeddings:
        return EmbeddingModelInfo(
            handle=handle,
            name=name,
            display_name=name,
            provider_name=provider.config.name,
            provider_type=provider.config.profile.provider_type,
            dimensions=None,
            endpoint=provider.config.base_url,
            batch_size=provider.config.profile.embedding_batch,
        )
    offered = [info.handle for listing in _listings(catalog) for info in listing.embeddings]
    there_is = f"There are {_some(offered)}." if offered else "No configured provider has embedding models."
    raise Invalid(f"The embedding model {handle!r} is not available. {there_is}")


def get_chat_model(handle: str) -> ChatModel:
    """The model, ready to be called; asks nobody. NotFound for an unknown provider.

    ModelAuthentication, naming the variable, for a provider that is known but not set up.
    """
    if handle in _installed:
        return _installed[handle]
    catalog = _catalog()
    provider, name = _provider_of(catalog, handle)
    if provider is None:
        if profile := _known_profile(handle):
            raise missing_key(profile)
        raise NotFound(f"The model {handle!r} is not available. {_why_not(catalog, handle)}")
    limits = Limits(
        silence_seconds=settings.LLM_REQUEST_TIMEOUT_SECONDS,
        reply_seconds=settings.LLM_STREAM_TIMEOUT_SECONDS,
    )
    match provider.config.profile.protocol:
        case "openai" if provider.config.uses_responses(model_profile(name)):
            return OpenAIResponses(config=provider.config, model=name, limits=limits)
        case "openai":
            return OpenAIChat(config=provider.config, model=name, limits=limits)
        case "anthropic":
            return AnthropicChat(config=provider.config, model=name, limits=limits)
        case "bedrock":
            return BedrockChat(config=provider.config, model=name, limits=limits)
        case "demo" if name == DEMO_MODEL:
            return DemoChat(word_seconds=settings.DEMO_WORD_PAUSE_SECONDS)
        case "demo":
            raise NotFound(
                f"The model {handle!r} is not available. The demonstration is 'demo/{DEMO_MODEL}'."
            )


def get_embedder(handle: str) -> Embedder:
    """The embedding model, ready to be called. Invalid when it is unknown; ModelAuthentication as above."""
    catalog = _catalog()
    provider, _ = _provider_of(catalog, handle)
    if provider is None and (profile := _known_profile(handle)):
        raise missing_key(profile)
    info = get_embedding_info(handle)
    assert provider is not None, "an embedding model was found, so its provider is configured"
    return OpenAIEmbedder(
        config=provider.config,
        model=info.name,
        dimensions=info.dimensions,
        silence_seconds=settings.LLM_REQUEST_TIMEOUT_SECONDS,
    )


def default_handle() -> str | None:
    """The model of agents that name none; None when the operator chose none."""
    return settings.DEFAULT_LLM_HANDLE or None


def default_embedding_handle() -> str | None:
    """The embedding model of agents that name none; None for keyword search."""
    return settings.DEFAULT_EMBEDDING_HANDLE or None


def default_window(info: ModelInfo) -> int:
    """The context window of an agent that asks for none."""
    return min(info.context_window, int(settings.GLOBAL_MAX_CONTEXT_WINDOW))


def suggested_handle() -> str:
    """A good model to begin with: the operator's default, a well-known one, any, or else the demonstration."""
    if handle := default_handle():
        return handle
    models = list_models()
    handles = {info.handle for info in models}
    for provider in _catalog().providers.values():
        for name in provider.config.profile.preferred:
            if f"{provider.config.name}/{name}" in handles:
                return f"{provider.config.name}/{name}"
    return next((info.handle for info in models if not info.is_demo), f"demo/{DEMO_MODEL}")


def describe_environment() -> list[ProviderSource]:
    """The providers that the environment switches on, for people. Asks nobody."""
    return [
        ProviderSource(name=config.name, source=config.source, note=_note(config))
        for config in (provider.config for provider in _catalog().providers.values())
    ]


def warm_up() -> threading.Thread:
    """List the models and load the SDKs in the background, so that nobody waits for it later."""

    def run() -> None:
        catalog = _catalog()
        catalog.update(refresh=False)
        for provider in catalog.providers.values():
            import_sdk(provider.config)

    thread = threading.Thread(target=run, name="models-warm-up", daemon=True)
    thread.start()
    return thread


@contextmanager
def with_models(models: Iterable[InstallableModel]) -> Iterator[None]:
    """Inside, these models are in the catalog under their handles; for tests (`letta_ade.llm.testing`)."""
    before = dict(_installed)
    _installed.update({model.handle: model for model in models})
    try:
        yield
    finally:
        _installed.clear()
        _installed.update(before)


def _catalog() -> _Catalog:
    global _current
    with _current_lock:
        if _current is None or _current.environment != settings.LLM_ENVIRONMENT:
            _current = _Catalog(settings.LLM_ENVIRONMENT)
        return _current


def _listings(catalog: _Catalog) -> list[Listing]:
    return [provider.listing for provider in catalog.providers.values() if provider.listing is not None]


def _provider_of(catalog: _Catalog, handle: str) -> tuple[_Provider | None, str]:
    provider, name = split_handle(handle)
    return catalog.providers.get(provider), name


def _known_profile(handle: str) -> ProviderProfile | None:
    provider, _ = split_handle(handle)
    return next((profile for profile in PROVIDERS if profile.name == provider), None)


def _find(listing: Listing | None, name: str) -> ModelInfo | None:
    models = listing.models if listing else ()
    exact = next((info for info in models if info.name == name), None)
    if exact is not None:
        return exact
    dated = re.compile(re.escape(name) + _DATED)
    alias = next((info for info in reversed(models) if dated.fullmatch(info.name)), None)
    return alias and replace(alias, name=name, handle=f"{alias.provider_name}/{name}")


def _why_not(catalog: _Catalog, handle: str) -> str:
    provider, _ = split_handle(handle)
    if not provider:
        return "A handle has the form 'provider/model'."
    catalog.update(refresh=False)
    names = _some(info.handle for listing in _listings(catalog) for info in listing.models)
    if profile := _known_profile(handle):
        missing = (
            f"{profile.display_name} is not set up on this server: {missing_variable(profile)} is not set"
        )
        return f"{missing}. Available are {names}."
    return f"There is no provider {provider!r}; available are {names}."


def _some(handles: Iterable[str]) -> str:
    found = list(handles)
    named = ", ".join(found[:_NAMED_IN_ERRORS]) or "none"
    more = len(found) - _NAMED_IN_ERRORS
    return f"{named} and {more} more" if more > 0 else named


def _installed_info(model: InstallableModel) -> ModelInfo:
    provider, name = split_handle(model.handle)
    return ModelInfo(
        handle=model.handle,
        name=name,
        display_name=name,
        provider_name=provider,
        provider_type="openai",
        context_window=model.context_window,
        max_output_tokens=4096,
        supports_reasoning=True,
        supports_images=True,
        supports_json_schema=True,
    )


def _error_text(error: ModelError | None) -> str | None:
    return None if error is None else f"{error.message} {error.detail or ''}".strip()


def _note(config: ProviderConfig) -> str:
    if config.profile.protocol == "demo":
        return "a scripted demonstration, not a language model"
    return (
        config.profile.display_name
        if config.is_official_host
        else f"{config.profile.display_name} at {config.base_url}"
    )
