"""The sandbox of this process."""

from __future__ import annotations

from letta_ade.core.errors import Unsupported
from tools.sandbox.port import Sandbox


def sandbox() -> Sandbox:
    """The sandbox in which tools of this server run. Raises Unsupported where there is none."""
    raise Unsupported("This server has no sandbox to run tools in.")
