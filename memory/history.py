"""The chain of a block's versions: each hash covers the version and the hash before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from memory.lines import changed_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """What a version's hash covers: what was written, by whom, when and from where."""

    block_id: str
    number: int
    label: str
    value: str
    description: str | None
    limit: int
    read_only: bool
    actor_kind: str
    actor_id: str
    actor_name: str
    run_id: str | None
    step_id: str | None
    message_id: str | None
    tool_call_id: str | None
    tool_name: str | None
    base_version: int | None
    created_at: datetime
    # These came later: they count only where they say something, so that older hashes still hold.
    act: str = "write"
    restored_from: int | None = None
    unseen_dropped: int = 0
    line_changes: list[list[int]] | None = None
    proposal_id: str | None = None
    approved_by_id: str | None = None
    approved_by_name: str | None = None


_LATER_FACTS = (
    "act",
    "restored_from",
    "unseen_dropped",
    "line_changes",
    "proposal_id",
    "approved_by_id",
    "approved_by_name",
)


def chain_hash(prev_hash: str, facts: VersionFacts) -> str:
    """SHA-256 (hex) of a version that follows the one with `prev_hash` (empty for the first)."""
    values = [
        getattr(facts, each.name) for each in fields(facts) if each.name not in ("created_at", *_LATER_FACTS)
    ]
    moment = facts.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    later = {
        each.name: value
        for each in fields(facts)
        if each.name in _LATER_FACTS and (value := getattr(facts, each.name)) != each.default
    }
    said = [prev_hash, *values, moment, *([later] if later else [])]
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCount:
    """Lines that an edit added and removed; a changed line counts in both."""

    added: int
    removed: int


def count_changed_lines(old: str, new: str) -> LineCount:
    """How many lines differ (see `changed_lines`)."""
    changes = changed_lines(old, new)
    return LineCount(
        added=sum(each.new_to - each.new_from for each in changes),
        removed=sum(each.old_to - each.old_from for each in changes),
    )
