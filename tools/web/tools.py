"""Pages of the tools: the list, one tool, a new one, deletion."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import messages
from django.db.models import Count, Min
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Conflict
from tools.models import Tool, ToolType, ToolVersion
from tools.services.tool_versions import newest_number, schema_text
from tools.services.tool_writes import ToolNameTaken, create_tool, delete_tool, update_tool
from tools.services.tools import ToolFilters, count_holders, get_tool_for, list_tools, tool_schema
from tools.web.arguments import arguments_of
from tools.web.forms import ToolForm, first_values, values_for
from tools.web.run_form import PREFIX
from tools.web.schema_preview import BY_HAND, SchemaPreview, preview_tool, preview_written
from tools.web.tool_runs import form_for, surroundings_of
from tools.web.tool_versions import newest_version

#: Value of `kind` → its name. The first is all of them.
KINDS = {"": "All", "custom": "Custom", "builtin": "Built in", "mcp": "MCP"}


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """The tools of the workspace, by kind: those of its people first."""
    text = request.GET.get("q", "").strip()
    kind = request.GET.get("kind", "") if request.GET.get("kind") in KINDS else ""
    tools = list_tools(caller=request.caller, filters=ToolFilters(search=text or None))
    rows = tools.annotate(agent_count=Count("agent_links"), holder_name=Min("agent_links__agent__name"))
    found = sorted(rows.defer("source_code").order_by("name"), key=lambda tool: _rank(tool.tool_type))
    counted = Counter(_kind(tool.tool_type) for tool in found)
    context: dict[str, Any] = {
        "tools": [
            (tool, len(arguments_of(tool_schema(tool))), kind_of(tool))
            for tool in found
            if kind in ("", _kind(tool.tool_type))
        ],
        "text": text,
        "kind": kind,
        "kinds": [(value, name, counted[value] if value else len(found)) for value, name in KINDS.items()],
    }
    template = "tools/partials/list.html" if request.htmx.target == "tool-list" else "tools/list.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def detail_page(request: PageRequest, tool_id: str) -> HttpResponse:
    """One tool: an editor for a custom one; of the others, which have their source elsewhere, what they do."""
    tool = get_tool_for(caller=request.caller, tool_id=tool_id)
    if tool.tool_type != ToolType.CUSTOM:
        return _shown(request, tool)
    if request.method == "GET":
        preview = preview_tool(tool)
        follows = not preview.error and not preview.differences
        version = newest_version(tool)
        values = values_for(tool, follows_source=follows, version=version.number if version else 0)
        return _editor(request, ToolForm(initial=values), preview, tool, version=version)
    request.caller.check("edit")
    form = ToolForm(request.POST, args_json_schema=tool.args_json_schema)
    if form.is_valid():
        base = form.cleaned_data["base_version"]
        try:
            saved = update_tool(
                caller=request.caller, tool_id=tool_id, changes=form.changes(tool), base_version=base or None
            )
        except Conflict as error:
            form.add_error(
                None, f"{error.message} Your text is kept here: open the tool again to see theirs."
            )
        except AdeError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Saved {saved.name} v{newest_number(saved)}")
            return redirect("tools:detail", tool_id=tool_id)
    preview = preview_written(request.POST, tool)
    return _editor(request, form, preview, tool, version=newest_version(tool), status=422)


@require_http_methods(["GET", "POST"])
def create_page(request: PageRequest) -> HttpResponse:
    """The editor for a tool that is not there yet. It does not overwrite: a name that is taken is told."""
    request.caller.check("edit")
    if request.method == "GET":
        values = first_values()
        return _editor(request, ToolForm(initial=values), preview_written(values, None), None)
    form = ToolForm(request.POST)
    taken: str | None = None
    if form.is_valid():
        try:
            tool = create_tool(caller=request.caller, draft=form.draft())
        except AdeError as error:
            taken = error.data.get("tool_id") if isinstance(error, ToolNameTaken) else None
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Created {tool.name}")
            return redirect("tools:detail", tool_id=tool.id)
    return _editor(request, form, preview_written(request.POST, None), None, status=422, taken_by=taken)


@require_POST
def derive_part(request: PageRequest, tool_id: str | None = None) -> HttpResponse:
    """The schema of what is being written; of a tool whose arguments have a schema of their own, with that.

    With the form of its arguments, when they are others than those of the form that is there.
    """
    request.caller.check("edit")
    tool = get_tool_for(caller=request.caller, tool_id=tool_id) if tool_id else None
    preview = preview_written(request.POST, tool)
    context: dict[str, Any] = {"preview": preview, "by_hand": request.POST.get("schema_mode") == BY_HAND}
    form = form_for(request.POST, preview)
    if preview.schema and form.mark != request.POST.get(f"{PREFIX}mark", form.mark):
        context["run_form"] = form
    return render(request, "tools/partials/derived.html", context)


@require_http_methods(["GET", "POST"])
def delete_page(request: PageRequest, tool_id: str) -> HttpResponse:
    """Names what goes and who loses it, then deletes."""
    request.caller.check("edit")
    tool = get_tool_for(caller=request.caller, tool_id=tool_id)
    if request.method == "POST":
        delete_tool(caller=request.caller, tool_id=tool_id)
        messages.success(request, f"Deleted {tool.name}")
        return redirect("tools:list")
    context = {"tool": tool, "version_count": newest_number(tool), "holder_count": count_holders(tool)}
    return render(request, "tools/delete.html", context)


def kind_of(tool: Tool) -> str:
    """What kind of tool it is, in a word or two."""
    return KINDS[_kind(tool.tool_type)]


def _kind(tool_type: str) -> str:
    if tool_type == ToolType.EXTERNAL_MCP:
        return "mcp"
    return "custom" if tool_type == ToolType.CUSTOM else "builtin"


def _rank(tool_type: str) -> int:
    return ["custom", "mcp", "builtin"].index(_kind(tool_type))


def _shown(request: PageRequest, tool: Tool) -> HttpResponse:
    schema = tool_schema(tool)
    context = {
        "tool": tool,
        "kind": kind_of(tool),
        "description": schema.get("description") or tool.description or "",
        "arguments": arguments_of(schema),
        "schema_text": schema_text(schema),
    }
    return render(request, "tools/detail.html", context)


def _editor(
    request: PageRequest,
    form: ToolForm,
    preview: SchemaPreview,
    tool: Tool | None,
    *,
    version: ToolVersion | None = None,
    status: int = 200,
    taken_by: str | None = None,
) -> HttpResponse:
    written = request.POST or dict(form.initial)
    context = {
        "form": form,
        "preview": preview,
        "tool": tool,
        "by_hand": form["schema_mode"].value() == BY_HAND,
        "version": version,
        "holder_count": count_holders(tool) if tool else 0,
        "taken_by": taken_by,
        "run_form": form_for(written, preview),
        "environment": written.get(f"{PREFIX}env", ""),
        "surroundings": surroundings_of(tool),
    }
    return render(request, "tools/edit.html", context, status=status)
