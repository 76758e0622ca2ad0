"""The versions of a block: listed, compared, explained line by line, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from memory.blame import hand_over, owners_of_lines
from memory.diffs import DiffRow, diff_rows
from memory.history import LineCount, chain_hash, count_changed_lines
from memory.lines import changed_lines, packed, split_lines
from memory.models import Block, BlockVersion
from memory.services.block_writes import VERSIONED, facts_of
from memory.services.blocks import get_block_for


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDiff:
    """What changed from one version to another."""

    old: BlockVersion
    new: BlockVersion
    lines: LineCount
    rows: list[DiffRow]
    #: Other fields than the value, each with what it was and what it became.
    fields: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlameLine:
    """A line and the version that wrote it; None: it was written without a version."""

    text: str
    version: BlockVersion | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What does not fit in a history. `version` is the number where it shows."""

    kind: Literal["missing", "unlinked", "altered", "unexplained", "head"]
    version: int
    message: str


def list_versions(*, caller: Caller, block_id: str) -> QuerySet[BlockVersion]:
    """The block's versions, newest first. Raises NotFound."""
    block = get_block_for(caller=caller, block_id=block_id)
    return BlockVersion.objects.filter(block=block).order_by("-number")


def get_version_of(block: Block, number: int) -> BlockVersion:
    """The block's version of that number. Raises NotFound."""
    version = BlockVersion.objects.filter(block=block, number=number).first()
    if version is None:
        raise NotFound(f"Block {block.label!r} has no version {number}; the newest is {block.version}.")
    return version


def compare_versions(*, caller: Caller, block_id: str, old: int, new: int) -> VersionDiff:
    """What changed from one version to another, in either direction. Raises NotFound."""
    block = get_block_for(caller=caller, block_id=block_id)
    was, now = get_version_of(block, old), get_version_of(block, new)
    return VersionDiff(
        old=was,
        new=now,
        lines=count_changed_lines(was.value, now.value),
        rows=diff_rows(was.value, now.value),
        fields={
            name: (getattr(was, name), getattr(now, name))
            for name in VERSIONED
            if name != "value" and getattr(was, name) != getattr(now, name)
        },
    )


def blame_block(*, caller: Caller, block_id: str, number: int | None = None) -> list[BlameLine]:
    """The lines of a version, or of the block as it stands now, each with the version that wrote it. Raises NotFound."""
    return blame_lines(get_block_for(caller=caller, block_id=block_id), number)


def blame_lines(block: Block, number: int | None = None) -> list[BlameLine]:
    """The same of a block that the caller has been let to. Three queries."""
    versions = BlockVersion.objects.filter(block=block)
    if number is not None:
        last: BlockVersion | None = get_version_of(block, number)
        versions = versions.filter(number__lte=number)
    else:
        last = versions.order_by("-number").first()
    written = last.value if last else ""
    value = block.value if number is None else written
    owners = _owners(versions.order_by("number"), written)
    # Number 0 is nobody's: what the row holds and no version says.
    hand_over(owners, 0, packed(changed_lines(written, value)))
    writers = {
        each.number: each for each in versions.filter(number__in=set(owners)).defer("value", "line_changes")
    }
    return [
        BlameLine(text=text, version=writers.get(owner))
        for text, owner in zip(split_lines(value), owners, strict=True)
    ]


def _owners(versions: QuerySet[BlockVersion], value: str) -> list[int]:
    """For each line of the last version, whose value this is, the number of the one that wrote it."""
    owners: list[int] = []
    for number, changes in versions.values_list("number", "line_changes"):
        if changes is None:
            break
        hand_over(owners, number, changes)
    else:
        if len(owners) == len(split_lines(value)):
            return owners
    # Versions of before changes were kept, or changed since: their values tell it, more slowly.
    return owners_of_lines(versions.values_list("number", "value").iterator(chunk_size=200))


def verify_block(block: Block) -> list[str]:
    """What in the block's history does not fit: a sentence each; empty when nothing was changed behind our back."""
    return [problem.message for problem in find_problems(block)]


def find_problems(block: Block) -> list[Problem]:
    """What in the block's history does not fit, oldest first."""
    last: BlockVersion | None = None
    problems: list[Problem] = []
    for version in BlockVersion.objects.filter(block=block).order_by("number").iterator(chunk_size=200):
        problems += _problems_of(version, last)
        last = version
    return problems + list(_problems_at_head(block, last))


def _problems_of(version: BlockVersion, before: BlockVersion | None) -> Iterator[Problem]:
    number, expected = version.number, before.number + 1 if before else 1
    if number != expected:
        yield Problem(
            kind="missing", version=expected, message=f"Version {expected} is missing: {number} comes next."
        )
    elif version.prev_hash != (before.hash if before else ""):
        message = f"Version {number} does not follow from the version before it."
        yield Problem(kind="unlinked", version=number, message=message)
    if not is_intact(version):
        message = f"Version {number} was changed after it was written."
        yield Problem(kind="altered", version=number, message=message)
    if not version.is_explained:
        message = f"Version {number} is unexplained: somebody wrote to the block without making a version."
        yield Problem(kind="unexplained", version=number, message=message)


def _problems_at_head(block: Block, last: BlockVersion | None) -> Iterator[Problem]:
    if last is None:
        yield Problem(kind="head", version=0, message="The block has no version.")
        return
    if block.version != last.number or block.head_hash != last.hash:
        message = (
            f"The block says that it is at version {block.version}, its history ends with {last.number}."
        )
        yield Problem(kind="head", version=block.version, message=message)
    moved = [name for name in VERSIONED if getattr(block, name) != getattr(last, name)]
    if moved:
        message = f"Changed without a version: {', '.join(moved)}."
        yield Problem(kind="unexplained", version=last.number + 1, message=message)


def is_intact(version: BlockVersion) -> bool:
    """Whether the version is as it was written."""
    return chain_hash(version.prev_hash, facts_of(version)) == version.hash
