"""Blocks written to a file and read from one: as JSON Lines, or as one JSON document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import AdeError, Invalid, TooLarge
from memory.models import Block, BlockVersion
from memory.models.block import DEFAULT_LIMIT
from memory.services.blocks import BlockChanges, BlockDraft, change_block, create_block

#: What one file holds at most, written or read.
MOST_BLOCKS = 5_000
MOST_BYTES = 32 * 1024 * 1024
#: What stands at the top of a JSON document.
FORMAT = "letta-ade-blocks"

#: Field → the types that it may have; None always stands for "not said".
_FIELDS: Mapping[str, tuple[type, ...]] = {
    "label": (str,),
    "value": (str,),
    "description": (str,),
    "limit": (int,),
    "tags": (list,),
    "metadata": (dict,),
    "read_only": (bool,),
    "is_template": (bool,),
    "template_name": (str,),
}
_WRITING = (
    "number", "label", "value", "description", "limit", "read_only", "actor_kind", "actor_id", "actor_name", "run_id", "tool_name",
    "base_version", "act", "restored_from", "created_at", "prev_hash", "hash",
)  # fmt: skip


class FileKind(StrEnum):
    JSONL = "jsonl"
    JSON = "json"

    @property
    def headers(self) -> dict[str, str]:
        """Of an answer that is to be saved as a file."""
        media_type = "application/json" if self is FileKind.JSON else "application/x-ndjson"
        return {
            "Content-Type": f"{media_type}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="blocks.{self}"',
        }


class OnCollision(StrEnum):
    """What becomes of an entry whose block is here already."""

    NEW = "new"
    SKIP = "skip"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One block of a file."""

    #: From 1. In JSON Lines it is the line, in a JSON document the place in the list.
    line: int
    data: Any
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryResult:
    """What became of an entry: created, updated, unchanged, skipped or refused."""

    line: int
    label: str
    outcome: str
    block_id: str | None = None
    #: Why it was refused.
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """All entries. `is_written` is False for a dry run, and when an entry was refused: then nothing of the file is stored."""

    results: list[EntryResult]
    is_dry_run: bool
    is_written: bool

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(result.outcome for result in self.results)
        return {name: found[name] for name in ("created", "updated", "unchanged", "skipped", "refused")}


def write_blocks(
    *, caller: Caller, blocks: QuerySet[Block], kind: FileKind = FileKind.JSONL, has_versions: bool = False
) -> str:
    """The blocks as the text of a file, by label. Raises TooLarge beyond `MOST_BLOCKS` or `MOST_BYTES`."""
    caller.check("read")
    found = list(blocks.filter(workspace_id=caller.workspace_id).order_by("label", "id")[: MOST_BLOCKS + 1])
    if len(found) > MOST_BLOCKS:
        raise TooLarge(f"A file holds at most {MOST_BLOCKS:,} blocks. Choose fewer.")
    lines, size = list[str](), 0
    for block in found:
        line = json.dumps(_written(block, has_versions=has_versions), ensure_ascii=False)
        size += len(line.encode()) + 2
        if size > MOST_BYTES:
            raise TooLarge(f"The file would be larger than {MOST_BYTES // 1024**2} MB. Choose fewer blocks.")
        lines.append(line)
    if kind is FileKind.JSONL:
        return "".join(line + "\n" for line in lines)
    return f'{{"format": "{FORMAT}", "blocks": [\n' + ",\n".join(lines) + "\n]}\n"


