"""Requests to addresses that a stranger chose: to public ones only, and never for longer or larger than asked for.

The host is looked up here, each of its addresses is judged, and the connection goes to an address that passed: a name that means
something else a moment later (DNS rebinding) changes nothing. `Host` and TLS still carry the name. Each redirect is judged like the
first address. Nothing of this server's environment goes along: no proxy, no `.netrc`, no cookie.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from django.conf import settings

from letta_ade.core.addresses import Address, parse_host, why_not_public
from letta_ade.core.errors import AdeError
from letta_ade.core.version import product_version

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

#: The addresses of a name; raises OSError.
LookUp = Callable[[str, int], Sequence[Address]]

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: So many addresses of a name are tried.
_MOST_ADDRESSES = 4
#: gzip and zlib, told apart by their head.
_ANY_ZLIB = zlib.MAX_WBITS | 32
#: What does not compress is larger packed, by a little.
_PACKING_BYTES = 64 * 1024


class OutboundError(AdeError):
    """A request to another server did not work."""


class OutboundRefused(OutboundError):
    """This address may not be called from this server."""

    status = 400
    code = "INVALID_ARGUMENT"


class OutboundFailed(OutboundError):
    """The other server did not answer as it should."""

    status = 502
    code = "BAD_GATEWAY"


class OutboundTooLarge(OutboundFailed):
    """The answer of the other server is too large."""


class UnknownHost(OutboundFailed):
    """There is no such host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, and how much it may take."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    connect_seconds: float = 5.0
    #: For everything: looking up, connecting, redirects, the answer to its last byte.
    total_seconds: float = 10.0
    #: Of the answer, unpacked. With 0 its body is not read.
    most_bytes: int = 1024 * 1024
    #: How many are followed. Only of GET: a redirected POST is answered with the redirect.
    most_redirects: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other server said, whatever its status."""

    #: Where the answer came from, after redirects.
    url: str
    status: int
    #: Names in small letters.
    headers: Mapping[str, str]
    body: bytes


def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a name, in the order in which the system would try them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


async def fetch(call: Call, *, look_up: LookUp = look_up) -> Answer:
    """Send the request and return the answer, also one with an error status.

    Raises OutboundRefused for an address that may not be called, OutboundTooLarge, and OutboundFailed for every other failure.
    """
    try:
        async with asyncio.timeout(call.total_seconds):
            return await _follow(call, look_up)
    except TimeoutError as error:
        raise OutboundFailed(
            f"{shown_url(call.url)} did not answer within {call.total_seconds:g} s."
        ) from error


def fetch_sync(call: Call, *, look_up: LookUp = look_up) -> Answer:
    """The same for a thread without an event loop."""
    return asyncio.run(fetch(call, look_up=look_up))


def check_url(url: str, *, seconds: float = 3.0, look_up: LookUp = look_up) -> None:
    """Raise OutboundRefused for an address that may not be called, OutboundFailed when its name cannot be looked up in time.

    Blocks while it looks the name up. `fetch` checks again: the answer may be another one by then.
    """
    target = _parse(url)
    if isinstance(target.host, str):
        try:
            found = _resolvers.submit(look_up, target.host, target.port).result(seconds)
        except (OSError, TimeoutError) as error:
            raise _not_found(target.host, error) from error
    else:
        found = [target.host]
    _permitted(target.host, found)


async def permitted_addresses(host: str, port: int, *, look_up: LookUp = look_up) -> list[Address]:
    """The addresses of a host that may be called. Raises OutboundRefused when there is none, UnknownHost."""
    try:
        named = parse_host(host)
    except ValueError as error:
        raise OutboundRefused(f"{host!r} cannot be called: {error}.") from error
    return await _addresses(named, port, look_up)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    url: httpx2.URL
    host: Address | str
    port: int


# Threads of their own: a look-up cannot be cancelled, and one that hangs must hold up neither the loop's end nor other work.
_resolvers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolver")


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms. SSL_CERT_FILE counts: whoever runs the server chose it.
    import httpx2

    return httpx2.create_ssl_context()


async def _follow(call: Call, look_up: LookUp) -> Answer:
    target = _parse(call.url)
    for _ in range(call.most_redirects + 1):
        addresses = await _addresses(target.host, target.port, look_up)
        answer = await _send(call, target, addresses)
        location = _location(call, answer.status, answer.headers)
        if location is None:
            return answer
        following = _parse(_joined(target.url, location))
        if (target.url.scheme, following.url.scheme) == ("https", "http"):
            raise OutboundRefused(f"{shown_url(call.url)} leads from https to http.")
        if (following.host, following.port) != (target.host, target.port):
            # What the caller sent was meant for the first server.
            call = replace(call, headers={})
        target = following
    raise OutboundFailed(f"{shown_url(call.url)} leads on more than {call.most_redirects} times.")


def _parse(url: str) -> _Target:
    """The parts of the address. Raises OutboundRefused for one that is not a plain http or https address."""
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise OutboundRefused(f"{shown_url(url)} is not an address: {error}") from error
    if parsed.scheme not in _PORTS:
        raise OutboundRefused(f"{shown_url(url)} is neither http nor https.")
    if parsed.userinfo:
        raise OutboundRefused(f"{shown_url(url)} holds a user name or a password.")
    if not parsed.host:
        raise OutboundRefused(f"{shown_url(url)} names no host.")
    try:
        host = parse_host(parsed.raw_host.decode("ascii"))
    except ValueError as error:
        raise OutboundRefused(f"{shown_url(url)} cannot be called: {error}.") from error
    port = parsed.port if parsed.port is not None else _PORTS[parsed.scheme]
    if not 0 < port < 65536:
        raise OutboundRefused(f"{shown_url(url)} has no possible port.")
    return _Target(url=parsed, host=host, port=port)


def _joined(url: httpx2.URL, location: str) -> str:
    import httpx2

    try:
        return str(url.join(location))
    except httpx2.InvalidURL as error:
        raise OutboundFailed(
            f"{shown_url(str(url))} leads to something that is no address: {error}"
        ) from error


async def _addresses(host: Address | str, port: int, look_up: LookUp) -> list[Address]:
    if not isinstance(host, str):
        return _permitted(host, [host])
    try:
        found = await asyncio.wrap_future(_resolvers.submit(look_up, host, port))
    except OSError as error:
        raise _not_found(host, error) from error
    return _permitted(host, found)


def _permitted(host: Address | str, found: Sequence[Address]) -> list[Address]:
    """Those of the addresses that may be called. Raises OutboundRefused when there is none."""
    kinds = {address: why_not_public(address) for address in found}
    permitted = [
        address
        for address, kind in kinds.items()
        if kind is None or settings.OUTBOUND_ALLOW.allows(host, address)
    ]
    if permitted:
        return permitted[:_MOST_ADDRESSES]
    kind = next(iter(kinds.values()), "no address")
    logger.info("refused to call %s: %s", host, ", ".join(map(str, found)))
    what = f"{host} leads to {kind}" if isinstance(host, str) else f"{host} is {kind}"
    raise OutboundRefused(
        f"{what}; this server calls public addresses only. ADE_OUTBOUND_ALLOW lists exceptions."
    )


async def _send(call: Call, target: _Target, addresses: Sequence[Address]) -> Answer:
    """The answer of the first address that can be reached."""
    import httpx2

    seconds = httpx2.Timeout(call.total_seconds, connect=call.connect_seconds)
    transport = httpx2.AsyncHTTPTransport(verify=_tls(), trust_env=False)
    # A client for each request: it keeps nothing for the next one.
    async with httpx2.AsyncClient(transport=transport, trust_env=False, timeout=seconds) as client:
        for address in addresses:
            request = client.build_request(
                call.method,
                target.url.copy_with(host=str(address)),
                headers=_headers(call, target),
                content=call.body,
                extensions={"sni_hostname": str(target.host)},
            )
            try:
                response = await client.send(request, stream=True, follow_redirects=False)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if address == addresses[-1]:
                    raise _failure(call, target, error) from error
                continue
            except httpx2.HTTPError as error:
                raise _failure(call, target, error) from error
            try:
                return await _read(call, target, response)
            except httpx2.HTTPError as error:
                raise _failure(call, target, error) from error
            finally:
                await response.aclose()
    raise AssertionError("there is at least one address")


def _headers(call: Call, target: _Target) -> dict[str, str]:
    return {
        "User-Agent": f"Letta-ADE/{product_version()}",
        "Accept": "*/*",
        **call.headers,
        # What we can unpack piece by piece, without more in memory than was asked for.
        "Accept-Encoding": "gzip, deflate",
        "Host": target.url.netloc.decode("ascii"),
    }


async def _read(call: Call, target: _Target, response: httpx2.Response) -> Answer:
    headers = dict(response.headers)
    is_wanted = call.most_bytes > 0 and _location(call, response.status_code, headers) is None
    return Answer(
        url=str(target.url),
        status=response.status_code,
        headers=headers,
        body=await _body(call, target, response) if is_wanted else b"",
    )


def _location(call: Call, status: int, headers: Mapping[str, str]) -> str | None:
    """Where the answer sends us on, if we follow."""
    follows = call.method == "GET" and call.most_redirects > 0 and status in _REDIRECTS
    return headers.get("location") if follows else None


async def _body(call: Call, target: _Target, response: httpx2.Response) -> bytes:
    unpacker = _unpacker(target, response)
    body = bytearray()
    received = 0
    too_large = OutboundTooLarge(f"The answer of {target.host} is larger than {call.most_bytes:,} bytes.")
    if int(response.headers.get("content-length") or 0) > call.most_bytes + _PACKING_BYTES:
        raise too_large
    async for chunk in response.aiter_raw():
        received += len(chunk)
        try:
            # One byte more than is permitted is enough to know.
            body += unpacker.decompress(chunk, call.most_bytes + 1 - len(body)) if unpacker else chunk
        except zlib.error as error:
            raise OutboundFailed(f"The answer of {target.host} cannot be unpacked: {error}.") from error
        # A packed answer may be large and hold nothing.
        if len(body) > call.most_bytes or received > call.most_bytes + _PACKING_BYTES:
            raise too_large
        if unpacker and unpacker.eof:
            break
    if unpacker and received and not unpacker.eof:
        raise OutboundFailed(f"The answer of {target.host} breaks off.")
    return bytes(body)


def _unpacker(target: _Target, response: httpx2.Response) -> zlib._Decompress | None:
    """What unpacks the body, or None for one that is not packed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(_ANY_ZLIB)
    raise OutboundFailed(f"The answer of {target.host} is packed as {encoding!r}, which nobody asked for.")


