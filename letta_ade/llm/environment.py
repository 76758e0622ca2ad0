"""Which providers the environment configures, and how a handle names one. Free of Django: settings.py imports it."""

from __future__ import annotations

from collections.abc import Mapping

from letta_ade.llm.provider_config import OPENAI_APIS, OpenAIApi, ProviderConfig, make_config
from letta_ade.llm.provider_profiles import PROVIDERS, ProviderProfile

#: Every variable that configures a provider; settings.py copies these, and only these, into LLM_ENVIRONMENT.
PROVIDER_VARIABLES: tuple[str, ...] = tuple(
    dict.fromkeys(variable for profile in PROVIDERS for variable in profile.variables)
)


def split_handle(handle: str) -> tuple[str, str]:
    """`provider/model` at the first slash; the model part may hold more. Both parts empty when there is none."""
    provider, slash, model = handle.partition("/")
    return (provider, model) if slash and provider and model else ("", "")


def configured_providers(environment: Mapping[str, str]) -> tuple[ProviderConfig, ...]:
    """The providers that these variables switch on, in list order; the demonstration is always the last."""
    configs = (_configure(profile, environment) for profile in PROVIDERS)
    return tuple(config for config in configs if config is not None)


def openai_api(environment: Mapping[str, str]) -> OpenAIApi:
    """Which of its protocols OpenAI is spoken to in. ValueError for a word that is none of them."""
    asked = environment.get("ADE_OPENAI_API", "").strip().lower() or "auto"
    for api in OPENAI_APIS:
        if asked == api:
            return api
    raise ValueError(f"ADE_OPENAI_API must be one of {', '.join(OPENAI_APIS)}, not {asked!r}.")


def missing_variable(profile: ProviderProfile, environment: Mapping[str, str] | None = None) -> str:
    """The variable that would switch the provider on; of several that it needs, the first that is not set."""
    needed = [profile.access_key_variable, profile.key_variable]
    if profile.default_base_url is None:
        needed += profile.base_url_variables[:1]
    names = [name for name in needed if name]
    return next((name for name in names if not (environment or {}).get(name)), names[0])


def _configure(profile: ProviderProfile, environment: Mapping[str, str]) -> ProviderConfig | None:
    def read(variable: str | None) -> str | None:
        return (environment.get(variable, "").strip() or None) if variable else None

    if profile.protocol == "demo":
        return ProviderConfig(profile=profile, name=profile.name, base_url="", source="built in")
    given = [variable for variable in profile.base_url_variables if read(variable)]
    source = profile.key_variable if read(profile.key_variable) else None
    if source is None and profile.key_variable is None and given:
        source = given[0]
    if source is None or (profile.access_key_variable and not read(profile.access_key_variable)):
        return None
    headers = ((header, read(variable)) for header, variable in profile.header_variables)
    return make_config(
        profile,
        name=read(profile.handle_variable) or profile.name,
        source=source,
        base_url=read(given[0]) if given else None,
        api_key=read(profile.key_variable) or read(profile.optional_key_variable),
        access_key=read(profile.access_key_variable),
        session_token=read(profile.session_token_variable),
        region=read(profile.region_variable),
        api_version=read(profile.version_variable),
        api=openai_api(environment) if profile.api_variable else "auto",
        headers=tuple((header, value) for header, value in headers if value),
    )
