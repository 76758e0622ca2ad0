"""What we know about providers: data, so that one which speaks a known protocol needs no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Protocol = Literal["openai", "anthropic", "bedrock", "demo"]
#: Whom the list of models is asked of, and in which words (`listing.py`).
ListingStyle = Literal["openai", "ollama", "lmstudio", "google", "azure", "anthropic", "bedrock", "demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProfile:
    """One provider as it can be configured by the environment, or by a person who brings a key."""

    name: str
    display_name: str
    #: The wire value of `provider_type`.
    provider_type: str
    protocol: Protocol = "openai"
    listing: ListingStyle = "openai"
    #: Enables the provider; None for servers that need no key.
    key_variable: str | None = None
    #: Read in this order. Without a key variable, having one of them enables the provider.
    base_url_variables: tuple[str, ...] = ()
    default_base_url: str | None = None
    #: A key that a keyless server may be given all the same.
    optional_key_variable: str | None = None
    #: The half of a key pair that is no secret, and where the models run (AWS).
    access_key_variable: str | None = None
    session_token_variable: str | None = None
    region_variable: str | None = None
    default_region: str | None = None
    #: The dated version that goes with every request (Azure).
    version_variable: str | None = None
    default_version: str | None = None
    #: Which of OpenAI's two protocols is spoken: auto, responses or chat.
    api_variable: str | None = None
    #: Renames the first part of the handles.
    handle_variable: str | None = None
    #: Request header → variable that fills it.
    header_variables: tuple[tuple[str, str], ...] = ()
    #: Carries the key instead of `Authorization`.
    key_header: str | None = None
    #: The field that limits a reply: OpenAI's own models refuse `max_tokens`, many servers know only that.
    output_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sends_usage_option: bool = True
    sends_user: bool = False
    sends_parallel: bool = True
    sends_logprobs: bool = True
    knows_json_schema: bool = True
    #: Answers `{"type": "function"}` in tool_choice badly; it gets "required", which with one tool is the same.
    names_no_tool: bool = False
    #: Wants its reasoning back: in OpenAI's protocol that of the running turn, as `reasoning_content`.
    replays_reasoning: bool = False
    #: In which field a model is asked to think.
    thinking_style: Literal["effort", "google", "zai"] = "effort"
    call_id_style: Literal["openai", "mistral"] = "openai"
    #: Query of `GET /models`.
    listing_query: tuple[tuple[str, str], ...] = ()
    #: False: a name that it does not list may be good all the same, and the first call will tell.
    lists_everything: bool = True
    #: Models with a smaller window are not listed: an agent's prompt would not fit.
    least_window: int = 0
    #: The listing holds models that cannot chat; those that chat say a context window.
    lists_only_with_window: bool = False
    #: Asked to tell whether a key is good, where the listing is open to everybody.
    key_check_path: str | None = None
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
            self.access_key_variable,
            self.session_token_variable,
            self.region_variable,
            self.version_variable,
            self.api_variable,
            self.handle_variable,
            *self.base_url_variables,
        ]
        names += [variable for _, variable in self.header_variables]
        return tuple(name for name in names if name)


_CLAUDE_CHOICES = (
    "claude-sonnet-5-5",
    "claude-sonnet-5",
    "claude-sonnet-4-6",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
)


def _compatible(name: str, display_name: str, base_url: str, **facts: Any) -> ProviderProfile:
    """A hosted provider that speaks OpenAI's protocol, switched on by NAME_API_KEY."""
    variable = name.upper()
    return ProviderProfile(
        name=name,
        display_name=display_name,
        provider_type=name,
        key_variable=f"{variable}_API_KEY",
        base_url_variables=(f"{variable}_BASE_URL",),
        default_base_url=base_url,
        **facts,
    )


