"""A data folder whose database is ready, and the commands run as people run them: as processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letta_ade.cli import ROOT

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "1",
    "ADE_DEMO_WORD_PAUSE_MS": "0",
}


def ade(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "letta_ade.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
    )


class Up:
    """A running `ade up`."""

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        self.output: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "letta_ade.cli", "up", "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**ENVIRONMENT, "ADE_DATA_DIR": str(data_dir), **environment},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._wait(lambda: self.url is not None, "an address")

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"up has ended without {what}:\n{self.text}"
            assert time.monotonic() < deadline, f"up never came to {what}:\n{self.text}"
            threading.Event().wait(0.02)

    @property
    def text(self) -> str:
        return "".join(self.output)

    @property
    def url(self) -> str | None:
        found = re.search(r"Open\s+(http://\S+)", self.text)
        return found[1] if found else None

    def wait_for(self, text: str) -> None:
        self._wait(lambda: text in self.text, repr(text))

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return int(answer.status)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> float:
        """Send the signal; how long the process took to end."""
        began = time.monotonic()
        self.process.send_signal(sign)
        self.process.wait(timeout=20)
        self._reader.join(timeout=5)
        if self.process.stdout:
            self.process.stdout.close()
        return time.monotonic() - began


@pytest.fixture(scope="session")
def migrated() -> Iterator[Path]:
    """A data folder with all tables, to copy."""
    folder = Path(tempfile.mkdtemp(prefix="ade-test-"))
    folder.chmod(0o711)
    done = ade("apikey", "first", ADE_DATA_DIR=str(folder / "data"))
    assert done.returncode == 0, done.stderr
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(migrated: Path, reachable_tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", migrated, reachable_tmp_path / "data"], check=True)
    return reachable_tmp_path / "data"


@pytest.fixture
def up(data_dir: Path) -> Iterator[Callable[..., Up]]:
    """Starts servers on the data folder and stops what is left of them."""
    started: list[Up] = []

    def start(*arguments: str, **environment: str) -> Up:
        started.append(Up(data_dir, *arguments, **environment))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()
