"""How fast and how evenly tokens come through a real server, and what readers cost that do not read.

    .venv/bin/python -m tests.bench.streams [--quick]

The model is a process of its own that writes into each token when it was sent, so that what the server adds is measured token
by token. The readers are this process. Prints one table; `docs/performance.md` keeps some with their date.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.bench.server import Report, agent_body, free_port, process, resident_mb, wait_for

MODEL = "vllm/timed"
_STAMP = re.compile(rb'"content":"(\d+) "')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", default="", help="first, rate, many, stalled, pages; several with commas")
    parser.add_argument("--model", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        asyncio.run(serve_model(options.model))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder:
        Path(folder).chmod(0o711)
        bench(folder, options.only.split(",") if options.only else list(_PARTS), 20 if options.quick else 100)


# The model


async def serve_model(port: int) -> None:
    """An OpenAI server whose tokens are the time (ns, monotonic) at which each was sent.

    A message `WORDS PAUSE_MS` asks for that many of them with that pause between; without a pause eight go at once, as a
    fast model's do.
    """
    server = await asyncio.start_server(_answer, "127.0.0.1", port, limit=2**26)
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: (\d+)", head, re.I)
            body = json.loads(await reader.readexactly(int(length[1]))) if length else {}
            if head.startswith(b"GET"):
                data = json.dumps({"object": "list", "data": [{"id": "timed", "object": "model"}]}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                    % (len(data), data)
                )
                continue
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            said = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
            words, pause_ms = said.split()
            await _reply(writer, int(words), float(pause_ms) / 1000)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _reply(writer: asyncio.StreamWriter, words: int, pause: float) -> None:
    head = '{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"timed","choices":[{"index":0,'
    due = time.monotonic()
    for number in range(words):
        frame = f'data: {head}"delta":{{"content":"{time.monotonic_ns()} "}},"finish_reason":null}}]}}\n\n'.encode()
        writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        if pause:
            due += pause
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        elif number % 8 == 7:
            await writer.drain()
            await asyncio.sleep(0)
    frame = f'data: {head}"delta":{{}},"finish_reason":"stop"}}]}}\n\ndata: [DONE]\n\n'.encode()
    writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(frame), frame))
    await writer.drain()


# The readers


@dataclass(slots=True)
class Heard:
    """When this reader got its tokens (ns), and when the model had sent them."""

    at: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    @property
    def delays_ms(self) -> list[float]:
        return [(at - sent) / 1e6 for at, sent in zip(self.at, self.sent, strict=True)]

    def gaps_ms(self, since: int = 0) -> list[float]:
        return [(b - a) / 1e6 for a, b in zip(self.at, self.at[1:], strict=False) if a >= since]


@asynccontextmanager
async def request(
    port: int, path: str, body: dict[str, Any], **options: Any
) -> AsyncIterator[asyncio.StreamReader]:
    """The bytes of an answer as they come; a plain socket, so that reading costs this process next to nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    data = json.dumps(body).encode()
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"connection: close\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        + data
    )
    try:
        yield reader
    finally:
        writer.close()


async def listen(port: int, path: str, body: dict[str, Any]) -> Heard:
    heard = Heard()
    async with request(port, path, body) as reader:
        rest = b""
        while data := await reader.read(2**16):
            now = time.monotonic_ns()
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                if found := _STAMP.search(event):
                    heard.at.append(now)
                    heard.sent.append(int(found[1]))
    return heard


def message(words: int, pause_ms: float) -> dict[str, Any]:
    return {"input": f"{words} {pause_ms}", "streaming": True, "stream_tokens": True}


