"""No test may leave this machine, and none may touch the port of a server that somebody is using."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

USED_PORT = 8283
_LOCAL_NAMES = {"localhost", "localhost.localdomain", "testserver", "", "0.0.0.0", "::"}


class NetworkForbidden(BaseException):
    """Not an Exception, so that no `except Exception` turns it into something harmless."""


def is_local(host: object) -> bool:
    if host is None:
        return True
    name = (host.decode() if isinstance(host, bytes) else str(host)).split("%", 1)[0]
    if name in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check(address: Any) -> None:
    if not isinstance(address, tuple):  # a unix socket's path
        return
    host, port = address[:2]
    if not is_local(host):
        raise NetworkForbidden(f"A test tried to reach {host}:{port}; tests speak to loopback only.")
    if port == USED_PORT:
        raise NetworkForbidden(f"A test tried to use port {USED_PORT}; take a free one.")


def forbid() -> None:
    """Guard connect, bind and name look-ups of this process."""
    connect, connect_ex, bind, sendto = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.socket.bind,
        socket.socket.sendto,
    )
    look_up = socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _check(address)
        return connect_ex(self, address)

    def guarded_bind(self: socket.socket, address: Any) -> None:
        _check(address)
        bind(self, address)

    def guarded_sendto(self: socket.socket, *args: Any) -> int:
        _check(args[-1])
        return sendto(self, *args)

    def guarded_look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_local(host):
            raise NetworkForbidden(f"A test tried to look up {host!r}; tests speak to loopback only.")
        return look_up(host, port, *args, **kwargs)

    socket.socket.connect = guarded_connect  # type: ignore[assignment,method-assign]  # the guard is the point
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[assignment,method-assign]  # the guard is the point
    socket.socket.bind = guarded_bind  # type: ignore[assignment,method-assign]  # the guard is the point
    socket.socket.sendto = guarded_sendto  # type: ignore[assignment,method-assign]  # the guard is the point
    socket.getaddrinfo = guarded_look_up
