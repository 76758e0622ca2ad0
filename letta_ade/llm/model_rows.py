"""One line of a provider's list of models, read from the words in which each provider writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from letta_ade.llm.prices import Price, told_price
from letta_ade.llm.profiles import (
    EMBEDDING_MARKS,
    GEMINI_OTHER_MARKS,
    OPENAI_CHAT_PREFIXES,
    OPENAI_OTHER_MARKS,
    OPENAI_RESPONSES_MARKS,
)
from letta_ade.llm.provider_config import ProviderConfig

#: What servers call the window in their listings; the one that a model is loaded with comes first.
_WINDOW_FIELDS = (
    "loaded_context_length",
    "max_model_len",
    "context_length",
    "context_window",
    "max_context_length",
    "max_input_tokens",
    "max_context_window",
)
_OUTPUT_FIELDS = ("max_tokens", "max_completion_tokens")
_EMBEDDING_TYPES = ("embedding", "embeddings")
_OTHER_TYPES = ("image", "audio", "rerank", "moderation", "transcribe", "video")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """What a listing says; None is what it leaves out."""

    name: str
    display_name: str | None = None
    #: What the model is, where its name is only what somebody called it.
    base_model: str | None = None
    kind: Literal["chat", "embedding", "other"] = "chat"
    window: int | None = None
    max_output: int | None = None
    dimensions: int | None = None
    tools: bool | None = None
    images: bool | None = None
    reasoning: bool | None = None
    json_schema: bool | None = None
    price: Price | None = None


def openai_row(config: ProviderConfig, row: Mapping[str, Any]) -> ModelRow | None:
    """A row of `GET /models`, as OpenAI and those who imitate it write it; None for one without a name."""
    name = row.get("id")
    if not isinstance(name, str) or not name:
        return None
    parameters = row.get("supported_parameters")
    parameters = parameters if isinstance(parameters, list) else None
    top = row.get("top_provider")
    limits = [row.get(field) for field in _OUTPUT_FIELDS]
    limits += [top.get("max_completion_tokens")] if isinstance(top, Mapping) else []
    window = _first_count(row.get(field) for field in _WINDOW_FIELDS)
    return ModelRow(
        name=name,
        display_name=_text(row.get("display_name")) or _text(row.get("name")),
        kind=_openai_kind(config, name, row, window),
        window=window,
        max_output=_first_count(limits),
        tools=None if parameters is None else "tools" in parameters,
        images=True if _reads_images(row) or _can(row, "image_input") else None,
        reasoning=True if "reasoning" in (parameters or ()) or _can(row, "thinking") else None,
        json_schema=True if "structured_outputs" in (parameters or ()) else None,
        price=told_price(row.get("pricing")),
    )


def ollama_row(name: str, shown: Mapping[str, Any]) -> ModelRow:
    """What `POST /api/show` tells of a model."""
    facts = shown.get("model_info")
    facts = facts if isinstance(facts, Mapping) else {}
    architecture = facts.get("general.architecture")
    capabilities = shown.get("capabilities")
    # Servers before 0.6.4 tell no capabilities.
    told = capabilities if isinstance(capabilities, list) else None
    embeds = "embedding" in told if told is not None else has_embedding_name(name)
    chats = told is None or "completion" in told
    return ModelRow(
        name=name,
        kind="embedding" if embeds else "chat" if chats else "other",
        # What the model is loaded with, when its author or the operator chose that; else the most that it can.
        window=_parameter(shown.get("parameters"), "num_ctx")
        or _count(facts.get(f"{architecture}.context_length")),
        dimensions=_count(facts.get(f"{architecture}.embedding_length")) if embeds else None,
        tools=None if told is None else "tools" in told,
        images=None if told is None else "vision" in told,
        reasoning=None if told is None else "thinking" in told,
        json_schema=True,
    )


def google_row(row: Mapping[str, Any]) -> ModelRow | None:
    """A row of Gemini's own `GET /v1beta/models`."""
    name = str(row.get("name") or "").removeprefix("models/")
    if not name:
        return None
    methods = row.get("supportedGenerationMethods") or ()
    is_other = any(mark in name for mark in GEMINI_OTHER_MARKS)
    kind: Literal["chat", "embedding", "other"] = "other"
    if "embedContent" in methods:
        kind = "embedding"
    elif "generateContent" in methods and not is_other:
        kind = "chat"
    return ModelRow(
        name=name,
        display_name=_text(row.get("displayName")),
        kind=kind,
        window=_count(row.get("inputTokenLimit")),
        max_output=_count(row.get("outputTokenLimit")),
        reasoning=True if row.get("thinking") else None,
    )


