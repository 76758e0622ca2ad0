"""What models a provider offers: what it lists, completed with what we know."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from letta_ade.llm.model_rows import ModelRow
from letta_ade.llm.prices import Price, list_price
from letta_ade.llm.profiles import EMBEDDING_DIMENSIONS, OPENAI_EMBEDDINGS, UNKNOWN_WINDOW, model_profile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers.demo import DEMO_MODEL, DEMO_WINDOW

Category = Literal["base", "byok"]

#: "gpt-4o" stands for "gpt-4o-2024-08-06", "claude-haiku-4-5" for "claude-haiku-4-5-20251001", "llama3" for "llama3:latest".
_DATED = r"(?:-(\d{8}|\d{4}-\d{2}-\d{2}|latest)|:latest)"


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
    #: What the model is, where its name is only what somebody called it.
    base_model: str | None = None
    #: The base URL; None for the built-in demonstration.
    endpoint: str | None = None
    is_demo: bool = False
    category: Category = "base"
    #: None where nobody knows it: a model of one's own server has none.
    price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModelInfo:
    handle: str
    name: str
    display_name: str
    provider_name: str
    provider_type: str
    #: None where the provider does not tell; one call does.
    dimensions: int | None
    endpoint: str
    batch_size: int = 32
    chunk_size: int = 300
    category: Category = "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one provider offers, each list sorted by name."""

    models: tuple[ModelInfo, ...] = ()
    embeddings: tuple[EmbeddingModelInfo, ...] = ()


def listing_of(config: ProviderConfig, rows: Sequence[ModelRow]) -> Listing:
    """What the rows offer. OpenAI's embedding models need no row (SDK spec §6)."""
    embeds = config.profile.has_embeddings
    # Mistral lists a model once for each of its names.
    rows = list({row.name: row for row in rows}.values())
    models = [describe_model(config, row) for row in rows if row.kind == "chat"]
    embeddings = [describe_embedding(config, row) for row in rows if row.kind == "embedding" and embeds]
    if config.is_openai:
        taken = {info.name for info in embeddings}
        fixed = (ModelRow(name=name) for name, _ in OPENAI_EMBEDDINGS if name not in taken)
        embeddings += [describe_embedding(config, row) for row in fixed]
    return Listing(
        models=tuple(sorted(models, key=lambda info: info.name)),
        embeddings=tuple(sorted(embeddings, key=lambda info: info.name)),
    )


def describe_model(config: ProviderConfig, row: ModelRow) -> ModelInfo:
    """The model with what its listing row says, or else our own knowledge."""
    known = model_profile(row.base_model or row.name)
    return ModelInfo(
        handle=f"{config.name}/{row.name}",
        name=row.name,
        display_name=row.display_name or row.name,
        provider_name=config.name,
        provider_type=config.profile.provider_type,
        context_window=row.window or known.window or UNKNOWN_WINDOW,
        max_output_tokens=min(known.max_output, row.max_output) if row.max_output else known.max_output,
        supports_tools=row.tools is not False,
        supports_parallel=known.parallel,
        supports_reasoning=known.reasons or bool(row.reasoning),
        supports_images=known.images or bool(row.images),
        supports_json_schema=config.profile.knows_json_schema
        and (known.json_schema or bool(row.json_schema)),
        base_model=row.base_model,
        endpoint=config.shown_url,
        category=config.category,
        price=row.price or _list_price(config, row),
    )


def _list_price(config: ProviderConfig, row: ModelRow) -> Price | None:
    """A maker's price counts at the maker's own address: what another server asks for is its own business."""
    return list_price(config.profile.provider_type, row.name) if config.is_official_host else None


def describe_embedding(config: ProviderConfig, row: ModelRow) -> EmbeddingModelInfo:
    """The embedding model with what its listing row says, or else our own knowledge."""
    return EmbeddingModelInfo(
        handle=f"{config.name}/{row.name}",
        name=row.name,
        display_name=row.display_name or row.name,
        provider_name=config.name,
        provider_type=config.profile.provider_type,
        dimensions=row.dimensions or EMBEDDING_DIMENSIONS.get(row.base_model or row.name),
        endpoint=config.shown_url,
        batch_size=config.profile.embedding_batch,
        category=config.category,
    )


def find_model(listing: Listing | None, name: str) -> ModelInfo | None:
    """The model of this name, or the newest that the name stands for without its date."""
    models = listing.models if listing else ()
    exact = next((info for info in models if info.name == name), None)
    if exact is not None:
        return exact
    dated = re.compile(re.escape(name) + _DATED)
    alias = next((info for info in reversed(models) if dated.fullmatch(info.name)), None)
    return alias and replace(alias, name=name, handle=f"{alias.provider_name}/{name}")


def demo_listing() -> Listing:
    """The only model of the built-in demonstration."""
    return Listing(models=(_demo(),))


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
        price=Price(sent=0, said=0),
    )
