"""A data folder, the processes on it, and its rows, which outlive them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString, TypeVar
from urllib.parse import quote

import httpx
import psycopg
from psycopg.rows import dict_row

from letta_ade.core import postgres, postgres_engine
from letta_ade.core.postgres_place import locate
from tests.faults.model import SECONDS, HeldOpenAI
from tests.support.commands import Running, Up, Worker

T = TypeVar("T")
R = TypeVar("R", bound=Running)

MODEL, EMBEDDING = "openai/gpt-4o-mini", "openai/text-embedding-3-small"
ENDED = ("completed", "failed", "cancelled")


class Scene:
    """Starts processes on one data folder and kills them. `model` is the provider that all of them call."""

    def __init__(self, folder: Path, model: HeldOpenAI) -> None:
        self.folder = folder
        self.model = model
        self._processes: list[Running] = []
        self._servers: list[Server] = []
        self._environment = {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": model.base_url,
            "ADE_OUTBOUND_ALLOW": "127.0.0.1",
            "ADE_SECRET_KEY": "the key of all servers of a scene",
            "ADE_LEASE_SECONDS": "3",
            "ADE_LLM_RETRIES": "0",
            # What they have to say beside their greeting is in the report of a test that fails.
            "ADE_LOG_LEVEL": "INFO",
        }

    def up(self, *arguments: str, **environment: str) -> Server:
        """A server, ready to answer."""
        return self._serving(Up(self.folder, *arguments, **{**self._environment, **environment}))

    def second_up(self, folder: Path, **environment: str) -> Server:
        """A server on a data folder of its own, and on the database of this one."""
        values = {**self._environment, "DATABASE_URL": self.database_url, **environment}
        return self._serving(Up(folder, **values))

    def worker(self, **environment: str) -> Worker:
        return self._started(Worker(self.folder, **{**self._environment, **environment}))

    def _started(self, process: R) -> R:
        self._processes.append(process)
        return process

    def _serving(self, process: Up) -> Server:
        self._servers.append(Server(self._started(process)))
        return self._servers[-1]

    def stop_all(self) -> None:
        """Stop what still runs, in the time that is promised."""
        stopping = [process for process in self._processes if process.runs]
        for process in stopping:
            process.process.terminate()
        for process in stopping:
            assert process.stop() < 10, process.text

    def close(self) -> None:
        """End what still runs, PostgreSQL included."""
        for server in self._servers:
            server.client.close()
        for process in self._processes:
            if process.runs:
                process.stop(signal.SIGKILL)
        for process in self._processes:
            print(f"--- {' '.join(process.command)}\n{process.text}")
        postgres.acquire(self.folder).release()

    # The rows, read beside the servers.

    @property
    def database_url(self) -> str:
        place = locate(self.folder)
        login = f"{postgres_engine.USER}:{place.password_file.read_text()}"
        return f"postgresql://{login}@/{postgres_engine.DATABASE}?host={quote(str(place.sockets), safe='')}"

    @property
    def postgres_pid(self) -> int | None:
        return postgres_engine.postmaster_pid(locate(self.folder))

    def rows(self, query: LiteralString, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database_url, row_factory=dict_row, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def wait_for_rows(self, query: LiteralString, *values: Any) -> list[dict[str, Any]]:
        """The rows as soon as there are any."""
        return eventually(lambda: self.rows(query, *values), query)

    def cut_connections(self) -> int:
        """Terminate every connection that the servers have; how many those were."""
        query: LiteralString = """
            SELECT count(pg_terminate_backend(pid)) AS cut FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
        """
        return int(self.rows(query)[0]["cut"])

    def kill_postgres(self) -> int:
        """Its pid."""
        pid = self.postgres_pid
        assert pid is not None, "PostgreSQL does not run"
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for_another_postgres(self, killed: int) -> None:
        """Until a new one answers. The old one's children may answer for a moment longer."""

        def answers() -> bool:
            try:
                return self.postgres_pid not in (None, killed) and bool(self.rows("SELECT 1"))
            except psycopg.OperationalError:
                return False

        eventually(answers, "PostgreSQL")

    def run(self, run_id: str) -> dict[str, Any]:
        [row] = self.rows("SELECT * FROM agents_run WHERE id = %s", run_id)
        return row

    def wait_for_end(self, run_id: str) -> dict[str, Any]:
        """The run's row once it has ended and its last event is stored."""
        self.wait_for_rows("SELECT 1 FROM agents_runevent WHERE run_id = %s AND type = 'RunEnded'", run_id)
        return self.run(run_id)

    def check_ends(self) -> None:
        """Every run has one end: in its row, in its events, in its steps; and holds nothing any more."""
        going_on: LiteralString = """
            SELECT id FROM agents_run WHERE NOT EXISTS (
              SELECT 1 FROM agents_runevent WHERE run_id = agents_run.id AND type = 'RunEnded'
            )
        """
        eventually(lambda: not self.rows(going_on), "the end of every run")
        events: dict[str, list[dict[str, Any]]] = {}
        for event in self.rows("SELECT run_id, type, data FROM agents_runevent ORDER BY run_id, seq"):
            events.setdefault(event["run_id"], []).append(event)
        for run in self.rows("SELECT * FROM agents_run"):
            told = events[run["id"]]
            ends = [event["data"] for event in told if event["type"] == "RunEnded"]
            assert run["status"] in ENDED, run
            assert [(end["status"], end["stop_reason"]) for end in ends] == [
                (run["status"], run["stop_reason"])
            ], f"{run['id']}: {ends}"
            assert told[-1]["type"] == "RunEnded", f"{run['id']} was told on after its end"
            assert told[0]["type"] == "RunStarted" or run["status"] != "completed", told[0]
            assert run["completed_at"] is not None, run
            assert run["request"] is None, "what was asked is kept while the run goes on"
        assert not self.rows("SELECT * FROM agents_runlease")
        assert not self.rows("SELECT * FROM agents_step WHERE status = 'pending'")


