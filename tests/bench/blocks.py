"""How long a write to a block takes with its history, and how long it takes to explain its lines.

    .venv/bin/python -m tests.bench.blocks

A block of 20,000 characters is written 500 times over REST, one line each time; then its lines are explained and its chain verified.
Then 10,000 blocks of 600 characters are made, and listed by the API and the page.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.bench.server import Report, free_port, process, wait_for

_VERSIONS = 500
_LINES = 400
_TIMES = 20
_BLOCKS = 10_000


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder:
        Path(folder).chmod(0o711)
        environment = {**os.environ, "ADE_DATA_DIR": f"{folder}/data"}
        up = (sys.executable, "-m", "letta_ade.cli", "up", "--port", str(port))
        with process(*up, env=environment) as server:
            wait_for(f"http://127.0.0.1:{port}/v1/health/", server)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", timeout=60) as client:
                measure(client, Report())
                measure_list(client, f"http://127.0.0.1:{port}", Report())


def measure(client: httpx.Client, report: Report) -> None:
    lines = [f"{number:>4} {'x' * 44}" for number in range(_LINES)]
    made = client.post("/blocks/", json={"label": "large", "value": "\n".join(lines)})
    path = f"/blocks/{made.json()['id']}"
    writes: list[float] = []
    for number in range(_VERSIONS):
        lines[number * 7 % _LINES] = f"{number:>4} {'y' * 44}"
        body = {"value": "\n".join(lines), "base_version": number + 1}
        writes.append(_timed(lambda body=body: client.patch(path, json=body)))  # type: ignore[misc]  # mypy: default
    report.times("write of a block of 20,000 characters", writes, "aim 8 ms")
    for name, part, aim in (
        ("a request that reads one block", "", ""),
        (f"blame of it with {_VERSIONS} versions", "/versions/blame", "aim 50 ms"),
        (f"verify of {_VERSIONS} versions", "/versions/verify", ""),
        ("list of 50 versions", "/versions", ""),
    ):
        report.times(name, [_timed(lambda part=part: client.get(path + part)) for _ in range(_TIMES)], aim)  # type: ignore[misc]  # mypy: default


def measure_list(client: httpx.Client, root: str, report: Report) -> None:
    words = [f"word{number}" for number in range(97)]
    for number in range(_BLOCKS):
        value = "\n".join(f"{words[(number * 7 + at) % 97]} is known, line {at}" for at in range(20))
        body = {"label": f"notes/{number:05}", "value": value, "tags": [f"team-{number % 40}"]}
        client.post("/blocks/", json=body).raise_for_status()
    for name, path, aim in (
        (f"page of {_BLOCKS:,} blocks", "/blocks/", "aim 50 ms"),
        ("page, sorted by label", "/blocks/?sort=label", "aim 50 ms"),
        ("page, one tag", "/blocks/?tag=team-7", "aim 50 ms"),
        ("page, no agent holds it", "/blocks/?held=none", "aim 50 ms"),
        ("page, last written by nobody known", "/blocks/?writer=unknown", "aim 50 ms"),
        ("page, a text that is often there", "/blocks/?q=word3", "aim 50 ms"),
        ("page, a text that is once there", "/blocks/?q=notes/04321", "aim 50 ms"),
        ("page, a text that is nowhere", "/blocks/?q=nowhere", "aim 50 ms"),
        ("API, 50 blocks", "/v1/blocks/", "aim 50 ms"),
        ("API, 50 blocks that have a value", "/v1/blocks/?value_search=word3", "aim 50 ms"),
        ("API, a label that is once there", "/v1/blocks/?label_search=04321", "aim 50 ms"),
    ):
        report.times(name, [_timed(lambda path=path: client.get(root + path)) for _ in range(_TIMES)], aim)  # type: ignore[misc]  # mypy: default


def _timed(call: Callable[[], httpx.Response]) -> float:
    began = time.perf_counter()
    call().raise_for_status()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
