"""The versions of a tool: added with every write, listed and compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from memory.diffs import DiffRow, diff_rows
from tools.models import Tool, ToolVersion
from tools.services.tools import get_tool_for

#: What a version keeps; a change of anything else on a tool makes none.
VERSIONED = (
    "name",
    "description",
    "source_type",
    "source_code",
    "json_schema",
    "args_json_schema",
    "tags",
    "return_char_limit",
    "pip_requirements",
    "npm_requirements",
    "default_requires_approval",
    "enable_parallel_execution",
)
#: Compared line by line; the other fields as a whole.
_TEXTS = frozenset({"source_code", "json_schema"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDiff:
    """What changed from one version to another."""

    old: ToolVersion
    new: ToolVersion
    source: list[DiffRow]
    #: Of the schema as indented JSON.
    schema: list[DiffRow]
    #: Other fields, each with what it was and what it became.
    fields: dict[str, tuple[Any, Any]]


def values_of(row: Tool | ToolVersion) -> dict[str, Any]:
    """What a version keeps of the row."""
    return {name: getattr(row, name) for name in VERSIONED}


def newest_number(tool: Tool) -> int:
    """The number of the newest version; 0 when nothing was ever written to the tool."""
    return (
        ToolVersion.objects.filter(tool=tool).order_by("-number").values_list("number", flat=True).first()
        or 0
    )


def add_version(
    tool: Tool, caller: Caller, before: dict[str, Any] | None, *, restored_from: int | None = None
) -> int:
    """Store the version that records the locked tool as it stands; its number.

    `before` is what the row held. A tool that has no versions yet keeps that as its first one, by nobody known.
    """
    number = newest_number(tool) + 1
    if number == 1 and before is not None:
        _version(tool, number, before, actor_kind="unknown", actor_id="", actor_name="Unknown").save(
            force_insert=True
        )
        number += 1
    actor = {"actor_kind": caller.kind, "actor_id": caller.id, "actor_name": caller.name[:255]}
    _version(tool, number, values_of(tool), restored_from=restored_from, **actor).save(force_insert=True)
    return number


def list_versions(*, caller: Caller, tool_id: str) -> QuerySet[ToolVersion]:
    """The tool's versions, newest first. Raises NotFound."""
    return ToolVersion.objects.filter(tool=get_tool_for(caller=caller, tool_id=tool_id)).order_by("-number")


def get_version(*, caller: Caller, tool_id: str, number: int) -> ToolVersion:
    """The tool's version of that number. Raises NotFound."""
    return version_of(get_tool_for(caller=caller, tool_id=tool_id), number)


def version_of(tool: Tool, number: int) -> ToolVersion:
    """The tool's version of that number. Raises NotFound."""
    version = ToolVersion.objects.filter(tool=tool, number=number).first()
    if version is None:
        raise NotFound(f"Tool {tool.name!r} has no version {number}; the newest is {newest_number(tool)}.")
    return version


def compare_versions(*, caller: Caller, tool_id: str, old: int, new: int) -> ToolDiff:
    """What changed from one version to another, in either direction. Raises NotFound."""
    tool = get_tool_for(caller=caller, tool_id=tool_id)
    return difference(version_of(tool, old), version_of(tool, new))


def difference(old: ToolVersion, new: ToolVersion) -> ToolDiff:
    """What changed from one version to another."""
    was, now = values_of(old), values_of(new)
    return ToolDiff(
        old=old,
        new=new,
        source=diff_rows(old.source_code or "", new.source_code or ""),
        schema=diff_rows(schema_text(old.json_schema), schema_text(new.json_schema)),
        fields={
            name: (was[name], now[name])
            for name in VERSIONED
            if name not in _TEXTS and was[name] != now[name]
        },
    )


def schema_text(schema: Any) -> str:
    """A schema as people read it."""
    return json.dumps(schema, indent=2, ensure_ascii=False)


def _version(tool: Tool, number: int, values: dict[str, Any], **facts: Any) -> ToolVersion:
    return ToolVersion(tool=tool, number=number, created_at=timezone.now(), **values, **facts)
