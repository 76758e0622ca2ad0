"""What a page costs who looks at it: bytes of a first visit, and the processor while a reply streams in.

    .venv/bin/python -m tests.bench.browser

Needs Debian's chromium or CHROMIUM. The model sends 50 tokens a second; what the browser uses meanwhile is the processor time of all
of its processes, less what the same open page uses while nothing happens.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from tests.bench.pages import processor_ms
from tests.bench.server import free_port, process, wait_for
from tests.browser.conftest import CHROMIUM, FLAGS

_WORDS, _WORD_MS = 750, 20
_SECONDS = 10
_PAGES = (("home", "/"), ("agents", "/agents/"), ("workbench", "/agents/{agent}/"), ("blocks", "/blocks/"))


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}\n"
    )
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder, served(folder) as base:
        made = httpx.post(f"{base}/v1/agents/", json={"name": "stream", "model": handle_of(base)})
        agent_id = made.raise_for_status().json()["id"]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            for name, path in _PAGES:
                print(first_visit(browser, name, base + path.format(agent=agent_id)), flush=True)
            stream(browser, f"{base}/agents/{agent_id}/")
            browser.close()


@contextmanager
def served(folder: str) -> Iterator[str]:
    """The address of a server whose vllm models send a word every 20 ms."""
    Path(folder).chmod(0o711)
    port, model_port = free_port(), free_port()
    fake = ["--port", str(model_port), "--words", str(_WORDS), "--word-ms", str(_WORD_MS)]
    env = {
        **os.environ,
        "ADE_DATA_DIR": f"{folder}/data",
        "ADE_PORT": str(port),
        "VLLM_API_BASE": f"http://127.0.0.1:{model_port}/v1",
    }
    with (
        process(sys.executable, "-m", "tests.support.fake_openai", *fake),
        process(sys.executable, "-m", "letta_ade.cli", "up", env=env) as server,
    ):
        wait_for(f"http://127.0.0.1:{port}/v1/health/", server)
        yield f"http://127.0.0.1:{port}"


def handle_of(base: str) -> str:
    models = httpx.get(f"{base}/v1/models/").raise_for_status().json()
    return next(str(each["handle"]) for each in models if each["handle"].startswith("vllm/"))


def first_visit(browser: Browser, name: str, address: str) -> str:
    """What a browser that has nothing yet is sent, by kind."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    kinds: dict[str, str] = {}
    sent: dict[str, float] = {}

    def began(event: dict[str, Any]) -> None:
        kinds[event["requestId"]] = event["type"]

    def ended(event: dict[str, Any]) -> None:
        kind = kinds.get(event["requestId"], "Other")
        sent[kind] = sent.get(kind, 0) + event["encodedDataLength"] / 1024

    session.on("Network.responseReceived", began)
    session.on("Network.loadingFinished", ended)
    page.goto(address, wait_until="networkidle")
    context.close()
    parts = ", ".join(f"{kind} {kb:.0f}" for kind, kb in sorted(sent.items(), key=lambda each: -each[1]))
    return f"first visit of {name:<12}{sum(sent.values()):>7.0f} KB   aim 350 KB   ({parts})"


def stream(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address, wait_until="networkidle")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    at_rest = used(page, session)
    page.fill("#say", "Tell me all.")
    page.press("#say", "Control+Enter")
    page.wait_for_selector("#runs .run", timeout=15_000)
    time.sleep(1)
    before = len(page.inner_text("#runs"))
    streaming = used(page, session)
    words = (len(page.inner_text("#runs")) - before) / 6
    for name in ("all processes", "its main thread"):
        cost = streaming[name] - at_rest[name]
        print(
            f"50 tokens/s, {name:<16}{cost:>6.1f} % of a core   aim 10 %   "
            f"({streaming[name]:.1f} less {at_rest[name]:.1f} at rest)"
        )
    print(f"characters that came in {_SECONDS} s: {words * 6:.0f}")


def used(page: Page, session: Any) -> dict[str, float]:
    """Percent of a core over some seconds."""
    pids = browser_pids()
    before, task = {pid: processor_ms(pid) for pid in pids}, task_ms(session)
    page.wait_for_timeout(_SECONDS * 1000)
    spent = sum(processor_ms(pid) - before[pid] for pid in pids)
    return {
        "all processes": spent / _SECONDS / 10,
        "its main thread": (task_ms(session) - task) / _SECONDS / 10,
    }


def task_ms(session: Any) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) * 1000 for each in metrics if each["name"] == "TaskDuration")


def browser_pids() -> list[int]:
    """The browser that this process has started, with all of its own processes."""
    parents = {
        int(stat.parent.name): int(stat.read_text().rsplit(")", 1)[1].split()[1])
        for stat in Path("/proc").glob("[0-9]*/stat")
    }
    found, level = [], [os.getpid()]
    while level:
        level = [each for each, parent in parents.items() if parent in level]
        found += level
    return [pid for pid in found if "chrom" in Path(f"/proc/{pid}/exe").resolve().name]


if __name__ == "__main__":
    main()
