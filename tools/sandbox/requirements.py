"""Packages that tools need: an environment for each set of them, made once under the data folder and shared by all who need that set."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from letta_ade.core import threads
from letta_ade.core.data_folder import make_data_dir
from tools.sandbox import place
from tools.sandbox.port import Language, Requirement

logger = logging.getLogger(__name__)

#: A name as PyPI has it, with extras.
_PYTHON_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._,-]+\])?")
_PYTHON_VERSION = re.compile(r"[A-Za-z0-9.+!*_-]+")
_NODE_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")
_NODE_VERSION = re.compile(r"[A-Za-z0-9.+^~*_-]+")
#: Of the server's environment an installer gets only what says where packages are.
_KEPT_VARIABLES = re.compile(
    r"PATH|HOME|LANG|TZ|UV_.*|PIP_.*|NPM_CONFIG_.*|npm_config_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE|(?:https?|all|no)_proxy",
    re.IGNORECASE,
)
_SHOWN_LINES = 15
_MOST_LOG_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An installed set of packages, or why it is not."""

    #: Where its packages are; "" when there is a problem.
    folder: str
    #: All that the installer said.
    log: str
    #: With the end of the log.
    problem: str | None = None


class _Log:
    """What the installer says: kept, and told to who listens."""

    def __init__(self, on_said: Callable[[str], None] | None) -> None:
        self._said: list[str] = []
        self._on_said = on_said
        #: Paths of this machine, which say nothing to who reads the log → what stands for them.
        self.names: dict[str, str] = {}

    def add(self, text: str) -> None:
        for path, name in self.names.items():
            text = text.replace(path, name)
        self._said.append(text)
        if self._on_said is not None:
            self._on_said(text)

    @property
    def text(self) -> str:
        return "".join(self._said)[-_MOST_LOG_CHARACTERS:]

    @property
    def end(self) -> str:
        return "\n".join(self.text.rstrip().splitlines()[-_SHOWN_LINES:])


class _Failed(Exception):
    """The installer ended badly; the text is what to tell."""


def check_requirement(requirement: Requirement, *, language: Language = "python") -> None:
    """Raise ValueError for what cannot be a package and its version: an installer would take it for something else."""
    name, version = (_PYTHON_NAME, _PYTHON_VERSION) if language == "python" else (_NODE_NAME, _NODE_VERSION)
    if not name.fullmatch(requirement.name):
        raise ValueError(f"{requirement.name!r} is not the name of a package.")
    if requirement.version is not None and not version.fullmatch(requirement.version):
        raise ValueError(f"{requirement.version!r} is not a version of {requirement.name}.")


async def environment_for(
    requirements: Sequence[Requirement],
    *,
    language: Language,
    on_said: Callable[[str], None] | None = None,
) -> Environment:
    """The environment of this set, made if it is new. What fails is told in `problem`; it is tried again at the next call.

    `on_said` hears the installer, on another thread.
    """
    try:
        for each in requirements:
            check_requirement(each, language=language)
    except ValueError as error:
        return Environment(folder="", log="", problem=str(error))
    if language != "python":
        text = "packages from npm are not installed here; write the tool without them, or in Python."
        return Environment(folder="", log="", problem=text)
    lines = sorted({_line(each) for each in requirements})
    found = _finished(_place_of(lines))
    return found if found is not None else await threads.run_outside(_make, lines, _Log(on_said))


def _line(requirement: Requirement) -> str:
    if requirement.version is None:
        return requirement.name
    return f"{requirement.name}=={requirement.version}"


def _place_of(lines: Sequence[str]) -> Path:
    # Another Python, or another builder's rule, is another environment.
    key = json.dumps([list(lines), sys.version, sysconfig.get_platform(), settings.REQUIREMENTS_BUILD])
    return settings.DATA_DIR / "environments" / hashlib.sha256(key.encode()).hexdigest()[:24]


def _finished(folder: Path) -> Environment | None:
    try:
        log = (folder / "install.log").read_text(encoding="utf-8")
    except OSError:
        return None
    return Environment(folder=os.fspath(_packages_in(folder)), log=log)


def _packages_in(folder: Path) -> Path:
    return folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _make(lines: Sequence[str], log: _Log) -> Environment:
    """Make the environment, or wait for another process that does."""
    folder = _place_of(lines)
    make_data_dir(settings.DATA_DIR)
    folder.parent.mkdir(exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if found := _finished(folder):
            return found
        # Beside its place until it is whole: nobody ever sees half of it.
        unfinished = folder.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        log.names = {os.fspath(unfinished): "environment", place.interpreter(): "python"}
        try:
            _install(lines, unfinished, log)
            (unfinished / "install.log").write_text(log.text, encoding="utf-8")
            os.replace(unfinished, folder)
        except (_Failed, OSError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            logger.info("requirements %s were not installed: %s", ", ".join(lines), error)
            told = f"{error}\n{log.end}".strip()
            return Environment(folder="", log=log.text, problem=f"{', '.join(lines)}: {told}")
    made = _finished(folder)
    assert made is not None, "just made"
    return made


def _install(lines: Sequence[str], folder: Path, log: _Log) -> None:
    """Raises _Failed, OSError."""
    only_wheels = not settings.REQUIREMENTS_BUILD
    if uv := uv_program():
        _run(
            [uv, "venv", "--no-config", "--no-project", "--python", place.interpreter(), os.fspath(folder)],
            log,
        )
        command = [uv, "pip", "install", "--no-config", "--python", os.fspath(folder / "bin" / "python")]
        _run([*command, *(["--no-build"] if only_wheels else []), "--", *lines], log)
    else:
        _run([place.interpreter(), "-m", "venv", os.fspath(folder)], log)
        command = [os.fspath(folder / "bin" / "python"), "-m", "pip", "install", "--no-input"]
        _run([*command, *(["--only-binary", ":all:"] if only_wheels else []), "--", *lines], log)


@cache
def uv_program() -> str | None:
    """The path of uv: beside this Python, where its package puts it, or in the path."""
    beside = Path(sys.executable).parent / "uv"
    return os.fspath(beside) if beside.exists() else shutil.which("uv")


def _run(command: list[str], log: _Log) -> None:
    log.add(f"$ {' '.join([Path(command[0]).name, *command[1:]])}\n")
    environment = {name: value for name, value in os.environ.items() if _KEPT_VARIABLES.fullmatch(name)}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, "NO_COLOR": "1", "UV_NO_PROGRESS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        cwd="/",
        start_new_session=True,
        # Calls run as other accounts, which must be able to read it.
        umask=0o022,
    )
    has_ended = threading.Event()
    too_long = threading.Timer(settings.REQUIREMENTS_SECONDS, _end, (process, has_ended))
    too_long.start()
    assert process.stdout is not None, "asked for"
    with process.stdout:
        for line in process.stdout:
            log.add(line.decode(errors="replace"))
    process.wait()
    too_long.cancel()
    if has_ended.is_set():
        raise _Failed(f"installing took longer than {settings.REQUIREMENTS_SECONDS} s.")
    if process.returncode:
        raise _Failed("installing failed:")


def _end(process: subprocess.Popen[bytes], has_ended: threading.Event) -> None:
    has_ended.set()
    os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else, in this process or another, does the same work meanwhile."""
    with path.open("w") as file:
        _lock(file.fileno())
        yield


def _lock(descriptor: int) -> None:
    import fcntl  # not on Windows, where there is no sandbox either

    fcntl.flock(descriptor, fcntl.LOCK_EX)
