"""The built-in tool `memory_apply_patch`: a patch on one memory block, or on several (spec/memory.md §2)."""

from __future__ import annotations

from typing import Any, assert_never

from memory import patches
from memory.patches import AddBlock, DeleteBlock, PatchError, UpdateBlock
from tools import registry
from tools.builtin.block_edits import (
    LINE_NUMBER,
    add_block,
    change_by_label,
    clean_text,
    remove_block,
    rename_block,
    waiting_notice,
)
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError

Done = dict[str, str]


def memory_apply_patch(context: ToolContext, arguments: dict[str, Any], _: Any) -> list[Done]:
    patch = clean_text(arguments, "patch")
    if any(LINE_NUMBER.match(line[1:]) for line in patch.split("\n") if line[:1] in ("+", "-", " ")):
        raise ToolError("patch holds line numbers. They are not part of the block: leave line numbers out.")
    try:
        if patches.has_headers(patch):
            sections = patches.parse_sections(patch)
        elif label := arguments.get("label"):
            sections = (UpdateBlock(label=label, hunks=patches.parse_hunks(patch)),)
        else:
            raise ToolError("A patch without headers needs the label of the block.")
        return [done for section in sections for done in _apply(context, section)]
    except PatchError as error:
        raise ToolError(f"{error} Nothing was changed.") from error


def _apply(context: ToolContext, section: patches.Section) -> list[Done]:
    match section:
        case AddBlock():
            add_block(context, section.label, section.value, description=section.description)
            return [{"done": "added", "label": section.label, "value": section.value}]
        case DeleteBlock():
            remove_block(context, section.label)
            return [{"done": "deleted", "label": section.label}]
        case UpdateBlock():
            return _update(context, section)
        case _ as other:
            assert_never(other)


def _update(context: ToolContext, section: UpdateBlock) -> list[Done]:
    label, done = section.label, list[Done]()
    if section.new_label is not None:
        said = rename_block(context, label, section.new_label)
        if section.new_label in context.block_ids:
            done.append({"done": "renamed", "label": label, "new_label": section.new_label})
            label = section.new_label
        else:
            done.append({"done": "proposed", "label": label, "value": " ".join(said)})
    if section.hunks:
        edit = change_by_label(context, label, lambda value: patches.apply_hunks(value, section.hunks))
        if edit.proposal is None:
            done.append({"done": "updated", "label": label, "value": edit.block.value})
        else:
            done.append({"done": "proposed", "label": label, "value": waiting_notice(edit.proposal)})
    return done


def register() -> None:
    """Put it into the registry."""
    registry.register(
        BuiltinTool(
            name="memory_apply_patch",
            tool_type=ToolType.LETTA_MEMORY_CORE,
            description="Change memory blocks by a patch, for several changes at once. All of it is done, or nothing.\n"
            "Either hunks of a unified diff for the block `label`: lines that stay begin with a space, lines that go with '-', "
            "lines that come with '+', and '@@' stands between hunks; a hunk with '+' only goes to the end of the block. "
            "Or sections with headers, for which `label` is not looked at: "
            "'*** Add Block: label' (a line 'Description: …', then '+' lines), "
            "'*** Update Block: label' (hunks; '*** Move to: label' renames it) and '*** Delete Block: label'. "
            "Returns a list of what was done, with the new values.",
            parameters={
                "type": "object",
                "properties": {
                    "label": {
                        "type": "string",
                        "description": "Label of the memory block that a patch without headers changes.",
                    },
                    "patch": {"type": "string", "description": "The patch, without line numbers."},
                },
                "required": ["patch"],
            },
            run=memory_apply_patch,
        )
    )
