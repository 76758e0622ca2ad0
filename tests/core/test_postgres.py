"""The embedded server is there whenever somebody needs it, whatever was killed before."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import pq

from letta_ade.core import postgres, postgres_engine, postgres_place
from tests.conftest import FAST

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0

#: Acquires a server, says so, and keeps it until its input ends.
HOLDER = """
    import sys
    from pathlib import Path
    from letta_ade.core import postgres

    share = postgres.acquire(Path(sys.argv[1]), options={"fsync": "off", "shared_buffers": "32MB"})
    print(share.url, flush=True)
    sys.stdin.read()
    share.release()
    print("released", flush=True)
"""


#: The packages by path, so that another Python of the same version can stand in for one in a closed folder.
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}:{Path(psycopg.__file__).parents[1]}", "PATH": os.defpath}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """As whom, and with which Python, a holder runs."""

    python: str
    identity: dict[str, Any]


class Holder:
    """Another process that uses the server."""

    def __init__(self, data_dir: Path, account: Account | None = None) -> None:
        account = account or Account(python=sys.executable, identity={})
        self.process = subprocess.Popen(
            [account.python, "-c", textwrap.dedent(HOLDER), str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT,
            **account.identity,
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("postgresql://"), f"the holder did not start: {self.url!r}"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def leave(self) -> None:
        said, _ = self.process.communicate("", timeout=20)
        assert "released" in said


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """The processes of others give no event: look again until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.01)


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def write(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        connection.execute("INSERT INTO note VALUES (%s)", [text])


def notes(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY text")]


def server_pid(data_dir: Path) -> int | None:
    return postgres_engine.postmaster_pid(postgres_place.locate(data_dir))


def kill_server(data_dir: Path) -> None:
    pid = server_pid(data_dir)
    assert pid
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def data_dir(reachable_tmp_path: Path) -> Iterator[Path]:
    folder = reachable_tmp_path / "data"
    yield folder
    if folder.exists() and (pid := server_pid(folder)):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def pattern() -> Iterator[Path]:
    """A data folder with a database in it: copying one takes a fifth of making one."""
    folder = Path(tempfile.mkdtemp(prefix="ade-test-"))
    folder.chmod(0o711)
    with postgres.acquire(folder / "data", options=FAST):
        pass
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def made_dir(data_dir: Path, pattern: Path) -> Path:
    """A data folder that has been used before."""
    subprocess.run(["cp", "-a", pattern, data_dir], check=True)
    return data_dir


@pytest.fixture(params=["as root" if AS_ROOT else "as a user", "as another user"])
def account(request: pytest.FixtureRequest, reachable_tmp_path: Path) -> Account | None:
    """Whom a holder runs as: us, or an account without privileges."""
    if request.param != "as another user":
        return None
    if not AS_ROOT:
        pytest.skip("only root can start a process as another user")
    nobody = pwd.getpwnam("nobody")
    identity: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            command = [python, "-c", "import psycopg, letta_ade.core.postgres"]
            subprocess.run(command, check=True, capture_output=True, cwd="/", env=ENVIRONMENT, **identity)
        except (OSError, subprocess.SubprocessError):
            continue
        os.chown(reachable_tmp_path, nobody.pw_uid, nobody.pw_gid)
        return Account(python=python, identity=identity)
    pytest.skip("no Python of this version that the account 'nobody' can reach")


def test_a_new_folder_gets_a_server_with_pgvector_and_the_promised_settings(data_dir: Path) -> None:
    with postgres.acquire(data_dir, options=FAST) as share, psycopg.connect(share.url) as connection:
        connection.execute("CREATE EXTENSION vector")
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,2]'").fetchone() == (0.0,)
        shown = {
            name: connection.execute(f"SELECT current_setting('{name}')").fetchone()
            for name in ("jit", "max_connections", "listen_addresses", "server_encoding", "TimeZone")
        }
        assert shown == {
            "jit": ("off",),
            "max_connections": ("200",),
            "listen_addresses": ("",),
            "server_encoding": ("UTF8",),
            "TimeZone": ("UTC",),
        }


def test_the_data_outlives_the_server(made_dir: Path) -> None:
    with postgres.acquire(made_dir, options=FAST) as share:
        write(share.url, "kept")
    assert server_pid(made_dir) is None
    with postgres.acquire(made_dir, options=FAST) as share:
        assert notes(share.url) == ["kept"]


def test_the_password_is_asked_for_and_kept_in_a_file_only_we_can_read(made_dir: Path) -> None:
    with postgres.acquire(made_dir, options=FAST) as share:
        file = made_dir / "postgres" / "password"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() in share.url
        assert file.read_text() not in repr(share)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(share.url.replace(file.read_text(), "wrong"))


def test_the_socket_is_in_a_folder_closed_to_others(made_dir: Path) -> None:
    with postgres.acquire(made_dir, options=FAST):
        sockets = postgres_place.locate(made_dir).sockets
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


def test_a_path_too_long_for_a_socket_works(reachable_tmp_path: Path) -> None:
    deep = reachable_tmp_path / "a folder, with 'quotes\" and a comma" / ("x" * 100)
    with postgres.acquire(deep, options=FAST) as share:
        assert answers(share.url)
        sockets = postgres_place.locate(deep).sockets
        assert len(str(sockets)) < 100
    shutil.rmtree(sockets)


def test_two_users_share_one_server_and_the_last_one_stops_it(made_dir: Path) -> None:
    with postgres.acquire(made_dir, options=FAST) as share:
        first = server_pid(made_dir)
        other = Holder(made_dir)
        assert server_pid(made_dir) == first
    assert server_pid(made_dir) == first
    assert answers(other.url)
    other.leave()
    assert server_pid(made_dir) is None
    assert not answers(share.url)


def test_two_folders_have_two_servers(made_dir: Path, reachable_tmp_path: Path) -> None:
    with (
        postgres.acquire(made_dir, options=FAST) as one,
        postgres.acquire(reachable_tmp_path / "second", options=FAST) as two,
    ):
        write(one.url, "one")
        write(two.url, "two")
        assert (notes(one.url), notes(two.url)) == (["one"], ["two"])


def test_releasing_twice_stops_nobody_elses_server(made_dir: Path) -> None:
    share = postgres.acquire(made_dir, options=FAST)
    with postgres.acquire(made_dir, options=FAST) as other:
        share.release()
        share.release()
        assert answers(other.url)


def test_many_starting_at_once_get_one_server(data_dir: Path) -> None:
    shares: list[postgres.EmbeddedPostgres] = []
    threads = [
        threading.Thread(target=lambda: shares.append(postgres.acquire(data_dir, options=FAST)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(shares) == 6
        assert all(answers(share.url) for share in shares)
    finally:
        for share in shares:
            share.release()
    assert server_pid(data_dir) is None


def test_a_killed_app_leaves_no_count_behind(data_dir: Path, account: Account | None) -> None:
    killed = Holder(data_dir, account)
    write(killed.url, "kept")
    killed.kill()
    assert server_pid(data_dir), "the server goes on; the next one takes it over"
    after = Holder(data_dir, account)
    assert notes(after.url) == ["kept"]
    after.leave()
    assert server_pid(data_dir) is None


def test_a_killed_server_is_started_again_while_the_app_runs(data_dir: Path, account: Account | None) -> None:
    holder = Holder(data_dir, account)
    write(holder.url, "kept")
    before = server_pid(data_dir)
    kill_server(data_dir)
    wait_until(lambda: server_pid(data_dir) not in {before, None} and answers(holder.url))
    assert notes(holder.url) == ["kept"]
    holder.leave()
    assert server_pid(data_dir) is None


def test_a_killed_server_that_another_app_started_is_started_again(made_dir: Path) -> None:
    first = Holder(made_dir)
    with postgres.acquire(made_dir, options=FAST) as share:
        first.leave()
        before = server_pid(made_dir)
        kill_server(made_dir)
        wait_until(lambda: server_pid(made_dir) not in {before, None})
        wait_until(lambda: answers(share.url))
        assert server_pid(made_dir) != before


def test_app_and_server_killed_together_come_back_with_the_data(
    data_dir: Path, account: Account | None
) -> None:
    holder = Holder(data_dir, account)
    write(holder.url, "kept")
    pid = server_pid(data_dir)
    assert pid
    holder.process.kill()
    os.kill(pid, signal.SIGKILL)
    holder.process.communicate()
    after = Holder(data_dir, account)
    assert notes(after.url) == ["kept"]
    after.leave()


def test_a_start_killed_half_way_is_begun_anew(data_dir: Path) -> None:
    half = data_dir / "postgres" / "data.partial"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    for folder in (data_dir, data_dir / "postgres"):
        folder.chmod(0o711)
    with postgres.acquire(data_dir, options=FAST) as share:
        assert answers(share.url)


def test_a_pid_file_that_names_somebody_else_is_ignored(made_dir: Path) -> None:
    place = postgres_place.locate(made_dir)
    place.pid_file.write_text(f"{os.getpid()}\n{place.data}\n")
    with postgres.acquire(made_dir, options=FAST) as share:
        assert answers(share.url)
        assert server_pid(made_dir) != os.getpid()


def test_data_of_another_major_version_is_refused(made_dir: Path) -> None:
    (postgres_place.locate(made_dir).data / "PG_VERSION").write_text("16\n")
    with pytest.raises(postgres.PostgresFailed, match="was made by PostgreSQL 16; this release has 18"):
        postgres.acquire(made_dir, options=FAST)


def test_a_setting_that_cannot_be_is_reported_in_the_servers_own_words(made_dir: Path) -> None:
    with pytest.raises(postgres.PostgresFailed, match="invalid value for parameter"):
        postgres.acquire(made_dir, options={"max_connections": "none"})


def test_a_full_disk_is_one_sentence(data_dir: Path) -> None:
    place = postgres_place.locate(data_dir)
    said = postgres_engine.explain(place, "FATAL: could not write lock file: No space left on device")
    assert said == f"The disk is full: PostgreSQL has no room in {place.home}."


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(postgres.PostgresFailed, match="cannot be written: Permission denied"):
        postgres.acquire(tmp_path / "data")


@pytest.mark.skipif(not AS_ROOT, reason="only root has to drop its privileges")
def test_roots_server_runs_without_privileges(made_dir: Path) -> None:
    with postgres.acquire(made_dir, options=FAST):
        pid = server_pid(made_dir)
        assert Path(f"/proc/{pid}").stat().st_uid not in {0, pwd.getpwnam("nobody").pw_uid}


@pytest.mark.skipif(not AS_ROOT, reason="only root has to drop its privileges")
def test_root_keeps_data_elsewhere_when_the_folder_is_closed(
    reachable_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = reachable_tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(postgres_place, "ROOT_FOLDER", reachable_tmp_path / "elsewhere")
    with postgres.acquire(closed / "data", options=FAST) as share:
        write(share.url, "kept")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "no folder above ours is changed"
    (home,) = (reachable_tmp_path / "elsewhere").glob("data-*")
    assert (home / "data" / "PG_VERSION").exists()
    moved = reachable_tmp_path / "moved"
    (closed / "data").rename(moved)
    with postgres.acquire(moved, options=FAST) as share:
        assert notes(share.url) == ["kept"]
    shutil.rmtree(home)
    with pytest.raises(postgres.PostgresFailed, match="which is gone"):
        postgres.acquire(moved, options=FAST)


@pytest.mark.skipif(not AS_ROOT, reason="only root can use another user's folder")
def test_root_runs_a_users_server_as_that_user(made_dir: Path, reachable_tmp_path: Path) -> None:
    games = pwd.getpwnam("games")
    os.chown(reachable_tmp_path, games.pw_uid, games.pw_gid)
    with postgres.acquire(made_dir, options=FAST) as share:
        write(share.url, "kept")
    folder = made_dir / "postgres"
    for path in (made_dir, folder, *folder.rglob("*")):
        os.chown(path, games.pw_uid, games.pw_gid)
    folder.chmod(0o700)
    with postgres.acquire(made_dir, options=FAST) as share:
        assert notes(share.url) == ["kept"]
        assert Path(f"/proc/{server_pid(made_dir)}").stat().st_uid == games.pw_uid
    assert all(path.stat().st_uid == games.pw_uid for path in (folder / "postgres.log", folder / "run"))


def test_a_server_of_somebody_else_is_not_taken_for_ours(data_dir: Path) -> None:
    """A socket folder in the shared temporary folder may have been made by another user beforehand."""
    place = postgres_place.locate(data_dir)
    trap = place.home / "run"
    trap.symlink_to("/tmp")
    with pytest.raises(postgres.PostgresFailed, match="is not ours"):
        postgres.acquire(data_dir, options=FAST)
    assert postgres_engine.ping(place) != pq.Ping.OK
