"""The lists of models as providers give them: who is asked for what, and what stands in for a list that is not given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from letta_ade.llm.errors import (
    InvalidReply,
    ModelAuthentication,
    ModelBadRequest,
    ModelConnection,
    ModelError,
)
from letta_ade.llm.model_rows import (
    ModelRow,
    azure_row,
    bedrock_row,
    google_row,
    ollama_row,
    openai_row,
)
from letta_ade.llm.profiles import ANTHROPIC_MODELS, BEDROCK_MODELS
from letta_ade.llm.provider_config import ProviderConfig, without_userinfo
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.clients import check_bedrock_extra
from letta_ade.llm.providers.guard import check_allowed

if TYPE_CHECKING:
    import httpx2

_ANTHROPIC_VERSION = "2023-06-01"
#: The last version of Azure's API that tells the deployments of a resource to the holder of its key.
_AZURE_DEPLOYMENTS_VERSION = "2023-03-15-preview"
#: Models that are asked about at once.
_ABREAST = 8
#: AWS's words for a key that is wrong, and for one that may not list.
_WRONG_KEY = ("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")
_MAY_NOT_LIST = ("AccessDeniedException",)


#: Of an answer that is kept and shown. More than that is a page for people, not an error.
_ANSWER_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The rows of a list, and what was asked for it: "GET https://…"."""

    rows: list[ModelRow]
    request: str


def model_rows(config: ProviderConfig, *, timeout_seconds: float) -> Told:
    """Every model that the provider lists. Raises ModelError when it cannot be asked, or refuses the key."""
    if config.profile.listing == "bedrock":
        return _bedrock_told(config, timeout_seconds)
    import httpx2

    check_allowed(config.base_url)
    with httpx2.Client(timeout=timeout_seconds) as client:
        asking = _Asking(config, client, timeout_seconds)
        return Told(rows=_STYLES[config.profile.listing](asking), request=asking.request)


def check_key(config: ProviderConfig, *, timeout_seconds: float) -> None:
    """Ask whether the key is good, where the list of models does not tell. Raises ModelError when it is not."""
    import httpx2

    if config.profile.key_check_path is None:
        return
    check_allowed(config.base_url)
    with httpx2.Client(timeout=timeout_seconds) as client:
        _Asking(config, client, timeout_seconds).get(config.base_url + config.profile.key_check_path)


