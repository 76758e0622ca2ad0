"""`ade up` serves, refuses what it must, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from letta_ade.commands import serving
from letta_ade.core import postgres_engine, postgres_place
from tests.support.commands import Up, ade

Start = Callable[..., Up]


def server_pid(data_dir: Path) -> int | None:
    return postgres_engine.postmaster_pid(postgres_place.locate(data_dir))


@pytest.mark.parametrize(
    ("server", "sign"),
    [("uvicorn", signal.SIGTERM), ("uvicorn", signal.SIGINT), ("daphne", signal.SIGTERM)],
)
def test_it_serves_pages_and_api_until_a_signal(
    up: Start, data_dir: Path, server: str, sign: signal.Signals
) -> None:
    running = up("--server", server)
    assert running.get("/v1/health/") == 200
    assert running.get("/") == 200
    assert running.stop(sign) < 10
    assert running.process.returncode == 0
    assert server_pid(data_dir) is None
    assert "Traceback" not in running.text


def test_it_says_where_it_is_and_what_to_do_next(up: Start, data_dir: Path) -> None:
    running = up(OPENAI_API_KEY="sk-not-real", OPENAI_BASE_URL="http://127.0.0.1:9")
    running.wait_for("Ctrl-C stops everything.")
    assert f"Data       {data_dir}" in running.text
    assert "openai (OPENAI_API_KEY), demo (built in)" in running.text
    assert f'client = Letta(base_url="{running.url}")' in running.text
    assert 'model="demo/assistant"' in running.text
    assert "Access" not in running.text


def test_an_open_address_says_how_to_let_people_in(up: Start) -> None:
    running = up("--host", "0.0.0.0")
    running.wait_for("Ctrl-C stops everything.")
    assert "everybody needs a login or a key" in running.text
    assert "createuser you@example.org --role owner" in running.text
    assert 'api_key="sk-ade-…"' in running.text


def test_a_second_one_on_the_same_folder_is_refused_and_names_the_first(up: Start, data_dir: Path) -> None:
    first = up()
    second = ade("up", "--port", "0", ADE_DATA_DIR=str(data_dir))
    assert second.returncode == 1
    assert second.stderr == (
        f"ade: ade is already running on the data folder {data_dir} at {first.url} "
        f"(process {first.process.pid}). Use that one, stop it, or name another folder with ADE_DATA_DIR.\n"
    )


def test_after_a_kill_it_starts_again(up: Start) -> None:
    up().stop(signal.SIGKILL)
    assert up().get("/v1/health/") == 200


def test_after_a_kill_of_everything_it_starts_again(up: Start, data_dir: Path) -> None:
    killed = up()
    pid = server_pid(data_dir)
    assert pid
    killed.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    assert up().get("/v1/health/") == 200


def test_other_commands_share_its_database(up: Start, data_dir: Path) -> None:
    running = up("--host", "0.0.0.0")
    key = ade("apikey", "for a test", ADE_DATA_DIR=str(data_dir)).stdout.strip()
    assert key.startswith("sk-ade-")
    assert running.get("/v1/health/") == 200


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--workers", "2"], {}, "2 web processes need Redis"),
        (["--workers", "2"], {"REDIS_URL": "redis://x"}, "This release serves from one web process"),
        (["--host", "no-such-host.invalid"], {}, "There is no host 'no-such-host.invalid' to listen on."),
        (["--host", "192.0.2.1"], {}, "192.0.2.1 is not an address of this machine."),
        ([], {"ADE_PORT": "many"}, "ADE_PORT must be a whole number, not 'many'."),
        ([], {"ADE_SERVER": "apache"}, "ADE_SERVER must be uvicorn or daphne, not 'apache'."),
        ([], {"DATABASE_URL": "mysql://x"}, "DATABASE_URL must begin with postgresql://, not 'mysql'."),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: list[str], environment: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    refused = ade("up", *arguments, ADE_DATA_DIR=str(tmp_path / "data"), **environment)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert sentence in refused.stderr


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = ade("up", "--port", str(port), ADE_DATA_DIR=str(tmp_path / "data"))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"ade: Port {port} on 127.0.0.1 is taken by another program. "
        f"Stop that one, or choose another port: ade up --port {port + 1}\n"
    )


def test_a_data_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = ade("up", "--port", "0", ADE_DATA_DIR=str(tmp_path / "file" / "data"))
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "Not a directory" in refused.stderr


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux drops stalled connections")
def test_a_connection_that_takes_nothing_is_dropped_in_time() -> None:
    [listener] = serving.open_sockets("127.0.0.1", 0)
    listener.listen()
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            limit = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert limit == serving.STALLED_SECONDS * 1000