class Bench:
    """A server to ask, and what is known of its process."""

    def __init__(self, port: int, pid: int, report: Report, times: int) -> None:
        self.port, self.pid, self.report, self.times = port, pid, report, times
        self.base = f"http://127.0.0.1:{port}"

    def agents(self, count: int) -> list[str]:
        with httpx.Client(timeout=60) as client:
            return [
                client.post(f"{self.base}/v1/agents/", json=agent_body(f"bench {n}", MODEL))
                .raise_for_status()
                .json()["id"]
                for n in range(count)
            ]

    async def say(self, agent_id: str, words: int, pause_ms: float) -> Heard:
        return await listen(self.port, f"/v1/agents/{agent_id}/messages", message(words, pause_ms))

    def cpu_seconds(self) -> float:
        parts = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def percentiles(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return (
        f"{statistics.median(ordered):.1f} / {ordered[int(len(ordered) * 0.99)]:.1f} / {ordered[-1]:.1f} ms"
    )


# What is measured


async def first_tokens(bench: Bench) -> None:
    [agent_id] = bench.agents(1)
    delays = []
    for number in range(bench.times + 5):
        heard = await bench.say(agent_id, 5, 5)
        if number >= 5:
            delays.append(heard.delays_ms[0])
    bench.report.add("first token after the model's: p50 / p99 / max", percentiles(delays), "aim 5 ms")


async def token_rate(bench: Bench) -> None:
    [agent_id] = bench.agents(1)
    rates, delays = [], []
    for number in range(max(5, bench.times // 5) + 2):
        heard = await bench.say(agent_id, 500, 0)
        assert len(heard.at) == 500, len(heard.at)
        if number >= 2:
            rates.append(500 / (heard.at[-1] - heard.sent[0]) * 1e9)
            delays += heard.delays_ms
    rates.sort()
    bench.report.add(
        "reply of 500 tokens at once: median / best",
        f"{statistics.median(rates):,.0f} / {rates[-1]:,.0f} tokens/s",
        "aim 5,000",
    )


async def many_streams(bench: Bench, *, count: int = 100, seconds: int = 10) -> None:
    agent_ids = bench.agents(count)
    began = time.monotonic_ns()
    cpu: list[tuple[int, float]] = []

    async def watch_cpu() -> None:
        while True:
            cpu.append((time.monotonic_ns(), bench.cpu_seconds()))
            await asyncio.sleep(0.25)

    watching = asyncio.create_task(watch_cpu())
    heard = await asyncio.gather(*(bench.say(agent_id, 50 * seconds, 20) for agent_id in agent_ids))
    watching.cancel()
    assert all(len(each.at) == 50 * seconds for each in heard)
    settled = max(each.at[0] for each in heard) + 1_000_000_000
    over = min(each.at[-1] for each in heard)
    add = bench.report.add
    add(
        f"{count} streams, 50 tokens/s: last one begins after",
        f"{(settled - began) / 1e6 - 1000:,.0f} ms",
        "",
    )
    add(
        "… gap p50 / p99 / max, all",
        percentiles([gap for each in heard for gap in each.gaps_ms()]),
        "none over 100 ms",
    )
    gaps = [gap for each in heard for gap in each.gaps_ms(settled)]
    add("… gap p50 / p99 / max, once all have begun", percentiles(gaps), "none over 100 ms")
    delays = [
        delay for each in heard for at, delay in zip(each.at, each.delays_ms, strict=True) if at > settled
    ]
    add("… token after the model's p50 / p99 / max", percentiles(delays), "")
    inside = [each for each in cpu if settled <= each[0] <= over]
    used, took = inside[-1][1] - inside[0][1], (inside[-1][0] - inside[0][0]) / 1e9
    tokens = sum(inside[0][0] <= at <= inside[-1][0] for each in heard for at in each.at)
    add(
        "… CPU of the server process",
        f"{used / took * 100:.0f} % of a core, {used / tokens * 1e6:.0f} µs a token",
        "aim 60 %",
    )


async def stalled_readers(bench: Bench, *, count: int = 50) -> None:
    """Readers of one long run who open it and never read."""
    [agent_id] = bench.agents(1)
    path = f"/v1/agents/{agent_id}/messages"
    words = 200 * bench.times
    # The same without them first: what is compared is what the readers cost, not the run.
    await listen(bench.port, path, message(words, 0) | {"background": True})
    before = resident_mb(bench.pid)
    own = asyncio.create_task(listen(bench.port, path, message(words, 0) | {"background": True}))
    run_id = await _active_run(bench)
    stalled = [request(bench.port, f"/v1/runs/{run_id}/stream", {}, limit=1024) for _ in range(count)]
    for each in stalled:
        await each.__aenter__()
    heard = await own
    assert len(heard.at) == words
    add = bench.report.add
    add(
        f"memory: {count} stalled readers of a run of {words:,} tokens",
        f"{before:.0f} → {resident_mb(bench.pid):.0f} MB",
        "",
    )
    for each in stalled:
        await each.__aexit__(None, None, None)
    await bench.say(agent_id, 500, 0)
    add("… when they have left", f"{resident_mb(bench.pid):.0f} MB", "")


async def stalled_pages(bench: Bench, *, count: int = 50) -> None:
    """Open workbenches of browsers that have stopped reading, while run follows run."""
    [agent_id] = bench.agents(1)

    async def work() -> None:
        for _ in range(5):
            await bench.say(agent_id, 40 * bench.times, 0.2)

    await work()
    before = resident_mb(bench.pid)
    pages = [await _open_page(bench.port, agent_id) for _ in range(count)]
    opened = resident_mb(bench.pid)
    await work()
    bench.report.add(
        f"memory: {count} stalled pages, 5 runs of {40 * bench.times:,} tokens",
        f"{before:.0f} → {opened:.0f} (open) → {resident_mb(bench.pid):.0f} MB",
        "",
    )
    for writer in pages:
        writer.transport.abort()
    await bench.say(agent_id, 500, 0)
    bench.report.add("… when they have left", f"{resident_mb(bench.pid):.0f} MB", "")


async def _open_page(port: int, agent_id: str) -> asyncio.StreamWriter:
    """A websocket of which only the handshake is read."""
    with socket.socket() as plain:
        # What the kernel keeps for us is not the server's memory, but it hides how long a stalled page goes unnoticed.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", port))
        plain.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=plain.dup(), limit=1024)
    writer.write(
        f"GET /ws/agents/{agent_id}/ HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n".encode()
    )
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    return writer


async def _active_run(bench: Bench) -> str:
    async with httpx.AsyncClient(base_url=bench.base) as client:
        while True:
            if runs := (await client.get("/v1/runs/?active=true")).json():
                return str(runs[0]["id"])


_PARTS = {
    "first": first_tokens,
    "rate": token_rate,
    "many": many_streams,
    "stalled": stalled_readers,
    "pages": stalled_pages,
}


def bench(folder: str, parts: Sequence[str], times: int) -> None:
    model_port, port = free_port(), free_port()
    environment = {
        **os.environ,
        "ADE_DATA_DIR": f"{folder}/data",
        "VLLM_API_BASE": f"http://127.0.0.1:{model_port}/v1",
    }
    model = (sys.executable, "-m", "tests.bench.streams", "--model", str(model_port))
    up = (sys.executable, "-m", "letta_ade.cli", "up", "--port", str(port))
    with process(*model), process(*up, env=environment) as server:
        wait_for(f"http://127.0.0.1:{port}/v1/health/", server)
        made = Bench(port, server.pid, Report(), times)
        for part in parts:
            asyncio.run(_PARTS[part](made))


if __name__ == "__main__":
    main()
