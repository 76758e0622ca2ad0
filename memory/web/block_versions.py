"""The versions of a block as a page lists them: who, with what, when, how many lines; of all writers or of one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Max, QuerySet

from letta_ade.accounts.auth import Caller
from memory.history import LineCount, count_changed_lines
from memory.models import Block, BlockCheckpoint, BlockVersion
from memory.models.block_version import ActorKind, VersionAct
from memory.services.block_reverts import UNKNOWN_ACTOR, Wrote, written_by
from memory.services.block_versions import list_versions

_PUT_BACK: dict[str, str] = {
    VersionAct.RESTORE: "Restored",
    VersionAct.UNDO: "Undone to",
    VersionAct.REDO: "Redone to",
}
#: Versions that the page lists at once.
SHOWN = 40
#: Writers that the filter offers.
_MOST_WRITERS = 50
#: Versions that a revert names.
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """One entry of the list of versions."""

    version: BlockVersion
    lines: LineCount
    why: str
    checkpoints: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        return self.version.actor_name if self.version.is_explained else "Unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionList:
    """A part of the list; `more_before` is the number below which there are more."""

    lines: list[VersionLine]
    more_before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Somebody who wrote to the block. `key` stands for it in an address."""

    key: str
    name: str
    kind: str
    count: int


def load_versions(
    *, caller: Caller, block: Block, before: int | None = None, actor: str | None = None
) -> VersionList:
    """The newest versions, or those below one; of one writer when asked for."""
    versions = list_versions(caller=caller, block_id=block.id)
    if actor:
        versions = written_by(block, Wrote(actor_id=actor)).order_by("-number")
    if before is not None:
        versions = versions.filter(number__lt=before)
    found = list(versions[: SHOWN + 1])
    shown = found[:SHOWN]
    rows = {each.number: each for each in found}
    missing = [each.number - 1 for each in shown if each.number - 1 not in rows and each.number > 1]
    if missing:
        rows |= {each.number: each for each in BlockVersion.objects.filter(block=block, number__in=missing)}
    names = _checkpoints(block, shown)
    return VersionList(
        lines=[
            version_line(each, rows.get(each.number - 1), checkpoints=tuple(names[each.number]))
            for each in shown
        ],
        more_before=shown[-1].number if len(found) > SHOWN else None,
    )


def list_writers(block: Block) -> list[Writer]:
    """Who wrote to the block, the last one first."""
    versions: QuerySet[BlockVersion] = BlockVersion.objects.filter(block=block).order_by()
    found = versions.values("actor_kind", "actor_id").annotate(
        count=Count("id"), last=Max("number"), name=Max("actor_name")
    )
    return [
        Writer(
            key=UNKNOWN_ACTOR if row["actor_kind"] == ActorKind.UNKNOWN else row["actor_id"],
            name="Unexplained" if row["actor_kind"] == ActorKind.UNKNOWN else row["name"],
            kind=row["actor_kind"],
            count=row["count"],
        )
        for row in found.order_by("-last")[:_MOST_WRITERS]
    ]


def version_line(
    version: BlockVersion, before: BlockVersion | None, *, checkpoints: tuple[str, ...] = ()
) -> VersionLine:
    """The entry of a version that follows another one."""
    changes = version.line_changes
    if changes is None:
        lines = count_changed_lines(before.value if before else "", version.value)
    else:
        lines = LineCount(
            added=sum(each[3] - each[2] for each in changes),
            removed=sum(each[1] - each[0] for each in changes),
        )
    return VersionLine(version=version, lines=lines, why=_why(version, before), checkpoints=checkpoints)


def _checkpoints(block: Block, versions: Sequence[BlockVersion]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = defaultdict(list)
    numbers = [each.number for each in versions]
    for number, name in BlockCheckpoint.objects.filter(block=block, version__in=numbers).values_list(
        "version", "name"
    ):
        names[number].append(name)
    return names


def _why(version: BlockVersion, before: BlockVersion | None) -> str:
    if version.unseen_dropped:
        dropped = version.unseen_dropped
        return f"Blind overwrite, dropped {dropped} line{'' if dropped == 1 else 's'}"
    why = _act(version, before)
    if version.is_merged and version.act == VersionAct.WRITE:
        merged = f"merged with v{version.number - 1}"
        return f"{version.tool_name}, {merged}" if version.tool_name else merged.capitalize()
    return why


def _act(version: BlockVersion, before: BlockVersion | None) -> str:
    if not version.is_explained:
        return "Value changed outside the log"
    if version.reverted:
        return f"Reverted {_named(version.reverted)}"
    if version.restored_from is not None:
        return f"{_PUT_BACK[version.act]} v{version.restored_from}"
    if version.tool_name:
        return version.tool_name
    if before is None:
        return "Created" if version.number == 1 else "Edited"
    names = {"label": "label", "description": "description", "limit": "limit", "read_only": "read-only"}
    moved = [word for name, word in names.items() if getattr(version, name) != getattr(before, name)]
    if version.value != before.value:
        return "Edited" if not moved else f"Edited, with {', '.join(moved)}"
    return f"Changed {', '.join(moved)}" if moved else "Written again"


def _named(numbers: Sequence[int]) -> str:
    named = ", ".join(f"v{number}" for number in numbers[:_MOST_NAMED])
    return named if len(numbers) <= _MOST_NAMED else f"{named} and {len(numbers) - _MOST_NAMED} more"
