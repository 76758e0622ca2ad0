"""The sandbox in a test: one for all tests of a process, since a zygote takes a moment to start."""

from __future__ import annotations

import textwrap
from typing import Any

from tools.sandbox.port import Limits, SandboxRequest

QUICK = Limits(seconds=10.0, cpu_seconds=10, memory_bytes=512 * 1024**2, processes=32)


def asked(source: str, function: str | None = "f", **fields: Any) -> SandboxRequest:
    """A request with limits that fit a test; `f` is the function that is called."""
    values: dict[str, Any] = {"source": textwrap.dedent(source), "function": function, "limits": QUICK}
    return SandboxRequest(**(values | fields))