#: In the order of the model list. The official hosts are the default base URLs.
PROVIDERS: tuple[ProviderProfile, ...] = (
    ProviderProfile(
        name="openai",
        display_name="OpenAI",
        provider_type="openai",
        key_variable="OPENAI_API_KEY",
        base_url_variables=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        default_base_url="https://api.openai.com/v1",
        api_variable="ADE_OPENAI_API",
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
        listing="anthropic",
        key_variable="ANTHROPIC_API_KEY",
        base_url_variables=("ANTHROPIC_BASE_URL",),
        default_base_url="https://api.anthropic.com",
        preferred=_CLAUDE_CHOICES,
    ),
    ProviderProfile(
        name="ollama",
        display_name="Ollama",
        provider_type="ollama",
        listing="ollama",
        base_url_variables=("OLLAMA_BASE_URL",),
        has_embeddings=True,
    ),
    ProviderProfile(
        name="google_ai",
        display_name="Google Gemini",
        provider_type="google_ai",
        listing="google",
        key_variable="GEMINI_API_KEY",
        base_url_variables=("GEMINI_BASE_URL",),
        default_base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        sends_parallel=False,
        sends_logprobs=False,
        thinking_style="google",
        has_embeddings=True,
        preferred=("gemini-3.5-flash", "gemini-2.5-flash", "gemini-2.5-pro"),
    ),
    ProviderProfile(
        name="azure",
        display_name="Azure OpenAI",
        provider_type="azure",
        listing="azure",
        key_variable="AZURE_API_KEY",
        base_url_variables=("AZURE_BASE_URL",),
        version_variable="AZURE_API_VERSION",
        default_version="2024-09-01-preview",
        lists_everything=False,
        key_header="api-key",
        output_field="max_completion_tokens",
        sends_user=True,
        has_embeddings=True,
    ),
    _compatible(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        output_field="max_completion_tokens",
        sends_logprobs=False,
        lists_only_with_window=True,
    ),
    _compatible(
        "together", "Together", "https://api.together.xyz/v1", has_embeddings=True, least_window=4096
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
        name="bedrock",
        display_name="AWS Bedrock",
        provider_type="bedrock",
        protocol="bedrock",
        listing="bedrock",
        key_variable="AWS_SECRET_ACCESS_KEY",
        access_key_variable="AWS_ACCESS_KEY_ID",
        session_token_variable="AWS_SESSION_TOKEN",
        lists_everything=False,
        region_variable="AWS_DEFAULT_REGION",
        default_region="us-east-1",
        base_url_variables=("BEDROCK_BASE_URL",),
        default_base_url="https://bedrock-runtime.{region}.amazonaws.com",
    ),
    _compatible(
        "deepseek", "DeepSeek", "https://api.deepseek.com/v1", replays_reasoning=True, knows_json_schema=False
    ),
    _compatible("xai", "xAI", "https://api.x.ai/v1", output_field="max_completion_tokens"),
    ProviderProfile(
        name="lmstudio_openai",
        display_name="LM Studio",
        provider_type="lmstudio_openai",
        listing="lmstudio",
        base_url_variables=("LMSTUDIO_BASE_URL",),
        names_no_tool=True,
        has_embeddings=True,
    ),
    _compatible(
        "mistral",
        "Mistral",
        "https://api.mistral.ai/v1",
        # It refuses fields that it does not know, and sends the usage without being asked.
        sends_usage_option=False,
        sends_logprobs=False,
        call_id_style="mistral",
        has_embeddings=True,
    ),
    ProviderProfile(
        name="minimax",
        display_name="MiniMax",
        provider_type="minimax",
        protocol="anthropic",
        listing="anthropic",
        key_variable="MINIMAX_API_KEY",
        lists_everything=False,
        base_url_variables=("MINIMAX_BASE_URL",),
        default_base_url="https://api.minimax.io/anthropic",
        replays_reasoning=True,
    ),
    _compatible("baseten", "Baseten", "https://inference.baseten.co/v1"),
    _compatible("zai", "Z.ai", "https://api.z.ai/api/paas/v4", thinking_style="zai", knows_json_schema=False),
    _compatible(
        "zai_coding",
        "Z.ai coding plan",
        "https://api.z.ai/api/coding/paas/v4",
        thinking_style="zai",
        knows_json_schema=False,
    ),
    _compatible(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        handle_variable="OPENROUTER_HANDLE_BASE",
        header_variables=(("HTTP-Referer", "OPENROUTER_REFERER"), ("X-Title", "OPENROUTER_TITLE")),
        sends_user=True,
        names_no_tool=True,
        listing_query=(("supported_parameters", "tools"),),
        key_check_path="/key",
    ),
    ProviderProfile(
        name="demo",
        display_name="Built-in demonstration",
        provider_type="demo",
        protocol="demo",
        listing="demo",
    ),
)


def find_profile(provider_type: str) -> ProviderProfile | None:
    """The provider of this type, or None for one that this server cannot speak to; the demonstration is nobody's."""
    return next(
        (each for each in PROVIDERS if each.provider_type == provider_type and each.protocol != "demo"), None
    )
