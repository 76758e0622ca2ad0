"""Who opened a websocket. Channels' own middleware would look the session up on a thread that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from letta_ade.accounts.auth import Caller, Door, resolve_caller
from letta_ade.accounts.models import User


def resolve_websocket(scope: Mapping[str, Any]) -> Caller:
    """The caller of a connection, by key, session or trusted local mode. Synchronous; raises as `resolve_caller` does."""
    door = door_of(scope)
    return resolve_caller(door, _session_user(door.headers.get("cookie", "")))


def door_of(scope: Mapping[str, Any]) -> Door:
    """What a websocket's request tells about its origin. It carries private data, so it is no safe method."""
    headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
    client = scope.get("client")
    return Door(headers=headers, client_host=client[0] if client else None, method="CONNECT")


def _session_user(cookies: str) -> User | None:
    """The user who is logged in, checked as Django's middleware does it."""
    try:
        morsel = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    if morsel is None:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value)
    user = get_user(request)
    return user if isinstance(user, User) and user.is_active else None
