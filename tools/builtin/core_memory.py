"""Built-in tools with which an agent edits its memory blocks (spec/memory.md §2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools import registry
from tools.builtin.block_edits import (
    add_block,
    clean_text,
    edit_by_label,
    insert_lines,
    replace_all,
    replace_once,
)
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool

_LABEL = {"type": "string", "description": "Label of the memory block."}


def core_memory_append(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    content = clean_text(arguments, "content")

    def append(value: str) -> str:
        return f"{value}\n{content}" if value else content

    return edit_by_label(context, arguments["label"], append)


def core_memory_replace(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    label = arguments["label"]
    old, new = clean_text(arguments, "old_content"), clean_text(arguments, "new_content")
    return edit_by_label(context, label, lambda value: replace_all(value, old, new, label=label))


def memory_insert(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    label, new = arguments["label"], clean_text(arguments, "new_string")
    after = arguments.get("insert_line")
    return edit_by_label(context, label, lambda value: insert_lines(value, new, after, label=label))


def memory_replace(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    label = arguments["label"]
    old, new = clean_text(arguments, "old_string"), clean_text(arguments, "new_string")
    return edit_by_label(context, label, lambda value: replace_once(value, old, new, label=label))


def memory_rethink(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    label, new = arguments["label"], clean_text(arguments, "new_memory")
    if label in context.block_ids or context.attach_block is None:
        return edit_by_label(context, label, lambda _: new, is_rewrite=True)
    add_block(context, label, new)
    return new


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
