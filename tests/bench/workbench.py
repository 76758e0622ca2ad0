"""The workbench with a conversation of 10,000 messages, in Chromium: how soon it can be used, and how it scrolls.

    .venv/bin/python -m tests.bench.workbench [--quick]

Needs Debian's chromium or CHROMIUM. The conversation is written straight into the tables: 2,500 runs of a question, a call, its return
and an answer. Prints one table; `docs/performance.md` keeps some with their date.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

from tests.bench.server import ROOT, Report, free_port, milliseconds, process, wait_for
from tests.browser.conftest import CHROMIUM, FLAGS

RUNS = 2500

_SEED = """
import datetime, json, os
from pathlib import Path
from letta_ade.core import postgres
with postgres.acquire(Path({data_dir!r})) as server:
    os.environ["DATABASE_URL"] = server.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
    import django
    django.setup()
    from django.db import connection, connections
    from agents.models import Agent, Message, Run, Step
    from letta_ade.core.ids import new_id
    agent = Agent.objects.get(id={agent_id!r})
    conversation = agent.conversations.get(is_default=True)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    own = dict(workspace_id=agent.workspace_id, agent=agent, conversation=conversation)
    runs, steps, messages = [], [], []
    for n in range({runs}):
        at = start + datetime.timedelta(minutes=n)
        run = Run(id=new_id("run"), status="completed", stop_reason="end_turn",
                  completed_at=at, **own)
        both = [Step(id=new_id("step"), run=run, number=number, place=2 * n + number, status="success", started_at=at,
                     prompt_tokens=900, completion_tokens=60, **own) for number in (1, 2)]
        said = [
            dict(role="user", step=both[0], text=f"Question {{n}}: is the pump of house {{n % 37}} serviced?"),
            dict(role="assistant", step=both[0], tool_calls=[
                {{"id": f"call-{{n}}", "name": "lookup", "arguments": json.dumps({{"house": n % 37}})}}]),
            dict(role="tool", step=both[0], tool_returns=[
                {{"tool_call_id": f"call-{{n}}", "name": "lookup", "status": "success", "duration_ms": 12,
                  "text": json.dumps({{"serviced": "2026-05-01", "by": "Ada"}}), "stdout": [], "stderr": []}}]),
            dict(role="assistant", step=both[1], text=f"It was serviced on **1 May** by Ada.\\n\\n- pressure: "
                 f"{{n % 7}} bar\\n- `valve_{{n % 5}}` is tight\\n\\n```python\\nprint({{n}})\\n```"),
        ]
        for second, fields in enumerate(said):
            text = fields.get("text", "")
            content = [{{"type": "text", "text": text, "signature": None}}] if text else []
            messages.append(Message(id=new_id("message"), run=run, content=content,
                                    created_at=at + datetime.timedelta(seconds=second), **own, **fields))
        runs.append(run)
        steps += both
    for model, rows in ((Run, runs), (Step, steps), (Message, messages)):
        model.objects.bulk_create(rows, batch_size=500)
    with connection.cursor() as cursor:
        # The columns fill themselves with the moment of the insert.
        cursor.execute("UPDATE agents_run SET created_at = completed_at WHERE conversation_id = %s", [conversation.id])
        cursor.execute("ANALYZE")
    connections.close_all()
"""

#: From the navigation on, in ms: the newest answer stands there as markdown, and the composer takes a message.
_READY = """
() => new Promise((resolve) => {
  const isReady = () => document.querySelector("#runs > .run:last-child [data-drawn] > *") && document.getElementById("say")?.placeholder
    && document.getElementById("bench")?.dataset.view && window.htmx;
  const look = () => (isReady() ? resolve(performance.now()) : requestAnimationFrame(look));
  look();
})
"""
#: Longest and 95th-percentile gap between frames while a wheel is turned upwards, and the most elements meanwhile.
_SCROLL = """
(pixels) => new Promise((resolve) => {
  const scroller = document.getElementById("scroll");
  const gaps = [];
  let most = 0, last = performance.now(), turned = 0;
  const turn = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    most = Math.max(most, document.querySelectorAll("*").length);
    scroller.scrollBy(0, -120);
    turned += 120;
    if (turned < pixels) return requestAnimationFrame(turn);
    gaps.sort((a, b) => a - b);
    resolve({ p50: gaps[Math.floor(gaps.length / 2)], p95: gaps[Math.floor(gaps.length * 0.95)], longest: gaps.at(-1), most,
      windows: document.querySelectorAll(".window").length });
  };
  requestAnimationFrame(turn);
})
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder:
        Path(folder).chmod(0o711)
        bench(folder, times=5 if options.quick else 20)


def bench(folder: str, times: int) -> None:
    report, port = Report(), free_port()
    base = f"http://127.0.0.1:{port}"
    env = {**os.environ, "ADE_DATA_DIR": folder, "ADE_PORT": str(port)}
    with process(sys.executable, "-m", "letta_ade.cli", "up", env=env) as server:
        wait_for(f"{base}/v1/health/", server)
        made = httpx.post(f"{base}/v1/agents/", json={"name": "long", "model": "demo/assistant"}).json()
        code = _SEED.format(data_dir=folder, agent_id=made["id"], runs=RUNS)
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=env, check=True)
        address = f"{base}/agents/{made['id']}/"
        report.times(
            "the page, as the server gives it", milliseconds(lambda: httpx.get(address), times), "50 ms"
        )
        first = f"{base}/agents/{made['id']}/transcript/?before="
        runs = httpx.get(f"{base}/v1/runs/", params={"agent_id": made["id"], "limit": 40}).json()
        older = f"{first}{runs[-1]['id']}"
        fragment = {"HX-Request": "true"}
        report.times("an older window", milliseconds(lambda: httpx.get(older, headers=fragment), times), "")
        find = f"{base}/agents/{made['id']}/transcript/search/?find=house 7 "
        report.times("a search in it", milliseconds(lambda: httpx.get(find), times), "")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            in_browser(browser.new_page(viewport={"width": 1440, "height": 900}), address, report, times)
            browser.close()


def in_browser(page: Page, address: str, report: Report, times: int) -> None:
    """The browser's figures; its cache is warm after the first visit, as it is for who works here."""
    taken = []
    for _ in range(times + 1):
        page.goto(address, wait_until="commit")
        taken.append(float(page.evaluate(_READY)))
    report.add("first visit, usable", f"{taken[0]:.0f} ms", "")
    report.times("usable, from the navigation on", taken[1:], "500 ms")
    seen: dict[str, Any] = page.evaluate(_SCROLL, 60_000)
    frames = f"{seen['p50']:.0f} / {seen['p95']:.0f} / {seen['longest']:.0f} ms"
    report.add("scrolled up 60,000 px: frames p50 / p95 / longest", frames, "")
    report.add("elements on the page meanwhile, at most", f"{seen['most']:,}", "bounded")
    report.add("windows of the transcript meanwhile", str(seen["windows"]), "6")


if __name__ == "__main__":
    main()
