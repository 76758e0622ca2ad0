"""What the memory tools share: a block by its label, arguments without line numbers, and edits of a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from memory.models import BlockProposal
from memory.rendering import LINE_NUMBER_WARNING, unmask
from memory.services.block_policies import check_is_free
from memory.services.blocks import (
    BlockDraft,
    BlockEdit,
    create_block,
    edit_block,
    get_block_for,
    relabel_block,
)
from tools.context import ToolContext
from tools.registry import ToolError

LINE_NUMBER = re.compile(r"^\s*\d+→\s*", re.M)
_TAB_WIDTH = 8
_NAMED_LINES = 20

Edit = Callable[[str], str]


def edit_by_label(context: ToolContext, label: str, edit: Edit, *, is_rewrite: bool = False) -> str:
    """The value of the agent's block after the edit, or that the edit waits for approval. Raises as `change_by_label`."""
    done = change_by_label(context, label, edit, is_rewrite=is_rewrite)
    return done.block.value if done.proposal is None else waiting_notice(done.proposal)


def change_by_label(context: ToolContext, label: str, edit: Edit, *, is_rewrite: bool = False) -> BlockEdit:
    """What the edit did to the agent's block. Raises ToolError for a label it has not, and what `edit_block` does."""
    block_id = block_id_of(context, label)
    done = edit_block(
        caller=context.caller,
        block_id=block_id,
        edit=_telling_of_pin(context, block_id, edit),
        origin=context.origin,
        seen_version=context.seen_versions.get(block_id),
        is_rewrite=is_rewrite,
        find_cause=context.find_cause,
    )
    if done.has_changed:
        context.changes.append(done)
    return done


def waiting_notice(proposal: BlockProposal) -> str:
    """What the model reads instead of the outcome of an edit that waits for approval."""
    return (
        f"Not written: your edits of the memory block {proposal.label!r} wait for the approval of a person. This one was proposed "
        f"({proposal.id}). Your memory is unchanged until then, so do not rely on the edit and do not repeat it; you will be told what was "
        "decided. Further edits of this block in this turn build on the proposed text."
    )


def _telling_of_pin(context: ToolContext, block_id: str, edit: Edit) -> Edit:
    """The edit; when it fails on a block that the agent is shown as of a pinned version, the error says what the block holds now.

    Without that an agent could never find out: its prompt stays as it is.
    """
    if (number := context.pinned_versions.get(block_id)) is None:
        return edit

    def edit_or_tell(value: str) -> str:
        try:
            return edit(value)
        except ToolError as error:
            raise ToolError(
                f"{error} You are shown version {number} of the block, because this conversation is pinned to it. "
                f"The block now holds:\n{value}"
            ) from error

    return edit_or_tell


def block_id_of(context: ToolContext, label: str) -> str:
    """The agent's block of that label. Raises ToolError, naming the labels that there are."""
    block_id = context.block_ids.get(label)
    if block_id is None:
        there_are = ", ".join(repr(known) for known in context.block_ids)
        raise ToolError(
            f"You have no memory block {label!r}. "
            + (f"Your blocks are: {there_are}." if there_are else "You have no memory blocks at all.")
        )
    return block_id


def add_block(context: ToolContext, label: str, value: str, *, description: str | None = None) -> None:
    """Make a block and attach it. Raises ToolError for a label that is taken, Unprocessable for a bad label or value."""
    if context.attach_block is None:
        raise ToolError("You cannot make new memory blocks.")
    if label in context.block_ids:
        raise ToolError(f"You have a memory block {label!r} already. Edit it, or choose another label.")
    draft = BlockDraft(label=label, value=value, description=description)
    block = create_block(caller=context.caller, draft=draft, origin=context.origin)
    context.attach_block(block)
    context.block_ids[label] = block.id
    lines = len(value.split("\n")) if value else 0
    context.changes.append(
        BlockEdit(block=block, from_version=0, to_version=block.version, added=lines, removed=0)
    )


def remove_block(context: ToolContext, label: str) -> None:
    """Take the block from the agent; the row stays. Raises ToolError for an unknown label, BlockReadOnly, Forbidden."""
    if context.detach_block is None:
        raise ToolError("You cannot remove memory blocks.")
    block_id = block_id_of(context, label)
    block = get_block_for(caller=context.caller, block_id=block_id)
    check_is_free(block, context.caller, "taking it out of your memory")
    context.detach_block(block_id)
    del context.block_ids[label]


