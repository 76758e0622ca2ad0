"""Versions, blame and checkpoints of blocks on the wire: extensions of ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from letta_ade.core.schemas import Body, Wire
from memory.api.schemas.block import VersionedBlock
from memory.diffs import DiffRow
from memory.models import Block, BlockCheckpoint, BlockVersion
from memory.services.block_merges import hunk_data
from memory.services.block_reverts import Reversal, Writes
from memory.services.block_versions import BlameLine, Problem, VersionDiff, is_intact


class VersionAuthor(Wire):
    """Who wrote a version, when, and from where."""

    version: int
    actor_kind: str
    actor_id: str
    actor_name: str
    run_id: str | None
    step_id: str | None
    message_id: str | None
    tool_call_id: str | None
    tool_name: str | None
    created_at: datetime

    @classmethod
    def of(cls, version: BlockVersion) -> VersionAuthor:
        """The author of a row."""
        return cls(**_author(version))


class VersionResponse(VersionAuthor):
    """A version of a block."""

    id: str
    block_id: str
    label: str
    value: str
    description: str | None
    limit: int
    read_only: bool
    #: The version that the writer had read; null when it did not say.
    base_version: int | None
    #: Whether others had written since, and both were merged.
    is_merged: bool
    act: str
    restored_from: int | None
    #: Lines that went although the writer had not seen them; more than none is a blind overwrite.
    unseen_dropped: int
    #: The proposal that was approved, and by whom.
    proposal_id: str | None
    approved_by_id: str | None
    approved_by_name: str | None
    #: False: made for what somebody wrote to the row without a version, or changed after it was written.
    is_explained: bool
    prev_hash: str
    hash: str

    @classmethod
    def of(cls, version: BlockVersion) -> VersionResponse:
        """The version of a row."""
        return cls(
            **_author(version),
            id=version.id,
            block_id=version.block_id,
            label=version.label,
            value=version.value,
            description=version.description,
            limit=version.limit,
            read_only=version.read_only,
            base_version=version.base_version,
            is_merged=version.is_merged,
            act=version.act,
            restored_from=version.restored_from,
            unseen_dropped=version.unseen_dropped,
            proposal_id=version.proposal_id,
            approved_by_id=version.approved_by_id,
            approved_by_name=version.approved_by_name,
            is_explained=version.is_explained and is_intact(version),
            prev_hash=version.prev_hash,
            hash=version.hash,
        )


def _author(version: BlockVersion) -> dict[str, Any]:
    names = [name for name in VersionAuthor.model_fields if name != "version"]
    return {"version": version.number, **{name: getattr(version, name) for name in names}}


class DiffLine(Wire):
    """A line of a difference; `skipped` unchanged lines are not shown."""

    op: Literal["same", "add", "del", "skipped"]
    old_line: int | None
    new_line: int | None
    text: str
    skipped: int

    @classmethod
    def of(cls, row: DiffRow) -> DiffLine:
        """The line of a row."""
        return cls(
            op=row.op, old_line=row.old_number, new_line=row.new_number, text=row.text, skipped=row.skipped
        )


class FieldChange(Wire):
    """A field that is not the value."""

    old: Any
    new: Any


class DiffResponse(Wire):
    """What changed from one version to another."""

    old: VersionAuthor
    new: VersionAuthor
    added: int
    removed: int
    lines: list[DiffLine]
    fields: dict[str, FieldChange]

    @classmethod
    def of(cls, diff: VersionDiff) -> DiffResponse:
        """The difference of two rows."""
        return cls(
            old=VersionAuthor.of(diff.old),
            new=VersionAuthor.of(diff.new),
            added=diff.lines.added,
            removed=diff.lines.removed,
            lines=[DiffLine.of(row) for row in diff.rows],
            fields={name: FieldChange(old=old, new=new) for name, (old, new) in diff.fields.items()},
        )


class BlamedLine(Wire):
    """A line and who wrote it; null: it was written without a version."""

    line: int
    text: str
    author: VersionAuthor | None


def blamed_lines(lines: list[BlameLine]) -> list[BlamedLine]:
    """The lines on the wire; those of one version share their author."""
    authors = {line.version.number: VersionAuthor.of(line.version) for line in lines if line.version}
    return [
        BlamedLine(line=at, text=line.text, author=authors[line.version.number] if line.version else None)
        for at, line in enumerate(lines, 1)
    ]


class HistoryProblem(Wire):
    """What does not fit in a history."""

    kind: str
    version: int
    message: str


class VerifyResponse(Wire):
    """Whether the chain of versions holds."""

    is_valid: bool
    versions: int
    problems: list[HistoryProblem]

    @classmethod
    def of(cls, block: Block, problems: list[Problem]) -> VerifyResponse:
        """The result for a row."""
        return cls(
            is_valid=not problems,
            versions=block.version,
            problems=[
                HistoryProblem(kind=each.kind, version=each.version, message=each.message)
                for each in problems
            ],
        )


class CheckpointResponse(Wire):
    """A name for a version."""

    id: str
    block_id: str
    name: str
    version: int
    created_by_id: str | None
    created_at: datetime

    @classmethod
    def of(cls, checkpoint: BlockCheckpoint) -> CheckpointResponse:
        """The checkpoint of a row."""
        return cls(
            id=checkpoint.id,
            block_id=checkpoint.block_id,
            name=checkpoint.name,
            version=checkpoint.version,
            created_by_id=checkpoint.created_by_id,
            created_at=checkpoint.created_at,
        )


class CreateCheckpoint(Body):
    """A checkpoint that is to be made; of the newest version unless one is named."""

    name: str
    version: int | None = None


class RenameCheckpoint(Body):
    name: str


class RevertWrites(Body):
    """Whose writes are to be taken out: of an actor, of a run, or of an actor in a run."""

    actor_id: str | None = None
    run_id: str | None = None
    #: Only those from this time on.
    since: datetime | None = None
    #: The version that the caller looks at; with it a block that has moved on is 409.
    base_version: int | None = None
    #: Leave what others have changed since; without it such places are 409.
    keep_clashes: bool = False

    def writes(self) -> Writes:
        """Which writes these are."""
        return Writes(actor_id=self.actor_id, run_id=self.run_id, since=self.since)


class RevertResponse(Wire):
    """The block after it, and what happened. `kept`: places left as others made them."""

    block: VersionedBlock
    reverted_versions: list[int]
    kept: list[dict[str, Any]]

    @classmethod
    def of(cls, block: Block, reversal: Reversal) -> RevertResponse:
        """What was done to a row."""
        return cls(
            block=VersionedBlock.at(block),
            reverted_versions=list(reversal.versions),
            kept=[hunk_data(clash) for clash in reversal.kept],
        )


class PutBack(Body):
    """A restore, undo or redo."""

    #: The version that the caller looks at; with it a block that has moved on is 409.
    base_version: int | None = None
