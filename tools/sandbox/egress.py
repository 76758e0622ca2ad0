"""The only way from a call to the network: a proxy that looks each host up itself and connects to public addresses only.

It runs on a thread of its own. A call sees nothing but its socket: it has no route, no name service, no UDP.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from urllib.parse import urlsplit

from letta_ade.core import outbound
from letta_ade.core.outbound import LookUp, OutboundError

logger = logging.getLogger(__name__)

_HEAD_BYTES = 64 * 1024
_HEAD_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 300.0
_CHUNK = 64 * 1024
_MOST_CONNECTIONS = 256
#: Of one hop only: they are ours and the tool's, not the server's.
_HOP_HEADERS = frozenset(
    {"connection", "proxy-connection", "proxy-authorization", "keep-alive", "te", "upgrade"}
)


class Proxy:
    """Serves connections of calls until it is closed."""

    def __init__(self, *, look_up: LookUp = outbound.look_up) -> None:
        self._look_up = look_up
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._room = asyncio.Semaphore(_MOST_CONNECTIONS)
        #: Where it listens on this machine itself, for calls without a network namespace; None until then.
        self.port: int | None = None
        self._thread = threading.Thread(target=self._work, name="egress", daemon=True)
        self._thread.start()

    def serve(self, listener: socket.socket | None) -> None:
        """Take connections from this socket, which may belong to another network namespace; None: from one of our own."""
        if listener is None:
            own = socket.create_server(("127.0.0.1", 0))
            self.port = own.getsockname()[1]
        else:
            own = listener.dup()
        asyncio.run_coroutine_threadsafe(self._serve(own), self._loop).result()

    def close(self) -> None:
        """End all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _work(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    async def _serve(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._servers.append(await asyncio.start_server(self._take, sock=listener, limit=_HEAD_BYTES))

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._room:
                await self._lead(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one of the two sides has gone, or talks another language
        finally:
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        try:
            host, port, first = _target(head)
        except ValueError as error:
            await _refuse(writer, 400, str(error))
            return
        try:
            far_reader, far_writer = await self._connect(host, port)
        except OutboundError as error:
            await _refuse(writer, 403, error.message)
            return
        except (OSError, TimeoutError) as error:
            await _refuse(writer, 502, f"{host}:{port} cannot be reached: {str(error) or 'no answer'}")
            return
        try:
            if first is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far_writer.write(first)
            ways = [
                asyncio.create_task(_copy(reader, far_writer)),
                asyncio.create_task(_copy(far_reader, writer)),
            ]
            try:
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()
        finally:
            far_writer.close()

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to an address that was judged. Raises OutboundError, OSError, TimeoutError."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            addresses = await outbound.permitted_addresses(host, port, look_up=self._look_up)
            for address in addresses[:-1]:
                try:
                    return await asyncio.open_connection(str(address), port)
                except OSError:
                    continue  # the next one may be reachable
            return await asyncio.open_connection(str(addresses[-1]), port)


def _target(head: bytes) -> tuple[str, int, bytes | None]:
    """Host, port, and what is to be sent there first; None for a tunnel. Raises ValueError."""
    try:
        line, _, fields = head.decode("latin1").partition("\r\n")
        method, where, version = line.split(" ")
    except ValueError:
        raise ValueError("this is no request to a proxy") from None
    if method == "CONNECT":
        parts = urlsplit(f"//{where}")
        if not parts.hostname or not parts.port:
            raise ValueError(f"CONNECT needs a host and a port, not {where!r}")
        return parts.hostname, parts.port, None
    parts = urlsplit(where)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("the proxy takes CONNECT, and requests with a whole http address")
    path = parts._replace(scheme="", netloc="").geturl() or "/"
    kept = [
        each
        for each in fields.split("\r\n")
        if each and each.partition(":")[0].strip().lower() not in {*_HOP_HEADERS, "host"}
    ]
    # The name that was judged is the name that is asked for; and one request is all that is judged.
    host = parts.netloc.rpartition("@")[2]
    lines = [f"{method} {path} {version}", f"Host: {host}", *kept, "Connection: close"]
    return parts.hostname, parts.port or 80, ("\r\n".join(lines) + "\r\n\r\n").encode("latin1")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(_IDLE_SECONDS):
            part = await reader.read(_CHUNK)
        if not part:
            break
        writer.write(part)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _refuse(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
