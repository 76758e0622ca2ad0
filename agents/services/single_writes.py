"""Writes of a run that are stored once, also when the connection is lost while they are committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from django.db import transaction

from agents.models import Message, Step
from agents.runtime.ports import AnswersEnd, StepEnd, StoredStep
from agents.services import run_rows
from agents.services.leases import LeaseLost

if TYPE_CHECKING:
    from agents.services.journal import OpenRun

W = TypeVar("W", StepEnd, AnswersEnd)
Write: TypeAlias = "Callable[[OpenRun, W], StoredStep]"

#: What a write moves on in its OpenRun.
_MOVED = (
    "answers",
    "archive_ids",
    "block_ids",
    "has_stored_inputs",
    "last_message_at",
    "next_position",
    "prepared",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A write that may be stored although its transaction failed: the connection was lost before the commit was confirmed."""

    what: StepEnd | AnswersEnd
    stored: StoredStep
    #: How the write left the OpenRun.
    marks: Mapping[str, Any]


class StoredBefore(Exception):
    """The step was stored by an earlier write, which was given up because nobody could say so."""


def write_once(opened: OpenRun, write: Write[W], what: W) -> StoredStep:
    """Write in one transaction, under the lease; `opened` stays as it was when that fails.

    Called again after a failure, it writes nothing if the earlier try was stored after all. Raises LeaseLost, and StoredBefore when
    that earlier try was another write of the same step.
    """
    before = _marks(opened)
    try:
        with transaction.atomic():
            # First, because it waits for a lost transaction that still ends.
            is_held = run_rows.lock_lease(opened.lease)
            if (doubt := opened.doubt) is not None and _is_stored(what):
                if doubt.what is not what:
                    raise StoredBefore()
                _put_back(opened, doubt.marks)
                return doubt.stored
            if not is_held:
                raise LeaseLost()
            stored = write(opened, what)
            opened.doubt = Doubt(what=what, stored=stored, marks=_marks(opened))
    except Exception:
        _put_back(opened, before)
        raise
    opened.doubt = None
    return stored


def _is_stored(what: StepEnd | AnswersEnd) -> bool:
    if isinstance(what, StepEnd):
        return Step.objects.filter(id=what.step_id).exclude(status="pending").exists()
    return Message.objects.filter(step_id=what.step_id, role="tool").exists()


def _marks(opened: OpenRun) -> dict[str, Any]:
    return {name: copy(getattr(opened, name)) for name in _MOVED}


def _put_back(opened: OpenRun, marks: Mapping[str, Any]) -> None:
    for name, value in marks.items():
        setattr(opened, name, copy(value))
