"""What we know about models: data, so that no code knows a model's name. Providers: `provider_profiles.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

#: Windows and reply lengths of models that neither the provider nor the table below describes (SDK spec §6).
UNKNOWN_WINDOW = 30_000
UNKNOWN_MAX_OUTPUT = 4096

Thinking = Literal["none", "budget", "adaptive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """What is known about the models whose name starts with `prefix`."""

    prefix: str
    window: int = UNKNOWN_WINDOW
    max_output: int = UNKNOWN_MAX_OUTPUT
    #: Values of `reasoning_effort` (Anthropic: `effort`) it accepts, weakest first; empty: it takes none.
    efforts: tuple[str, ...] = ()
    #: OpenAI's own host is asked at its Responses API, which shows the reasoning and takes an effort beside tools.
    uses_responses: bool = False
    #: What chat completions must hold beside tools: OpenAI refuses an effort there for some models (400), and
    #: for others even the default one.
    effort_with_tools: Literal["as_asked", "omitted", "none"] = "as_asked"
    #: How Anthropic's models are asked to think: with a budget (up to 4.6), or as they see fit (4.7 and later).
    #: Gemini's: with a budget.
    thinking: Thinking = "none"
    #: It refuses calls in the conversation that do not bear its signature.
    signs_calls: bool = False
    #: It takes `verbosity`.
    verbosity: bool = False
    #: It takes `frequency_penalty`.
    penalties: bool = True
    #: It answers 400 to any other temperature.
    only_default_temperature: bool = False
    parallel: bool = True
    images: bool = False
    json_schema: bool = False

    @property
    def reasons(self) -> bool:
        return bool(self.efforts) or self.thinking != "none"


_LOW_TO_HIGH = ("low", "medium", "high")
_GPT5 = ("minimal", *_LOW_TO_HIGH)
_GPT51 = ("none", *_LOW_TO_HIGH)
_GPT52 = ("none", *_LOW_TO_HIGH, "xhigh")
_GPT6 = (*_LOW_TO_HIGH, "xhigh")
_PRO = ("medium", "high", "xhigh")


def _gpt(
    prefix: str,
    window: int,
    max_output: int,
    efforts: tuple[str, ...] = (),
    *,
    with_tools: Literal["as_asked", "omitted", "none"] = "as_asked",
    parallel: bool = True,
) -> ModelProfile:
    return ModelProfile(
        prefix=prefix,
        window=window,
        max_output=max_output,
        efforts=efforts,
        uses_responses=bool(efforts),
        verbosity=bool(efforts) and prefix.startswith("gpt-"),
        effort_with_tools=with_tools,
        only_default_temperature=prefix.startswith(("o", "gpt-5", "gpt-6")),
        parallel=parallel,
        images=True,
        json_schema=True,
    )


def _claude(
    prefix: str,
    max_output: int,
    thinking: Thinking,
    *,
    json_schema: bool = False,
    efforts: tuple[str, ...] = (),
) -> ModelProfile:
    return ModelProfile(
        prefix=prefix,
        window=200_000,
        max_output=max_output,
        thinking=thinking,
        efforts=(*_LOW_TO_HIGH, "xhigh", "max") if thinking == "adaptive" else efforts,
        # Sampling fields are gone with API version 2026-10-21, and from the models after 4.6 with any version.
        only_default_temperature=thinking == "adaptive",
        images=True,
        json_schema=json_schema or thinking == "adaptive",
    )


def _gemini(
    prefix: str, max_output: int, *, thinking: Thinking = "none", signs: bool = False
) -> ModelProfile:
    return ModelProfile(
        prefix=prefix,
        window=1_048_576,
        max_output=max_output,
        thinking=thinking,
        signs_calls=signs,
        images=True,
        json_schema=True,
    )


def _open(
    prefix: str,
    window: int,
    *,
    efforts: tuple[str, ...] = (),
    images: bool = False,
    max_output: int = UNKNOWN_MAX_OUTPUT,
    penalties: bool = True,
) -> ModelProfile:
    return ModelProfile(
        prefix=prefix,
        window=window,
        max_output=max_output,
        efforts=efforts,
        images=images,
        penalties=penalties,
    )


#: The longest matching prefix wins. Prefixes are lower case and without a vendor ("meta-llama/…").
MODELS: tuple[ModelProfile, ...] = (
    _gpt("gpt-4", 8192, 4096),
    _gpt("gpt-4-32k", 32_768, 4096),
    _gpt("gpt-4-turbo", 128_000, 4096),
    _gpt("gpt-4-0125", 128_000, 4096),
    _gpt("gpt-4-1106", 128_000, 4096),
    _gpt("gpt-4o", 128_000, 16_384),
    _gpt("chatgpt-4o", 128_000, 16_384),
    _gpt("gpt-4.1", 256_000, 8192),
    _gpt("gpt-5", 272_000, 16_384, _GPT5),
    _gpt("gpt-5-chat", 128_000, 16_384),
    _gpt("gpt-5-codex", 272_000, 16_384, _LOW_TO_HIGH),
    _gpt("gpt-5-pro", 272_000, 16_384, ("high",)),
    _gpt("gpt-5.1", 272_000, 16_384, _GPT51),
    _gpt("gpt-5.1-chat", 128_000, 16_384),
    _gpt("gpt-5.1-codex", 272_000, 16_384, _LOW_TO_HIGH),
    _gpt("gpt-5.2", 272_000, 128_000, _GPT52, with_tools="omitted"),
    _gpt("gpt-5.2-chat", 128_000, 16_384),
    _gpt("gpt-5.2-codex", 272_000, 128_000, _GPT6),
    _gpt("gpt-5.2-pro", 272_000, 128_000, _PRO),
    _gpt("gpt-5.3", 272_000, 128_000, _GPT52, with_tools="omitted"),
    _gpt("gpt-5.3-chat", 128_000, 16_384),
    _gpt("gpt-5.3-codex", 272_000, 128_000, _GPT6),
    _gpt("gpt-5.4", 272_000, 128_000, _GPT52, with_tools="omitted"),
    _gpt("gpt-5.4-pro", 272_000, 128_000, _PRO),
    _gpt("gpt-5.5", 272_000, 128_000, _GPT52, with_tools="omitted"),
    _gpt("gpt-5.5-pro", 272_000, 128_000, _PRO),
    _gpt("gpt-5.6", 272_000, 128_000, _GPT52, with_tools="none"),
    _gpt("gpt-6", 272_000, 128_000, _GPT6, with_tools="omitted"),
    _gpt("o1", 200_000, 16_384, _LOW_TO_HIGH, parallel=False),
    _gpt("o3", 200_000, 16_384, _LOW_TO_HIGH, parallel=False),
    _gpt("o4", 200_000, 16_384, _LOW_TO_HIGH, parallel=False),
    _claude("claude-", 16_384, "adaptive"),
    _claude("claude-3-haiku", 4096, "none"),
    _claude("claude-3-opus", 4096, "none"),
    _claude("claude-3-5", 8192, "none"),
    _claude("claude-3-7", 8192, "budget"),
    _claude("claude-sonnet-4-", 16_384, "budget"),
    _claude("claude-opus-4-", 16_384, "budget"),
    _claude("claude-haiku-4-", 16_384, "budget"),
    _claude("claude-sonnet-4-5", 16_384, "budget", json_schema=True),
    _claude("claude-sonnet-4-6", 16_384, "budget", json_schema=True, efforts=(*_LOW_TO_HIGH, "max")),
    _claude("claude-opus-4-5", 16_384, "budget", json_schema=True, efforts=_LOW_TO_HIGH),
    _claude("claude-opus-4-6", 16_384, "budget", json_schema=True, efforts=(*_LOW_TO_HIGH, "max")),
    _claude("claude-haiku-4-5", 16_384, "budget", json_schema=True),
    _claude("claude-opus-4-7", 21_000, "adaptive"),
    _claude("claude-opus-4-8", 21_000, "adaptive"),
    _gemini("gemini-", 8192),
    _gemini("gemini-2.5", 65_536, thinking="budget"),
    _gemini("gemini-3", 65_536, thinking="budget", signs=True),
    _open("gpt-oss", 131_072, efforts=_LOW_TO_HIGH),
    _open("llama3.1", 131_072),
    _open("llama3.2", 131_072),
    _open("llama3.3", 131_072),
    _open("llama-3.1", 131_072),
    _open("llama-3.2", 131_072),
    _open("llama-3.3", 131_072),
    _open("llama-4", 131_072, images=True),
    _open("qwen2.5", 32_768),
    _open("qwen3", 32_768),
    _open("mistral-", 128_000),
    _open("ministral", 128_000),
    _open("magistral", 40_000),
    _open("deepseek-chat", 128_000),
    _open("deepseek-reasoner", 128_000),
    _open("grok-3", 131_072),
    _open("grok-3-mini", 131_072, efforts=("low", "high"), penalties=False),
    _open("grok-4", 256_000, images=True, penalties=False),
    _open("grok-code", 256_000, penalties=False),
    _open("glm-4.5", 128_000),
    _open("glm-4.6", 200_000),
    _open("glm-4.7", 200_000),
    _open("glm-5", 200_000),
    _open("minimax-m", 204_800, max_output=128_000),
    _open("gemma3", 128_000, images=True),
    _open("gemma-3", 128_000, images=True),
)

_UNKNOWN = ModelProfile(prefix="")
#: "us.anthropic.claude-…": where the model runs, and whose it is.
_BEDROCK_VENDOR = re.compile(r"^(?:[a-z-]+\.)?anthropic\.")


def model_profile(model: str) -> ModelProfile:
    """What is known about a model by its name; a cautious row when it is unknown."""
    name = _BEDROCK_VENDOR.sub("", model.rsplit("/", 1)[-1].lower())
    matches = [row for row in MODELS if name.startswith(row.prefix)]
    return max(matches, key=lambda row: len(row.prefix), default=_UNKNOWN)


#: Which rows of OpenAI's own listing chat; the rest are other kinds of models. Other hosts list what they serve.
OPENAI_CHAT_PREFIXES = ("gpt-4", "gpt-5", "gpt-6", "chatgpt-4o", "o1", "o3", "o4")
OPENAI_OTHER_MARKS = (
    "audio",
    "realtime",
    "search",
    "tts",
    "transcribe",
    "computer",
    "image",
    "deep-research",
    "o1-mini",
    "o1-preview",
    "o1-pro",
    "instruct",
)
#: They answer at the Responses API only.
OPENAI_RESPONSES_MARKS = ("codex", "-pro")

#: Names of Gemini's models that generate, and not text.
GEMINI_OTHER_MARKS = ("-tts", "image", "audio", "live", "computer-use", "robotics")

#: Anthropic's models where the listing is not offered (proxies); else `GET /v1/models` tells.
ANTHROPIC_MODELS: tuple[str, ...] = (
    "claude-haiku-4-5",
    "claude-haiku-5-5",
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-4-5",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-sonnet-5-5",
)

#: Never fetched, so that a server which only chats can be the `openai` provider (SDK spec §6).
OPENAI_EMBEDDINGS: tuple[tuple[str, int], ...] = (
    ("text-embedding-3-large", 3072),
    ("text-embedding-3-small", 1536),
    ("text-embedding-ada-002", 1536),
)

#: Lengths of vectors that a listing does not tell; of the others one call tells (`catalog`).
EMBEDDING_DIMENSIONS: dict[str, int] = {
    **dict(OPENAI_EMBEDDINGS),
    "gemini-embedding-001": 3072,
    "text-embedding-004": 768,
    "mistral-embed": 1024,
}

#: AWS's ids of Anthropic's models, where its list of inference profiles cannot be had.
BEDROCK_MODELS: tuple[str, ...] = (
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.anthropic.claude-opus-4-5-20251101-v1:0",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
)

#: Names of embedding models on servers whose listing does not say what a model does.
EMBEDDING_MARKS = ("embed", "bge-", "minilm", "/e5-", "gte-", "multilingual-e5")
