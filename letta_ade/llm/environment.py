"""Which providers the environment configures, and how a handle names one. Free of Django: settings.py imports it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from letta_ade.llm.profiles import PROVIDERS, ProviderProfile

#: Every variable that configures a provider; settings.py copies these, and only these, into LLM_ENVIRONMENT.
PROVIDER_VARIABLES: tuple[str, ...] = tuple(
    dict.fromkeys(variable for profile in PROVIDERS for variable in profile.variables)
)

_VERSION_SEGMENT = re.compile(r"^v\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """A provider that can be called."""

    profile: ProviderProfile
    #: First part of its handles; the profile's name, unless a variable renames it.
    name: str
    #: With the version in its path for OpenAI's protocol, without for Anthropic's; empty for the built-in one.
    base_url: str
    api_key: str | None = field(repr=False, default=None)
    #: The variable that switched it on, or "built in".
    source: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_openai(self) -> bool:
        return self.profile.name == "openai"

    @property
    def is_official_host(self) -> bool:
        default = self.profile.default_base_url
        return default is not None and urlsplit(default).hostname == urlsplit(self.base_url).hostname


def split_handle(handle: str) -> tuple[str, str]:
    """`provider/model` at the first slash; the model part may hold more. Both parts empty when there is none."""
    provider, slash, model = handle.partition("/")
    return (provider, model) if slash and provider and model else ("", "")


def openai_base_url(url: str) -> str:
    """The base URL with a version in its path: `/v1` is added where none of its segments is one."""
    url = url.strip().rstrip("/")
    segments = urlsplit(url).path.split("/")
    return url if any(_VERSION_SEGMENT.match(segment) for segment in segments) else f"{url}/v1"


def anthropic_base_url(url: str) -> str:
    """The base URL without the version, which the SDK adds."""
    return url.strip().rstrip("/").removesuffix("/v1")


def configured_providers(environment: Mapping[str, str]) -> tuple[ProviderConfig, ...]:
    """The providers that these variables switch on, in list order; the demonstration is always the last."""
    configs = (_configure(profile, environment) for profile in PROVIDERS)
    return tuple(config for config in configs if config is not None)


def missing_variable(profile: ProviderProfile) -> str:
    """The variable that would switch the provider on."""
    return profile.key_variable or profile.base_url_variables[0]


def _configure(profile: ProviderProfile, environment: Mapping[str, str]) -> ProviderConfig | None:
    def read(variable: str | None) -> str | None:
        return (environment.get(variable, "").strip() or None) if variable else None

    if profile.protocol == "demo":
        return ProviderConfig(profile=profile, name=profile.name, base_url="", source="built in")
    given = [variable for variable in profile.base_url_variables if read(variable)]
    source = profile.key_variable if read(profile.key_variable) else None
    if source is None and profile.key_variable is None and given:
        source = given[0]
    base_url = read(given[0]) if given else profile.default_base_url
    if source is None or base_url is None:
        return None
    normalise = anthropic_base_url if profile.protocol == "anthropic" else openai_base_url
    headers = ((header, read(variable)) for header, variable in profile.header_variables)
    return ProviderConfig(
        profile=profile,
        name=read(profile.handle_variable) or profile.name,
        base_url=normalise(base_url),
        api_key=read(profile.key_variable) or read(profile.optional_key_variable),
        source=source,
        headers=tuple((header, value) for header, value in headers if value),
    )
