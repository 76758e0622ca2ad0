"""The models that can be used: those of the server's own providers, and those of providers that a workspace brought.

Everything here is for synchronous code on a thread: listing speaks HTTP and must not run in an event loop. `workspace_id` adds
that workspace's providers; nobody else ever sees them. A provider of the server wins over a workspace's of the same name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from django.conf import settings

from letta_ade.core.errors import Invalid, NotFound
from letta_ade.llm.chat_models import make_chat_model
from letta_ade.llm.checks import Check
from letta_ade.llm.client import ChatModel, Embedder
from letta_ade.llm.environment import missing_variable, split_handle
from letta_ade.llm.errors import ModelError
from letta_ade.llm.listed_provider import OwnProviders
from letta_ade.llm.listing import (
    Category,
    EmbeddingModelInfo,
    Listing,
    ModelInfo,
    describe_embedding,
    describe_model,
    find_model,
)
from letta_ade.llm.model_rows import ModelRow
from letta_ade.llm.prices import Price
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.provider_profiles import PROVIDERS, ProviderProfile
from letta_ade.llm.provider_store import CatalogProvider, store
from letta_ade.llm.providers.clients import import_sdk
from letta_ade.llm.providers.demo import DEMO_MODEL
from letta_ade.llm.providers.failures import missing_key
from letta_ade.llm.providers.openai_embeddings import OpenAIEmbedder

#: For one vector, of a model that may have to be loaded first.
_PROBE_SECONDS = 15.0
_NAMED_IN_ERRORS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """How a provider is doing."""

    name: str
    display_name: str
    provider_type: str
    source: str
    base_url: str
    #: What it listed when it last did.
    listing: Listing
    #: Whether it was ever asked.
    is_listed: bool
    #: Why it could not be asked the last time.
    error: str | None = None
    category: Category = "base"
    #: Of a workspace's provider.
    id: str | None = None
    #: A provider of the server has its name, and its models are those.
    is_hidden: bool = False
    #: Its models are neither offered nor called.
    is_disabled: bool = False
    #: What came of the last asking.
    check: Check | None = None

    @property
    def model_count(self) -> int:
        return len(self.listing.models)

    @property
    def key(self) -> str:
        """What its pages are addressed by."""
        return self.id or self.name

    @property
    def anchor(self) -> str:
        """Where it is on a page."""
        return self.id or f"provider-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSource:
    """A provider that the environment switches on; `source` is the variable, or "built in"."""

    name: str
    source: str
    note: str


class InstallableModel(ChatModel, Protocol):
    context_window: int


_current: OwnProviders | None = None
_current_lock = threading.Lock()
#: Models that tests put beside the real ones.
_installed: dict[str, InstallableModel] = {}


def list_everything(*, workspace_id: str | None = None, refresh: bool = False) -> Listing:
    """All models of both kinds, in the order of providers and then of names.

    Who cannot be reached is left out, who is disabled too, and models that the workspace hides.
    """
    hidden = store().hidden_handles(workspace_id) if workspace_id else frozenset()
    installed = [_installed_info(model) for model in _installed.values()]
    listings = _listings(workspace_id, refresh=refresh)
    listed = [_as_the_operator_says(info) for listing in listings for info in listing.models]
    embeddings = [info for listing in listings for info in listing.embeddings]
    return Listing(
        models=tuple(info for info in (*installed, *listed) if info.handle not in hidden),
        embeddings=tuple(info for info in embeddings if info.handle not in hidden),
    )


def list_models(*, workspace_id: str | None = None, refresh: bool = False) -> list[ModelInfo]:
    """All chat models."""
    return list(list_everything(workspace_id=workspace_id, refresh=refresh).models)


def list_embedding_models(
    *, workspace_id: str | None = None, refresh: bool = False
) -> list[EmbeddingModelInfo]:
    """All embedding models."""
    return list(list_everything(workspace_id=workspace_id, refresh=refresh).embeddings)


def provider_states(
    *, workspace_id: str | None = None, is_asking: bool = False, refresh: bool = False
) -> list[ProviderState]:
    """Every provider with its models, and the error of those that cannot be reached; the workspace's own come after the server's.

    Nobody is asked for models unless `is_asking`; then as for `list_everything`.
    """
    catalog = _catalog()
    brought = store().providers_of(workspace_id) if workspace_id else ()
    if is_asking:
        _ask_due(catalog, brought, refresh=refresh)
    states = [_state(provider) for provider in catalog.providers.values()]
    for each in brought:
        # The demonstration is the last of all.
        states.insert(-1, replace(_state(each), is_hidden=each.config.name in catalog.providers))
    return states


def ask_now(name: str, *, workspace_id: str | None = None) -> None:
    """Ask the provider of this name for its models, and wait; its state tells what came of it. NotFound for none."""
    base = _catalog().providers.get(name)
    provider = base or (store().find_provider(workspace_id, name) if workspace_id else None)
    if provider is None:
        raise NotFound("Provider not found")
    provider.ask()


def get_model_info(handle: str, *, workspace_id: str | None = None) -> ModelInfo:
    """The model. NotFound, naming what there is, when no provider has it.

    A provider that cannot be listed now is trusted: the name is accepted, and the first call will tell.
    """
    if handle in _installed:
        return _installed_info(_installed[handle])
    provider, name = _usable_provider_of(handle, workspace_id)
    if provider is None:
        raise NotFound(f"The model {handle!r} is not available. {_why_not(handle, workspace_id)}")
    listing = provider.ensure_listed()
    if listing is None:
        return _as_the_operator_says(describe_model(provider.config, ModelRow(name=name)))
    info = find_model(listing, name)
    if info is None and provider.may_ask_again():
        listing = provider.ask() or listing
        info = find_model(listing, name)
    if info is None and not provider.config.profile.lists_everything:
        info = describe_model(provider.config, ModelRow(name=name))
    if info is None:
        names = _some(model.handle for model in listing.models)
        raise NotFound(f"The model {handle!r} is not available. {provider.config.name} has {names}.")
    return _as_the_operator_says(info)


def get_embedding_info(handle: str, *, workspace_id: str | None = None) -> EmbeddingModelInfo:
    """The embedding model. Invalid, naming what there is, when no provider has it.

    A model whose provider does not tell the length of its vectors is asked once for one, and the length is kept.
    """
    provider, info = _embedding_of(handle, workspace_id)
    return info if info.dimensions else _with_probed_dimensions(provider, info)


def known_embedding_info(handle: str, *, workspace_id: str | None = None) -> EmbeddingModelInfo | None:
    """The embedding model as far as it is known now; None when it is not. Asks nobody: for showing it many times."""
    name, model = split_handle(handle)
    own = _catalog().providers.get(name)
    if own is None:
        return store().find_embedding(workspace_id, name, model) if workspace_id else None
    if own.listing is None:
        return (
            describe_embedding(own.config, ModelRow(name=model))
            if own.config.profile.has_embeddings
            else None
        )
    return next((info for info in own.listing.embeddings if info.name == model), None)


def known_price(handle: str, *, workspace_id: str | None = None) -> Price | None:
    """What the model costs, as far as it is known now; None when it is not. Asks nobody: for showing it many times."""
    if handle in _installed:
        return None
    provider, name = _provider_of(handle, workspace_id)
    if provider is None:
        return None
    info = find_model(provider.listing, name)
    return (info or describe_model(provider.config, ModelRow(name=name))).price


def get_chat_model(handle: str, *, workspace_id: str | None = None) -> ChatModel:
    """The model, ready to be called. NotFound for an unknown provider.

    ModelAuthentication, naming the variable, for a provider that is known but not set up; SecretUnreadable for one whose key
    cannot be decrypted. Asks nobody, but a provider whose names do not tell what its models are.
    """
    if handle in _installed:
        return _installed[handle]
    provider, name = _usable_provider_of(handle, workspace_id)
    if provider is None:
        if profile := _known_profile(handle):
            raise missing_key(profile)
        raise NotFound(f"The model {handle!r} is not available. {_why_not(handle, workspace_id)}")
    base_model = None
    if provider.config.profile.listing in ("azure", "bedrock"):
        info = find_model(provider.ensure_listed(), name)
        base_model = info.base_model if info is not None else None
    return make_chat_model(provider.callable_config(), name, base_model=base_model)


def get_embedder(handle: str, *, workspace_id: str | None = None) -> Embedder:
    """The embedding model, ready to be called. Invalid when it is unknown; ModelAuthentication as above."""
    provider, _ = _provider_of(handle, workspace_id)
    if provider is None and (profile := _known_profile(handle)):
        raise missing_key(profile)
    found, info = _embedding_of(handle, workspace_id)
    return _embedder(found.callable_config(), info, silence_seconds=settings.LLM_REQUEST_TIMEOUT_SECONDS)


def default_handle() -> str | None:
    """The model of agents that name none; None when the operator chose none."""
    return settings.DEFAULT_LLM_HANDLE or None


def default_embedding_handle() -> str | None:
    """The embedding model of agents that name none; None for keyword search."""
    return settings.DEFAULT_EMBEDDING_HANDLE or None


def default_window(info: ModelInfo) -> int:
    """The context window of an agent that asks for none."""
    return min(info.context_window, int(settings.GLOBAL_MAX_CONTEXT_WINDOW))


def suggested_handle(*, workspace_id: str | None = None, among: Sequence[ModelInfo] | None = None) -> str:
    """A good model to begin with: the operator's default, a well-known one, any, or else the demonstration.

    `among`: the models, where they have been listed already.
    """
    if handle := default_handle():
        return handle
    models = list_models(workspace_id=workspace_id) if among is None else among
    by_provider: dict[str, dict[str, str]] = {}
    for info in models:
        by_provider.setdefault(info.provider_name, {})[info.name] = info.provider_type
    for provider, names in by_provider.items():
        for preferred in _preferred(next(iter(names.values()))):
            if preferred in names:
                return f"{provider}/{preferred}"
    return next((info.handle for info in models if not info.is_demo), f"demo/{DEMO_MODEL}")


def is_own_provider(handle: str) -> bool:
    """Whether a provider of the server, and not one that a workspace brought, has this handle's name. Asks nobody."""
    return handle in _installed or split_handle(handle)[0] in _catalog().providers


