"""The versions of a tool on a page: who, when, what changed, and putting one back."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from letta_ade.accounts.pages import PageRequest
from memory.diffs import diff_rows
from memory.history import LineCount, count_changed_lines
from tools.models import Tool, ToolVersion
from tools.services.tool_versions import (
    VERSIONED,
    difference,
    newest_number,
    schema_text,
    values_of,
    version_of,
)
from tools.services.tool_writes import restore_version
from tools.services.tools import count_holders, get_tool_for

#: Versions that the page lists at once.
SHOWN = 40
_WORDS = {
    "name": "name",
    "source_code": "source",
    "json_schema": "schema",
    "tags": "tags",
    "pip_requirements": "packages",
    "npm_requirements": "packages",
    "default_requires_approval": "approval",
    "enable_parallel_execution": "parallel calls",
    "return_char_limit": "limit of the return",
    "description": "description",
    "args_json_schema": "schema of the arguments",
    "source_type": "language",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """One entry of the list of versions."""

    version: ToolVersion
    lines: LineCount
    why: str

    @property
    def who(self) -> str:
        return self.version.actor_name

    @property
    def kind(self) -> str:
        """How the author's mark is drawn: agent, key or person."""
        return {"agent": "agent", "api_key": "key"}.get(self.version.actor_kind, "person")


@require_GET
def version_page(request: PageRequest, tool_id: str, number: int) -> HttpResponse:
    """One version: how source and schema differ from those of the one before it, and the list of all."""
    tool = get_tool_for(caller=request.caller, tool_id=tool_id)
    version = version_of(tool, number)
    before = ToolVersion.objects.filter(tool=tool, number=number - 1).first()
    if before is not None:
        diff = difference(before, version)
        source, schema = diff.source, diff.schema
    else:
        source = diff_rows("", version.source_code or "")
        schema = diff_rows("", schema_text(version.json_schema))
    lines, more_before = list_lines(tool)
    context = {
        "tool": tool,
        "version": version,
        "before": before,
        "rows": schema if request.GET.get("show") == "schema" else source,
        "shows_schema": request.GET.get("show") == "schema",
        "lines": lines,
        "more_before": more_before,
        "newest": lines[0].version.number,
        # For who could put it back.
        "holder_count": count_holders(tool) if number != lines[0].version.number else 0,
        "requirements": [*(version.pip_requirements or ()), *(version.npm_requirements or ())],
    }
    return render(request, "tools/version.html", context)


@require_GET
def older_versions(request: PageRequest, tool_id: str, before: int) -> HttpResponse:
    """More of the list of versions."""
    tool = get_tool_for(caller=request.caller, tool_id=tool_id)
    lines, more_before = list_lines(tool, before=before)
    context = {"tool": tool, "lines": lines, "more_before": more_before}
    return render(request, "tools/partials/version_items.html", context)


@require_POST
def restore_page(request: PageRequest, tool_id: str, number: int) -> HttpResponse:
    """Puts the version back as a new one."""
    tool = restore_version(caller=request.caller, tool_id=tool_id, number=number)
    messages.success(request, f"Restored v{number} of {tool.name} as v{newest_number(tool)}")
    return redirect("tools:detail", tool_id=tool_id)


def newest_version(tool: Tool) -> ToolVersion | None:
    """The version that the tool stands at; None when nothing was written to it since versions are kept."""
    return ToolVersion.objects.filter(tool=tool).order_by("-number").first()


def list_lines(tool: Tool, before: int | None = None) -> tuple[list[VersionLine], int | None]:
    """The newest versions, and the number below which there are more."""
    versions = ToolVersion.objects.filter(tool=tool).order_by("-number")
    if before is not None:
        versions = versions.filter(number__lt=before)
    found = list(versions[: SHOWN + 1])
    lines = [
        _line(version, found[place + 1] if place + 1 < len(found) else None)
        for place, version in enumerate(found)
    ]
    return lines[:SHOWN], (found[SHOWN - 1].number if len(found) > SHOWN else None)


def _line(version: ToolVersion, before: ToolVersion | None) -> VersionLine:
    return VersionLine(
        version=version,
        lines=count_changed_lines(before.source_code or "" if before else "", version.source_code or ""),
        why=_why(version, before),
    )


def _why(version: ToolVersion, before: ToolVersion | None) -> str:
    if version.restored_from is not None:
        return f"Restored v{version.restored_from}"
    if before is None:
        return "Created" if version.actor_kind != "unknown" else "As it was found"
    was, now = values_of(before), values_of(version)
    moved = list(dict.fromkeys(_WORDS[name] for name in VERSIONED if was[name] != now[name]))
    return f"Changed {', '.join(moved)}"
