"""Attacks on the sandbox fail: as root and as a normal user, with bubblewrap, with our own namespaces, and with neither.

Each surrounding is a process of its own (`attacks.py`), which runs all attacks once; a test looks at what came of one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from letta_ade.cli import ROOT
from tests.sandbox.attacks import ATTACKS
from tests.support.sandboxes import Python, python_for_everybody

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("attacks"),
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux"),
]

NOBODY = 65534
#: What is left out, by the name of what is then around a call.
WITHOUT = {"bubblewrap": "", "namespaces": "bubblewrap", "plain": "bubblewrap,namespaces"}


def surroundings() -> list[str]:
    users = ["root", "user"] if os.geteuid() == 0 else ["user"]
    return [f"{user}-{way}" for user in users for way in WITHOUT]


@cache
def what_came_of(surrounding: str) -> dict[str, str]:
    user, _, way = surrounding.partition("-")
    if way == "bubblewrap" and not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    drops = user == "user" and os.geteuid() == 0
    # Without a file system of its own a call runs as an account that must reach the interpreter.
    python = (
        python_for_everybody() if drops or (user == "root" and way == "plain") else Python(sys.executable)
    )
    if python is None:
        pytest.skip("this Python lies in a folder that is closed to other accounts")
    with home() as folder:
        if drops:
            os.chown(folder, NOBODY, NOBODY)
        done = subprocess.run(
            [python.program, "-B", "-m", "tests.sandbox.attacks"],
            cwd=ROOT,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(folder),
                "ADE_DATA_DIR": str(folder / "data"),
                "ADE_SANDBOX_WITHOUT": WITHOUT[way],
                **({"PYTHONPATH": python.packages} if python.packages else {}),
            },
            user=NOBODY if drops else None,
            group=NOBODY if drops else None,
            extra_groups=[] if drops else None,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, str] = json.loads(done.stdout)
    return told


@contextmanager
def home() -> Iterator[Path]:
    """A folder for a process of another account."""
    folder = Path(tempfile.mkdtemp(prefix="ade-attacker-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("surrounding", surroundings())
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails(surrounding: str, name: str) -> None:
    told = what_came_of(surrounding)
    isolation = json.loads(told["isolation"])
    if isolation["state"] == "off":
        pytest.skip(f"this machine gives no isolation: {isolation['missing']}")
    assert told[name] == ""


@pytest.mark.parametrize("surrounding", surroundings())
def test_what_is_active_is_what_was_asked_for(surrounding: str) -> None:
    isolation = json.loads(what_came_of(surrounding)["isolation"])
    if isolation["state"] == "off":
        pytest.skip(f"this machine gives no isolation: {isolation['missing']}")
    user, _, way = surrounding.partition("-")
    assert ("bubblewrap" in isolation["active"]) <= (way == "bubblewrap")
    assert ("own file system" in isolation["active"]) <= (way != "plain")
    assert ("own account" in isolation["active"]) == (user == "root")
    assert "seccomp" in isolation["active"]
