"""What the sandbox adds to a tool's own time, how many calls it makes a second, and what it holds.

    .venv/bin/python -m tests.bench.sandbox [--ahead]

Without a server: calls go to the sandbox itself. `--ahead`, for root on a busy machine: the two series of calls, a second each, go before
all other work.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.server import Report, resident_mb

_CALLS = 100
_AT_ONCE = 8
_MANY = 200
_SOURCE = "def f(city: str) -> str:\n    return f'Weather in {city}: sunny'\n"
_CLIENT = "def f():\n    import letta_client\n    return letta_client.__version__\n"


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}\n"
    )
    with tempfile.TemporaryDirectory(prefix="ade-bench-") as folder:
        Path(folder).chmod(0o711)
        os.environ["ADE_DATA_DIR"] = f"{folder}/data"
        os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
        asyncio.run(measure(Report()))


async def measure(report: Report) -> None:
    # The settings load with the first of these.
    from tools.sandbox import requirements
    from tools.sandbox.local import LocalSandbox
    from tools.sandbox.port import Requirement, SandboxRequest

    sandbox = LocalSandbox()
    request = SandboxRequest(source=_SOURCE, function="f", arguments={"city": "Oslo"})
    try:
        began = time.perf_counter()
        first = await sandbox.run(request)
        assert first.error is None, first
        report.times("first call, which starts the zygote", [_since(began)], "")
        print(f"  {(await asyncio.to_thread(sandbox.isolation)).active}")
        is_ahead = "--ahead" in sys.argv
        if is_ahead:
            _schedule(sandbox.zygote_pids(), os.SCHED_FIFO, 1)
        took, own = [], []
        for _ in range(_CALLS):
            began = time.perf_counter()
            own.append((await sandbox.run(request)).duration_ms)
            took.append(_since(began))
        rate = await _rate(sandbox, request)
        if is_ahead:
            _schedule(sandbox.zygote_pids(), os.SCHED_OTHER, 0)
        report.times("call", took, "aim 10 ms")
        report.times("of it, in its own process", own, "")
        report.add(f"calls, {_AT_ONCE} at once", f"{rate:.0f} /s", "aim 200 /s")
        report.add(
            "a zygote holds",
            f"{max(resident_mb(pid) for pid in _with_children(sandbox.zygote_pids())):.1f} MB",
            "aim 30 MB",
        )
        client = SandboxRequest(source=_CLIENT, function="f")
        began = time.perf_counter()
        assert (await sandbox.run(client)).error is None
        report.times("call that imports letta-client", [_since(began)], "")
        wanted = [Requirement(name="tabulate")]
        for name in ("a set of requirements, new", "the same set again"):
            began = time.perf_counter()
            made = await requirements.environment_for(wanted, language="python")
            report.times(
                name if made.problem is None else f"{name}: {made.problem[:60]}", [_since(began)], ""
            )
    finally:
        await sandbox.close()


async def _rate(sandbox: object, request: object) -> float:
    async def some() -> None:
        for _ in range(_MANY // _AT_ONCE):
            await sandbox.run(request)  # type: ignore[attr-defined]  # imported where the settings are there

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
    return _MANY / (time.perf_counter() - began)


def _with_children(pids: list[int]) -> list[int]:
    """Below bubblewrap the process that forks calls is a child."""
    found = list(pids)
    for pid in pids:
        found += [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found


def _schedule(pids: list[int], policy: int, priority: int) -> None:
    for pid in (0, *_with_children(pids)):
        os.sched_setscheduler(pid, policy, os.sched_param(priority))


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