def own_base_url(handle: str) -> str | None:
    """Where the server's provider of this handle's name is; None for another's, and for the demonstration. Asks nobody."""
    provider = _catalog().providers.get(split_handle(handle)[0])
    return (provider.config.shown_url or None) if provider is not None else None


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


def _catalog() -> OwnProviders:
    global _current
    with _current_lock:
        if _current is None or _current.environment != settings.LLM_ENVIRONMENT:
            _current = OwnProviders(settings.LLM_ENVIRONMENT)
        return _current


def _listings(workspace_id: str | None, *, refresh: bool = False) -> list[Listing]:
    catalog = _catalog()
    brought = store().providers_of(workspace_id) if workspace_id else ()
    _ask_due(catalog, brought, refresh=refresh)
    providers: list[CatalogProvider] = [*catalog.providers.values()]
    # The demonstration is the last of all.
    providers[-1:-1] = [
        each for each in brought if each.config.name not in catalog.providers and not each.is_disabled
    ]
    return [listing for provider in providers if (listing := provider.listing) is not None]


def _ask_due(catalog: OwnProviders, brought: Sequence[CatalogProvider], *, refresh: bool) -> None:
    catalog.update(refresh=refresh)
    if due := [each for each in brought if not each.is_disabled and (refresh or not each.was_asked)]:
        store().ask_all(due)


