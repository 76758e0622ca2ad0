"""How long the server takes for each page of a full workspace.

    .venv/bin/python -m tests.bench.pages [--agents 10000] [--messages 100000] [--runs 100000] [--data FOLDER] [--only WORD]

Fills an empty server through its own database (rows copied from real ones), then asks for every page as a browser would. With a
folder what was filled stays there, and is used again the next time. Beside the time there is the processor's, of the server and of
its database: on a machine that others use too it is the one to go by.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.bench.server import free_port, milliseconds, process, wait_for

_TIMES = 20
_WORDS = ["tea", "pump", "invoice", "policy", "refund", "label", "photo", "order", "ticket", "winter"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=100_000, help="of one agent, beside those of the others")
    parser.add_argument(
        "--data", type=Path, help="where the filled server stays; a new folder, or one of an earlier time"
    )
    parser.add_argument("--only", default="", help="pages whose name has this word")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}\n"
    )
    port = free_port()
    with data_folder(asked.data) as folder:
        os.environ["ADE_DATA_DIR"] = str(folder)
        is_filled = (folder / "postgres").exists()
        up = (sys.executable, "-m", "letta_ade.cli", "up", "--port", str(port))
        with process(*up, env=dict(os.environ)) as server:
            wait_for(f"http://127.0.0.1:{port}/v1/health/", server)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                if not is_filled:
                    begin(client)
                    fill(agents=asked.agents, messages=asked.messages, runs=asked.runs)
                measure(client, server.pid, asked.only)


@contextmanager
def data_folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "data"


def begin(client: httpx.Client) -> None:
    """One real agent that has said something; the others are its copies."""
    body = {
        "name": "first",
        "model": "demo/assistant",
        "memory_blocks": [{"label": "human", "value": "Name: Ada"}],
    }
    agent_id = str(client.post("/v1/agents/", json=body).json()["id"])
    client.post(
        f"/v1/agents/{agent_id}/messages", json={"input": "My name is Ada and I like tea."}
    ).raise_for_status()


def fill(*, agents: int, messages: int, runs: int) -> None:
    """Copies of the agent, each with a default conversation, a block and a run; and messages in all of them."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
    from letta_ade.commands.database import database

    # The server's own PostgreSQL, shared while it runs.
    with database():
        _fill(agents=agents, messages=messages)
        _fill_runs(runs)
        _tell_ends()


