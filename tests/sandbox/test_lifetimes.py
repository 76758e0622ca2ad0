"""Zygotes and calls live no longer than the server, and a dead zygote is replaced."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from letta_ade.cli import ROOT
from tests.support.sandboxes import Python, asked, python_for_everybody
from tools.sandbox import current, zygotes
from tools.sandbox.inside.watch import Watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")

SERVER = """
import asyncio, os
os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
from tools.sandbox.local import LocalSandbox
from tools.sandbox.port import SandboxRequest

async def main():
    sandbox = LocalSandbox()
    first = await sandbox.run(SandboxRequest(source="def f(): return 1", function="f"))
    print(first.error.kind if first.error else "ready", flush=True)
    source = '''
import os, time
def f():
    if os.fork() == 0:
        os.setsid()
    time.sleep(100)
'''
    await sandbox.run(SandboxRequest(source=source, function="f"))

asyncio.run(main())
"""


@pytest.mark.parametrize("without", ["", "bubblewrap,namespaces"])
def test_nothing_outlives_a_server_that_is_killed(reachable_tmp_path: Path, without: str) -> None:
    python = python_for_everybody() if without else Python(sys.executable)
    if python is None:
        pytest.skip("this Python lies in a folder that is closed to other accounts")
    environment = {
        "PATH": os.environ["PATH"],
        "ADE_DATA_DIR": str(reachable_tmp_path / "data"),
        "ADE_SANDBOX_WITHOUT": without,
        "PYTHONPATH": python.packages,
    }
    server = subprocess.Popen(
        [python.program, "-c", SERVER], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    if (word := server.stdout.readline()) != "ready\n":
        server.kill()
        server.communicate()
        pytest.skip(f"no sandbox in this surrounding: {word}")
    watch = Watch(os.open("/proc", os.O_RDONLY | os.O_DIRECTORY))
    # The zygote, a keeper, the call and its child; what bubblewrap adds comes on top.
    until(lambda: len(watch.descendants(server.pid)) >= 4)
    ends = [os.pidfd_open(pid) for pid in watch.descendants(server.pid)]
    server.kill()
    server.communicate()
    for end in ends:
        assert select.select([end], [], [], 20)[0], "a process of the sandbox lives on"
        os.close(end)


def until(condition: Callable[[], bool]) -> None:
    """Look again and again: nobody tells of a process that has begun."""
    while not condition():
        os.sched_yield()


async def ended(descriptor: int) -> None:
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, gone.set)
    await gone.wait()
    loop.remove_reader(descriptor)
    os.close(descriptor)


async def test_folders_that_nobody_holds_are_removed(sandbox, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, ours = tmp_path / "ade-sandbox-left", tmp_path / "another"
    for folder in (left, ours):
        folder.mkdir()
        (folder / "log").touch()
    current.shut_down_sandbox()
    assert (await current.sandbox().run(asked("def f():\n    return 1\n"))).value == 1
    assert not left.exists()
    assert ours.exists()
    [living] = tmp_path.glob("ade-sandbox-*")
    zygotes.clear_up()
    assert living.exists()
    current.shut_down_sandbox()
    assert not living.exists()


async def test_a_zygote_that_has_died_is_replaced(sandbox) -> None:
    request = asked("def f():\n    return 1\n")
    assert (await sandbox.run(request)).value == 1
    pids = current._local_sandbox().zygote_pids()
    ends = [os.pidfd_open(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for end in ends:
        await ended(end)
    assert (await sandbox.run(request)).value == 1


async def test_a_call_whose_zygote_dies_is_an_error_and_not_a_wait_without_end(sandbox) -> None:
    call = asyncio.create_task(sandbox.run(asked("def f():\n    while True:\n        pass\n")))
    watch = Watch(os.open("/proc", os.O_RDONLY | os.O_DIRECTORY))
    zygote = current._local_sandbox().zygote_pids()
    await asyncio.to_thread(until, lambda: any(len(watch.descendants(pid)) >= 2 for pid in zygote))
    for pid in zygote:
        for each in (*watch.descendants(pid), pid):
            os.kill(each, signal.SIGKILL)
    result = await call
    assert result.error is not None
    assert result.error.kind == "killed"