def _provider_of(handle: str, workspace_id: str | None) -> tuple[CatalogProvider | None, str]:
    name, model = split_handle(handle)
    base = _catalog().providers.get(name)
    if base is not None or not name or workspace_id is None:
        return base, model
    return store().find_provider(workspace_id, name), model


def _usable_provider_of(handle: str, workspace_id: str | None) -> tuple[CatalogProvider | None, str]:
    provider, model = _provider_of(handle, workspace_id)
    if provider is not None and provider.is_disabled:
        raise NotFound(
            f"The model {handle!r} is not available: the provider {provider.config.name!r} is disabled. "
            "Enable it under Settings, Providers, or choose another model."
        )
    return provider, model


def _embedding_of(handle: str, workspace_id: str | None) -> tuple[CatalogProvider, EmbeddingModelInfo]:
    provider, name = _usable_provider_of(handle, workspace_id)
    listing = None if provider is None else provider.ensure_listed()
    found = None
    if provider is not None and listing is None and provider.config.profile.has_embeddings:
        found = describe_embedding(provider.config, ModelRow(name=name))
    elif listing is not None:
        found = next((info for info in listing.embeddings if info.name == name), None)
    if provider is None or found is None:
        offered = [info.handle for info in list_embedding_models(workspace_id=workspace_id)]
        there_is = (
            f"There are {_some(offered)}." if offered else "No configured provider has embedding models."
        )
        raise Invalid(f"The embedding model {handle!r} is not available. {there_is}")
    return provider, found


