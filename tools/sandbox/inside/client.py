"""The `client` of a tool: letta-client, imported when it is first used, over a socket pair that the server holds the other end of.

Also a client that the tool makes itself reaches the server that way, with the network off: to requests for our own host httpx is given
the socket instead of a connection.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import socket
import sys
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from tools.sandbox.inside import frames

HOST = "ade.internal"
BASE_URL = f"http://{HOST}"


class LazyClient:
    """Becomes a `letta_client.Letta` when something of it is used: to import that one takes half a second and 50 MB."""

    def __getattr__(self, name: str) -> Any:
        from letta_client import Letta

        made = self.__dict__.get("_made")
        if made is None:
            made = self.__dict__["_made"] = Letta()
        return getattr(made, name)

    def __repr__(self) -> str:
        return "<the client of this tool>"


class Door:
    """Carries requests to the server, one at a time."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()

    def ask(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """The answer. Raises OSError or EOFError."""
        with self._lock:
            self._socket.sendall(frames.pack(head, body))
            return frames.read(self._socket.recv)


def lead_through(door: Door) -> None:
    """From now on httpx sends requests for our host through the door."""
    sys.meta_path.insert(0, _Finder(door))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds httpx like everybody, and changes it once it is loaded."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "httpx":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._door)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any, door: Door) -> None:
        self._loader, self._door = loader, door

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _redirect(module, self._door)


def _redirect(httpx: Any, door: Door) -> None:
    plain, plain_async = (
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
    )

    def answer(request: Any, body: bytes) -> Any:
        head = {
            "method": request.method,
            "target": request.url.raw_path.decode("ascii"),
            "headers": [[name, value] for name, value in request.headers.multi_items()],
        }
        try:
            told, content = door.ask(head, body)
        except (OSError, EOFError) as error:
            raise httpx.ConnectError(
                "the server has closed the door of this call", request=request
            ) from error
        return httpx.Response(told["status"], headers=told["headers"], content=content, request=request)

    def handle(self: Any, request: Any) -> Any:
        if request.url.host != HOST:
            return plain(self, request)
        return answer(request, request.read())

    async def handle_async(self: Any, request: Any) -> Any:
        if request.url.host != HOST:
            return await plain_async(self, request)
        return answer(request, await request.aread())

    httpx.HTTPTransport.handle_request = handle
    httpx.AsyncHTTPTransport.handle_async_request = handle_async
