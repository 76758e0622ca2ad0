"""Errors as pages, and as notices for htmx. The one table from AdeError to what a person reads."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from letta_ade.core.errors import AdeError, Forbidden, NotFound

logger = logging.getLogger(__name__)

#: Status → what happened, and what it means or what to do. The error's own text stands between them.
WORDS: dict[int, tuple[str, str]] = {
    400: ("The request is not valid", "Nothing was changed."),
    401: ("You are not signed in", "Sign in and try again."),
    403: ("You may not do this", "An owner of the workspace can change your role."),
    404: ("Not found", "It was deleted, or it belongs to a workspace that you are not in."),
    405: ("This cannot be changed this way", "Nothing was changed."),
    409: ("Something is in the way", "Nothing was changed."),
    410: ("No longer there", "It existed and has expired."),
    413: ("Too large", "Nothing was stored."),
    422: ("Something does not fit", "Nothing was changed."),
    429: ("Too many attempts", "Wait a few minutes, then try again."),
    500: ("The server failed", "The server's log has the details. What was stored before is kept."),
    501: ("This server cannot do that", "Nothing was changed."),
    503: ("The server cannot answer now", "Try again in a moment."),
}


def error_response(request: HttpRequest, error: AdeError) -> HttpResponse:
    """The answer to an error: a page, or for htmx a notice that the page puts in its corner."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s %s: %s", request.method, request.path, error, exc_info=error)
    heading, meaning = WORDS.get(error.status, WORDS[500])
    if isinstance(error, NotFound) and error.message.endswith("not found"):
        heading, detail = error.message, ""
    else:
        detail = error.message
    if request.headers.get("HX-Request"):
        return _notice(request, heading, detail or meaning, error.status)
    context: dict[str, Any] = {
        "heading": heading,
        "detail": detail,
        "meaning": meaning,
        "status": error.status,
    }
    return render(request, _page(request, error.status), context, status=error.status)


def _notice(request: HttpRequest, heading: str, text: str, status: int) -> HttpResponse:
    context = {"kind": "bad", "heading": heading, "text": text}
    return render(request, "partials/notice.html", context, status=status)


def _page(request: HttpRequest, status: int) -> str:
    # Without a caller there is no rail; after a failure of ours its counts might fail again.
    has_shell = hasattr(request, "caller") and status < HTTPStatus.INTERNAL_SERVER_ERROR
    return "errors/in_shell.html" if has_shell else "errors/alone.html"


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The answer to a form whose CSRF token is missing or old, or that came over https to a server that knows nothing of it."""
    origin = request.headers.get("Origin", "")
    if not request.is_secure() and origin == f"https://{request.get_host()}":
        return error_response(
            request,
            Forbidden(
                "A proxy in front of this server ends TLS, and it was not told so: set ADE_TRUST_PROXY=1."
            ),
        )
    return error_response(request, Forbidden("This form is out of date. Reload the page and send it again."))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400."""
    error = AdeError("The browser sent something that this server does not read.")
    error.status = HTTPStatus.BAD_REQUEST
    return error_response(request, error)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    return error_response(request, Forbidden())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404: an address that no page has."""
    return error_response(request, NotFound(f"There is no page at {request.path}."))


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500. The traceback is logged by Django."""
    heading, meaning = WORDS[500]
    if request.headers.get("HX-Request"):
        return _notice(request, heading, meaning, HTTPStatus.INTERNAL_SERVER_ERROR)
    context: dict[str, Any] = {"heading": heading, "detail": "", "meaning": meaning, "status": 500}
    return render(request, "errors/alone.html", context, status=500)
