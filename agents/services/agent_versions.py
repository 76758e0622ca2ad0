"""The versions of an agent's configuration: written with every change, compared, brought back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from agents.models import Agent, AgentVersion
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound

#: Columns of a version, in the order in which a person reads them.
_COLUMNS = (
    "name",
    "description",
    "system",
    "model",
    "model_settings",
    "context_window_limit",
    "embedding",
    "tool_rules",
    "response_format",
    "compaction_settings",
    "message_buffer_autoclear",
    "enable_sleeptime",
    "timezone",
    "max_files_open",
    "per_file_view_window_char_limit",
    "tags",
    "metadata",
    "hidden",
)
#: What is attached: lists of {"id", "name"}, in order.
ATTACHED = ("tools", "blocks")
FIELDS = (*_COLUMNS, *ATTACHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A field that two versions have different; values as they are in `AgentVersion.data`, None when absent."""

    field: str
    old: Any
    new: Any


def snapshot(agent: Agent) -> dict[str, Any]:
    """The configuration as it is now, as JSON. Two queries."""
    tools = agent.tool_links.order_by("position", "id").values_list("tool_id", "tool__name")
    blocks = agent.block_links.order_by("position", "id").values_list("block_id", "block__label")
    return {
        **{column: getattr(agent, column) for column in _COLUMNS},
        "tools": [{"id": row_id, "name": name} for row_id, name in tools],
        "blocks": [{"id": row_id, "name": label} for row_id, label in blocks],
    }


def record_version(caller: Caller, agent: Agent) -> None:
    """Write a version when something has changed since the last one. Inside the transaction that made the change."""
    last = agent.versions.order_by("-number").first()
    data = snapshot(agent)
    if last is not None and not _changes(last.data, data):
        return
    AgentVersion.objects.create(
        agent=agent,
        number=last.number + 1 if last else 1,
        data=data,
        actor_kind=caller.kind,
        actor_id=caller.id,
        actor_name=caller.name[:255],
    )


def list_versions(*, caller: Caller, agent: Agent) -> QuerySet[AgentVersion]:
    """The versions, the newest first."""
    caller.check("read")
    return agent.versions.order_by("-number")


def get_version(*, caller: Caller, agent: Agent, number: int) -> AgentVersion:
    """Raises NotFound."""
    caller.check("read")
    version = agent.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"The agent has no version {number}.")
    return version


def compare(old: AgentVersion | None, new: AgentVersion) -> list[FieldChange]:
    """What the newer one has different, field by field; without an older one nothing is different."""
    return _changes(old.data, new.data) if old is not None else []


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[FieldChange]:
    return [
        FieldChange(field=name, old=old.get(name), new=new.get(name))
        for name in FIELDS
        if _as_stored(old.get(name)) != _as_stored(new.get(name))
    ]


def _as_stored(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