def rename_block(
    context: ToolContext, label: str, new_label: str, *, description: str | None = None
) -> list[str]:
    """Give the block another label, another description, or both; a sentence for each change that was made.

    Raises ToolError for an unknown label, and what `relabel_block` does.
    """
    block_id = block_id_of(context, label)
    old = get_block_for(caller=context.caller, block_id=block_id)
    done = relabel_block(
        caller=context.caller,
        block_id=block_id,
        label=new_label,
        description=description,
        origin=context.origin,
        find_cause=context.find_cause,
    )
    if done.proposal is not None:
        return [waiting_notice(done.proposal)]
    if done.has_changed:
        context.changes.append(done)
    changes = []
    if new_label != label:
        context.block_ids[new_label] = context.block_ids.pop(label)
        changes.append(f"Renamed the memory block {label!r} to {new_label!r}.")
    if description is not None and description != old.description:
        changes.append(f"Changed the description of the memory block {new_label!r}.")
    return changes


def clean_text(arguments: dict[str, Any], name: str) -> str:
    """The argument, which must not carry what the prompt only shows for reading. Raises ToolError."""
    text: str = arguments[name]
    if LINE_NUMBER.search(text) or LINE_NUMBER_WARNING in text:
        raise ToolError(
            f"{name} holds line numbers or the notice about them. They are not part of the block: leave line numbers out."
        )
    return text


def insert_lines(value: str, new: str, after: Any, *, label: str) -> str:
    """The value with the text as new lines after line `after`; 0 is the top, -1 or None the end."""
    after = -1 if after is None else after
    if not isinstance(after, int) or isinstance(after, bool):
        raise ToolError(f"insert_line must be a whole number, not {after!r}.")
    lines = value.split("\n") if value else []
    if not -1 <= after <= len(lines):
        raise ToolError(
            f"insert_line {after} is out of range: block {label!r} has {len(lines)} lines. "
            f"Use 0 for the top, 1 to {len(lines)} for the place after that line, or -1 for the end."
        )
    at = len(lines) if after == -1 else after
    return "\n".join([*lines[:at], new, *lines[at:]])


def replace_once(value: str, old: str, new: str, *, label: str) -> str:
    """The value with the one occurrence of `old` replaced. Raises ToolError when there is none, or more than one."""
    spans = _spans(value, old)
    if not spans:
        raise ToolError(_not_found("old_string", label))
    if len(spans) > 1:
        lines = [value.count("\n", 0, start) + 1 for start, _ in spans]
        raise ToolError(
            f"old_string occurs {len(lines)} times in block {label!r}, in lines {_listed(lines)}. "
            "Nothing was changed: add text around it so that it occurs once."
        )
    return _replaced(value, spans, new)


def replace_all(value: str, old: str, new: str, *, label: str) -> str:
    """The value with every occurrence of `old` replaced. Raises ToolError when there is none."""
    spans = _spans(value, old)
    if not spans:
        raise ToolError(_not_found("old_content", label))
    return _replaced(value, spans, new)


def _replaced(value: str, spans: list[tuple[int, int]], new: str) -> str:
    edges = [(0, 0), *spans, (len(value), len(value))]
    return new.join(value[end:start] for (_, end), (start, _) in pairwise(edges))


def _spans(value: str, sought: str) -> list[tuple[int, int]]:
    """Where the text occurs: exactly, or else as the model read it, with tabs as spaces and masked tags as they were shown."""
    if not sought:
        return []
    if found := list(_occurrences(value, sought)):
        return found
    plain = unmask(sought)
    if plain != sought and (found := list(_occurrences(value, plain))):
        return found
    return _spans_across_tabs(value, plain) if "\t" in value + plain else []


def _occurrences(value: str, sought: str) -> Iterator[tuple[int, int]]:
    at = value.find(sought)
    while at >= 0:
        yield at, at + len(sought)
        at = value.find(sought, at + len(sought))


def _spans_across_tabs(value: str, sought: str) -> list[tuple[int, int]]:
    """Occurrences in the value with its tabs spread to spaces, as places in the value itself. Parts of a tab do not count."""
    spread: list[str] = []
    starts: dict[int, int] = {}
    column = 0
    for at, character in enumerate(value):
        starts[len(spread)] = at
        width = _TAB_WIDTH - column % _TAB_WIDTH if character == "\t" else 1
        spread += [" "] * width if character == "\t" else [character]
        column = 0 if character in "\n\r" else column + width
    starts[len(spread)] = len(value)
    found = _occurrences("".join(spread), sought.expandtabs(_TAB_WIDTH))
    return [(starts[start], starts[end]) for start, end in found if start in starts and end in starts]


def _listed(lines: list[int]) -> str:
    shown = ", ".join(str(number) for number in lines[:_NAMED_LINES])
    return f"{shown} and more" if len(lines) > _NAMED_LINES else shown


def _not_found(argument: str, label: str) -> str:
    return (
        f"{argument} was not found in block {label!r}. Nothing was changed: it must be exactly as it stands there now, "
        "with white space and line breaks; another agent may have changed the block meanwhile."
    )
