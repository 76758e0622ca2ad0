"""The tools of a workspace: the built-in ones, and who finds which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, NotFound
from tools.models import Tool, ToolType
from tools.registry import get_builtin, list_builtins


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFilters:
    """Filters of a list (spec/tools.md §2); `search` is a substring of the name, in any case."""

    name: str | None = None
    names: tuple[str, ...] = ()
    tool_ids: tuple[str, ...] = ()
    search: str | None = None
    tool_types: tuple[str, ...] = ()
    exclude_tool_types: tuple[str, ...] = ()
    return_only_letta_tools: bool = False


def ensure_builtin_tools(workspace_id: str) -> None:
    """Give the workspace a row for each built-in tool that it lacks; one query when it lacks none."""
    present = set(
        Tool.objects.filter(workspace_id=workspace_id, name__in=[tool.name for tool in list_builtins()])
        .order_by()
        .values_list("name", flat=True)
    )
    missing = [tool for tool in list_builtins() if tool.name not in present]
    if missing:
        # Another request may be doing the same.
        Tool.objects.bulk_create(
            [
                Tool(
                    workspace_id=workspace_id,
                    name=tool.name,
                    description=tool.description,
                    tool_type=tool.tool_type,
                    json_schema=tool.json_schema,
                    tags=[tool.tool_type],
                    enable_parallel_execution=tool.enable_parallel_execution,
                )
                for tool in missing
            ],
            ignore_conflicts=True,
        )


def add_base_tools(*, caller: Caller) -> list[Tool]:
    """The server's own tools, by name; those that the workspace lacks are made."""
    caller.check("edit")
    ensure_builtin_tools(caller.workspace_id)
    names = [tool.name for tool in list_builtins()]
    tools = Tool.objects.filter(
        workspace_id=caller.workspace_id, name__in=names, tool_type__startswith="letta_"
    )
    return list(tools.order_by("name"))


def get_tool_for(*, caller: Caller, tool_id: str) -> Tool:
    """The tool. Raises NotFound, also for another workspace's."""
    caller.check("read")
    tool = Tool.objects.filter(id=tool_id, workspace_id=caller.workspace_id).first()
    if tool is None:
        raise NotFound(f"There is no tool {tool_id!r}.")
    return tool


def list_tools(*, caller: Caller, filters: ToolFilters | None = None) -> QuerySet[Tool]:
    """The workspace's tools that pass the filters, oldest first; built-in ones are made when they are not there yet."""
    caller.check("read")
    ensure_builtin_tools(caller.workspace_id)
    wanted = filters or ToolFilters()
    tools = Tool.objects.filter(workspace_id=caller.workspace_id)
    if wanted.name is not None:
        tools = tools.filter(name=wanted.name)
    if wanted.names:
        tools = tools.filter(name__in=wanted.names)
    if wanted.tool_ids:
        tools = tools.filter(id__in=wanted.tool_ids)
    if wanted.search:
        tools = tools.filter(name__icontains=wanted.search.replace("\0", ""))
    if wanted.tool_types:
        tools = tools.filter(tool_type__in=_known_types(wanted.tool_types))
    if wanted.exclude_tool_types:
        tools = tools.exclude(tool_type__in=_known_types(wanted.exclude_tool_types))
    if wanted.return_only_letta_tools:
        tools = tools.filter(tool_type__startswith="letta_")
    return tools


def get_tools_by_names(*, caller: Caller, names: Sequence[str]) -> list[Tool]:
    """The tools of these names, in that order, each once. Raises Invalid, naming those that are not there."""
    return _all_of(caller, "name", names)


def get_tools_by_ids(*, caller: Caller, tool_ids: Sequence[str]) -> list[Tool]:
    """The tools of these ids, in that order, each once. Raises Invalid, naming those that are not there."""
    return _all_of(caller, "id", tool_ids)


def count_holders(tool: Tool) -> int:
    """How many agents have it."""
    count: int = Tool.objects.filter(id=tool.id).aggregate(n=Count("agent_links"))["n"]
    return count


def tool_schema(tool: Tool) -> dict[str, Any]:
    """The JSON schema that models and clients get. Of a built-in tool it is always this release's, whatever the row holds."""
    builtin = get_builtin(tool.name) if tool.is_builtin else None
    schema: dict[str, Any] = builtin.json_schema if builtin else tool.json_schema
    return schema


def tool_description(tool: Tool) -> str | None:
    """What the tool does, as `tool_schema` says it."""
    builtin = get_builtin(tool.name) if tool.is_builtin else None
    return builtin.description if builtin else tool.description


def _all_of(caller: Caller, field: str, values: Sequence[str]) -> list[Tool]:
    caller.check("read")
    wanted = list(dict.fromkeys(values))
    if not wanted:
        return []
    tools = Tool.objects.filter(workspace_id=caller.workspace_id, **{f"{field}__in": wanted})
    found = {getattr(tool, field): tool for tool in tools}
    if field == "name" and any(name not in found and get_builtin(name) for name in wanted):
        ensure_builtin_tools(caller.workspace_id)
        found = {tool.name: tool for tool in tools.all()}
    if missing := [value for value in wanted if value not in found]:
        raise Invalid(f"There is no tool with the {field} {', '.join(map(repr, missing))}.")
    return [found[value] for value in wanted]


def _known_types(types: Sequence[str]) -> list[str]:
    if unknown := [each for each in types if each not in ToolType.values]:
        raise Invalid(f"{unknown[0]!r} is not a tool type. The types are: {', '.join(ToolType.values)}.")
    return list(types)
