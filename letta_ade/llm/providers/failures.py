"""A failed call, whatever SDK reports it, as one of our model errors with the provider's own text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from letta_ade.llm.environment import missing_variable
from letta_ade.llm.errors import (
    ContextOverflow,
    InvalidReply,
    ModelAuthentication,
    ModelBadRequest,
    ModelConnection,
    ModelCredits,
    ModelError,
    ModelOverloaded,
    ModelRateLimited,
    ModelTimeout,
)
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.provider_profiles import ProviderProfile

_DETAIL_CHARACTERS = 2000
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid")

#: Every provider words a too long request in its own way; none of these phrases occurs in another refusal.
_OVERFLOW_PHRASES = (
    "context length",
    "context_length",
    "context window",
    "context size",
    "maximum context",
    "max_model_len",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input tokens exceed",
    "too many input tokens",
    "exceeds the available context",
    "reduce the length of the messages",
    "exceed the model's maximum",
)
_CREDIT_PHRASES = ("insufficient_quota", "credit balance", "insufficient balance", "insufficient credits")

#: Errors that arrive inside a stream have a name instead of a status.
_STATUS_OF_NAME = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    "service_unavailable_error": 503,
    # OpenAI, inside a stream.
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_prompt": 400,
    "invalid_image": 400,
    "bio_policy": 400,
    "misalignment_policy_violation": 400,
    # AWS.
    "validationException": 400,
    "accessDeniedException": 403,
    "throttlingException": 429,
    "internalServerException": 500,
    "modelStreamErrorException": 500,
    "serviceUnavailableException": 503,
    "modelTimeoutException": 504,
}


def missing_key(profile: ProviderProfile) -> ModelAuthentication:
    """The provider is not switched on in this server's environment."""
    variable = missing_variable(profile)
    return ModelAuthentication(
        f"{profile.display_name} is not set up on this server: set {variable} and start it again."
    )


def from_sdk(error: Exception, config: ProviderConfig, *, timeout_seconds: float) -> ModelError:
    """What an exception of either SDK, or of the connection below it, means; it is not raised here."""
    name = config.profile.display_name
    status = getattr(error, "status_code", None)
    kind = type(error).__name__
    if isinstance(status, int):
        headers = getattr(getattr(error, "response", None), "headers", {})
        return from_status(
            config,
            status,
            getattr(error, "body", None) or str(error),
            request_id_in(headers),
            retry_after_seconds=retry_after(headers),
        )
    cause = type(error.__cause__ or error).__name__
    detail = _cause(error, config)
    if "Timeout" in kind and not cause.startswith("Connect"):
        return ModelTimeout(f"{name} sent nothing for {timeout_seconds:g} seconds.", detail=detail)
    if isinstance(error, ValueError):
        return not_understood(config, detail)
    if cause.startswith("Connect"):
        return ModelConnection(f"{name} cannot be reached at {config.shown_url}.", detail=detail)
    return ModelConnection(f"The connection to {name} broke.", detail=detail)


def from_status(
    config: ProviderConfig,
    status: int,
    body: object,
    request_id: str | None = None,
    *,
    retry_after_seconds: float | None = None,
) -> ModelError:
    """What an answer with this HTTP status means."""
    text = provider_text(body)
    everything = json.dumps(body, default=str) if isinstance(body, Mapping | list) else text
    kind, sentence = _meaning(status, text, everything)
    return kind(
        sentence.format(name=config.profile.display_name, status=status),
        detail=config.hide_keys(text),
        request_id=request_id,
        retry_after_seconds=retry_after_seconds,
    )


def request_id_in(headers: Mapping[str, str]) -> str | None:
    """The provider's own number of the request, which its support asks for."""
    return next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds the provider asks to be left alone; None when it asks nothing that can be understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        at = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def not_understood(config: ProviderConfig, sent: str, request_id: str | None = None) -> InvalidReply:
    """The provider sent something else than its protocol."""
    sentence = f"{config.profile.display_name} sent something that is not its protocol."
    return InvalidReply(sentence, detail=config.hide_keys(sent)[:_DETAIL_CHARACTERS], request_id=request_id)


def cut_off(config: ProviderConfig, request_id: str | None) -> ModelConnection:
    """The stream ended before the reply did."""
    return ModelConnection(
        f"{config.profile.display_name} stopped before its reply ended.", request_id=request_id
    )


def provider_text(body: object) -> str:
    """The provider's own sentence in an error body of any of the usual shapes."""
    if isinstance(body, list) and body:
        # Google's.
        return provider_text(body[0])
    if isinstance(body, Mapping):
        for key in ("error", "message", "detail", "Message"):
            if body.get(key):
                return provider_text(body[key])
        return json.dumps(body, default=str)[:_DETAIL_CHARACTERS]
    return str(body)[:_DETAIL_CHARACTERS]


def _meaning(status: int, text: str, everything: str) -> tuple[type[ModelError], str]:
    lowered = f"{everything} {text}".lower()
    is_overflow = any(phrase in lowered for phrase in _OVERFLOW_PHRASES)
    is_about_credits = any(phrase in lowered for phrase in _CREDIT_PHRASES)
    if status == 402 or (is_about_credits and status in (400, 403, 429)):
        return ModelCredits, "{name} wants its account topped up ({status})."
    if status in (400, 413, 422) and is_overflow:
        return (
            ContextOverflow,
            "The conversation is longer than the model's context window ({name}, {status}).",
        )
    if status in (401, 403) or (status == 400 and "api key not valid" in lowered):
        return ModelAuthentication, "{name} refused the key ({status})."
    if status == 404:
        return ModelBadRequest, "{name} does not know this model or address ({status})."
    if status == 429:
        return ModelRateLimited, "{name} limits how often it may be asked ({status})."
    if status in (408, 504):
        return ModelTimeout, "{name} took too long ({status})."
    if status >= 500:
        return ModelOverloaded, "{name} is overloaded or out of order ({status})."
    return ModelBadRequest, "{name} refused the request ({status})."


def status_in(body: Any) -> int:
    """The status that an error inside a stream stands for; 500 when it does not say."""
    body = body[0] if isinstance(body, list) and body else body
    error = body.get("error", body) if isinstance(body, Mapping) else {}
    if not isinstance(error, Mapping):
        return 500
    for key in ("code", "status", "type"):
        value = error.get(key)
        if isinstance(value, int) and 400 <= value < 600:
            return value
        if isinstance(value, str):
            if value.isdigit() and 400 <= int(value) < 600:
                return int(value)
            if value in _STATUS_OF_NAME:
                return _STATUS_OF_NAME[value]
    return 500


def _cause(error: Exception, config: ProviderConfig) -> str:
    cause = error.__cause__ or error
    return config.hide_keys(str(cause) or type(cause).__name__)[:_DETAIL_CHARACTERS]