def read_entries(data: bytes) -> list[Entry]:
    """The entries of a file. Raises TooLarge, and Invalid for what is neither form of file or holds no block."""
    if len(data) > MOST_BYTES:
        raise TooLarge(f"The file has {len(data):,} bytes; at most {MOST_BYTES:,} are read. Split it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"The file is no UTF-8 text: byte {error.start + 1} does not fit.") from error
    entries = _of_document(text)
    if entries is None:
        entries = [_of_line(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not entries:
        raise Invalid("The file holds no block.")
    if len(entries) > MOST_BLOCKS:
        raise TooLarge(f"The file holds {len(entries):,} blocks; at most {MOST_BLOCKS:,} are read. Split it.")
    return entries


def import_blocks(
    *,
    caller: Caller,
    data: bytes,
    on_collision: OnCollision = OnCollision.SKIP,
    is_dry_run: bool = False,
) -> ImportReport:
    """Read the blocks of a file in, all of them or none. A dry run does the same and takes it back.

    An entry meets the block of its id, or else the one of its label. Raises what `read_entries` does; what is wrong with an
    entry stands in the report.
    """
    caller.check("edit")
    entries = read_entries(data)
    # Versions say that a file was read in, and who did it.
    importer = replace(caller, kind="import")
    with transaction.atomic():
        reading = _Reading(importer, entries, on_collision)
        results = [reading.take(entry) for entry in entries]
        is_written = not is_dry_run and not any(result.outcome == "refused" for result in results)
        if not is_written:
            transaction.set_rollback(True)
            # What was made is gone again, and so are the ids.
            results = [
                replace(each, block_id=None) if each.outcome == "created" else each for each in results
            ]
    return ImportReport(results=results, is_dry_run=is_dry_run, is_written=is_written)


class _Reading:
    """One file being read in: what was here before it came decides what collides."""

    def __init__(self, caller: Caller, entries: Iterable[Entry], on_collision: OnCollision) -> None:
        self._caller = caller
        self._on_collision = on_collision
        said = [entry.data for entry in entries if isinstance(entry.data, dict)]
        ids = {data["id"] for data in said if isinstance(data.get("id"), str) and "\0" not in data["id"]}
        labels = {
            data["label"] for data in said if isinstance(data.get("label"), str) and "\0" not in data["label"]
        }
        mine = Block.objects.filter(workspace_id=caller.workspace_id)
        self._ids = set(mine.filter(id__in=ids).values_list("id", flat=True))
        self._by_label: dict[str, list[str]] = {}
        for block_id, label in mine.filter(label__in=labels).values_list("id", "label"):
            self._by_label.setdefault(label, []).append(block_id)
        #: The line that met a block.
        self._met: dict[str, int] = {}

    def take(self, entry: Entry) -> EntryResult:
        label = entry.data.get("label") if isinstance(entry.data, dict) else None
        said = label if isinstance(label, str) else ""
        try:
            with transaction.atomic():
                outcome, block_id = self._store(entry)
        except AdeError as error:
            return EntryResult(line=entry.line, label=said, outcome="refused", message=error.message)
        return EntryResult(line=entry.line, label=said, outcome=outcome, block_id=block_id)

    def _store(self, entry: Entry) -> tuple[str, str]:
        values = _checked(entry)
        here = None if self._on_collision is OnCollision.NEW else self._collision(entry)
        if here is None:
            draft = BlockDraft(**({"limit": DEFAULT_LIMIT} | values))
            return "created", create_block(caller=self._caller, draft=draft).id
        if self._on_collision is OnCollision.SKIP:
            return "skipped", here
        if here in self._met:
            raise Invalid(f"Line {self._met[here]} means the same block.")
        self._met[here] = entry.line
        change = change_block(caller=self._caller, block_id=here, changes=BlockChanges(**values))
        return ("updated" if change.is_written else "unchanged"), here

    def _collision(self, entry: Entry) -> str | None:
        """The block that is here already, or None. Raises Invalid when a label means several and the file is to update."""
        if (block_id := entry.data.get("id")) in self._ids:
            return str(block_id)
        of_label = self._by_label.get(entry.data["label"], [])
        if len(of_label) > 1 and self._on_collision is OnCollision.UPDATE:
            raise Invalid(
                f"{len(of_label)} blocks have the label {entry.data['label']!r}; the id must say which is meant."
            )
        return of_label[0] if of_label else None


def _checked(entry: Entry) -> dict[str, Any]:
    """The fields that an entry says. Raises Invalid."""
    if entry.error is not None:
        raise Invalid(entry.error)
    if not isinstance(entry.data, dict):
        raise Invalid("A block is an object with a label and a value.")
    if not isinstance(entry.data.get("id"), str | None):
        raise Invalid(f"id is a text, not {entry.data['id']!r}.")
    values = {name: entry.data[name] for name in _FIELDS if entry.data.get(name) is not None}
    if missing := [name for name in ("label", "value") if name not in values]:
        raise Invalid(f"A block needs {' and '.join(missing)}.")
    for name, value in values.items():
        is_flag = isinstance(value, bool)
        if not isinstance(value, _FIELDS[name]) or (is_flag and bool not in _FIELDS[name]):
            raise Invalid(f"{name} must be of type {_FIELDS[name][0].__name__}, not {type(value).__name__}.")
    if not all(isinstance(tag, str) for tag in values.get("tags", ())):
        raise Invalid("tags must be a list of texts.")
    if "tags" in values:
        values["tags"] = tuple(values["tags"])
    return values


def _of_document(text: str) -> list[Entry] | None:
    """The entries of one JSON document; None for a text of lines. Raises Invalid for a broken document."""
    head = text.lstrip()
    first_line = head.partition("\n")[0]
    if not head.startswith("[") and not (head.startswith("{") and FORMAT in first_line):
        return None
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Invalid(f"The file is no JSON: {error}.") from error
    blocks = document.get("blocks") if isinstance(document, dict) else document
    if not isinstance(blocks, list):
        raise Invalid("The document needs a list under 'blocks'.")
    return [Entry(line=at, data=data) for at, data in enumerate(blocks, 1)]


def _of_line(at: int, line: str) -> Entry:
    try:
        return Entry(line=at, data=json.loads(line))
    except (json.JSONDecodeError, RecursionError) as error:
        return Entry(line=at, data=None, error=f"This line is no JSON: {error}.")


def _written(block: Block, *, has_versions: bool) -> dict[str, Any]:
    written = {"id": block.id, **{name: getattr(block, name) for name in _FIELDS}, "version": block.version}
    if has_versions:
        rows = BlockVersion.objects.filter(block=block).order_by("number").values(*_WRITING)
        written["versions"] = [row | {"created_at": row["created_at"].isoformat()} for row in rows]
    return written
