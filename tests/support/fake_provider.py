"""A model provider on loopback: an HTTP server of a few lines, with full control over what is sent and when.

Without scripted replies it answers by simple rules, so that it is useful as a process of its own, too:
`/call NAME {json}` lines become tool calls, `/reason`, `/words N`, `/empty`, `/status CODE`, `/drop`, `/hang` and
`/garbage` do what they say; a tool return is read back; anything else is echoed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

_DIRECTIVE = re.compile(r"^\s*/(\w+)[ \t]*(.*)$", re.M)


STREAM = "text/event-stream"


@dataclass(frozen=True, kw_only=True)
class FakeCall:
    name: str
    arguments: str = "{}"
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class FakeReply:
    """One answer of the chat endpoint."""

    text: str = ""
    reasoning: str = ""
    signature: str = ""
    redacted: str = ""
    calls: tuple[FakeCall, ...] = ()
    finish_reason: str | None = None
    #: In the words of the provider; None leaves it out.
    usage: dict[str, Any] | None = field(default_factory=dict)
    #: From 400 on, `error` is the body.
    status: int = 200
    error: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Instead of all of the above: frames as they go over the wire.
    frames: tuple[bytes, ...] | None = None
    content_type: str = STREAM
    #: After so many frames the connection is cut, or nothing more is sent until the client leaves.
    drop_after: int | None = None
    hang_after: int | None = None
    #: End the body without the last frame, as a server does that dies politely.
    is_unfinished: bool = False
    #: End with an event that tells of this failure.
    breaks_with: str | None = None
    #: All frames are written at once.
    is_one_piece: bool = False


@dataclass(frozen=True, kw_only=True)
class Received:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    raw: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: Streamed when given.
    frames: Sequence[bytes] | None = None
    reply: FakeReply | None = None


def json_answer(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status=status,
        headers={"content-type": "application/json", **(headers or {})},
        body=json.dumps(data).encode(),
    )


class FakeProvider:
    """Base of the two fakes. Use as a context manager; it serves on its own thread, for sync and async tests alike."""

    def __init__(
        self,
        *,
        port: int = 0,
        word_seconds: float = 0,
        first_seconds: float = 0,
        words: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.received: list[Received] = []
        self.replies: deque[FakeReply] = deque()
        #: How many clients left before their answer ended.
        self.disconnected = threading.Semaphore(0)
        self.streaming = threading.Semaphore(0)
        self._wanted_port = port
        self._word_seconds = word_seconds
        self._first_seconds = first_seconds
        self._words = words
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._thread: threading.Thread | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    # What a subclass says in its wire format.

    def route(self, request: Received) -> Answer:
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The address without a version."""
        return f"http://127.0.0.1:{self.port}"

    def enqueue(self, *replies: FakeReply) -> None:
        self.replies.extend(replies)

    @property
    def bodies(self) -> list[Any]:
        """The JSON bodies of the posts, in order."""
        return [request.body for request in self.received if request.method == "POST"]

    def next_reply(self, text: str, tool_return: str | None) -> FakeReply:
        """The next scripted reply, or one by the rules."""
        if self.replies:
            return self.replies.popleft()
        if self._words:
            return FakeReply(text=" ".join(f"word{number}" for number in range(self._words)))
        return reply_by_rules(text, tool_return)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        ready = threading.Event()

        def serve() -> None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
            self._server = self._loop.run_until_complete(
                asyncio.start_server(
                    self._connection, "127.0.0.1", self._wanted_port, limit=2**26, ssl=self._tls
                )
            )
            self.port = self._server.sockets[0].getsockname()[1]
            ready.set()
            self._loop.run_forever()
            self._loop.run_until_complete(self._close())
            self._loop.close()

        self._thread = threading.Thread(target=serve, name=type(self).__name__, daemon=True)
        self._thread.start()
        assert ready.wait(10), "the fake provider did not start"

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop = None

    async def _close(self) -> None:
        assert self._server is not None, "stopped before it started"
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (request := await _read_request(reader)) is not None:
                self.received.append(request)
                if not await self._send(self.route(request), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _send(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can take another request."""
        head = [
            f"HTTP/1.1 {answer.status} Fake",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        if answer.frames is None:
            head.append(f"content-length: {len(answer.body)}")
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + answer.body)
            await writer.drain()
            return True
        writer.write("\r\n".join([*head, "transfer-encoding: chunked"]).encode() + b"\r\n\r\n")
        leaving = asyncio.ensure_future(reader.read(1))
        sending = asyncio.ensure_future(self._send_frames(answer, writer))
        await asyncio.wait([leaving, sending], return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            sending.cancel()
            self.disconnected.release()
            return False
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        return sending.result()

    async def _send_frames(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        reply = answer.reply or FakeReply()
        await writer.drain()
        if self._first_seconds:
            await asyncio.sleep(self._first_seconds)
        frames = answer.frames or ()
        for number, frame in enumerate([b"".join(frames)] if reply.is_one_piece else frames):
            await self._obey(reply, number, writer)
            writer.write(f"{len(frame):x}\r\n".encode() + frame + b"\r\n")
            await writer.drain()
            self.streaming.release()
            if self._word_seconds:
                await asyncio.sleep(self._word_seconds)
        await self._obey(reply, len(answer.frames or ()), writer)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _obey(self, reply: FakeReply, number: int, writer: asyncio.StreamWriter) -> None:
        if reply.hang_after == number:
            await asyncio.Event().wait()
        if reply.drop_after == number:
            # Sent first: an abort throws away what is still in the buffer.
            await asyncio.sleep(0.01)
            writer.transport.abort()
            raise ConnectionResetError


def reply_by_rules(text: str, tool_return: str | None) -> FakeReply:
    """The answer to this message when nothing is scripted."""
    if tool_return is not None:
        return FakeReply(text=f"The tool returned: {tool_return[:500]}")
    calls = []
    reasoning = ""
    for name, rest in _DIRECTIVE.findall(text):
        match name:
            case "call":
                tool, _, arguments = rest.partition(" ")
                calls.append(FakeCall(name=tool, arguments=arguments.strip() or "{}"))
            case "reason":
                reasoning = "The fake model reasons about this for a while. "
            case "words":
                return FakeReply(text=" ".join(f"word{number}" for number in range(int(rest))))
            case "status":
                code, _, message = rest.partition(" ")
                return FakeReply(status=int(code), error=message or f"The fake provider answers {code}.")
            case "drop":
                return FakeReply(text="This reply will break off in the middle of it.", drop_after=4)
            case "hang":
                return FakeReply(text="This reply will stop and never end.", hang_after=4)
            case "garbage":
                return FakeReply(frames=(b"data: {this is not json\n\n",))
            case "empty":
                return FakeReply()
    if calls:
        return FakeReply(reasoning=reasoning, calls=tuple(calls))
    return FakeReply(reasoning=reasoning, text=f"Hello from the fake model. You said: {text}")


def words_of(text: str) -> list[str]:
    """The text in pieces that join to it again."""
    return re.findall(r"\s*\S+\s*|\s+", text)


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    return Received(
        method=method,
        path=parts.path,
        query=dict(parse_qsl(parts.query)),
        headers=headers,
        body=json.loads(body) if body else None,
        raw=body,
    )


def serve_forever(kind: type[FakeProvider]) -> None:
    """The command line of a fake: print the address, and serve until it is stopped."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--word-ms", type=float, default=0, help="pause after each piece of a reply")
    parser.add_argument("--first-ms", type=float, default=0, help="pause before the first piece")
    parser.add_argument("--words", type=int, default=0, help="answer everything with so many words")
    options = parser.parse_args()
    fake = kind(
        port=options.port,
        word_seconds=options.word_ms / 1000,
        first_seconds=options.first_ms / 1000,
        words=options.words,
    )
    with fake:
        print(fake.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
