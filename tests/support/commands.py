"""The commands of `ade`, run as people run them: as processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

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


class Running:
    """A command that runs until a signal."""

    def __init__(self, *command: str, data_dir: Path, ready: str, **environment: str) -> None:
        """Returns when its output has `ready`."""
        self.command = command
        self.output: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "letta_ade.cli", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**ENVIRONMENT, "ADE_DATA_DIR": str(data_dir), **environment},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait_for(ready)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)

    @property
    def text(self) -> str:
        return "".join(self.output)

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert self.runs, f"{self.command} has ended without {text!r}:\n{self.text}"
            assert time.monotonic() < deadline, f"{self.command} never came to {text!r}:\n{self.text}"
            threading.Event().wait(0.02)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> float:
        """Send the signal; how long the process took to end."""
        began = time.monotonic()
        self.process.send_signal(sign)
        self.process.wait(timeout=20)
        self._reader.join(timeout=5)
        if self.process.stdout:
            self.process.stdout.close()
        return time.monotonic() - began


class Up(Running):
    """A running `ade up`."""

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        super().__init__("up", "--port", "0", *arguments, data_dir=data_dir, ready="Open  ", **environment)

    @property
    def url(self) -> str:
        found = re.search(r"Open\s+(http://\S+)", self.text)
        assert found, self.text
        return found[1]

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return int(answer.status)


class Worker(Running):
    """A running `ade worker`."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        super().__init__("worker", data_dir=data_dir, ready="Working on the jobs of", **environment)
