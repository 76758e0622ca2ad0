"""Built-in tools with which an agent edits its memory blocks (spec/memory.md §2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from memory.rendering import LINE_NUMBER_WARNING
from memory.services.blocks import BlockDraft, BlockEdit, create_block, edit_block
from tools import registry
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError

_LINE_NUMBER = re.compile(r"^\s*\d+→\s*", re.M)
_NAMED_LINES = 20

_LABEL = {"type": "string", "description": "Label of the memory block."}


def core_memory_append(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    content = _text(arguments, "content")

    def append(value: str) -> str:
        return f"{value}\n{content}" if value else content

    return _edit(context, arguments["label"], append)


def core_memory_replace(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    label = arguments["label"]
    old, new = _text(arguments, "old_content"), _text(arguments, "new_content")

    def replace(value: str) -> str:
        value, sought = _comparable(value, old)
        if not sought or sought not in value:
            raise ToolError(_not_found("old_content", label))
        return value.replace(sought, new)

    return _edit(context, label, replace)


def memory_insert(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    new = _text(arguments, "new_string")
    after = arguments.get("insert_line")
    after = -1 if after is None else after
    if not isinstance(after, int):
        raise ToolError(f"insert_line must be a whole number, not {after!r}.")

    def insert(value: str) -> str:
        lines = value.split("\n") if value else []
        if not -1 <= after <= len(lines):
            raise ToolError(
                f"insert_line {after} is out of range: block {arguments['label']!r} has {len(lines)} lines. "
                f"Use 0 for the top, 1 to {len(lines)} for the place after that line, or -1 for the end."
            )
        at = len(lines) if after == -1 else after
        return "\n".join([*lines[:at], new, *lines[at:]])

    return _edit(context, arguments["label"], insert)


def memory_replace(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    label = arguments["label"]
    old, new = _text(arguments, "old_string"), _text(arguments, "new_string")

    def replace(value: str) -> str:
        value, sought = _comparable(value, old)
        lines = _lines_of(value, sought) if sought else []
        if not lines:
            raise ToolError(_not_found("old_string", label))
        if len(lines) > 1:
            raise ToolError(
                f"old_string occurs {len(lines)} times in block {label!r}, in lines {_listed(lines)}. "
                "Nothing was changed: add text around it so that it occurs once."
            )
        return value.replace(sought, new)

    return _edit(context, label, replace)


def memory_rethink(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    label, new = arguments["label"], _text(arguments, "new_memory")
    if label in context.block_ids or context.attach_block is None:
        return _edit(context, label, lambda _: new)
    block = create_block(
        caller=context.caller, draft=BlockDraft(label=label, value=new), origin=context.origin
    )
    context.attach_block(block)
    lines = len(new.split("\n")) if new else 0
    context.changes.append(
        BlockEdit(block=block, from_version=0, to_version=block.version, added=lines, removed=0)
    )
    return block.value


def memory_finish_edits(context: ToolContext, arguments: dict[str, Any], _: Any) -> None:
    return None


def register() -> None:
    """Put them into the registry."""
    core, sleeptime = ToolType.LETTA_MEMORY_CORE, ToolType.LETTA_SLEEPTIME_CORE
    _register(
        core_memory_append,
        core,
        "Add text at the end of a memory block, on a new line.",
        {"label": _LABEL, "content": _string("What to add.")},
    )
    _register(
        core_memory_replace,
        core,
        "Replace a text in a memory block wherever it occurs. An empty new text deletes it.",
        {
            "label": _LABEL,
            "old_content": _string("The text to replace, exactly as it stands in the block."),
            "new_content": _string("The text that takes its place; empty to delete."),
        },
    )
    _register(
        memory_insert,
        sleeptime,
        "Insert text into a memory block as one or more new lines. Returns the new value of the block.",
        {
            "label": _LABEL,
            "new_string": _string("The text to insert, without line numbers."),
            "insert_line": {
                "type": "integer",
                "description": "The line after which the text goes: 0 for the top, -1 (default) for the end.",
            },
        },
        optional=("insert_line",),
    )
    _register(
        memory_replace,
        sleeptime,
        "Replace one text in a memory block by another. The old text must occur exactly once, with its white space. "
        "Returns the new value of the block.",
        {
            "label": _LABEL,
            "old_string": _string(
                "The text to replace, exactly as it stands in the block, without line numbers."
            ),
            "new_string": _string("The text that takes its place; empty to delete."),
        },
    )
    _register(
        memory_rethink,
        sleeptime,
        "Rewrite a whole memory block, for a large reorganisation; for small changes insert or replace. "
        "A block that does not exist is created.",
        {"label": _LABEL, "new_memory": _string("The whole new value, with everything that is to be kept.")},
    )
    _register(memory_finish_edits, sleeptime, "Say that you have finished editing memory.", {})


def _register(
    run: Callable[[ToolContext, dict[str, Any], Any], Any],
    tool_type: ToolType,
    description: str,
    properties: dict[str, Any],
    *,
    optional: tuple[str, ...] = (),
) -> None:
    registry.register(
        BuiltinTool(
            name=run.__name__,
            tool_type=tool_type,
            description=description,
            parameters={
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name not in optional],
            },
            run=run,
        )
    )


def _string(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _edit(context: ToolContext, label: str, edit: Callable[[str], str]) -> str:
    block_id = context.block_ids.get(label)
    if block_id is None:
        there_are = ", ".join(repr(known) for known in context.block_ids)
        raise ToolError(
            f"You have no memory block {label!r}. "
            + (f"Your blocks are: {there_are}." if there_are else "You have no memory blocks at all.")
        )
    done = edit_block(caller=context.caller, block_id=block_id, edit=edit, origin=context.origin)
    if done.has_changed:
        context.changes.append(done)
    return done.block.value


def _text(arguments: dict[str, Any], name: str) -> str:
    """The argument, which must not carry what the prompt only shows for reading."""
    text: str = arguments[name]
    if _LINE_NUMBER.search(text) or LINE_NUMBER_WARNING in text:
        raise ToolError(
            f"{name} holds line numbers or the notice about them. They are not part of the block: leave line numbers out."
        )
    return text


def _comparable(value: str, sought: str) -> tuple[str, str]:
    """Value and sought text as they are, or with tabs as spaces when they fit only so: models read tabs as spaces."""
    if sought in value or "\t" not in value + sought:
        return value, sought
    spread, spread_sought = value.expandtabs(), sought.expandtabs()
    return (spread, spread_sought) if spread_sought in spread else (value, sought)


def _lines_of(value: str, sought: str) -> list[int]:
    """The number of the line in which each occurrence begins."""
    lines, at, number = [], value.find(sought), 1
    counted = 0
    while at >= 0:
        number += value.count("\n", counted, at)
        counted = at
        lines.append(number)
        at = value.find(sought, at + len(sought))
    return lines


def _listed(lines: list[int]) -> str:
    shown = ", ".join(str(number) for number in lines[:_NAMED_LINES])
    return f"{shown} and more" if len(lines) > _NAMED_LINES else shown


def _not_found(argument: str, label: str) -> str:
    return (
        f"{argument} was not found in block {label!r}. Nothing was changed: it must be exactly as it stands there now, "
        "with white space and line breaks; another agent may have changed the block meanwhile."
    )
