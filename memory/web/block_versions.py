"""The versions of a block as a page shows them: who, with what, when, and how many lines."""

from __future__ import annotations

from dataclasses import dataclass

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from memory.history import LineCount, count_changed_lines
from memory.models import Block, BlockVersion
from memory.models.block_version import ActorKind, VersionAct
from memory.services.block_versions import list_versions

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
    why = _act(version, before)
    if version.is_merged:
        why += f", merged with v{version.number - 1}"
    if version.approved_by_name:
        why += f", approved by {version.approved_by_name}"
    if version.unseen_dropped:
        why += f", lines dropped unseen: {version.unseen_dropped}"
    return why


def _act(version: BlockVersion, before: BlockVersion | None) -> str:
    if not version.is_explained:
        return "Unexplained: written without a version"
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
