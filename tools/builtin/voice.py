"""Built-in tools of the agent that keeps the memory of a voice conversation in the background (spec/memory.md §9)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from memory.services.passages import PassageDraft
from tools import registry
from tools.builtin.archival import TAGS, embed_for_insert, insert_texts, tags_of
from tools.builtin.block_edits import add_block, clean_text, edit_by_label
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError

#: The block that is about the person.
_USER_LABEL = "human"
_NUMBERED = re.compile(r"\s*(\d+)[.:)] +(.*)")


def prepare_store(context: ToolContext, arguments: dict[str, Any]) -> list[list[float]] | None:
    return embed_for_insert(context, [draft.text for draft in _drafts(context, arguments)])


def store_memories(context: ToolContext, arguments: dict[str, Any], vectors: list[list[float]] | None) -> str:
    drafts = _drafts(context, arguments)
    insert_texts(context, drafts, vectors)
    return f"Stored {len(drafts)} {'memory' if len(drafts) == 1 else 'memories'} in archival memory."


def rethink_user_memory(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    new = clean_text(arguments, "new_memory")
    if _USER_LABEL in context.block_ids or context.attach_block is None:
        return edit_by_label(context, _USER_LABEL, lambda _: new, is_rewrite=True)
    add_block(context, _USER_LABEL, new)
    return new


def finish_rethinking_memory(context: ToolContext, arguments: dict[str, Any], _: Any) -> None:
    return None


def _drafts(context: ToolContext, arguments: dict[str, Any]) -> list[PassageDraft]:
    """A passage for each chunk. Raises ToolError, naming the lines that there are."""
    chunks = arguments["chunks"]
    if not isinstance(chunks, list) or not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        raise ToolError("chunks must be a list of objects with start_index, end_index and context.")
    lines = transcript_lines(context.input_texts)
    return [_draft(context, chunk, lines) for chunk in chunks]


def _draft(context: ToolContext, chunk: dict[str, Any], lines: dict[int, str]) -> PassageDraft:
    start, end, about = chunk.get("start_index"), chunk.get("end_index"), chunk.get("context")
    if not isinstance(start, int) or not isinstance(end, int) or not isinstance(about, str):
        raise ToolError(
            "A chunk needs start_index and end_index, which are line numbers, and context, a text."
        )
    said = [text for number, text in lines.items() if start <= number <= end]
    if not said:
        there_are = f"They go from {min(lines)} to {max(lines)}." if lines else "There are none."
        raise ToolError(f"No line of the transcript has a number from {start} to {end}. {there_are}")
    return PassageDraft(
        text="\n\n".join(part for part in (about.strip(), "\n".join(said)) if part),
        tags=tuple(tags_of(chunk)),
        agent_id=context.agent_id,
        run_id=context.run_id,
        message_id=context.message_id,
    )


def transcript_lines(texts: Iterable[str]) -> dict[int, str]:
    """What was said by its number: `3. user: …` is number 3, with the lines below it; without numbers, lines count from 0."""
    lines = [line for text in texts for line in text.split("\n")]
    numbered: dict[int, str] = {}
    current = None
    for line in lines:
        if found := _NUMBERED.fullmatch(line):
            current = int(found[1])
            numbered[current] = found[2]
        elif current is not None and line.strip():
            numbered[current] += f"\n{line}"
    return numbered or {number: line for number, line in enumerate(lines) if line.strip()}


_CHUNK = {
    "type": "object",
    "properties": {
        "start_index": {"type": "integer", "description": "Number of the first line of the chunk."},
        "end_index": {"type": "integer", "description": "Number of its last line, itself included."},
        "context": {
            "type": "string",
            "description": "A sentence that lets the lines be understood alone: who, when, about what.",
        },
        "tags": TAGS | {"description": "Short category names by which a search can be narrowed."},
    },
    "required": ["start_index", "end_index", "context"],
}


def register() -> None:
    """Put them into the registry."""
    _register(
        name="store_memories",
        description="Keep parts of the transcript that you were given in archival memory, before they leave the conversation. "
        "Make a chunk of lines that belong together.",
        parameters={
            "type": "object",
            "properties": {
                "chunks": {"type": "array", "items": _CHUNK, "description": "The parts to keep, in order."}
            },
            "required": ["chunks"],
        },
        run=store_memories,
        prepare=prepare_store,
    )
    _register(
        name="rethink_user_memory",
        description=f"Rewrite what is known about the person: the whole memory block {_USER_LABEL!r}. "
        "Keep what is still true, put in what is new, resolve what contradicts.",
        parameters={
            "type": "object",
            "properties": {
                "new_memory": {
                    "type": "string",
                    "description": "The whole new text, with everything that is to be kept.",
                }
            },
            "required": ["new_memory"],
        },
        run=rethink_user_memory,
    )
    _register(
        name="finish_rethinking_memory",
        description="Say that you have finished with this transcript.",
        parameters={"type": "object", "properties": {}, "required": []},
        run=finish_rethinking_memory,
    )


def _register(**fields: Any) -> None:
    registry.register(BuiltinTool(tool_type=ToolType.LETTA_VOICE_SLEEPTIME_CORE, **fields))
