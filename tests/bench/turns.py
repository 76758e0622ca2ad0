"""What the server adds to a turn, how many it does at once, and whether it stays the same size.

    .venv/bin/python -m tests.bench.turns [--quick] [--only turn,long,many,memory]

The model is a process of its own that answers at once; the client is a plain socket, so that both take as little as possible of the
machine that they share with the server. Prints one table; `docs/performance.md` keeps some with their date.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.bench.server import Report, agent_body, free_port, process, resident_mb, seed_messages, wait_for

MODEL = "vllm/instant"
_REPLY = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "instant",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": "Here I am."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 4, "total_tokens": 304},
    }
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", default="", help="turn, long, many, memory; several with commas")
    parser.add_argument("--model", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        asyncio.run(serve_model(options.model))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder:
        Path(folder).chmod(0o711)
        bench(folder, options.only.split(",") if options.only else list(_PARTS), 40 if options.quick else 200)


# The model


async def serve_model(port: int) -> None:
    """An OpenAI server that answers every message with one chunk, at once."""
    server = await asyncio.start_server(_answer, "127.0.0.1", port, limit=2**26)
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    models = json.dumps({"object": "list", "data": [{"id": "instant", "object": "model"}]}).encode()
    said = f"data: {_REPLY}\n\ndata: [DONE]\n\n".encode()
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if length := re.search(rb"content-length: (\d+)", head, re.I):
                await reader.readexactly(int(length[1]))
            kind, body = (
                (b"application/json", models) if head.startswith(b"GET") else (b"text/event-stream", said)
            )
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s"
                % (kind, len(body), body)
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


# The client


class Connection:
    """One kept connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**24))

    async def post(self, path: str, body: dict[str, Any]) -> bytes:
        """The body of the answer, which must be 200."""
        data = json.dumps(body).encode()
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(data)}\r\n\r\n".encode()
            + data
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        assert length is not None, head
        answer = await self._reader.readexactly(int(length[1]))
        assert head.startswith(b"HTTP/1.1 200"), (head, answer)
        return answer

    def close(self) -> None:
        self._writer.close()


class Bench:
    """A server to ask, and what is known of its process."""

    def __init__(
        self, port: int, model_port: int, pid: int, data_dir: str, report: Report, times: int
    ) -> None:
        self.port, self.model_port, self.pid = port, model_port, pid
        self.data_dir, self.report, self.times = data_dir, report, times

    def agents(self, count: int) -> list[str]:
        with httpx.Client(timeout=60, base_url=f"http://127.0.0.1:{self.port}") as client:
            return [
                client.post("/v1/agents/", json=agent_body(f"bench {n}", MODEL))
                .raise_for_status()
                .json()["id"]
                for n in range(count)
            ]

    async def turns(self, agent_ids: Sequence[str], each: int = 1) -> list[float]:
        """How long each of `each` turns of these agents took (ms), one after the other on one connection."""
        connection = await Connection.to(self.port)
        taken = []
        for agent_id in agent_ids:
            for _ in range(each):
                began = time.perf_counter()
                await connection.post(f"/v1/agents/{agent_id}/messages", {"input": "hi"})
                taken.append((time.perf_counter() - began) * 1000)
        connection.close()
        return taken

    def cpu_seconds(self) -> float:
        parts = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


# What is measured


async def one_turn(bench: Bench) -> None:
    """Ten turns each of many agents, so that no conversation grows long."""
    agent_ids = bench.agents(bench.times // 10)
    await bench.turns(agent_ids[:2], 5)
    model = await Connection.to(bench.model_port)
    alone = []
    for _ in range(bench.times):
        began = time.perf_counter()
        await model.post("/v1/chat/completions", {"messages": []})
        alone.append((time.perf_counter() - began) * 1000)
    cpu = bench.cpu_seconds()
    taken = await bench.turns(agent_ids, 10)
    cpu = bench.cpu_seconds() - cpu
    bench.report.times("the model alone, one call", alone, "")
    bench.report.times("a plain turn", taken, "")
    added = statistics.median(taken) - statistics.median(alone)
    bench.report.add("server-added time per turn, p50", f"{added:.1f} ms", "aim 15 ms")
    bench.report.add("CPU of the server process per turn", f"{cpu / len(taken) * 1000:.1f} ms", "")


async def long_conversation(bench: Bench) -> None:
    """A history of 10,000 messages, of which few are in context, against one of 10."""
    short, long = bench.agents(2)
    await bench.turns([short, long], 5)
    seed_messages(bench.data_dir, long, 10_000)
    taken: dict[str, list[float]] = {short: [], long: []}
    for _ in range(bench.times // 4):
        for agent_id, times in taken.items():
            times += await bench.turns([agent_id])
    bench.report.times("a turn beside 10 messages", taken[short], "")
    bench.report.times("a turn beside 10,000 messages", taken[long], "no more")


async def many_turns(bench: Bench, *, count: int = 50, each: int = 5) -> None:
    """Many agents at once, each with several messages one after the other."""
    agent_ids = bench.agents(count)
    await asyncio.gather(*(bench.turns([agent_id]) for agent_id in agent_ids))
    rates, cpu = [], bench.cpu_seconds()
    for _ in range(3):
        began = time.perf_counter()
        await asyncio.gather(*(bench.turns([agent_id], each) for agent_id in agent_ids))
        rates.append(count * each / (time.perf_counter() - began))
    cpu = bench.cpu_seconds() - cpu
    bench.report.add(
        f"{count} agents × {each} messages at once: worst / best of 3",
        f"{min(rates):.0f} / {max(rates):.0f} messages/s",
        "aim 150",
    )
    bench.report.add("… CPU of the server process per turn", f"{cpu / (3 * count * each) * 1000:.1f} ms", "")


async def memory(bench: Bench, *, turns: int = 1000) -> None:
    """Resident memory over a thousand turns of agents whose context stays small."""
    agent_ids = bench.agents(100)
    await bench.turns(agent_ids)
    sizes = []
    for _ in range(5):
        await bench.turns(agent_ids, turns // 5 // 100)
        sizes.append(resident_mb(bench.pid))
    bench.report.add(
        f"resident memory over {turns:,} turns", " ".join(f"{size:.0f}" for size in sizes) + " MB", "flat"
    )


_PARTS = {"turn": one_turn, "long": long_conversation, "many": many_turns, "memory": memory}


def bench(folder: str, parts: Sequence[str], times: int) -> None:
    model_port, port = free_port(), free_port()
    environment = {
        **os.environ,
        "ADE_DATA_DIR": f"{folder}/data",
        "VLLM_API_BASE": f"http://127.0.0.1:{model_port}/v1",
    }
    model = (sys.executable, "-m", "tests.bench.turns", "--model", str(model_port))
    up = (sys.executable, "-m", "letta_ade.cli", "up", "--port", str(port))
    with process(*model), process(*up, env=environment) as server:
        wait_for(f"http://127.0.0.1:{port}/v1/health/", server)
        made = Bench(port, model_port, server.pid, f"{folder}/data", Report(), times)
        for part in parts:
            asyncio.run(_PARTS[part](made))


if __name__ == "__main__":
    main()
