"""Middleware of the pages: the content security policy, who calls, and errors as pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode

from letta_ade.accounts.auth import Door, resolve_caller
from letta_ade.accounts.sessions import logged_in_user
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, Unauthenticated
from letta_ade.web.errors import error_response

Handler = Callable[[HttpRequest], HttpResponseBase]

#: Nothing from elsewhere, nothing inline, no eval. Websockets of this origin are covered by 'self'.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class PageMiddleware:
    """A middleware that awaits asynchronous views instead of holding a thread while they run.

    A view that starts a run needs a thread itself: with synchronous middleware around it, as many requests as there are
    threads would wait for each other for ever.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(cast(Callable[..., Any], self))

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._asynchronously(request)
        early = self.before(request)
        return early if early is not None else self.after(request, self.get_response(request))

    async def _asynchronously(self, request: HttpRequest) -> HttpResponseBase:
        early = await threads.run(self.before, request)
        if early is not None:
            return early
        return self.after(request, await cast(Awaitable[HttpResponseBase], self.get_response(request)))

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        """An answer instead of the view's, or None. May use the database."""
        return None

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer as it leaves."""
        return response


class ContentSecurityPolicyMiddleware(PageMiddleware):
    """The headers that every page has, and cookies that keep to TLS where there is TLS."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        # Somebody's data: not for shared caches, and a page may differ from its fragment at the same address.
        response.headers.setdefault("Cache-Control", "private, no-cache")
        patch_vary_headers(response, ("HX-Request",))
        # Not Django's settings: the same server is called over https by a proxy and over plain http on its own machine.
        if request.is_secure():
            for cookie in response.cookies.values():
                cookie["secure"] = True
        return response


class CallerMiddleware(PageMiddleware):
    """Puts the caller on the request; who is nobody is sent to the login page. Errors of the views become pages."""

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.path.startswith(settings.STATIC_URL):
            return None
        try:
            request.caller = resolve_caller(Door.of(request), logged_in_user(request))  # type: ignore[attr-defined]  # PageRequest from here on
        except Unauthenticated:
            return self._to_login(request)
        except AdeError as error:
            return error_response(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Django calls this when a view raises."""
        return error_response(request, exception) if isinstance(exception, AdeError) else None

    def _to_login(self, request: HttpRequest) -> HttpResponseBase | None:
        login = resolve_url(settings.LOGIN_URL)
        if request.path == login:
            return None
        if request.headers.get("HX-Request"):
            return HttpResponse(status=401, headers={"HX-Redirect": login})
        return redirect(f"{login}?{urlencode({'next': request.get_full_path()})}")
