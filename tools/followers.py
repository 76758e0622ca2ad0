"""What happens on higher floors when a tool gets another name or goes.

Filled while Django starts (`AppConfig.ready`), called within the transaction of the change: what names a tool follows it, or
neither happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from letta_ade.accounts.auth import Caller
from tools.models import Tool


class ToolFollower(Protocol):
    """Knows tools by their names."""

    def tool_renamed(self, caller: Caller, tool: Tool, old_name: str) -> None:
        """The tool has its new name already."""

    def tool_leaves(self, caller: Caller, tool: Tool) -> None:
        """The tool is still there, and deleted right after."""


_followers: list[ToolFollower] = []


def register(follower: ToolFollower) -> None:
    """Add a follower; the same one may come twice."""
    if follower not in _followers:
        _followers.append(follower)


def list_followers() -> Iterable[ToolFollower]:
    """All of them, in the order of registration."""
    return tuple(_followers)
