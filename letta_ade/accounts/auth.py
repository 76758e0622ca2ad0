"""Who calls: one resolver for REST, pages and websockets.

Trusted local mode: a server that listens on loopback only, without another host name and without a proxy in front, takes every
caller for its owner. `Host` and `Origin` are checked then, so that a web page elsewhere cannot use the reader's browser to
get in (DNS rebinding, cross-site posts).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

from letta_ade.accounts import attempts
from letta_ade.accounts.models import Member, Role, User
from letta_ade.accounts.services.api_keys import KEY_MARK, find_api_key, hash_secret
from letta_ade.core.errors import Forbidden, TooManyAttempts, Unauthenticated
from letta_ade.core.ids import LOCAL_USER_ID, LOCAL_WORKSPACE_ID

Action = Literal["read", "review", "edit", "manage"]

#: What each role may do. The one table of permissions.
ACTIONS_OF_ROLE: Mapping[str, frozenset[Action]] = {
    Role.OWNER: frozenset({"read", "review", "edit", "manage"}),
    Role.EDITOR: frozenset({"read", "review", "edit"}),
    Role.REVIEWER: frozenset({"read", "review"}),
    Role.VIEWER: frozenset({"read"}),
}

_FORWARDING_HEADERS = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
    "via",
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who acts, and for which workspace. The first argument of every service."""

    workspace_id: str
    #: user-…, key-… or, for an agent's tool, agent-…
    id: str
    name: str
    role: str
    kind: Literal["local", "user", "api_key", "agent", "system", "import"]
    #: An agent that keeps the memory of others; rules of blocks tell them apart.
    is_background: bool = False

    def can(self, action: Action) -> bool:
        return action in ACTIONS_OF_ROLE[self.role]

    def check(self, action: Action) -> None:
        """Raise Forbidden unless the role allows the action."""
        if not self.can(action):
            raise Forbidden(f"Your role is {self.role}; this needs the right to {action}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a request tells about its origin; `headers` has lower-case names."""

    headers: Mapping[str, str]
    client_host: str | None
    method: str = "GET"

    @classmethod
    def of(cls, request: HttpRequest) -> Door:
        """What a request over HTTP tells."""
        return cls(
            headers={name.lower(): value for name, value in request.headers.items()},
            client_host=request.META.get("REMOTE_ADDR") or None,
            method=request.method or "GET",
        )

    @property
    def host(self) -> str:
        return self.headers.get("host", "")


def local_caller() -> Caller:
    """The owner of a server in trusted local mode."""
    return Caller(
        workspace_id=LOCAL_WORKSPACE_ID, id=LOCAL_USER_ID, name="You", role=Role.OWNER, kind="local"
    )


def resolve_caller(door: Door, user: User | None = None) -> Caller:
    """The caller of a request: a key of ours, a logged-in user, or the local owner.

    Raises Unauthenticated (no or bad key), TooManyAttempts (bad keys again and again) or Forbidden (a foreign host or origin).
    """
    check_origin(door)
    secret = bearer(door)
    if secret.startswith(KEY_MARK):
        return _key_caller(door, secret)
    if user is not None:
        return user_caller(user)
    if is_trusted_local(door):
        return local_caller()
    raise Unauthenticated()


def _key_caller(door: Door, secret: str) -> Caller:
    address, key_hash = client_address(door), hash_secret(secret)
    if wait := attempts.keys.wait_seconds(address, key_hash):
        raise TooManyAttempts(
            "Too many wrong API keys came from this address. Try again in a few minutes.",
            retry_after=math.ceil(wait),
        )
    key = find_api_key(secret)
    if key is None:
        attempts.keys.fail(address, key_hash)
        raise Unauthenticated("This API key is unknown, expired or revoked.")
    attempts.keys.succeed(address, key_hash)
    return Caller(workspace_id=key.workspace_id, id=key.id, name=key.name, role=key.role, kind="api_key")


def client_address(door: Door) -> str:
    """Against whom wrong passwords and keys are counted: the caller's address, in IPv6 its network of 64 bits.

    With ADE_TRUST_PROXY it is what the proxy in front says: the last entry of X-Forwarded-For, the only one that it wrote itself.
    Without, that header is the caller's own word and counts for nothing.
    """
    told = door.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() if settings.TRUST_PROXY else ""
    for text in (told, host_name(told), door.client_host or ""):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is not None:
                return str(address.ipv4_mapped)
            return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
        return str(address)
    return ""


def user_caller(user: User) -> Caller:
    """The caller that a logged-in user is. Raises Forbidden when the user is in no workspace."""
    member = Member.objects.filter(user=user).first() if user.is_active else None
    if member is None:
        raise Forbidden("Your account is not a member of a workspace.")
    return Caller(
        workspace_id=member.workspace_id, id=user.id, name=user.display_name, role=member.role, kind="user"
    )


def bearer(door: Door) -> str:
    """The token of the Authorization header, or an empty text."""
    scheme, _, token = door.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def trusts_loopback() -> bool:
    """Whether this server's settings allow trusted local mode at all."""
    return (
        not settings.REQUIRE_LOGIN
        and not settings.TRUST_PROXY
        and is_loopback(settings.HOST)
        and all(is_loopback(host) for host in settings.EXTRA_HOSTS)
    )


def is_trusted_local(door: Door) -> bool:
    """Whether this request comes from the machine itself, to a server that trusts it."""
    return (
        trusts_loopback()
        and not any(name in door.headers for name in _FORWARDING_HEADERS)
        and (door.client_host is None or is_loopback(door.client_host))
        and is_loopback(host_name(door.host))
    )


def check_origin(door: Door) -> None:
    """Raise Forbidden for a foreign Host, and for a page of another origin that wants more than to read."""
    name = host_name(door.host)
    if trusts_loopback() and not is_loopback(name):
        raise Forbidden(
            f"This server is open to its own machine only and was called as {name!r}. "
            "Call it as localhost, or start it with --host or ADE_ALLOWED_HOSTS."
        )
    if settings.EXTRA_HOSTS and not (is_loopback(name) or name in settings.EXTRA_HOSTS or _is_address(name)):
        raise Forbidden(f"This server does not answer as {name!r}; ADE_ALLOWED_HOSTS lists its names.")
    origin = door.headers.get("origin")
    is_elsewhere = bool(origin) and origin != "null" and urlsplit(origin or "").netloc != door.host
    if is_elsewhere and not origin_is_listed(origin):
        raise Forbidden(
            f"Pages of {origin} may not call this server; ACCEPTABLE_ORIGINS lists those that may."
        )
    is_foreign_page = origin == "null" or door.headers.get("sec-fetch-site") == "cross-site"
    if is_foreign_page and not origin_is_listed(origin) and door.method not in _SAFE_METHODS:
        raise Forbidden("A page of another site may not change anything here.")


def origin_is_listed(origin: str | None) -> bool:
    """Whether ACCEPTABLE_ORIGINS lets pages of this origin in."""
    return origin in settings.ACCEPTABLE_ORIGINS


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    return (urlsplit(f"//{host}").hostname or "") if host else ""


def is_loopback(name: str) -> bool:
    """Whether a host name or address means this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