class _Asking:
    """The provider, and a connection to it."""

    def __init__(self, config: ProviderConfig, client: httpx2.Client, timeout_seconds: float) -> None:
        self.config = config
        self._client = client
        self._timeout_seconds = timeout_seconds
        #: What was asked last for a list, without what is a secret in it.
        self.request = ""

    @property
    def host(self) -> str:
        """The address without the version and what follows it, where a server's own API is."""
        return self.config.base_url.partition("/v1")[0]

    def get(
        self, url: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The JSON at the address. Raises ModelError."""
        asked = without_userinfo(url)
        self.request = f"GET {asked}?{urlencode(query)}" if query else f"GET {asked}"
        return self._ask("GET", url, params=query or {}, headers=headers)

    def post(self, url: str, body: Any) -> Any:
        return self._ask("POST", url, json=body)

    def _ask(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        import httpx2

        keys = self.config.key_headers if headers is None else {**dict(self.config.headers), **headers}
        try:
            response = self._client.request(method, url, headers=keys, **options)
            is_json = "json" in response.headers.get("content-type", "json")
            body = response.json() if is_json and response.content else response.text
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            failure = failures.from_sdk(error, self.config, timeout_seconds=self._timeout_seconds)
            raise self._told_by(failure, None) from error
        if response.status_code >= 400:
            failure = failures.from_status(
                self.config,
                response.status_code,
                body,
                failures.request_id_in(response.headers),
                retry_after_seconds=failures.retry_after(response.headers),
            )
            raise self._told_by(failure, response)
        return body

    def _told_by(self, failure: ModelError, response: httpx2.Response | None) -> ModelError:
        """The failure with what was asked and all that came back."""
        failure.request = self.request
        if response is not None:
            line = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
            failure.answer = self.config.hide_keys(f"{line}\n{response.text[:_ANSWER_CHARACTERS]}").rstrip()
        return failure

    def rows(self, body: Any, key: str = "data") -> list[Mapping[str, Any]]:
        """The rows in a body. InvalidReply when there are none."""
        # Together sends the bare list.
        rows = body.get(key) if isinstance(body, Mapping) else body
        if not isinstance(rows, list):
            raise self._told_by(failures.not_understood(self.config, str(body)), None)
        return [row for row in rows if isinstance(row, Mapping)]


def _openai_rows(asking: _Asking) -> list[ModelRow]:
    query = {**dict(asking.config.profile.listing_query), **asking.config.query}
    rows = asking.rows(asking.get(f"{asking.config.base_url}/models", query))
    return _known(openai_row(asking.config, row) for row in rows)


def _anthropic_rows(asking: _Asking) -> list[ModelRow]:
    config = asking.config
    headers = {"anthropic-version": _ANTHROPIC_VERSION, "x-api-key": config.api_key or ""}
    try:
        body = asking.get(f"{config.base_url}/v1/models", {"limit": "1000"}, headers)
    except ModelError as error:
        if not _is_unknown_address(error) or (config.is_official_host and config.profile.name == "anthropic"):
            raise
        # A proxy that only forwards messages, or somebody else's models in Anthropic's protocol.
        names = ANTHROPIC_MODELS if config.profile.name == "anthropic" else _MINIMAX_MODELS
        return [ModelRow(name=name) for name in names]
    return _known(openai_row(config, row) for row in asking.rows(body))


def _ollama_rows(asking: _Asking) -> list[ModelRow]:
    try:
        tags = asking.rows(asking.get(f"{asking.host}/api/tags"), "models")
    except ModelError as error:
        if not _is_unknown_address(error):
            raise
        # Something else that speaks OpenAI's protocol at this address.
        return _openai_rows(asking)
    names = [str(tag.get("model") or tag.get("name") or "") for tag in tags]

    def show(name: str) -> ModelRow:
        try:
            shown = asking.post(f"{asking.host}/api/show", {"model": name})
        except ModelError:
            shown = {}
        return ollama_row(name, shown if isinstance(shown, Mapping) else {})

    with ThreadPoolExecutor(max_workers=_ABREAST) as pool:
        return list(pool.map(show, filter(None, names)))


def _lmstudio_rows(asking: _Asking) -> list[ModelRow]:
    try:
        rows = asking.rows(asking.get(f"{asking.host}/api/v0/models"))
    except ModelError as error:
        if not _is_unknown_address(error):
            raise
        return _openai_rows(asking)
    return _known(openai_row(asking.config, row) for row in rows)


def _google_rows(asking: _Asking) -> list[ModelRow]:
    """Gemini's own list says windows and kinds, its OpenAI-compatible one only names."""
    config = asking.config
    own = config.base_url.removesuffix("/openai")
    try:
        body = asking.get(f"{own}/models", {"pageSize": "1000"}, {"x-goog-api-key": config.api_key or ""})
        return _known(google_row(row) for row in asking.rows(body, "models"))
    except ModelError as error:
        if not _is_unknown_address(error):
            raise
    rows = asking.rows(asking.get(f"{config.base_url}/models"))
    return _known(
        openai_row(config, {**row, "id": str(row.get("id") or "").removeprefix("models/")}) for row in rows
    )


def _azure_rows(asking: _Asking) -> list[ModelRow]:
    config = asking.config
    resource, slash, _ = config.base_url.partition("/openai")
    if slash:
        try:
            query = {"api-version": _AZURE_DEPLOYMENTS_VERSION}
            return _known(
                azure_row(row) for row in asking.rows(asking.get(f"{resource}/openai/deployments", query))
            )
        except ModelError as error:
            if not _is_unknown_address(error):
                raise
    return _known(
        azure_row(row) for row in asking.rows(asking.get(f"{config.base_url}/models", config.query))
    )


def _bedrock_told(config: ProviderConfig, timeout_seconds: float) -> Told:
    # The models run at one address, and are listed at another.
    address = config.base_url.replace("://bedrock-runtime.", "://bedrock.")
    request = f"GET {without_userinfo(address)}/inference-profiles"
    try:
        return Told(rows=_bedrock_rows(config, address, timeout_seconds), request=request)
    except ModelError as error:
        error.request = request
        raise


def _bedrock_rows(config: ProviderConfig, address: str, timeout_seconds: float) -> list[ModelRow]:
    check_allowed(config.base_url)
    check_bedrock_extra()
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "bedrock",
        region_name=config.region,
        aws_access_key_id=config.access_key,
        aws_secret_access_key=config.api_key,
        aws_session_token=config.session_token,
        endpoint_url=address,
        config=Config(
            connect_timeout=timeout_seconds, read_timeout=timeout_seconds, retries={"max_attempts": 0}
        ),
    )
    try:
        pages = client.get_paginator("list_inference_profiles").paginate()
        return _known(bedrock_row(row) for page in pages for row in page["inferenceProfileSummaries"])
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MAY_NOT_LIST:
            area = (config.region or "us").split("-", 1)[0]
            return [ModelRow(name=f"{area}{name.removeprefix('us')}") for name in BEDROCK_MODELS]
        if code in _WRONG_KEY:
            raise ModelAuthentication("AWS refused the key.", detail=config.hide_keys(str(error))) from error
        raise ModelError(
            "AWS Bedrock does not list its models.", detail=config.hide_keys(str(error))
        ) from error
    except BotoCoreError as error:
        raise ModelConnection(
            f"AWS Bedrock cannot be reached in {config.region}.", detail=str(error)
        ) from error
    finally:
        client.close()


#: MiniMax lists nothing in Anthropic's protocol.
_MINIMAX_MODELS = ("MiniMax-M2", "MiniMax-M2.1", "MiniMax-M2.5")

_STYLES: Mapping[str, Callable[[_Asking], list[ModelRow]]] = {
    "openai": _openai_rows,
    "anthropic": _anthropic_rows,
    "ollama": _ollama_rows,
    "lmstudio": _lmstudio_rows,
    "google": _google_rows,
    "azure": _azure_rows,
}


def _known(rows: Iterable[ModelRow | None]) -> list[ModelRow]:
    return [row for row in rows if row is not None]


def _is_unknown_address(error: ModelError) -> bool:
    """The server is there and has no such address: 404, 405 and their kind, or a page for people."""
    return isinstance(error, ModelBadRequest | InvalidReply)
