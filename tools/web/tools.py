"""Pages of the tools: the list, and one tool with the schema that the model sees."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from letta_ade.accounts.pages import PageRequest
from tools.models import Tool
from tools.services.tools import ToolFilters, get_tool_for, list_tools, tool_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a tool, as its schema tells of it."""

    name: str
    type: str
    description: str
    is_required: bool


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """The tools of the workspace."""
    text = request.GET.get("q", "").strip()
    tools = list_tools(caller=request.caller, filters=ToolFilters(search=text or None))
    found = list(tools.annotate(agent_count=Count("agent_links")).order_by("name"))
    context: dict[str, Any] = {"tools": [(tool, len(arguments_of(tool))) for tool in found], "text": text}
    template = "tools/partials/list.html" if request.htmx.target == "tool-list" else "tools/list.html"
    return render(request, template, context)


@require_GET
def detail_page(request: PageRequest, tool_id: str) -> HttpResponse:
    """One tool."""
    tool = get_tool_for(caller=request.caller, tool_id=tool_id)
    schema = tool_schema(tool)
    context = {
        "tool": tool,
        "description": schema.get("description") or tool.description or "",
        "arguments": arguments_of(tool),
        "schema_text": json.dumps(schema, indent=2, ensure_ascii=False),
    }
    return render(request, "tools/detail.html", context)


def arguments_of(tool: Tool) -> list[Argument]:
    """The arguments in the order of the schema."""
    parameters = tool_schema(tool).get("parameters") or {}
    required = set(parameters.get("required") or ())
    return [
        Argument(
            name=name,
            type=_type_of(each),
            description=each.get("description", ""),
            is_required=name in required,
        )
        for name, each in (parameters.get("properties") or {}).items()
    ]


def _type_of(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type_of(each) for each in schema["anyOf"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_type_of(schema['items'])}"
    return str(kind)
