"""A real server with a fake OpenAI beside it, and how long things take there.

    .venv/bin/python -m tests.bench.server [--quick]

Prints one table: start-up, memory, turn overhead, first token, reads, many streams. Every figure is of this machine and of this
moment; `docs/performance.md` keeps some with their date.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
MODEL = "openai/gpt-4o-mini"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    # A file and not a pipe, which nobody would read: a server that logs would stop when it is full.
    with tempfile.TemporaryFile() as errors:
        started = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(timeout=20)
            errors.seek(0)
            sys.stderr.write(errors.read().decode())


def wait_for(url: str, started: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            if started.poll() is not None:
                raise SystemExit("the process has ended; what it said comes now") from None
            time.sleep(0.005)


def milliseconds(work: Callable[[], Any], times: int) -> list[float]:
    """How long each of `times` calls took, after three that warm up."""
    taken = []
    for number in range(times + 3):
        began = time.perf_counter()
        work()
        if number >= 3:
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def resident_mb(pid: int) -> float:
    """Resident memory of a process, without its children, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


class Report:
    """The table that is printed."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, name: str, value: str, aim: str) -> None:
        self.rows.append((name, value, aim))
        print(f"{name:<44} {value:>22}   {aim}", flush=True)

    def times(self, name: str, taken: list[float], aim: str) -> None:
        taken = sorted(taken)
        self.add(name, f"{statistics.median(taken):.1f} / {taken[int(len(taken) * 0.95) - 1]:.1f} ms", aim)


def seed_messages(data_dir: str, agent_id: str, count: int) -> None:
    """Write messages straight into the table: sending 10,000 would take minutes and measure nothing."""
    code = f"""
import os, datetime, warnings
from pathlib import Path
from letta_ade.core import postgres
with postgres.acquire(Path({data_dir!r})) as server:
    os.environ["DATABASE_URL"] = server.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
    import django
    django.setup()
    from agents.models import Agent, Message
    from letta_ade.core.ids import new_id
    agent = Agent.objects.get(id={agent_id!r})
    conversation = agent.conversations.get(is_default=True)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    Message.objects.bulk_create([
        Message(id=new_id("message"), workspace_id=agent.workspace_id, agent=agent, conversation=conversation,
                role="user" if n % 2 == 0 else "assistant", text=f"message number {{n}}",
                content=[{{"type": "text", "text": f"message number {{n}} " + "word " * 40, "signature": None}}],
                created_at=start + datetime.timedelta(seconds=n))
        for n in range({count})], batch_size=2000)
    with django.db.connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute
    django.db.connections.close_all()
