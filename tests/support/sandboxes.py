"""The sandbox in a test: one for all tests of a process, since a zygote takes a moment to start."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from letta_ade.cli import ROOT
from tools.sandbox.port import Limits, SandboxRequest

QUICK = Limits(seconds=10.0, cpu_seconds=10, memory_bytes=512 * 1024**2, processes=32)


def asked(source: str, function: str | None = "f", **fields: Any) -> SandboxRequest:
    """A request with limits that fit a test; `f` is the function that is called."""
    values: dict[str, Any] = {"source": textwrap.dedent(source), "function": function, "limits": QUICK}
    return SandboxRequest(**(values | fields))


@dataclass(frozen=True)
class Python:
    """An interpreter that an account can run, with the server's packages."""

    program: str
    packages: str = ""


@cache
def python_for_everybody() -> Python | None:
    """One that lies in no closed folder; None when there is none of this version."""
    if is_open_to_all(Path(sys.base_prefix)) and is_open_to_all(Path(sys.prefix)) and is_open_to_all(ROOT):
        return Python(sys.executable)
    found = shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin:/usr/local/bin")
    packages = Path(pytest.__file__).parent.parent
    if found is None or not is_open_to_all(packages) or not is_open_to_all(ROOT):
        return None
    return Python(found, str(packages))


def is_open_to_all(path: Path) -> bool:
    real = path.resolve()
    return all(step.stat().st_mode & 0o005 == 0o005 for step in (real, *real.parents))
