"""The versions of a block as a page shows them: who, with what, when, how many lines, and the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from memory.history import LineCount, count_changed_lines
from memory.models import Block, BlockVersion
from memory.models.block_version import ActorKind
from memory.services.block_versions import list_versions

#: Versions that the page lists at once.
SHOWN = 40
#: Unchanged lines around a change.
_CONTEXT_LINES = 3
#: Beyond this many lines the difference is told in whole lines only where it begins and ends.
_MOST_LINES = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """One entry of the list of versions."""

    version: BlockVersion
    lines: LineCount
    why: str

    @property
    def who(self) -> str:
        return self.version.actor_name

    @property
    def kind(self) -> str:
        """How the author's mark is drawn: agent, key or person."""
        match self.version.actor_kind:
            case ActorKind.AGENT:
                return "agent"
            case ActorKind.API_KEY:
                return "key"
            case _:
                return "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """A line of a difference; `skipped` rows stand for unchanged lines that are not shown."""

    op: Literal["same", "add", "del", "skipped"]
    old_number: int | None = None
    new_number: int | None = None
    text: str = ""
    skipped: int = 0


def list_lines(
    *, caller: Caller, block: Block, before: int | None = None
) -> tuple[list[VersionLine], int | None]:
    """The newest versions, and the number below which there are more."""
    versions = list_versions(caller=caller, block_id=block.id)
    if before is not None:
        versions = versions.filter(number__lt=before)
    found = list(versions[: SHOWN + 1])
    lines = [
        _line(version, found[place + 1] if place + 1 < len(found) else None)
        for place, version in enumerate(found)
    ]
    return lines[:SHOWN], (found[SHOWN - 1].number if len(found) > SHOWN else None)


def get_version(*, caller: Caller, block: Block, number: int) -> tuple[BlockVersion, BlockVersion | None]:
    """A version and the one before it. Raises NotFound."""
    found = {
        each.number: each
        for each in list_versions(caller=caller, block_id=block.id).filter(number__in=[number, number - 1])
    }
    if number not in found:
        raise NotFound(f"Block {block.label!r} has no version {number}.")
    return found[number], found.get(number - 1)


def _line(version: BlockVersion, before: BlockVersion | None) -> VersionLine:
    return VersionLine(
        version=version,
        lines=count_changed_lines(before.value if before else "", version.value),
        why=_why(version, before),
    )


def _why(version: BlockVersion, before: BlockVersion | None) -> str:
    if version.tool_name:
        return version.tool_name
    if before is None:
        return "Created" if version.number == 1 else "Edited"
    names = {"label": "label", "description": "description", "limit": "limit", "read_only": "read-only"}
    moved = [word for name, word in names.items() if getattr(version, name) != getattr(before, name)]
    if version.value != before.value:
        return "Edited" if not moved else f"Edited, with {', '.join(moved)}"
    return f"Changed {', '.join(moved)}" if moved else "Written again"


def diff_rows(old: str, new: str) -> list[DiffRow]:
    """The difference of two values, with a little of what stands around each change."""
    before, after = _split(old), _split(new)
    if len(before) + len(after) > _MOST_LINES:
        return [*_numbered("del", before, old=1), *_numbered("add", after, new=1)]
    rows: list[DiffRow] = []
    shown_to = 0
    for group in SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(_CONTEXT_LINES):
        if skipped := group[0][1] - shown_to:
            rows.append(DiffRow(op="skipped", skipped=skipped))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                rows += [
                    DiffRow(
                        op="same", old_number=old_from + step + 1, new_number=new_from + step + 1, text=text
                    )
                    for step, text in enumerate(before[old_from:old_to])
                ]
            else:
                rows += _numbered("del", before[old_from:old_to], old=old_from + 1)
                rows += _numbered("add", after[new_from:new_to], new=new_from + 1)
        shown_to = group[-1][2]
    if rows and (skipped := len(before) - shown_to):
        rows.append(DiffRow(op="skipped", skipped=skipped))
    return rows


def _split(value: str) -> list[str]:
    return value.split("\n") if value else []


def _numbered(
    op: Literal["add", "del"], texts: Sequence[str], *, old: int | None = None, new: int | None = None
) -> Iterator[DiffRow]:
    for step, text in enumerate(texts):
        yield DiffRow(
            op=op,
            old_number=old + step if old is not None else None,
            new_number=new + step if new is not None else None,
            text=text,
        )
