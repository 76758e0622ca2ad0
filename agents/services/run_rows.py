"""The rows of a run and of its lease as SQL statements: every turn writes them, and the ORM would take longer to say it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone
from psycopg.types.json import Jsonb

from agents.models import Conversation, Run, RunLease
from agents.runtime.ports import RunEnd
from letta_ade.core.errors import NotFound
from letta_ade.core.rows import Insert

_RUN = Insert(Run)
_LEASE = Insert(RunLease)
_TAKE_LEASE = f"{_LEASE.head}{_LEASE.marks} ON CONFLICT (conversation_id) DO NOTHING RETURNING 1"
_INSERT_RUN = f"WITH run AS ({_RUN.head}{_RUN.marks}), lease AS ({_TAKE_LEASE}) SELECT count(*) FROM lease"  # noqa: S608 - all of it is ours

#: Whether a lease is still the one that was taken; of the table agents_runlease.
HELD = """
conversation_id = %(conversation_id)s AND run_id = %(run_id)s AND owner = %(owner)s AND epoch = %(epoch)s
"""
_LOCK_LEASE = f"SELECT 1 FROM agents_runlease WHERE {HELD} FOR UPDATE"  # noqa: S608 - all of it is ours

_LOCK_CONVERSATION = """
SELECT compiled_hash, compiled_at, compiled_versions, pinned_versions, last_message_at, deleted_at
FROM agents_conversation WHERE id = %s FOR NO KEY UPDATE
"""

_RENEW = """
UPDATE agents_runlease SET expires_at = %s WHERE owner = %s AND run_id = ANY(%s) RETURNING run_id, is_stop_requested
"""

# A run may have been worked on by several processes, so its times are reckoned from what is stored and not from what one of them
# has measured: from the request to its end, and to the first word of the first step that said one. Their clocks may differ.
_END = """
run AS (
  UPDATE agents_run SET
    status = %(status)s, stop_reason = %(stop_reason)s, completed_at = %(now)s, updated_at = %(now)s, request = NULL,
    metadata = metadata || %(error)s,
    total_duration_ns = GREATEST(0, (EXTRACT(EPOCH FROM %(now)s::timestamptz - created_at) * 1000000000)::bigint),
    ttft_ns = (
      SELECT GREATEST(0, llm_request_start_ns + ttft_ns - (EXTRACT(EPOCH FROM agents_run.created_at) * 1000000000)::bigint)
      FROM agents_step AS step
      WHERE step.run_id = agents_run.id AND step.ttft_ns IS NOT NULL AND step.llm_request_start_ns IS NOT NULL
      ORDER BY step.number LIMIT 1
    ),
    total_tokens = (SELECT COALESCE(sum(step.total_tokens), 0) FROM agents_step AS step WHERE step.run_id = agents_run.id)
  WHERE {which} RETURNING agent_id, conversation_id, total_duration_ns
), conversation AS (
  UPDATE agents_conversation SET last_run_completion = %(now)s WHERE id IN (SELECT conversation_id FROM run)
)
UPDATE agents_agent AS agent SET
  last_stop_reason = %(stop_reason)s, last_run_completion = %(now)s,
  last_run_duration_ms = LEAST(run.total_duration_ns / 1000000, 2147483647)
FROM run WHERE agent.id = run.agent_id
"""
_END_RUN = (
    f"WITH lease AS (DELETE FROM agents_runlease WHERE {HELD} RETURNING run_id), "  # noqa: S608 - all of it is ours
    + _END.format(which="id IN (SELECT run_id FROM lease)")
)
_END_FROM_OUTSIDE = "WITH " + _END.format(which="id = %(run_id)s AND status IN ('created', 'running')")


def insert_run(run: Run, lease: RunLease) -> bool:
    """Insert the run, and the lease if the conversation is free; whether it was. In a transaction that a no rolls back."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_RUN, [*_RUN.values([run]), *_LEASE.values([lease])])
        return bool(cursor.fetchone()[0])


def insert_lease(lease: RunLease) -> bool:
    """Insert the lease if the conversation is free; whether it was."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_LEASE, _LEASE.values([lease]))
        return cursor.fetchone() is not None


def lock_conversation(conversation: Conversation) -> None:
    """Lock the conversation until the transaction ends, and read again what the run before this one may have changed.

    Raises NotFound when it has been deleted since it was read.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_CONVERSATION, [conversation.pk])
        compiled_hash, compiled_at, compiled, pinned, last_message_at, deleted_at = cursor.fetchone()
    if deleted_at is not None:
        raise NotFound(f"The conversation {conversation.pk!r} has just been deleted.")
    conversation.compiled_hash, conversation.compiled_at = compiled_hash, compiled_at
    conversation.compiled_versions, conversation.pinned_versions = json.loads(compiled), json.loads(pinned)
    conversation.last_message_at = last_message_at


def lock_lease(lease: RunLease) -> bool:
    """Lock the lease until the transaction ends; False when it is somebody else's by now."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_LEASE, held_values(lease))
        return cursor.fetchone() is not None


def renew_leases(owner: str, run_ids: Sequence[str], expires_at: datetime) -> dict[str, bool]:
    """Move the end of these leases; those that are still the owner's, and whether their run is to stop."""
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, [expires_at, owner, list(run_ids)])
        return dict(cursor.fetchall())


def end_run_row(lease: RunLease, end: RunEnd) -> bool:
    """End the run and give its lease back; False, and nothing is changed, when the lease is somebody else's by now.

    After its last step was written: the run's times come from its steps.
    """
    with connection.cursor() as cursor:
        cursor.execute(_END_RUN, {**held_values(lease), **_end_values(end)})
        return bool(cursor.rowcount)


def end_run_from_outside(run_id: str, end: RunEnd) -> bool:
    """End a run that no process works on; False when it has ended. Its lease is the caller's business."""
    with connection.cursor() as cursor:
        cursor.execute(_END_FROM_OUTSIDE, {"run_id": run_id, **_end_values(end)})
        return bool(cursor.rowcount)


def _end_values(end: RunEnd) -> dict[str, Any]:
    return {
        "status": end.status,
        "stop_reason": end.stop_reason,
        "error": Jsonb({"error": end.error} if end.error is not None else {}),
        "now": timezone.now(),
    }


def held_values(lease: RunLease) -> dict[str, Any]:
    """The parameters of `HELD`."""
    return {
        "conversation_id": lease.conversation_id,
        "run_id": lease.run_id,
        "owner": lease.owner,
        "epoch": lease.epoch,
    }
