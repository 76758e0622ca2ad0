"""Middleware of the pages: the content security policy, and who calls."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import urlencode

from letta_ade.accounts.auth import Caller, Door, resolve_caller
from letta_ade.accounts.models import User
from letta_ade.core.errors import Unauthenticated

Handler = Callable[[HttpRequest], HttpResponse]

#: Nothing from elsewhere, nothing inline, no eval. Websockets of this origin are covered by 'self'.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class PageRequest(HttpRequest):
    """A request of a page, after CallerMiddleware."""

    caller: Caller


class ContentSecurityPolicyMiddleware:
    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class CallerMiddleware:
    """Puts the caller on the request; who is nobody is sent to the login page."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(settings.STATIC_URL):
            return self.get_response(request)
        try:
            request.caller = resolve_caller(door_of(request), logged_in_user(request))  # type: ignore[attr-defined]
        except Unauthenticated:
            login = resolve_url(settings.LOGIN_URL)
            if request.path == login:
                return self.get_response(request)
            if request.headers.get("HX-Request"):
                return HttpResponse(status=401, headers={"HX-Redirect": login})
            return redirect(f"{login}?{urlencode({'next': request.get_full_path()})}")
        return self.get_response(request)


def door_of(request: HttpRequest) -> Door:
    """What the request tells about its origin."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Door(headers=headers, client_host=request.META.get("REMOTE_ADDR") or None, method=request.method or "GET")


def logged_in_user(request: HttpRequest) -> User | None:
    """The user of the session, without a query when the request brought no session."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    user = get_user(request)
    return user if isinstance(user, User) and user.is_active else None
