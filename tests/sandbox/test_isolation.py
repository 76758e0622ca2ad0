"""Where the kernel gives no isolation, nothing runs unless the operator says so, and both are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from letta_ade.commands.doctor import _sandbox
from tests.support.sandboxes import asked
from tools.sandbox import current, place
from tools.sandbox.isolation import isolation_of
from tools.sandbox.zygotes import Facts

ALL = Facts(
    landlock=7,
    seccomp=True,
    private_root=True,
    pid_namespace=True,
    user_drop=True,
    is_root=True,
    is_bubblewrapped=True,
    net="namespace",
    port=1,
)
NOTHING = replace(
    ALL,
    landlock=0,
    seccomp=False,
    private_root=False,
    pid_namespace=False,
    user_drop=False,
    is_root=False,
    is_bubblewrapped=False,
    net="none",
)


@pytest.fixture
def fresh_sandbox():
    current.shut_down_sandbox()
    yield
    current.shut_down_sandbox()


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "full"),
        ({"is_bubblewrapped": False}, "full"),
        ({"landlock": 0}, "partial"),
        ({"private_root": False, "pid_namespace": False}, "partial"),
        ({"seccomp": False}, "off"),
        ({"landlock": 0, "private_root": False, "pid_namespace": False}, "off"),
        ({"user_drop": False}, "off"),
        ({"user_drop": False, "is_root": False}, "full"),
    ],
)
def test_what_a_machine_gives_decides(changes, state):
    assert isolation_of(replace(ALL, **changes), None).state == state


def test_what_is_missing_has_its_reason(settings):
    settings.SANDBOX_WITHOUT = frozenset({"bubblewrap"})
    found = isolation_of(replace(ALL, is_bubblewrapped=False, landlock=0), ALL)
    assert found.missing == (
        "bubblewrap: switched off by ADE_SANDBOX_WITHOUT",
        "Landlock: this kernel has none, or it is off (Linux 5.13 or newer)",
    )
    assert found.has_network


def test_without_anything_the_operator_decides(settings):
    assert isolation_of(NOTHING, None).state == "off"
    settings.ALLOW_UNSANDBOXED = True
    found = isolation_of(NOTHING, None)
    assert found.state == "unsafe"
    assert "WITHOUT" in found.summary


async def test_nothing_runs_without_isolation_unless_it_is_allowed(settings, fresh_sandbox, caplog):
    settings.SANDBOX_WITHOUT = frozenset({"bubblewrap", "namespaces", "landlock", "seccomp"})
    request = asked("def f():\n    return 'ran'\n")
    refused = await current.sandbox().run(request)
    assert refused.error is not None
    assert refused.error.kind == "unavailable"
    assert "ADE_ALLOW_UNSANDBOXED=1" in refused.error.message
    settings.ALLOW_UNSANDBOXED = True
    current.shut_down_sandbox()
    assert (await current.sandbox().run(request)).value == "ran"
    assert "WITHOUT full isolation" in caplog.text


@pytest.mark.parametrize(
    ("version", "problem"),
    [((20, 20, 2), "it needs Node 22.13 or newer, and this server has 20.20.2"), ((22, 13, 0), None)],
)
def test_typescript_needs_a_node_that_takes_its_types_out(monkeypatch, version, problem):
    monkeypatch.setattr(place, "node_program", lambda: "/usr/bin/node")
    monkeypatch.setattr(place, "node_version", lambda: version)
    assert isolation_of(ALL, ALL).languages == {"python": None, "javascript": None, "typescript": problem}


def test_the_doctor_tells_it(settings, fresh_sandbox):
    settings.SANDBOX_WITHOUT = frozenset({"seccomp"})
    first, *others = _sandbox()
    assert (first.topic, first.state) == ("sandbox", "warn")
    assert first.text.startswith("Tools written by users do not run")
    assert any("switched off by ADE_SANDBOX_WITHOUT" in each.text for each in others)


def test_the_doctor_is_content_with_all_of_it(settings, fresh_sandbox):
    if current.isolation_now().state != "full":
        pytest.skip("this machine does not give all of it")
    [first, *_] = _sandbox()
    assert first.state == "ok"
    assert "seccomp" in first.text
