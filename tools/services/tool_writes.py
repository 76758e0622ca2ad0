"""Tools made, changed, put back and deleted (spec/tools.md §2). Every write of a custom tool makes a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from django.db import IntegrityError, transaction

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Invalid, NotAllowed, NotFound
from memory.texts import check_tags
from tools.followers import list_followers
from tools.models import Tool, ToolType
from tools.models.tool import DEFAULT_RETURN_CHAR_LIMIT
from tools.registry import get_builtin
from tools.schemas.python import derive_schema_from_args
from tools.services.tool_checks import check_source_has, check_tool
from tools.services.tool_schemas import check_source_type, schema_as_given
from tools.services.tool_versions import add_version, newest_number, values_of, version_of
from tools.services.tools import get_tool_for

#: What only the server, or the MCP server, says of a tool that is not the user's.
_FIXED = (
    "source_code",
    "source_type",
    "json_schema",
    "args_json_schema",
    "pip_requirements",
    "npm_requirements",
)
#: A null empties these; of the others it changes nothing.
_MAY_BE_EMPTY = frozenset({"default_requires_approval", "pip_requirements", "npm_requirements"})
#: Changes of these must leave the source with the function that the tool is named after.
_NAMING = frozenset({"source_code", "json_schema", "args_json_schema"})
#: Agents that an error names at most.
_SHOWN_USERS = 5
Requirements = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDraft:
    """A custom tool that is to be made; it is named by its schema."""

    source_code: str
    source_type: str = "python"
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    #: None: the schema's.
    description: str | None = None
    #: Empty: none for a new tool, unchanged for one that is overwritten.
    tags: tuple[str, ...] = ()
    return_char_limit: int = DEFAULT_RETURN_CHAR_LIMIT
    pip_requirements: Requirements | None = None
    npm_requirements: Requirements | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChanges:
    """What is to change: the fields of `sent`; a null empties only what may be empty."""

    values: Mapping[str, Any] = field(default_factory=dict)


class ToolNameTaken(Conflict):
    """Another tool has this name."""


def drafted_tool(*, caller: Caller, draft: ToolDraft) -> Tool:
    """The tool that the draft describes, checked and not stored. Raises SchemaError, Invalid or Unprocessable."""
    return _drafted(Tool(workspace_id=caller.workspace_id, created_by_id=caller.id), caller, draft)


def create_tool(*, caller: Caller, draft: ToolDraft) -> Tool:
    """A new custom tool with its first version. Raises ToolNameTaken, SchemaError, Invalid or Unprocessable."""
    caller.check("edit")
    tool = drafted_tool(caller=caller, draft=draft)
    with transaction.atomic():
        if other := _named(caller, tool.name):
            raise ToolNameTaken(
                f"There is a tool {tool.name!r} already ({other.id}); {_users(other)}.", tool_id=other.id
            )
        _insert(tool, caller)
    return tool


def upsert_tool(*, caller: Caller, draft: ToolDraft) -> Tool:
    """The custom tool of the draft's name: overwritten when there is one, else new.

    Raises ToolNameTaken for the name of a tool that is not custom, SchemaError, Invalid or Unprocessable.
    """
    caller.check("edit")
    made = drafted_tool(caller=caller, draft=draft)
    try:
        with transaction.atomic():
            if (tool := _overwritten(caller, made, draft)) is None:
                _insert(made, caller)
    except IntegrityError:
        # Somebody else made a tool of this name since; it is overwritten like one that was there before.
        with transaction.atomic():
            tool = _overwritten(caller, made, draft)
        if tool is None:
            raise
    return tool or made


def update_tool(
    *, caller: Caller, tool_id: str, changes: ToolChanges, base_version: int | None = None
) -> Tool:
    """The tool after the changes; what names it follows a new name.

    With `base_version` the newest version must be that one. Raises NotFound; Conflict; NotAllowed for what only the server says of a
    tool; Invalid for two schemas at once, a source without the tool's function, or a name that another tool has; SchemaError;
    Unprocessable.
    """
    caller.check("edit")
    with transaction.atomic():
        tool = _locked(caller, tool_id)
        if base_version is not None and base_version != (newest := newest_number(tool)):
            raise Conflict(
                f"The tool {tool.name!r} is at version {newest}; this change was made to version {base_version}.",
                current_version=newest,
            )
        before, old_name = values_of(tool), tool.name
        _apply(tool, changes.values)
        _save(tool, caller, before, old_name)
    return tool


def restore_version(*, caller: Caller, tool_id: str, number: int) -> Tool:
    """The tool as it was in that version, as a new version. Raises NotFound, NotAllowed, or Invalid when its name is taken since."""
    caller.check("edit")
    with transaction.atomic():
        tool = _locked(caller, tool_id)
        if tool.tool_type != ToolType.CUSTOM:
            raise NotAllowed(f"{tool.name!r} is not a custom tool; its source is not kept here.")
        before, old_name = values_of(tool), tool.name
        for name, value in values_of(version_of(tool, number)).items():
            setattr(tool, name, value)
        check_tool(tool)
        _save(tool, caller, before, old_name, restored_from=number)
    return tool


def delete_tool(*, caller: Caller, tool_id: str) -> None:
    """The tool goes with its versions, from all agents and from their rules. Raises NotFound, NotAllowed for the server's own."""
    caller.check("edit")
    with transaction.atomic():
        tool = get_tool_for(caller=caller, tool_id=tool_id)
        if tool.is_builtin and get_builtin(tool.name) is not None:
            raise NotAllowed(
                f"{tool.name!r} belongs to the server; detach it from the agents that shall not use it."
            )
        # The agents before the tool: attaching locks them in that order.
        for follower in list_followers():
            follower.tool_leaves(caller, tool)
        tool.delete()