def _fill(*, agents: int, messages: int) -> None:
    from django.db import connection

    from agents.models import Agent, AgentBlock, Conversation, Message, Run
    from memory.models import Block, BlockVersion

    words = "(ARRAY['" + "','".join(_WORDS) + "'])[1 + n % 10]"
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE made AS SELECT n, gen_random_uuid() AS u FROM generate_series(1, %s) n",
            [agents],
        )
        copy(cursor, Agent, {"id": "'agent-' || u", "name": f"{words} || ' desk ' || n"})
        copy(cursor, Conversation, {"id": "'conv-' || u", "agent_id": "'agent-' || u"})
        copy(cursor, Block, {"id": "'block-' || u", "label": f"{words} || '_' || n"})
        copy(cursor, BlockVersion, {"id": "'block_hist-' || u", "block_id": "'block-' || u"})
        copy(cursor, AgentBlock, {"agent_id": "'agent-' || u", "block_id": "'block-' || u", "position": "0"})
        own = {"agent_id": "'agent-' || u", "conversation_id": "'conv-' || u"}
        copy(cursor, Run, {"id": "'run-' || u", **own})
        for _ in range(max(1, messages // agents)):
            said = f"'About the ' || {words} || ' and ' || (ARRAY['{_WORDS[3]}','{_WORDS[1]}'])[1 + n % 2] || ' of ' || n"
            changes = {
                "id": "'message-' || gen_random_uuid()",
                **own,
                "text": said,
                "run_id": "NULL",
                "step_id": "NULL",
            }
            copy(cursor, Message, {**changes, "created_at": "now() - random() * interval '30 days'"})
        cursor.execute("ANALYZE")


def _fill_runs(runs: int) -> None:
    """Runs of the first agent, one in 20 s; one in a thousand failed, one in five thousand took too many steps."""
    from django.db import connection

    from agents.models import Run, Step

    age = "now() - n * interval '20 seconds'"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE made")
        cursor.execute(
            "CREATE TEMP TABLE made AS SELECT n, gen_random_uuid() AS u FROM generate_series(1, %s) n", [runs]
        )
        ending = "WHEN n % 997 = 0 THEN 'llm_api_error' WHEN n % 5003 = 0 THEN 'max_steps' ELSE 'end_turn'"
        changes = {
            "id": "'run-' || u",
            "created_at": age,
            "completed_at": age,
            "status": "CASE WHEN n % 997 = 0 THEN 'failed' ELSE 'completed' END",
            "stop_reason": f"CASE {ending} END",
            "total_tokens": "n % 30000",
        }
        copy(cursor, Run, changes)
        copy(
            cursor,
            Step,
            {
                "id": "'step-' || u",
                "run_id": "'run-' || u",
                "place": f"{runs} - n + 1",
                "created_at": age,
                "started_at": age,
            },
        )
        cursor.execute("ANALYZE")


def _tell_ends() -> None:
    """The last event of each run: without it the server would write it, in the middle of what is measured."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO agents_runevent (run_id, seq, type, data) SELECT run.id, 1000, ended.type, ended.data "
            "FROM agents_run AS run, (SELECT type, data FROM agents_runevent WHERE type = 'RunEnded' LIMIT 1) AS ended "
            "WHERE NOT EXISTS (SELECT FROM agents_runevent AS told WHERE told.run_id = run.id AND told.type = 'RunEnded')"
        )
        cursor.execute("VACUUM ANALYZE")


def copy(cursor: Any, model: Any, changes: dict[str, str]) -> None:
    """One row of the model for each of `made`, like its first row but for these columns."""
    automatic = {"search"} | ({"id"} if "id" not in changes else set())
    names = [field.column for field in model._meta.concrete_fields if field.column not in automatic]
    values = [changes.get(name, f'source."{name}"') for name in names]
    table, columns = model._meta.db_table, ", ".join(f'"{name}"' for name in names)
    cursor.execute(
        f"INSERT INTO {table} ({columns}) SELECT {', '.join(values)} "
        f"FROM (SELECT * FROM {table} ORDER BY 1 LIMIT 1) source, made"
    )


def measure(client: httpx.Client, pid: int, only: str) -> None:
    """One line for each page: how long it took, processor time of the server and of its database, and what is sent."""
    agent_id = client.get("/v1/agents/", params={"name": "first"}).json()[0]["id"]
    steps = client.get("/v1/steps/", params={"agent_id": agent_id, "limit": 10}).json()
    kept = next(step for step in steps if client.get(f"/v1/steps/{step['id']}/trace").json())
    run_id, step_id = kept["run_id"], kept["id"]
    print(f"{'':<36}{'p50 / p95':>16}{'CPU: server':>14}{'database':>10}{'sent':>10}   aim 50 ms")
    for name, address in (
        ("home", "/"),
        ("agents", "/agents/"),
        ("agents, filtered by a word", "/agents/?q=policy"),
        ("workbench", f"/agents/{agent_id}/"),
        ("runs", "/runs/"),
        ("runs, failed", "/runs/?errors=1"),
        ("runs, of a rare stop reason", "/runs/?stop=max_steps"),
        ("runs, of many tokens", "/runs/?tokens=29995"),
        ("runs, of one agent", f"/runs/?agent={agent_id}"),
        ("a run", f"/runs/{run_id}/"),
        ("the context of a step", f"/agents/{agent_id}/steps/{step_id}/context/"),
        ("blocks", "/blocks/"),
        ("blocks, searched", "/blocks/?q=policy"),
        ("tools", "/tools/"),
        ("inbox", "/inbox/"),
        ("palette, nothing typed", "/search/"),
        ("palette, a common word", "/search/?q=policy"),
        ("palette, a rare word", "/search/?q=desk+9999"),
        ("palette, a word that is not there", "/search/?q=zebra"),
        ("settings", "/settings/about/"),
    ):
        if only in name:
            print(line_of(client, pid, name, address), flush=True)


def line_of(client: httpx.Client, pid: int, name: str, address: str) -> str:
    """How a page did."""
    client.get(address).raise_for_status()
    before = processor_ms(pid), sum(processor_ms(each) for each in database_pids())
    taken = sorted(milliseconds(lambda: client.get(address).raise_for_status(), _TIMES))
    calls = len(taken) + 3  # those that warm up
    server = (processor_ms(pid) - before[0]) / calls
    database = (sum(processor_ms(each) for each in database_pids()) - before[1]) / calls
    sent = client.get(address).num_bytes_downloaded / 1024
    times = f"{statistics.median(taken):.1f} / {taken[int(len(taken) * 0.95) - 1]:.1f}"
    return f"{name:<36}{times:>16}{server:>14.1f}{database:>10.1f}{sent:>7.0f} KB"


def processor_ms(pid: int) -> float:
    """What a process has used of the processor, all of its threads, in ms."""
    # The clock of another process, as clock_getcpuclockid(3) of Linux names it.
    return time.clock_gettime((~pid << 3) | 2) * 1000


def database_pids() -> list[int]:
    """The processes of the embedded PostgreSQL."""
    data = Path(os.environ["ADE_DATA_DIR"]) / "postgres/data"
    postmaster = int((data / "postmaster.pid").read_text().split()[0])
    found = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    return [postmaster, *map(int, found.split())]


if __name__ == "__main__":
    main()
