"""The errors that services raise; one table at each door turns them into an answer."""

from __future__ import annotations

from typing import Any


class AdeError(Exception):
    """Something went wrong."""

    status = 500
    code = "INTERNAL"
    #: Whether the same request may succeed when it is sent again (`x-should-retry`).
    is_retryable = False

    def __init__(self, message: str | None = None, **data: Any) -> None:
        self.message = message or type(self).__doc__ or "Something went wrong."
        self.data = data
        super().__init__(self.message)

    def wire_detail(self) -> str | dict[str, str]:
        """What stands under `detail` in the answer of the API."""
        return f"{self.code}: {self.message}"


class Invalid(AdeError):
    """The request is not valid."""

    status = 400
    code = "INVALID_ARGUMENT"


class Unprocessable(AdeError):
    """A field of the request does not hold what it must."""

    status = 422
    code = "UNPROCESSABLE"


class Unauthenticated(AdeError):
    """Unauthorized"""

    status = 401
    code = "UNAUTHENTICATED"


class Forbidden(AdeError):
    """You may not do this."""

    status = 403
    code = "FORBIDDEN"


class NotFound(AdeError):
    """Not found."""

    status = 404
    code = "NOT_FOUND"


class NotAllowed(AdeError):
    """This kind of object cannot be changed this way."""

    status = 405
    code = "NOT_ALLOWED"


class Conflict(AdeError):
    """The object is in a state that does not allow this."""

    status = 409
    code = "CONFLICT"


class Gone(AdeError):
    """The object existed and has expired."""

    status = 410
    code = "EXPIRED"


class TooLarge(AdeError):
    """The request is larger than this server accepts."""

    status = 413
    code = "TOO_LARGE"


class TooManyAttempts(AdeError):
    """Wrong too often; try again later. `retry_after` (seconds) is in its data."""

    status = 429
    code = "TOO_MANY_ATTEMPTS"


class Unsupported(AdeError):
    """This server cannot do that."""

    status = 501
    code = "UNSUPPORTED"


class Unavailable(AdeError):
    """The server cannot answer now."""

    status = 503
    code = "UNAVAILABLE"
    is_retryable = True