def _drafted(tool: Tool, caller: Caller, draft: ToolDraft) -> Tool:
    """The row with what the draft says, checked and not saved."""
    schema = schema_as_given(
        source=draft.source_code,
        source_type=draft.source_type,
        json_schema=draft.json_schema,
        args_json_schema=draft.args_json_schema,
    )
    for each in fields(draft):
        if each.name != "tags":
            setattr(tool, each.name, getattr(draft, each.name))
    if draft.tags or tool._state.adding:
        tool.tags = check_tags(draft.tags)
    tool.json_schema = schema
    tool.name = schema.get("name", "")
    tool.description = draft.description if draft.description is not None else _described(schema)
    tool.tool_type = ToolType.CUSTOM
    tool.last_updated_by_id = caller.id
    check_tool(tool)
    return tool


def _overwritten(caller: Caller, made: Tool, draft: ToolDraft) -> Tool | None:
    tool = _named(caller, made.name)
    if tool is None:
        return None
    if tool.tool_type != ToolType.CUSTOM:
        owner = "an MCP server" if tool.tool_type == ToolType.EXTERNAL_MCP else "the server"
        raise ToolNameTaken(f"{tool.name!r} is a tool of {owner}; give yours another name.", tool_id=tool.id)
    before = values_of(tool)
    _drafted(tool, caller, draft)
    _save(tool, caller, before, tool.name)
    return tool


def _users(tool: Tool) -> str:
    """Who would get another tool under their hands, in words."""
    names = list(
        Tool.objects.filter(id=tool.id, agent_links__isnull=False)
        .order_by("agent_links__agent__name")
        .values_list("agent_links__agent__name", flat=True)
    )
    if not names:
        return "no agent has it"
    shown = ", ".join(names[:_SHOWN_USERS]) + (", …" if len(names) > _SHOWN_USERS else "")
    return f"{len(names)} agent{'s have' if len(names) > 1 else ' has'} it: {shown}"


def _named(caller: Caller, name: str) -> Tool | None:
    """The workspace's tool of that name, locked. Raises ToolNameTaken for a name that only built-in tools bear."""
    tool = (
        Tool.objects.select_for_update(no_key=True)
        .filter(workspace_id=caller.workspace_id, name=name)
        .first()
    )
    if tool is None and get_builtin(name) is not None:
        raise ToolNameTaken(f"{name!r} is a tool of the server; give yours another name.")
    return tool


def _locked(caller: Caller, tool_id: str) -> Tool:
    tool = (
        # Without the key: attaching the tool to an agent meanwhile need not wait.
        Tool.objects.select_for_update(no_key=True)
        .filter(id=tool_id, workspace_id=caller.workspace_id)
        .first()
    )
    if tool is None:
        raise NotFound(f"There is no tool {tool_id!r}.")
    return tool


def _apply(tool: Tool, values: Mapping[str, Any]) -> None:
    json_schema, args_json_schema = values.get("json_schema"), values.get("args_json_schema")
    if json_schema is not None and args_json_schema is not None:
        raise Invalid("Send json_schema or args_json_schema, not both.")
    if tool.tool_type != ToolType.CUSTOM:
        fixed = (*_FIXED, "description") if tool.is_builtin else _FIXED
        for name in fixed:
            if values.get(name) is not None and values[name] != getattr(tool, name):
                raise NotAllowed(f"{name} of {tool.name!r} is not yours to change: it is not a custom tool.")
        values = {name: value for name, value in values.items() if name not in fixed}
    was_told_by_schema = tool.description == _described(tool.json_schema)
    for name, value in values.items():
        if value is not None or name in _MAY_BE_EMPTY:
            setattr(tool, name, check_tags(value) if name == "tags" else value)
    check_source_type(tool.source_type)
    if args_json_schema is not None and tool.tool_type == ToolType.CUSTOM:
        tool.json_schema = derive_schema_from_args(tool.source_code, args_json_schema, name=tool.name)
    if tool.tool_type == ToolType.CUSTOM:
        tool.name = tool.json_schema.get("name", "")
        if was_told_by_schema and values.get("description") is None:
            tool.description = _described(tool.json_schema)
        check_tool(tool)
        if any(values.get(name) is not None for name in _NAMING):
            check_source_has(tool)


def _save(
    tool: Tool, caller: Caller, before: dict[str, Any], old_name: str, *, restored_from: int | None = None
) -> None:
    """Save the locked row; a version when it is a custom tool's and something of it changed."""
    if tool.name != old_name:
        others = Tool.objects.filter(workspace_id=tool.workspace_id, name=tool.name).exclude(id=tool.id)
        if others.exists() or get_builtin(tool.name) is not None:
            raise Invalid(f"There is a tool {tool.name!r} already; {old_name!r} cannot be renamed to it.")
    tool.last_updated_by_id = caller.id
    tool.save()
    if tool.tool_type == ToolType.CUSTOM and values_of(tool) != before:
        add_version(tool, caller, before, restored_from=restored_from)
    if tool.name != old_name:
        for follower in list_followers():
            follower.tool_renamed(caller, tool, old_name)


def _insert(tool: Tool, caller: Caller) -> None:
    tool.save(force_insert=True)
    add_version(tool, caller, None)


def _described(schema: Mapping[str, Any]) -> str | None:
    said = schema.get("description")
    return said if isinstance(said, str) else None
