"""Telling open pages that something changed. Small facts only; tokens never go this way."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.layers import get_channel_layer
from django.db import transaction

from letta_ade.core import threads


def workspace_group(workspace_id: str) -> str:
    """The group of all pages of a workspace."""
    return f"workspace.{workspace_id}"


def agent_group(agent_id: str) -> str:
    """The group of all pages that show an agent."""
    return f"agent.{agent_id}"


def nudge(group: str, kind: str, **data: Any) -> None:
    """Tell a group, once the transaction has committed, that `kind` happened. Nothing happens where no server runs.

    Consumers receive `{"type": "nudge", "kind": kind, **data}`.
    """
    transaction.on_commit(lambda: _send(group, {"type": "nudge", "kind": kind, **data}))


async def send_nudge(group: str, kind: str, **data: Any) -> None:
    """Tell a group now; for code on the serving loop."""
    layer = get_channel_layer()
    if layer is not None:
        await layer.group_send(group, {"type": "nudge", "kind": kind, **data})


def _send(group: str, message: dict[str, Any]) -> None:
    loop = threads.serving_loop()
    layer = get_channel_layer()
    if loop is None or layer is None or loop.is_closed():
        return
    # The in-memory layer lives on the serving loop and is not thread-safe.
    asyncio.run_coroutine_threadsafe(layer.group_send(group, message), loop)
