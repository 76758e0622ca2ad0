"""Errors as pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The answer to a form whose CSRF token is missing or old."""
    return HttpResponse("This form is out of date. Reload the page and send it again.", status=403)
