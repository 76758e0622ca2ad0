"""The two configurations that SDK 0.x read models from; deprecated, and always sent (spec/objects.md §5)."""

from __future__ import annotations

from typing import Any

from letta_ade.core.schemas import Wire
from letta_ade.llm import catalog
from letta_ade.llm.environment import split_handle
from letta_ade.llm.listing import EmbeddingModelInfo, ModelInfo
from letta_ade.llm.model_settings import thinking_budget
from letta_ade.llm.profiles import model_profile


class LlmConfig(Wire):
    """A chat model as it is called."""

    model: str
    model_endpoint_type: str
    context_window: int
    model_endpoint: str | None = None
    handle: str | None = None
    provider_name: str | None = None
    provider_category: str | None = "base"
    display_name: str | None = None
    model_wrapper: str | None = None
    put_inner_thoughts_in_kwargs: bool = False
    temperature: float = 1.0
    max_tokens: int | None = None
    enable_reasoner: bool = True
    reasoning_effort: str | None = None
    max_reasoning_tokens: int = 0
    effort: str | None = None
    frequency_penalty: float | None = None
    compatibility_type: str | None = None
    verbosity: str | None = None
    tier: str | None = None
    parallel_tool_calls: bool = False
    response_format: dict[str, Any] | None = None
    strict: bool = False
    return_logprobs: bool = False
    top_logprobs: int | None = None
    return_token_ids: bool = False
    tool_call_parser: str | None = None


class EmbeddingConfig(Wire):
    """An embedding model as it is called."""

    embedding_model: str
    embedding_endpoint_type: str
    #: 0 where nobody knows it yet.
    embedding_dim: int
    embedding_endpoint: str | None = None
    embedding_chunk_size: int = 300
    handle: str | None = None
    batch_size: int = 32
    azure_endpoint: str | None = None
    azure_version: str | None = None
    azure_deployment: str | None = None


def llm_config_of(info: ModelInfo) -> LlmConfig:
    """The configuration that an agent with this model starts with."""
    return LlmConfig(
        model=info.name,
        model_endpoint_type=info.provider_type,
        context_window=catalog.default_window(info),
        model_endpoint=info.endpoint,
        handle=info.handle,
        provider_name=info.provider_name,
        provider_category=info.category,
        display_name=info.display_name,
        max_tokens=info.max_output_tokens,
        enable_reasoner=info.supports_reasoning,
        reasoning_effort="minimal" if "minimal" in model_profile(info.name).efforts else None,
        parallel_tool_calls=info.supports_parallel,
    )


def embedding_config_of(info: EmbeddingModelInfo) -> EmbeddingConfig:
    """The configuration of an embedding model of the catalog."""
    return EmbeddingConfig(
        embedding_model=info.name,
        embedding_endpoint_type=info.provider_type,
        embedding_dim=info.dimensions or 0,
        embedding_endpoint=info.endpoint,
        embedding_chunk_size=info.chunk_size,
        handle=info.handle,
        batch_size=info.batch_size,
    )


def agent_embedding_config(
    handle: str | None, *, workspace_id: str | None = None, dimensions: int | None = None
) -> EmbeddingConfig | None:
    """The configuration for an embedding handle; also for one whose provider is gone. Asks no provider.

    `workspace_id`: its own providers count, too. `dimensions`: of the vectors that there are, where nothing else tells.
    """
    if handle is None:
        return None
    info = catalog.known_embedding_info(handle, workspace_id=workspace_id)
    if info is not None:
        return embedding_config_of(info)
    provider, name = split_handle(handle)
    return EmbeddingConfig(
        embedding_model=name,
        embedding_endpoint_type=provider,
        embedding_dim=dimensions or 0,
        handle=handle,
    )


def agent_llm_config(handle: str, settings: dict[str, Any], window: int) -> LlmConfig:
    """The configuration for an agent's model and its settings. Asks no provider."""
    provider, name = split_handle(handle)
    budget = thinking_budget(settings)
    effort = (settings.get("reasoning") or {}).get("reasoning_effort")
    temperature = settings.get("temperature")
    return LlmConfig(
        model=name,
        model_endpoint_type=settings.get("provider_type") or provider,
        context_window=window,
        model_endpoint=catalog.own_base_url(handle),
        handle=handle,
        provider_name=provider,
        provider_category="base" if catalog.is_own_provider(handle) else "byok",
        display_name=name,
        temperature=1.0 if temperature is None else temperature,
        max_tokens=settings.get("max_output_tokens"),
        enable_reasoner=bool(budget) or bool(effort and effort != "none"),
        reasoning_effort=effort,
        max_reasoning_tokens=budget or 0,
        effort=settings.get("effort"),
        verbosity=settings.get("verbosity"),
        parallel_tool_calls=bool(settings.get("parallel_tool_calls")),
        response_format=settings.get("response_format") or settings.get("response_schema"),
        strict=bool(settings.get("strict")),
        tool_call_parser=settings.get("tool_call_parser"),
    )
