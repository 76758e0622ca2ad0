"""The sandbox at E2B, against a fake of it on loopback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from tests.support.fake_e2b import FakeE2b
from tests.support.sandboxes import asked
from tools.sandbox import current
from tools.sandbox.e2b import E2bSandbox, _endings
from tools.sandbox.port import Limits, Requirement, Sandbox


@pytest.fixture
def fake(settings, monkeypatch) -> Iterator[FakeE2b]:
    pytest.importorskip("e2b")
    monkeypatch.setenv("E2B_HTTP_VERSION", "1.1")
    with FakeE2b() as running:
        settings.SANDBOX = "e2b"
        settings.E2B_API_KEY = "e2b_0123456789"
        settings.E2B_API_URL = settings.E2B_SANDBOX_URL = running.url
        yield running


@pytest.fixture
def remote(fake: FakeE2b) -> Sandbox:
    found = current.sandbox()
    assert isinstance(found, E2bSandbox)
    return found


async def test_a_call_runs_on_a_machine_of_its_own_which_then_ends(remote, fake):
    source = "import os\n\ndef f(city: str):\n    print('for', city)\n    return [city, os.environ['TOKEN'], client is None]\n"
    result = await remote.run(asked(source, arguments={"city": "Oslo"}, secrets={"TOKEN": "tok-123"}))
    assert result.error is None, result
    assert result.value == ["Oslo", "[secret TOKEN]", True]
    assert result.stdout == "for Oslo\n"
    assert fake.keys == {"e2b_0123456789"}
    assert fake.killed == ["machine1"]
    assert not fake.place("/tmp/ade/job.json").exists()
    assert fake.created[0]["allow_internet_access"] is False


async def test_what_a_tool_raises_comes_back_as_here(remote):
    result = await remote.run(asked("def f():\n    return 1 / 0\n"))
    assert result.error is not None
    assert (result.error.kind, result.error.name) == ("exception", "ZeroDivisionError")
    assert result.error.where == ("line 2, in f: return 1 / 0",)
    assert result.stderr.startswith("Traceback")


async def test_a_call_that_takes_too_long_ends_and_so_does_its_machine(remote, fake):
    source = "import time\ndef f():\n    time.sleep(60)\n"
    result = await remote.run(asked(source, limits=Limits(seconds=1.0)))
    assert result.error is not None
    assert result.error.kind == "timeout", result
    assert fake.killed == ["machine1"]


async def test_a_process_that_ends_by_itself_is_an_error(remote):
    result = await remote.run(asked("def f():\n    import os\n    os._exit(7)\n"))
    assert result.error is not None
    assert (result.error.kind, "exit code 7" in result.error.message) == ("killed", True)


async def test_a_refusal_of_e2b_is_told_without_the_key(remote, fake):
    fake.refusal = (401, {"code": 401, "message": "invalid key"})
    result = await remote.run(asked("def f():\n    return 1\n"))
    assert result.error is not None
    assert result.error.kind == "unavailable"
    assert "e2b_0123456789" not in result.error.message


async def test_a_machine_ends_when_its_call_is_cancelled(remote, fake):
    call = asyncio.create_task(
        remote.run(asked("def f():\n    while True:\n        pass\n", limits=Limits(seconds=30)))
    )
    while not fake.created:
        await asyncio.wait([call], timeout=0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while not fake.killed:
        await asyncio.wait(_endings, timeout=0.05) if _endings else await asyncio.sleep(0)
    assert fake.killed == ["machine1"]


async def test_what_it_does_not_run_is_refused(remote, fake):
    result = await remote.run(asked("1", None, language="javascript"))
    assert result.error is not None
    assert "only Python" in result.error.message
    bad = await remote.run(asked("def f():\n    return 1\n", requirements=(Requirement(name="--evil"),)))
    assert bad.error is not None
    assert bad.error.kind == "requirements"


async def test_without_its_package_it_says_so(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "e2b", None)
    result = await E2bSandbox().run(asked("def f():\n    return 1\n"))
    assert result.error is not None
    assert "letta-ade[e2b]" in result.error.message


def test_isolation_says_that_tools_run_elsewhere(fake):
    found = current.isolation_now()
    assert (found.state, found.active) == ("full", ("E2B",))