"""
    env = {**os.environ, "ADE_DATA_DIR": data_dir}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=env, check=True)


def first_chunk_ms(client: httpx.Client, url: str, body: dict[str, Any], mark: str) -> float:
    """How long until the first line with `mark`; the rest is read, so that the run has ended when this returns."""
    began, first = time.perf_counter(), None
    with client.stream("POST", url, json=body) as response:
        for line in response.iter_lines():
            if first is None and mark in line:
                first = (time.perf_counter() - began) * 1000
    if first is None:
        raise LookupError(mark)
    return first


async def many_streams(base: str, agents: list[str]) -> tuple[list[float], int]:
    """All agents stream at once; the gaps between chunks in ms, and how many chunks came."""
    gaps: list[float] = []
    chunks = 0

    async def one(client: httpx.AsyncClient, agent_id: str) -> None:
        nonlocal chunks
        body = {"input": "go", "streaming": True, "stream_tokens": True}
        last = None
        async with client.stream("POST", f"{base}/v1/agents/{agent_id}/messages", json=body) as response:
            async for line in response.aiter_lines():
                if '"assistant_message"' in line:
                    now = time.perf_counter()
                    if last is not None:
                        gaps.append((now - last) * 1000)
                    last = now
                    chunks += 1

    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        await asyncio.gather(*(one(client, agent_id) for agent_id in agents))
    return gaps, chunks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    times = 20 if parser.parse_args().quick else 100
    report = Report()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; p50 / p95\n")
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder:
        Path(folder).chmod(0o711)
        run(report, folder, times)


def run(report: Report, folder: str, times: int) -> None:
    fake_port, slow_port, port = free_port(), free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "ADE_DATA_DIR": f"{folder}/data",
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{fake_port}/v1",
        "VLLM_API_BASE": f"http://127.0.0.1:{slow_port}/v1",
    }
    up = (str(ROOT / "ade"), "up", "--port", str(port))
    fake = (sys.executable, "-m", "tests.support.fake_openai", "--port", str(fake_port))
    slow = (
        sys.executable,
        "-m",
        "tests.support.fake_openai",
        "--port",
        str(slow_port),
        "--words",
        "100",
        "--word-ms",
        "20",
    )
    with process(*fake), process(*slow):
        for name, aim in (("first start to first 200", ""), ("later start to first 200", "aim 2 s")):
            began = time.perf_counter()
            with process(*up, env=environment) as server:
                wait_for(f"{base}/v1/health/", server)
                report.add(name, f"{time.perf_counter() - began:.2f} s", aim)
        with process(*up, env=environment) as server:
            wait_for(f"{base}/v1/health/", server)
            report.add("resident memory after start", f"{resident_mb(server.pid):.0f} MB", "")
            measure(report, base, f"http://127.0.0.1:{fake_port}", f"{folder}/data", times)
            report.add(
                "resident memory with chats behind it", f"{resident_mb(server.pid):.0f} MB", "aim 250 MB"
            )
            measure_streams(report, base)
            report.add("resident memory after 100 streams", f"{resident_mb(server.pid):.0f} MB", "")


def measure(report: Report, base: str, fake: str, data_dir: str, times: int) -> None:
    client = httpx.Client(timeout=60)
    agent = client.post(f"{base}/v1/agents/", json=agent_body("bench", MODEL)).raise_for_status().json()
    url = f"{base}/v1/agents/{agent['id']}/messages"
    direct_body = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    chat = f"{fake}/v1/chat/completions"
    direct = milliseconds(lambda: client.post(chat, json=direct_body).read(), times)
    turns = milliseconds(lambda: client.post(url, json={"input": "hi"}).raise_for_status(), times)
    report.times("model alone, one call", direct, "")
    report.times("turn, plain", turns, "")
    report.add(
        "server-added time per turn, p50",
        f"{statistics.median(turns) - statistics.median(direct):.1f} ms",
        "aim 15 ms",
    )
    body = {"input": "hi", "streaming": True, "stream_tokens": True}
    ours = [first_chunk_ms(client, url, body, '"assistant_message"') for _ in range(times)]
    theirs = [first_chunk_ms(client, chat, direct_body, '"content": "') for _ in range(times)]
    report.times("first token of a stream", ours, "")
    report.times("first token of the model alone", theirs, "")
    for number in range(60):
        client.post(f"{base}/v1/agents/", json=agent_body(f"other {number}", MODEL)).raise_for_status()
    seed_messages(data_dir, agent["id"], 10_000)
    reads = {
        "agents.retrieve": (f"/v1/agents/{agent['id']}", "aim 5 ms"),
        "agents.list(50)": ("/v1/agents/?limit=50", "aim 15 ms"),
        "messages.list(50 of 10,000)": (f"/v1/agents/{agent['id']}/messages?limit=50", "aim 10 ms"),
        "health": ("/v1/health/", ""),
    }
    for name, (path, aim) in reads.items():
        report.times(name, milliseconds(partial(read, client, base + path), times), aim)


def read(client: httpx.Client, url: str) -> None:
    client.get(url).raise_for_status()


def measure_streams(report: Report, base: str) -> None:
    with httpx.Client(timeout=60) as client:
        handles = [row["handle"] for row in client.get(f"{base}/v1/models/").json()]
        handle = next(handle for handle in handles if handle.startswith("vllm/"))
        agents = [
            client.post(f"{base}/v1/agents/", json=agent_body(f"stream {number}", handle))
            .raise_for_status()
            .json()["id"]
            for number in range(100)
        ]
    began = time.perf_counter()
    gaps, chunks = asyncio.run(many_streams(base, agents))
    report.add(
        "100 streams of 50 tokens/s: chunks", f"{chunks} in {time.perf_counter() - began:.1f} s", "10,000"
    )
    gaps.sort()
    report.add(
        "100 streams: gap p50 / p99 / longest",
        f"{statistics.median(gaps):.0f} / {gaps[int(len(gaps) * 0.99)]:.0f} / {gaps[-1]:.0f} ms",
        "aim: none over 100 ms",
    )


def agent_body(name: str, handle: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": handle,
        "memory_blocks": [
            {"label": "persona", "value": "I am brief."},
            {"label": "human", "value": "Nothing yet."},
        ],
    }


if __name__ == "__main__":
    main()