class Server:
    """A running `ade up` and its clients."""

    def __init__(self, process: Up) -> None:
        self.process = process
        self.url = process.url
        self.client = httpx.Client(base_url=f"{process.url}/v1", timeout=SECONDS)

    def kill(self) -> None:
        self.process.stop(signal.SIGKILL)

    def stop(self) -> float:
        return self.process.stop()

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's body; the answer must be good."""
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make_agent(self, **fields: Any) -> str:
        """The id of a new agent with memory and an archive."""
        body = {
            "model": MODEL,
            "embedding": EMBEDDING,
            "tools": ["archival_memory_insert"],
            "memory_blocks": [{"label": "human", "value": "Name: Ada"}],
            **fields,
        }
        return str(self.post("/agents/", body)["id"])

    def say(self, agent_id: str, text: str, **fields: Any) -> list[str]:
        """What the agent answers."""
        answer = self.post(f"/agents/{agent_id}/messages", {"input": text, **fields})
        return [each["content"] for each in answer["messages"] if each["message_type"] == "assistant_message"]

    def say_later(self, agent_id: str, text: str, **fields: Any) -> str:
        """The id of a run of the background."""
        return str(self.post(f"/agents/{agent_id}/messages/async", {"input": text, **fields})["id"])

    def messages(self, agent_id: str, **query: Any) -> list[dict[str, Any]]:
        """Oldest first."""
        return list(self.get(f"/agents/{agent_id}/messages", limit=1000, order="asc", **query))

    def said(self, agent_id: str, **query: Any) -> list[tuple[str, str]]:
        """The history in short."""
        return [(each["message_type"], _short(each)) for each in self.messages(agent_id, **query)]

    def block(self, agent_id: str) -> str:
        return str(self.get(f"/agents/{agent_id}/core-memory/blocks/human")["value"])


def eventually(look: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"it never came: {what}"
        time.sleep(0.01)  # the condition is another process's
    return found


def _short(message: dict[str, Any]) -> str:
    match message["message_type"]:
        case "tool_call_message":
            return str(message["tool_call"]["name"])
        case "tool_return_message":
            return str(message["status"])
        case _:
            return str(message.get("content") or message.get("reasoning") or "")
