"""Telling open pages that something changed. Small facts only; tokens never go this way."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.layers import get_channel_layer
from django.db import transaction

from letta_ade.core import threads
from letta_ade.core.notices import subscribe

#: The topic of the notices that are nudges for every process: `group`, `kind` and data. A trigger of memory_block sends them.
TOPIC = "nudges"


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
    if layer is not None and _has_members(layer, group):
        await layer.group_send(group, {"type": "nudge", "kind": kind, **data})


async def relay() -> None:
    """Tell the pages of this process what the database tells all processes; until cancelled.

    What this process did itself its pages hear twice.
    """
    with subscribe(TOPIC) as notices:
        while True:
            for said in (await notices.wait()).payloads:
                await send_nudge(**said)


def _send(group: str, message: dict[str, Any]) -> None:
    loop = threads.serving_loop()
    layer = get_channel_layer()
    if loop is None or layer is None or loop.is_closed() or not _has_members(layer, group):
        return
    # The in-memory layer lives on the serving loop and is not thread-safe.
    asyncio.run_coroutine_threadsafe(layer.group_send(group, message), loop)


def _has_members(layer: Any, group: str) -> bool:
    """Whether somebody listens, as far as is known: the in-memory layer knows all, and every run would ask it four times."""
    groups = getattr(layer, "groups", None)
    return groups is None or group in groups
