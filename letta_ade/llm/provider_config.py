"""A provider that can be called: its address, its key, and how it wants to be spoken to. Free of Django."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlsplit

from letta_ade.llm.profiles import ModelProfile
from letta_ade.llm.provider_profiles import ProviderProfile

OpenAIApi = Literal["auto", "responses", "chat"]
OPENAI_APIS: tuple[OpenAIApi, ...] = ("auto", "responses", "chat")

#: Stands for a key wherever one is shown.
KEY_MASK = "********"
_LEAST_SECRET_CHARACTERS = 6
_VERSION_SEGMENT = re.compile(r"^v\d")
#: Azure's undated API knows these two instead of dates.
_UNDATED_VERSIONS = ("preview", "latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    profile: ProviderProfile
    #: First part of its handles; the profile's name, unless a variable or a person named it otherwise.
    name: str
    #: With the version in its path for OpenAI's protocol, without for Anthropic's; empty for the built-in one.
    base_url: str
    api_key: str | None = field(repr=False, default=None)
    #: The variable that switched it on, "built in", or who brought the key.
    source: str
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())
    access_key: str | None = field(repr=False, default=None)
    session_token: str | None = field(repr=False, default=None)
    region: str | None = None
    api_version: str | None = None
    api: OpenAIApi = "auto"
    #: base: of this server; byok: of one workspace, which brought the key.
    category: Literal["base", "byok"] = "base"

    @property
    def is_openai(self) -> bool:
        return self.profile.provider_type == "openai"

    @property
    def hosts_openai_models(self) -> bool:
        return self.profile.provider_type in ("openai", "azure")

    @property
    def is_official_host(self) -> bool:
        default = _default_base_url(self.profile, self.region)
        return default is not None and urlsplit(default).hostname == urlsplit(self.base_url).hostname

    @property
    def is_self_hosted(self) -> bool:
        """Whether it is, by all that is known, somebody's own server for open models."""
        return self.profile.key_variable is None or (self.is_openai and not self.is_official_host)

    @property
    def names_deployments(self) -> bool:
        """Azure's dated API has the deployment in the path, its undated one in the body."""
        return self.profile.listing == "azure" and not has_version(self.base_url)

    @property
    def query(self) -> dict[str, str]:
        """What every address of this provider ends with."""
        if self.api_version and (self.names_deployments or self.api_version in _UNDATED_VERSIONS):
            return {"api-version": self.api_version}
        return {}

    @property
    def shown_url(self) -> str:
        """The base URL as people may see it: an operator may have put a name and a password into it."""
        return without_userinfo(self.base_url)

    def hide_keys(self, text: str) -> str:
        """The text without our secrets, which some providers and proxies repeat in their errors."""
        _, _, password = urlsplit(self.base_url).netloc.rpartition("@")[0].partition(":")
        secrets = (
            self.api_key,
            self.access_key,
            self.session_token,
            password,
            *(value for _, value in self.headers),
        )
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            # A shorter one is a placeholder ("any"), and a word of the sentence.
            if len(secret) >= _LEAST_SECRET_CHARACTERS:
                text = text.replace(secret, KEY_MASK)
        return text

    @property
    def key_headers(self) -> dict[str, str]:
        """The headers that carry the key, and those that the operator set."""
        headers = dict(self.headers)
        if self.api_key:
            if self.profile.key_header:
                headers[self.profile.key_header] = self.api_key
            else:
                headers["Authorization"] = f"Bearer {self.api_key}"
        return headers

    def path(self, endpoint: str, model: str) -> str:
        """Where this model is asked, below the base URL."""
        return f"/deployments/{quote(model, safe='')}{endpoint}" if self.names_deployments else endpoint

    def uses_responses(self, known: ModelProfile) -> bool:
        """Whether the model is asked at OpenAI's Responses API.

        By itself only on OpenAI's own host: what stands elsewhere under its name mostly knows chat completions alone.
        """
        if self.profile.api_variable is None or self.api == "chat":
            return False
        return self.api == "responses" or (self.is_official_host and known.uses_responses)


def make_config(
    profile: ProviderProfile,
    *,
    name: str,
    source: str,
    base_url: str | None,
    api_key: str | None = None,
    access_key: str | None = None,
    session_token: str | None = None,
    region: str | None = None,
    api_version: str | None = None,
    api: OpenAIApi = "auto",
    headers: tuple[tuple[str, str], ...] = (),
    category: Literal["base", "byok"] = "base",
) -> ProviderConfig | None:
    """The configuration, its address in the form that the protocol wants; None when there is no address."""
    region = region or profile.default_region
    url = base_url or _default_base_url(profile, region)
    if url is None:
        return None
    return ProviderConfig(
        profile=profile,
        name=name,
        base_url=_normal_url(profile, url),
        api_key=api_key,
        source=source,
        headers=headers,
        access_key=access_key,
        session_token=session_token,
        region=region,
        api_version=api_version or profile.default_version,
        api=api,
        category=category,
    )


def without_userinfo(url: str) -> str:
    """The address without a name and a password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def has_version(url: str) -> bool:
    """Whether a segment of the path is a version, such as `v1` or `v1beta`."""
    return any(_VERSION_SEGMENT.match(segment) for segment in urlsplit(url).path.split("/"))


def openai_base_url(url: str) -> str:
    """The base URL with a version in its path: `/v1` is added where none of its segments is one."""
    url = url.strip().rstrip("/")
    return url if has_version(url) else f"{url}/v1"


def anthropic_base_url(url: str) -> str:
    """The base URL without the version, which the SDK adds."""
    return url.strip().rstrip("/").removesuffix("/v1")


def google_base_url(url: str) -> str:
    """The base URL of Gemini's OpenAI-compatible endpoint, from its own or from that of the whole API."""
    url = url.strip().rstrip("/")
    if not has_version(url):
        return f"{url}/v1beta/openai"
    return f"{url}/openai" if url.endswith(("/v1beta", "/v1alpha")) else url


def azure_base_url(url: str) -> str:
    """`…/openai/v1` for the undated API; else `…/openai`, below which are the deployments."""
    url = url.strip().rstrip("/")
    return url if has_version(url) else f"{url.partition('/openai')[0]}/openai"


def _normal_url(profile: ProviderProfile, url: str) -> str:
    match profile.protocol, profile.listing:
        case _, "google":
            return google_base_url(url)
        case _, "azure":
            return azure_base_url(url)
        case "openai", _:
            return openai_base_url(url)
        case _:
            return anthropic_base_url(url)


def _default_base_url(profile: ProviderProfile, region: str | None) -> str | None:
    default = profile.default_base_url
    return default and default.replace("{region}", region or "")
