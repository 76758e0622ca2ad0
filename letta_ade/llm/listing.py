"""What models a provider offers: asked over HTTP, and completed with what we know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from letta_ade.llm.environment import ProviderConfig
from letta_ade.llm.errors import ModelError
from letta_ade.llm.profiles import (
    ANTHROPIC_MODELS,
    EMBEDDING_MARKS,
    OPENAI_CHAT_PREFIXES,
    OPENAI_EMBEDDINGS,
    OPENAI_OTHER_MARKS,
    UNKNOWN_WINDOW,
    model_profile,
)
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.demo import DEMO_MODEL, DEMO_WINDOW
from letta_ade.llm.providers.guard import check_allowed

_ANTHROPIC_VERSION = "2023-06-01"
#: What servers call the window in their listings.
_WINDOW_FIELDS = (
    "max_model_len",
    "context_length",
    "context_window",
    "max_context_length",
    "max_input_tokens",
    "max_context_window",
)
_NOT_CHAT_TYPES = ("embedding", "embeddings", "image", "audio", "rerank", "moderation", "transcribe", "video")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model that chats. Sizes are tokens."""

    handle: str
    name: str
    display_name: str
    provider_name: str
    provider_type: str
    #: What the model can read; an agent's default is smaller (`catalog.default_window`).
    context_window: int
    max_output_tokens: int
    supports_tools: bool = True
    supports_parallel: bool = True
    supports_reasoning: bool = False
    supports_images: bool = False
    supports_json_schema: bool = False
    #: The base URL; None for the built-in demonstration.
    endpoint: str | None = None
    is_demo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModelInfo:
    handle: str
    name: str
    display_name: str
    provider_name: str
    provider_type: str
    #: None where the provider does not tell; the first call does.
    dimensions: int | None
    endpoint: str
    batch_size: int = 32
    chunk_size: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one provider offers, each list sorted by name."""

    models: tuple[ModelInfo, ...] = ()
    embeddings: tuple[EmbeddingModelInfo, ...] = ()


def list_provider(config: ProviderConfig, *, timeout_seconds: float) -> Listing:
    """Ask the provider. Raises ModelError when it cannot be asked."""
    match config.profile.protocol:
        case "demo":
            return Listing(models=(_demo(),))
        case "anthropic":
            return _listing(config, _anthropic_rows(config, timeout_seconds))
        case "openai":
            return _listing(config, _openai_rows(config, timeout_seconds))


def describe_model(config: ProviderConfig, name: str, row: Mapping[str, Any] | None = None) -> ModelInfo:
    """The model with what its listing row says, or else our own knowledge."""
    row = row or {}
    known = model_profile(name)
    window = next((value for field in _WINDOW_FIELDS if (value := _count(row.get(field)))), None)
    parameters = row.get("supported_parameters") or ()
    top = row.get("top_provider") or {}
    longest = _count(row.get("max_tokens")) or _count(top.get("max_completion_tokens"))
    return ModelInfo(
        handle=f"{config.name}/{name}",
        name=name,
        display_name=str(row.get("display_name") or row.get("name") or name),
        provider_name=config.name,
        provider_type=config.profile.provider_type,
        context_window=window or known.window or UNKNOWN_WINDOW,
        max_output_tokens=min(known.max_output, longest) if longest else known.max_output,
        supports_parallel=known.parallel,
        supports_reasoning=known.reasons or "reasoning" in parameters or _can(row, "thinking"),
        supports_images=known.images or _reads_images(row) or _can(row, "image_input"),
        supports_json_schema=known.json_schema or "structured_outputs" in parameters,
        endpoint=config.base_url,
    )


def _listing(config: ProviderConfig, rows: Iterable[Mapping[str, Any]]) -> Listing:
    models, embeddings = [], []
    for row in rows:
        name = row.get("id")
        if not isinstance(name, str) or not name:
            continue
        if config.profile.has_embeddings and _embeds(name, row):
            embeddings.append(_embedding(config, name, None))
        elif _chats(config, name, row):
            models.append(describe_model(config, name, row))
    if config.is_openai:
        fixed = [_embedding(config, name, dimensions) for name, dimensions in OPENAI_EMBEDDINGS]
        taken = {info.name for info in fixed}
        embeddings = [*fixed, *(info for info in embeddings if info.name not in taken)]
    return Listing(
        models=tuple(sorted(models, key=lambda info: info.name)),
        embeddings=tuple(sorted(embeddings, key=lambda info: info.name)),
    )


def _openai_rows(config: ProviderConfig, timeout_seconds: float) -> list[Mapping[str, Any]]:
    headers = {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}
    body = _get(
        config, f"{config.base_url}/models", dict(config.profile.listing_query), headers, timeout_seconds
    )
    return _rows(config, body)


def _anthropic_rows(config: ProviderConfig, timeout_seconds: float) -> list[Mapping[str, Any]]:
    key = config.api_key or ""
    headers = {"anthropic-version": _ANTHROPIC_VERSION, "x-api-key": key}
    try:
        body = _get(config, f"{config.base_url}/v1/models", {"limit": "1000"}, headers, timeout_seconds)
    except ModelError as error:
        if config.is_official_host or error.status != 400:
            raise
        # A proxy that only forwards messages.
        return [{"id": name} for name in ANTHROPIC_MODELS]
    return _rows(config, body)


def _get(
    config: ProviderConfig, url: str, query: dict[str, str], headers: dict[str, str], timeout_seconds: float
) -> Any:
    import httpx2

    check_allowed(config.base_url)
    try:
        response = httpx2.get(
            url, params=query, headers={**headers, **dict(config.headers)}, timeout=timeout_seconds
        )
        body = response.json() if "json" in response.headers.get("content-type", "json") else response.text
    except (httpx2.HTTPError, ValueError) as error:
        raise failures.from_sdk(error, config, timeout_seconds=timeout_seconds) from error
    if response.status_code >= 400:
        raise failures.from_status(config, response.status_code, body)
    return body


def _rows(config: ProviderConfig, body: Any) -> list[Mapping[str, Any]]:
    # Together sends the bare list.
    rows = body.get("data") if isinstance(body, Mapping) else body
    if not isinstance(rows, list):
        raise failures.not_understood(config, str(body))
    return [row for row in rows if isinstance(row, Mapping)]


def _chats(config: ProviderConfig, name: str, row: Mapping[str, Any]) -> bool:
    if config.is_openai and config.is_official_host:
        return name.startswith(OPENAI_CHAT_PREFIXES) and not any(mark in name for mark in OPENAI_OTHER_MARKS)
    if row.get("type") in _NOT_CHAT_TYPES or _embeds(name, row):
        return False
    capabilities = row.get("capabilities")
    if isinstance(capabilities, Mapping) and capabilities.get("completion_chat") is False:
        return False
    if config.profile.lists_only_with_window:
        return any(_count(row.get(field)) for field in _WINDOW_FIELDS)
    return True


def _embeds(name: str, row: Mapping[str, Any]) -> bool:
    return row.get("type") in ("embedding", "embeddings") or any(
        mark in name.lower() for mark in EMBEDDING_MARKS
    )


def _can(row: Mapping[str, Any], capability: str) -> bool:
    """Anthropic's listing tells each capability as `{"supported": …}`."""
    capabilities = row.get("capabilities")
    told = capabilities.get(capability) if isinstance(capabilities, Mapping) else None
    return isinstance(told, Mapping) and bool(told.get("supported"))


def _reads_images(row: Mapping[str, Any]) -> bool:
    architecture = row.get("architecture")
    return isinstance(architecture, Mapping) and "image" in (architecture.get("input_modalities") or ())


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _embedding(config: ProviderConfig, name: str, dimensions: int | None) -> EmbeddingModelInfo:
    return EmbeddingModelInfo(
        handle=f"{config.name}/{name}",
        name=name,
        display_name=name,
        provider_name=config.name,
        provider_type=config.profile.provider_type,
        dimensions=dimensions,
        endpoint=config.base_url,
        batch_size=config.profile.embedding_batch,
    )


def _demo() -> ModelInfo:
    return ModelInfo(
        handle=f"demo/{DEMO_MODEL}",
        name=DEMO_MODEL,
        display_name="Demonstration (scripted, not a language model)",
        provider_name="demo",
        provider_type="demo",
        context_window=DEMO_WINDOW,
        max_output_tokens=8192,
        supports_reasoning=True,
        is_demo=True,
    )