def _embedder(config: ProviderConfig, info: EmbeddingModelInfo, *, silence_seconds: float) -> OpenAIEmbedder:
    return OpenAIEmbedder(
        config=config, model=info.name, dimensions=info.dimensions, silence_seconds=silence_seconds
    )


def _with_probed_dimensions(provider: CatalogProvider, info: EmbeddingModelInfo) -> EmbeddingModelInfo:
    embedder = _embedder(provider.callable_config(), info, silence_seconds=_PROBE_SECONDS)
    try:
        embedder.embed(["length"])
    except ModelError:
        # The first text that is to be embedded will tell what is wrong.
        return info
    if embedder.dimensions:
        provider.keep_dimensions(info.name, embedder.dimensions)
    return replace(info, dimensions=embedder.dimensions)


def _state(provider: CatalogProvider) -> ProviderState:
    config, listing = provider.config, provider.listing or Listing()
    models = tuple(_as_the_operator_says(info) for info in listing.models)
    return ProviderState(
        id=provider.id,
        name=config.name,
        display_name=config.profile.display_name,
        provider_type=config.profile.provider_type,
        source=config.source,
        base_url=config.shown_url,
        listing=replace(listing, models=models),
        is_listed=provider.was_asked,
        error=provider.error,
        category=config.category,
        is_disabled=provider.is_disabled,
        check=provider.check,
    )


def _known_profile(handle: str) -> ProviderProfile | None:
    provider, _ = split_handle(handle)
    return next((profile for profile in PROVIDERS if profile.name == provider), None)


def _preferred(provider_type: str) -> tuple[str, ...]:
    return next((profile.preferred for profile in PROVIDERS if profile.provider_type == provider_type), ())


def _as_the_operator_says(info: ModelInfo) -> ModelInfo:
    """The model with the window that the operator gave it, if any: what a server says of itself may be wrong."""
    window = settings.LLM_CONTEXT_WINDOWS.get(info.handle)
    return info if window is None else replace(info, context_window=window)


def _why_not(handle: str, workspace_id: str | None) -> str:
    provider, _ = split_handle(handle)
    if not provider:
        return "A handle has the form 'provider/model'."
    names = _some(info.handle for listing in _listings(workspace_id) for info in listing.models)
    if profile := _known_profile(handle):
        missing = missing_variable(profile, settings.LLM_ENVIRONMENT)
        return f"{profile.display_name} is not set up on this server: {missing} is not set. Available are {names}."
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


def _note(config: ProviderConfig) -> str:
    if config.profile.protocol == "demo":
        return "a scripted demonstration, not a language model"
    return (
        config.profile.display_name
        if config.is_official_host
        else f"{config.profile.display_name} at {config.shown_url}"
    )