def _not_found(host: str, error: OSError | TimeoutError) -> OutboundFailed:
    if isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        return UnknownHost(f"There is no host {host!r}.")
    reason = "the name server did not answer in time" if isinstance(error, TimeoutError) else error.strerror
    return OutboundFailed(f"The host {host!r} could not be looked up: {reason}.")


def _failure(call: Call, target: _Target, error: Exception) -> OutboundFailed:
    """What an error of the HTTP library means."""
    import httpx2

    host = target.host
    if (tls := _tls_error(error)) is not None:
        if isinstance(tls, ssl.SSLCertVerificationError):
            return OutboundFailed(f"The certificate of {host} is not valid: {tls.verify_message}.")
        return OutboundFailed(f"{host} did not agree on an encrypted connection: {tls.reason or tls}.")
    match error:
        case httpx2.ConnectTimeout():
            return OutboundFailed(f"{host} could not be reached within {call.connect_seconds:g} s.")
        case httpx2.TimeoutException():
            return OutboundFailed(f"{host} did not answer within {call.total_seconds:g} s.")
        case httpx2.ConnectError():
            return OutboundFailed(f"{host} could not be reached on port {target.port}: {_reason(error)}.")
        case httpx2.ProtocolError():
            return OutboundFailed(f"{host} did not answer in HTTP: {error}.")
        case _:
            return OutboundFailed(f"The connection to {host} broke: {_reason(error)}.")


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def _tls_error(error: Exception) -> ssl.SSLError | None:
    return next((each for each in _chain(error) if isinstance(each, ssl.SSLError)), None)


def _reason(error: Exception) -> str:
    """The operating system's words, if it was that."""
    system = next((each for each in _chain(error) if isinstance(each, OSError) and each.errno), None)
    return os.strerror(system.errno or 0).lower() if system is not None else str(error) or "it was closed"


def shown_url(url: str) -> str:
    """The address as errors quote it: without a password, and not for ever."""
    text = re.sub(r"//[^/?#]*@", "//…@", url)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
