"""What we know about providers and models: data, so that no code knows a model's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Windows and reply lengths of models that neither the provider nor the table below describes (SDK spec §6).
UNKNOWN_WINDOW = 30_000
UNKNOWN_MAX_OUTPUT = 4096

Protocol = Literal["openai", "anthropic", "demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProfile:
    """One provider as it can be configured by the environment."""

    name: str
    display_name: str
    #: The wire value of `provider_type`.
    provider_type: str
    protocol: Protocol = "openai"
    #: Enables the provider; None for servers that need no key.
    key_variable: str | None = None
    #: Read in this order. Without a key variable, having one of them enables the provider.
    base_url_variables: tuple[str, ...] = ()
    default_base_url: str | None = None
    #: A key that a keyless server may be given all the same.
    optional_key_variable: str | None = None
    #: Renames the first part of the handles.
    handle_variable: str | None = None
    #: Request header → variable that fills it.
    header_variables: tuple[tuple[str, str], ...] = ()
    #: The field that limits a reply: OpenAI's own models refuse `max_tokens`, many servers know only that.
    output_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sends_usage_option: bool = True
    sends_user: bool = False
    #: Answers `{"type": "function"}` in tool_choice badly; it gets "required".
    names_no_tool: bool = False
    #: Wants the reasoning of the running turn back in `reasoning_content`.
    replays_reasoning: bool = False
    #: Query of `GET /models`.
    listing_query: tuple[tuple[str, str], ...] = ()
    #: The listing holds models that cannot chat; those that chat say a context window.
    lists_only_with_window: bool = False
    #: Whether some of its listed models embed, told apart by name.
    has_embeddings: bool = False
    embedding_batch: int = 32
    #: Offered first, in this order, when somebody asks for a good default.
    preferred: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """Every name of the environment that this provider reads."""
        names = [
            self.key_variable,
            self.optional_key_variable,
            self.handle_variable,
            *self.base_url_variables,
        ]
        names += [variable for _, variable in self.header_variables]
        return tuple(name for name in names if name)


#: In the order of the model list. The official hosts are the default base URLs.
PROVIDERS: tuple[ProviderProfile, ...] = (
    ProviderProfile(
        name="openai",
        display_name="OpenAI",
        provider_type="openai",
        key_variable="OPENAI_API_KEY",
        base_url_variables=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        default_base_url="https://api.openai.com/v1",
        output_field="max_completion_tokens",
        sends_user=True,
        has_embeddings=True,
        embedding_batch=1024,
        preferred=("gpt-4.1-mini", "gpt-4o-mini", "gpt-4.1", "gpt-5-mini", "gpt-5.1"),
    ),
    ProviderProfile(
        name="anthropic",
        display_name="Anthropic",
        provider_type="anthropic",
        protocol="anthropic",
        key_variable="ANTHROPIC_API_KEY",
        base_url_variables=("ANTHROPIC_BASE_URL",),
        default_base_url="https://api.anthropic.com",
        preferred=(
            "claude-sonnet-5-5",
            "claude-sonnet-5",
            "claude-sonnet-4-6",
            "claude-sonnet-4-5",
            "claude-haiku-4-5",
        ),
    ),
    ProviderProfile(
        name="ollama",
        display_name="Ollama",
        provider_type="ollama",
        base_url_variables=("OLLAMA_BASE_URL",),
        has_embeddings=True,
    ),
    ProviderProfile(
        name="groq",
        display_name="Groq",
        provider_type="groq",
        key_variable="GROQ_API_KEY",
        base_url_variables=("GROQ_BASE_URL",),
        default_base_url="https://api.groq.com/openai/v1",
        output_field="max_completion_tokens",
        lists_only_with_window=True,
    ),
    ProviderProfile(
        name="together",
        display_name="Together",
        provider_type="together",
        key_variable="TOGETHER_API_KEY",
        base_url_variables=("TOGETHER_BASE_URL",),
        default_base_url="https://api.together.xyz/v1",
        has_embeddings=True,
    ),
    ProviderProfile(
        name="vllm",
        display_name="vLLM",
        provider_type="vllm",
        base_url_variables=("VLLM_API_BASE",),
        optional_key_variable="VLLM_API_KEY",
        handle_variable="VLLM_HANDLE_BASE",
        has_embeddings=True,
    ),
    ProviderProfile(
        name="sglang",
        display_name="SGLang",
        provider_type="sglang",
        base_url_variables=("SGLANG_API_BASE",),
        optional_key_variable="SGLANG_API_KEY",
        handle_variable="SGLANG_HANDLE_BASE",
        has_embeddings=True,
    ),
    ProviderProfile(
        name="deepseek",
        display_name="DeepSeek",
        provider_type="deepseek",
        key_variable="DEEPSEEK_API_KEY",
        base_url_variables=("DEEPSEEK_BASE_URL",),
        default_base_url="https://api.deepseek.com/v1",
        replays_reasoning=True,
    ),
    ProviderProfile(
        name="xai",
        display_name="xAI",
        provider_type="xai",
        key_variable="XAI_API_KEY",
        base_url_variables=("XAI_BASE_URL",),
        default_base_url="https://api.x.ai/v1",
        output_field="max_completion_tokens",
    ),
    ProviderProfile(
        name="mistral",
        display_name="Mistral",
        provider_type="mistral",
        key_variable="MISTRAL_API_KEY",
        base_url_variables=("MISTRAL_BASE_URL",),
        default_base_url="https://api.mistral.ai/v1",
        # It refuses fields that it does not know, and sends the usage without being asked.
        sends_usage_option=False,
        has_embeddings=True,
    ),
    ProviderProfile(
        name="lmstudio_openai",
        display_name="LM Studio",
        provider_type="lmstudio_openai",
        base_url_variables=("LMSTUDIO_BASE_URL",),
        has_embeddings=True,
    ),
    ProviderProfile(
        name="openrouter",
        display_name="OpenRouter",
        provider_type="openrouter",
        key_variable="OPENROUTER_API_KEY",
        base_url_variables=("OPENROUTER_BASE_URL",),
        default_base_url="https://openrouter.ai/api/v1",
        handle_variable="OPENROUTER_HANDLE_BASE",
        header_variables=(("HTTP-Referer", "OPENROUTER_REFERER"), ("X-Title", "OPENROUTER_TITLE")),
        sends_user=True,
        names_no_tool=True,
        listing_query=(("supported_parameters", "tools"),),
    ),
    ProviderProfile(
        name="demo", display_name="Built-in demonstration", provider_type="demo", protocol="demo"
    ),
)

Thinking = Literal["none", "budget", "adaptive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """What is known about the models whose name starts with `prefix`."""

    prefix: str
    window: int = UNKNOWN_WINDOW
    max_output: int = UNKNOWN_MAX_OUTPUT
    #: Values of `reasoning_effort` it accepts, weakest first; empty: it is not asked to reason.
    efforts: tuple[str, ...] = ()
    #: What chat completions must hold beside tools: OpenAI refuses an effort there for some models (400), and
    #: for others even the default one.
    effort_with_tools: Literal["as_asked", "omitted", "none"] = "as_asked"
    #: How Anthropic's models are asked to think: with a budget (up to 4.6), or as they see fit (4.7 and later).
    thinking: Thinking = "none"
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
        effort_with_tools=with_tools,
        only_default_temperature=prefix.startswith(("o", "gpt-5", "gpt-6")),
        parallel=parallel,
        images=True,
        json_schema=True,
    )


def _claude(prefix: str, max_output: int, thinking: Thinking, *, json_schema: bool = False) -> ModelProfile:
    return ModelProfile(
        prefix=prefix,
        window=200_000,
        max_output=max_output,
        thinking=thinking,
        # Sampling fields are gone with API version 2026-10-21, and from the models after 4.6 with any version.
        only_default_temperature=thinking == "adaptive",
        images=True,
        json_schema=json_schema or thinking == "adaptive",
    )


def _open(prefix: str, window: int, *, efforts: tuple[str, ...] = (), images: bool = False) -> ModelProfile:
    return ModelProfile(prefix=prefix, window=window, efforts=efforts, images=images)


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
    _gpt("gpt-5.1", 272_000, 16_384, _GPT51),
    _gpt("gpt-5.1-chat", 128_000, 16_384),
    _gpt("gpt-5.2", 272_000, 128_000, _GPT52, with_tools="omitted"),
    _gpt("gpt-5.2-chat", 128_000, 16_384),
    _gpt("gpt-5.3", 272_000, 128_000, _GPT52, with_tools="omitted"),
    _gpt("gpt-5.3-chat", 128_000, 16_384),
    _gpt("gpt-5.4", 272_000, 128_000, _GPT52, with_tools="omitted"),
    _gpt("gpt-5.5", 272_000, 128_000, _GPT52, with_tools="omitted"),
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
    _claude("claude-sonnet-4-6", 16_384, "budget", json_schema=True),
    _claude("claude-opus-4-5", 16_384, "budget", json_schema=True),
    _claude("claude-opus-4-6", 16_384, "budget", json_schema=True),
    _claude("claude-haiku-4-5", 16_384, "budget", json_schema=True),
    _claude("claude-opus-4-7", 21_000, "adaptive"),
    _claude("claude-opus-4-8", 21_000, "adaptive"),
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
    _open("grok-4", 256_000, images=True),
    _open("gemma3", 128_000, images=True),
    _open("gemma-3", 128_000, images=True),
)

_UNKNOWN = ModelProfile(prefix="")


def model_profile(model: str) -> ModelProfile:
    """What is known about a model by its name; a cautious row when it is unknown."""
    name = model.rsplit("/", 1)[-1].lower()
    matches = [row for row in MODELS if name.startswith(row.prefix)]
    return max(matches, key=lambda row: len(row.prefix), default=_UNKNOWN)


#: Which rows of OpenAI's own listing chat over chat completions; the rest are other kinds of models, or answer only
#: at the Responses endpoint. Other hosts list what they serve.
OPENAI_CHAT_PREFIXES = ("gpt-4", "gpt-5", "gpt-6", "chatgpt-4o", "o1", "o3", "o4")
OPENAI_OTHER_MARKS = (
    "audio",
    "realtime",
    "search",
    "tts",
    "transcribe",
    "computer",
    "image",
    "codex",
    "deep-research",
    "-pro",
    "o1-mini",
    "o1-preview",
    "instruct",
)

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

#: Names of embedding models on servers whose listing does not say what a model does.
EMBEDDING_MARKS = ("embed", "bge-", "minilm", "/e5-", "gte-", "multilingual-e5")
