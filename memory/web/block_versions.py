"""The versions of a block as a page shows them: who, with what, when, and how many lines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Max

from letta_ade.core.errors import NotFound
from memory.history import LineCount, count_changed_lines
from memory.models import Block, BlockCheckpoint, BlockVersion
from memory.models.block_version import ActorKind, VersionAct

_PUT_BACK: dict[str, str] = {
    VersionAct.RESTORE: "Restored",
    VersionAct.UNDO: "Undone to",
    VersionAct.REDO: "Redone to",
}
#: Versions that the page lists at once.
SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """One entry of the list of versions."""

    version: BlockVersion
    lines: LineCount
    why: str
    #: Names of its checkpoints.
    names: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        return self.version.actor_name

    @property
    def kind(self) -> str:
        """How the author's mark is drawn."""
        return mark_of(self.version)


def mark_of(version: BlockVersion) -> str:
    """How an author's mark is drawn: agent, key, person or unknown."""
    marks: dict[str, str] = {
        ActorKind.AGENT: "agent",
        ActorKind.API_KEY: "key",
        ActorKind.UNKNOWN: "unknown",
    }
    return marks.get(version.actor_kind, "person")


def list_lines(
    block: Block, *, before: int | None = None, actor_id: str = ""
) -> tuple[list[VersionLine], int | None]:
    """The newest versions, of one actor if asked, and the number below which there are more. Two queries, or three."""
    versions = BlockVersion.objects.filter(block=block).order_by("-number")
    chosen = versions.filter(actor_id=actor_id) if actor_id else versions
    if before is not None:
        chosen = chosen.filter(number__lt=before)
    found = list(chosen[: SHOWN + 1])
    numbers = {version.number for version in found[:SHOWN]}
    needed = {number - 1 for number in numbers} - {version.number for version in found} - {0}
    others = versions.filter(number__in=needed)
    by_number = {version.number: version for version in (*found, *(others if needed else ()))}
    names = defaultdict(list)
    for number, name in BlockCheckpoint.objects.filter(block=block, version__in=numbers).values_list(
        "version", "name"
    ):
        names[number].append(name)
    lines = [
        _line(version, by_number.get(version.number - 1), tuple(names[version.number]))
        for version in found[:SHOWN]
    ]
    return lines, (found[SHOWN - 1].number if len(found) > SHOWN else None)


def list_actors(block: Block) -> list[tuple[str, str]]:
    """Id and name of everybody who wrote a version, the last writer first."""
    rows = (
        BlockVersion.objects.filter(block=block)
        .exclude(actor_id="")
        .order_by()
        .values("actor_id")
        .annotate(last=Max("number"), name=Max("actor_name"))
    )
    return [(row["actor_id"], row["name"]) for row in sorted(rows, key=lambda row: -row["last"])]


def get_version(block: Block, number: int) -> tuple[BlockVersion, BlockVersion | None]:
    """A version and the one before it. Raises NotFound."""
    found = {
        each.number: each
        for each in BlockVersion.objects.filter(block=block, number__in=[number, number - 1])
    }
    if number not in found:
        raise NotFound(f"Block {block.label!r} has no version {number}.")
    return found[number], found.get(number - 1)


def _line(version: BlockVersion, before: BlockVersion | None, names: tuple[str, ...]) -> VersionLine:
    return VersionLine(
        version=version,
        lines=count_changed_lines(before.value if before else "", version.value),
        why=_why(version, before),
        names=names,
    )


def _why(version: BlockVersion, before: BlockVersion | None) -> str:
    why = _act(version, before)
    if version.is_merged:
        why += f", merged with v{version.number - 1}"
    if version.approved_by_name:
        why += f", approved by {version.approved_by_name}"
    if version.unseen_dropped:
        why += f", dropped {_lines(version.unseen_dropped)} unseen"
    return why


def _lines(count: int) -> str:
    return f"{count} line" if count == 1 else f"{count} lines"


def _act(version: BlockVersion, before: BlockVersion | None) -> str:
    if not version.is_explained:
        return "Unexplained: written without a version"
    if version.act == VersionAct.REVERT:
        return "Writes taken out"
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
