"""The built-in tool `memory`: memory blocks handled like files, with sub-commands (spec/memory.md §2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools import registry
from tools.builtin.block_edits import (
    add_block,
    clean_text,
    edit_by_label,
    insert_lines,
    remove_block,
    rename_block,
    replace_once,
)
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError

_FOLDER = "/memories/"

Arguments = dict[str, Any]


def memory(context: ToolContext, arguments: Arguments, _: Any) -> str:
    command = arguments["command"]
    run = _COMMANDS.get(command)
    if run is None:
        raise ToolError(f"There is no command {command!r}. The commands are: {', '.join(_COMMANDS)}.")
    return run(context, arguments)


def _create(context: ToolContext, arguments: Arguments) -> str:
    _need(arguments, "create", "path", "description")
    label = label_of(context, arguments["path"])
    value = clean_text(arguments, "file_text") if arguments.get("file_text") else ""
    add_block(context, label, value, description=arguments["description"])
    return f"Created the memory block {label!r}."


def _str_replace(context: ToolContext, arguments: Arguments) -> str:
    _need(arguments, "str_replace", "path", "old_string", "new_string")
    label = label_of(context, arguments["path"])
    old, new = clean_text(arguments, "old_string"), clean_text(arguments, "new_string")
    return edit_by_label(context, label, lambda value: replace_once(value, old, new, label=label))


def _insert(context: ToolContext, arguments: Arguments) -> str:
    _need(arguments, "insert", "path", "insert_text")
    label = label_of(context, arguments["path"])
    new, after = clean_text(arguments, "insert_text"), arguments.get("insert_line")
    return edit_by_label(context, label, lambda value: insert_lines(value, new, after, label=label))


def _delete(context: ToolContext, arguments: Arguments) -> str:
    _need(arguments, "delete", "path")
    label = label_of(context, arguments["path"])
    remove_block(context, label)
    return f"Deleted the memory block {label!r} from your memory."


def _rename(context: ToolContext, arguments: Arguments) -> str:
    path, new_path = arguments.get("old_path") or arguments.get("path"), arguments.get("new_path")
    description = arguments.get("description")
    if not path or not (new_path or description):
        raise ToolError("rename needs old_path and new_path, or path and description.")
    old = label_of(context, path)
    new = label_of(context, new_path) if new_path else old
    done = rename_block(context, old, new, description=description)
    return " ".join(done) or "Nothing was changed: the block has this label and description already."


_COMMANDS: Mapping[str, Callable[[ToolContext, Arguments], str]] = {
    "create": _create,
    "str_replace": _str_replace,
    "insert": _insert,
    "delete": _delete,
    "rename": _rename,
}


def label_of(context: ToolContext, path: str) -> str:
    """The label that a path means: `/memories/notes/today` and `notes/today` are the same block. Raises ToolError."""
    if path in context.block_ids:
        return path
    path = path.strip()
    label = "" if path.rstrip("/") == _FOLDER.rstrip("/") else path.removeprefix(_FOLDER).strip("/")
    if not label:
        raise ToolError(f"The path {path!r} names no memory block. A path is /memories/ and a label.")
    return label


def _need(arguments: Arguments, command: str, *names: str) -> None:
    if missing := [name for name in names if name not in arguments]:
        raise ToolError(f"{command} needs {', '.join(names)}; missing: {', '.join(missing)}.")


def _text(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


def register() -> None:
    """Put it into the registry."""
    registry.register(
        BuiltinTool(
            name="memory",
            tool_type=ToolType.LETTA_MEMORY_CORE,
            description="Manage memory blocks as if they were files: create, edit, rename and delete them.\n"
            "create needs path and description. str_replace needs path, old_string and new_string. "
            "insert needs path and insert_text. delete needs path. "
            "rename needs old_path and new_path, or path and a new description.",
            parameters={
                "type": "object",
                "properties": {
                    "command": {"type": "string", "enum": list(_COMMANDS), "description": "What to do."},
                    "path": _text("The block: /memories/ and its label."),
                    "file_text": _text("create: the value of the new block; empty by default."),
                    "description": _text("create, rename: what belongs into the block."),
                    "old_string": _text(
                        "str_replace: a text that occurs once in the block, exactly as it stands there."
                    ),
                    "new_string": _text("str_replace: the text that takes its place; empty to delete."),
                    "insert_line": {
                        "type": "integer",
                        "description": "insert: the line after which the text goes; 0 is the top, the end by default.",
                    },
                    "insert_text": _text("insert: the text, without line numbers."),
                    "old_path": _text("rename: the block as it is called now."),
                    "new_path": _text("rename: the block as it is to be called."),
                },
                "required": ["command"],
            },
            run=memory,
        )
    )