def azure_row(row: Mapping[str, Any]) -> ModelRow | None:
    """A deployment, or a model of the resource where deployments are not told."""
    name, model = row.get("id"), _text(row.get("model"))
    if not isinstance(name, str) or not name or row.get("status") not in (None, "succeeded"):
        return None
    can = row.get("capabilities")
    kind: Literal["chat", "embedding", "other"] = "chat"
    if has_embedding_name(model or name) or (isinstance(can, Mapping) and can.get("embeddings")):
        kind = "embedding"
    elif isinstance(can, Mapping) and can.get("chat_completion") is False:
        kind = "other"
    return ModelRow(name=name, base_model=model, kind=kind)


def bedrock_row(profile: Mapping[str, Any]) -> ModelRow | None:
    """An inference profile; None for models of others than Anthropic."""
    arns = [str(model.get("modelArn") or "") for model in profile.get("models") or ()]
    model = next((arn.rsplit("/", 1)[-1] for arn in arns if "/anthropic." in arn), None)
    is_of_aws = profile.get("type") != "APPLICATION"
    name = profile.get("inferenceProfileId" if is_of_aws else "inferenceProfileArn")
    if model is None or not isinstance(name, str) or not name:
        return None
    return ModelRow(name=name, display_name=_text(profile.get("inferenceProfileName")), base_model=model)


def has_embedding_name(name: str) -> bool:
    """Whether a model embeds, by its name."""
    return any(mark in name.lower() for mark in EMBEDDING_MARKS)


def _openai_kind(
    config: ProviderConfig, name: str, row: Mapping[str, Any], window: int | None
) -> Literal["chat", "embedding", "other"]:
    if config.is_openai and config.is_official_host:
        marks = OPENAI_OTHER_MARKS if config.api != "chat" else OPENAI_OTHER_MARKS + OPENAI_RESPONSES_MARKS
        chats = name.startswith(OPENAI_CHAT_PREFIXES) and not any(mark in name for mark in marks)
        return "chat" if chats else "other"
    if row.get("type") in _EMBEDDING_TYPES or has_embedding_name(name):
        return "embedding"
    capabilities = row.get("capabilities")
    cannot_chat = isinstance(capabilities, Mapping) and capabilities.get("completion_chat") is False
    if row.get("type") in _OTHER_TYPES or cannot_chat:
        return "other"
    if config.profile.lists_only_with_window and window is None:
        return "other"
    return "other" if window is not None and window < config.profile.least_window else "chat"


def _can(row: Mapping[str, Any], capability: str) -> bool:
    """Anthropic's listing tells each capability as `{"supported": …}`."""
    capabilities = row.get("capabilities")
    told = capabilities.get(capability) if isinstance(capabilities, Mapping) else None
    return isinstance(told, Mapping) and bool(told.get("supported"))


def _reads_images(row: Mapping[str, Any]) -> bool:
    architecture, capabilities = row.get("architecture"), row.get("capabilities")
    modalities = architecture.get("input_modalities") if isinstance(architecture, Mapping) else None
    sees = isinstance(capabilities, Mapping) and capabilities.get("vision") is True
    return sees or row.get("type") == "vlm" or "image" in (modalities or ())


def _parameter(parameters: Any, name: str) -> int | None:
    """A number among Ollama's parameters, which are lines of a name and a value."""
    lines = (line.split() for line in str(parameters or "").splitlines())
    found = next((words[1] for words in lines if len(words) == 2 and words[0] == name), "")
    return int(found) if found.isdigit() and int(found) > 0 else None


def _first_count(values: Any) -> int | None:
    return next((count for value in values if (count := _count(value)) is not None), None)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
