"""The versions of an agent's configuration: what changed, when, by whom; and back to one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from agents.models import AgentVersion
from agents.services.agent_restores import restore_version
from agents.services.agent_versions import ATTACHED, FIELDS, FieldChange, compare, get_version, list_versions
from agents.services.agents import get_agent_for
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError
from memory.diffs import DiffRow, diff_rows

_SHOWN = 100
_NAMES = {
    "system": "System instructions",
    "model_settings": "Model settings",
    "context_window_limit": "Context window, tokens",
    "embedding": "Embedding model",
    "tool_rules": "Tool rules",
    "response_format": "Response format",
    "compaction_settings": "Compaction",
    "message_buffer_autoclear": "Forgets messages after each turn",
    "enable_sleeptime": "Background memory",
    "max_files_open": "Open files at most",
    "per_file_view_window_char_limit": "Characters of a file at most",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A field that changed, as lines."""

    name: str
    rows: list[DiffRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A version in the list, with the names of the fields in which it differs from the one before."""

    version: AgentVersion
    changed: str


@require_GET
def versions_page(request: PageRequest, agent_id: str, number: int | None = None) -> HttpResponse:
    """The list, and one version against the one before it, or against the one that `against` names."""
    agent = get_agent_for(caller=request.caller, agent_id=agent_id)
    versions = list(list_versions(caller=request.caller, agent=agent)[: _SHOWN + 1])
    newest = versions[0] if versions else None
    shown = newest if number is None else get_version(caller=request.caller, agent=agent, number=number)
    other = _other(request, agent, shown)
    parts = [_part(change) for change in compare(other, shown)] if shown else []
    context = {
        "agent": agent,
        "lines": _lines(versions),
        "is_cut": len(versions) > _SHOWN,
        "shown": shown,
        "newest": newest,
        "other": other,
        "parts": parts,
        "facts": _facts(shown.data) if shown and other is None else [],
    }
    return render(request, "agents/versions.html", context)


def _other(request: PageRequest, agent: Any, shown: AgentVersion | None) -> AgentVersion | None:
    against = request.GET.get("against", "")
    if against.isdigit():
        return get_version(caller=request.caller, agent=agent, number=int(against))
    return agent.versions.filter(number=shown.number - 1).first() if shown else None


@require_POST
def restore_page(request: PageRequest, agent_id: str, number: int) -> HttpResponse:
    """Bring a version back; says what could not come."""
    try:
        restored = restore_version(caller=request.caller, agent_id=agent_id, number=number)
    except AdeError as error:
        messages.error(request, f"v{number} was not restored: {error.message}")
        return redirect("agents:version", agent_id, number)
    if restored.version.restored_from == number:
        messages.success(request, f"v{number} is restored as v{restored.version.number}")
    else:
        messages.success(request, f"The agent is as in v{number} already")
    if restored.gone:
        messages.error(request, f"Deleted since, and not restored: {', '.join(restored.gone)}")
    return redirect("agents:versions", agent_id)


def _lines(versions: list[AgentVersion]) -> list[Line]:
    """Each with the names of what changed; the oldest of the page is only there to be compared with."""
    lines = []
    for version, before in zip_longest(versions, versions[1:]):
        if before is None and version.number > 1:
            break
        names = [_name(change.field).lower() for change in compare(before, version)]
        lines.append(Line(version=version, changed=", ".join(names) if before else "first version"))
    return lines[:_SHOWN]


def _part(change: FieldChange) -> Part:
    return Part(
        name=_name(change.field),
        rows=diff_rows(*(_text(change.field, value) for value in (change.old, change.new))),
    )


def _facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(_name(field), text) for field in FIELDS if (text := _text(field, data.get(field)))]


def _name(field: str) -> str:
    return _NAMES.get(field, field.replace("_", " ").capitalize())


def _text(field: str, value: Any) -> str:
    """A value as lines of text; nothing for what is empty."""
    if value in (None, "", [], {}):
        return ""
    if field in ATTACHED:
        return "\n".join(item["name"] for item in value)
    if field == "tags":
        return "\n".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int):
        return str(value)
    if field == "tool_rules":
        return "\n".join(json.dumps(rule, ensure_ascii=False) for rule in value)
    return json.dumps(value, indent=2, ensure_ascii=False)
