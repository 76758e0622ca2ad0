"""The session of a person who has signed in: begun, and found again in a request."""

from __future__ import annotations

from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user, login
from django.http import HttpRequest

from letta_ade.accounts.models import User


def begin_session(request: HttpRequest, user: User) -> None:
    """Sign the person in, under a new key: whoever knew the one before it knows nothing.

    The session ends at a fixed time from now (ADE_SESSION_HOURS), however much it is used.
    """
    login(request, user)
    request.session.set_expiry(timedelta(hours=settings.SESSION_HOURS))


def logged_in_user(request: HttpRequest) -> User | None:
    """The user of a page's session, without a query when the request brought no session."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    user = get_user(request)
    return user if isinstance(user, User) and user.is_active else None


def user_of_cookies(cookies: str) -> User | None:
    """The user of a Cookie header, where no middleware has read it; checked as Django's middleware does it."""
    try:
        morsel = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    if morsel is None:
        return None
    request = HttpRequest()
    request.COOKIES[settings.SESSION_COOKIE_NAME] = morsel.value
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value)
    return logged_in_user(request)
