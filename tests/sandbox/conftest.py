"""A sandbox for each test process, in the best surroundings that the machine gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.sandbox import current
from tools.sandbox.port import Sandbox


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[None]:
    yield
    current.shut_down_sandbox()


@pytest.fixture
def sandbox(running_sandbox: None) -> Sandbox:
    found = current.isolation_now()
    if found.state not in {"full", "partial"}:
        pytest.skip(f"no sandbox on this machine: {found.summary}")
    return current.sandbox()
