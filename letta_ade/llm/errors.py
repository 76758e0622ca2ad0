"""What can go wrong between us and a model provider, with the provider's own text."""

from __future__ import annotations

from letta_ade.core.errors import AdeError


class ModelError(AdeError):
    """The model provider failed.

    `message` is a sentence of ours; `detail` is the provider's own text; `request_id` is the provider's, when it sent one.
    `retry_after_seconds` is how long it asked to be left alone, None when it asked nothing.
    """

    status = 500
    code = "LLM"
    error_type = "llm_error"
    #: Whether the loop may send the same request again before it gives up.
    is_transient = False
    #: How long the provider asked to be left alone; None when it did not say.
    retry_after_seconds: float | None = None
    #: Of a check: what was asked ("GET https://…"), and all that came back.
    request: str | None = None
    answer: str | None = None

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, detail=detail, request_id=request_id)
        self.detail = detail
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


def error_text(error: AdeError) -> str:
    """Our sentence, and what the provider itself said."""
    detail = error.detail if isinstance(error, ModelError) else None
    return f"{error.message} {detail or ''}".strip()


class ModelTimeout(ModelError):
    """The provider sent nothing for too long."""

    status = 504
    error_type = "llm_timeout"
    is_transient = True


class ModelRateLimited(ModelError):
    """The provider limits our rate (429)."""

    status = 429
    error_type = "llm_rate_limit"
    is_transient = True


class ModelAuthentication(ModelError):
    """The provider refused our key (401, 403), or there is none."""

    status = 401
    error_type = "llm_authentication"


class ModelCredits(ModelError):
    """The provider wants money (402)."""

    status = 402
    error_type = "llm_insufficient_credits"


class ModelBadRequest(ModelError):
    """The provider refused the request (400, 404, 422)."""

    status = 400
    error_type = "llm_bad_request"


class ContextOverflow(ModelBadRequest):
    """The request is longer than the model's window."""


class ModelOverloaded(ModelError):
    """The provider is overloaded (503, 529) or fails with another 5xx."""

    status = 503
    error_type = "llm_error"
    is_transient = True


class ModelConnection(ModelError):
    """The provider cannot be reached, or the connection broke before the reply ended."""

    status = 500
    error_type = "llm_error"
    is_transient = True


class InvalidReply(ModelError):
    """The provider's reply is empty or cannot be understood."""

    status = 500
    error_type = "llm_empty_response"
