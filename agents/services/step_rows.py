"""The rows of a step as SQL statements.

This is the busiest writing of the server. Through the ORM a turn's writes take 14 ms, most of it spent on building statements that
are always the same; as prepared text, with several tables in one round trip, they take 5 ms (tests/bench/server.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.utils import timezone
from psycopg.types.json import Jsonb

from agents.models import Message, RunLease, Step
from agents.models.step import StepStatus
from agents.runtime.ports import StepEnd, StepStart
from agents.services.request_segments import measure_request
from agents.services.run_rows import HELD, held_values
from letta_ade.core.ids import new_id
from letta_ade.core.rows import Insert
from letta_ade.llm.messages import Usage

_MESSAGE = Insert(Message)

# Only under the lease, which whoever takes it away must wait for: a step that came after that would stay pending for ever.
_INSERT_STEP = f"""
WITH held AS (
  SELECT 1 FROM agents_runlease WHERE {HELD} FOR KEY SHARE
), step AS (
  INSERT INTO agents_step (
    id, created_at, updated_at, started_at, workspace_id, created_by_id, run_id, agent_id, conversation_id, number, place, status,
    model_handle, provider_name, model_endpoint, context_window_limit, prompt_tokens, completion_tokens, total_tokens, tags, segments
  )
  SELECT
    %(id)s, %(started_at)s, %(started_at)s, %(started_at)s, %(workspace_id)s, %(caller_id)s, %(run_id)s, %(agent_id)s,
    %(conversation_id)s, %(number)s,
    (SELECT COALESCE(MAX(place), 0) + 1 FROM agents_step WHERE conversation_id = %(conversation_id)s), 'pending',
    %(model)s, %(provider)s, %(endpoint)s, %(window)s, 0, 0, 0, '{{}}', %(segments)s
  FROM held
  ON CONFLICT (id) DO NOTHING
  RETURNING id
)
INSERT INTO agents_providertrace (
  id, created_at, updated_at, workspace_id, created_by_id, step_id, run_id, call_type, request_text, request_hash, response_text
)
SELECT
  %(trace_id)s, %(started_at)s, %(started_at)s, %(workspace_id)s, %(caller_id)s, %(id)s, %(run_id)s, 'agent_step', %(request)s, %(hash)s, ''
FROM step
"""  # noqa: S608 - all of it is ours

_FINISH_STEP = """
WITH step AS (
  UPDATE agents_step SET
    updated_at = %(now)s, status = %(status)s, stop_reason = %(stop_reason)s, error_type = %(error_type)s, error_data = %(error)s,
    llm_request_start_ns = %(llm_start_ns)s, llm_request_ns = %(llm_ns)s, ttft_ns = %(ttft_ns)s,
    tool_execution_ns = %(tool_ns)s, step_ns = %(step_ns)s,
    prompt_tokens = %(prompt)s, completion_tokens = %(completion)s, total_tokens = %(total)s,
    cached_input_tokens = %(cached)s, cache_write_tokens = %(written)s, reasoning_tokens = %(reasoning)s
  WHERE id = %(id)s
)
UPDATE agents_providertrace SET
  updated_at = %(now)s, response_text = %(response)s, provider_request_id = %(request_id)s, error = %(error)s,
  latency_ms = %(latency_ms)s
WHERE step_id = %(id)s
"""

_ADD_TOOL_TIME = """
UPDATE agents_step SET
  updated_at = %(now)s, tool_execution_ns = COALESCE(tool_execution_ns, 0) + %(tool_ns)s,
  step_ns = COALESCE(step_ns, 0) + %(tool_ns)s
WHERE id = %(id)s
"""


def insert_step(
    step: StepStart,
    *,
    lease: RunLease,
    workspace_id: str,
    agent_id: str,
    caller_id: str,
    model: str,
    endpoint: str | None,
) -> None:
    """The pending step and its trace with the exact request; nothing when the lease is somebody else's by now.

    What is there already stays, so this can be repeated.
    """
    values: dict[str, Any] = {
        **held_values(lease),
        "id": step.step_id,
        "trace_id": new_id("provider_trace"),
        "started_at": step.started_at,
        "workspace_id": workspace_id,
        "caller_id": caller_id,
        "agent_id": agent_id,
        "number": step.number,
        "model": model,
        "provider": model.split("/", 1)[0],
        "endpoint": endpoint,
        "window": step.context_window,
        "request": step.request_text.replace("\0", ""),
        "segments": Jsonb(measure_request(step.request_text)),
        "hash": hashlib.sha256(step.request_text.encode()).hexdigest(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_STEP, values)


def finish_step(step: StepEnd, *, response_text: str) -> None:
    """How the step ended, in its row and in its trace."""
    usage = step.reply.usage if step.reply is not None else Usage()
    error = step.error or {}
    values: dict[str, Any] = {
        "id": step.step_id,
        "now": timezone.now(),
        "status": step.status,
        "stop_reason": step.stop_reason,
        "error_type": error.get("error_type"),
        "error": Jsonb(step.error) if step.error else None,
        "llm_start_ns": step.llm_request_start_ns,
        "llm_ns": None if step.llm_request_start_ns is None else step.llm_request_ns,
        "ttft_ns": step.ttft_ns,
        "tool_ns": step.tool_ns,
        "step_ns": step.step_ns,
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "total": usage.total_tokens,
        "cached": usage.cached_input_tokens,
        "written": usage.cache_write_tokens,
        "reasoning": usage.reasoning_tokens,
        "response": response_text,
        "request_id": step.reply.request_id if step.reply is not None else error.get("request_id"),
        "latency_ms": None if step.llm_request_start_ns is None else step.llm_request_ns // 1_000_000,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FINISH_STEP, values)


def add_tool_time(step_id: str, tool_ns: int) -> None:
    """Count the calls of a step that were run after it: they had waited for somebody outside."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD_TOOL_TIME, {"id": step_id, "now": timezone.now(), "tool_ns": tool_ns})


def close_pending_steps(
    run_id: str, *, status: StepStatus, stop_reason: str, error: dict[str, Any] | None = None
) -> None:
    """End the step of the run that nobody will finish any more. How long it took is not known."""
    Step.objects.filter(run_id=run_id, status=StepStatus.PENDING).update(
        updated_at=timezone.now(),
        status=status,
        stop_reason=stop_reason,
        error_type=(error or {}).get("error_type"),
        error_data=error,
    )


def insert_messages(rows: Sequence[Message], *, first_position: int | None) -> None:
    """Store messages; with a position they are put into the context of their conversation, and its time moves on."""
    if not rows:
        return
    insert = _MESSAGE.head + ", ".join([_MESSAGE.marks] * len(rows))
    values = _MESSAGE.values(rows)
    if first_position is not None:
        entries = ", ".join(["(%s, %s, %s)"] * len(rows))
        insert = (
            f"WITH message AS ({insert}), "  # noqa: S608
            "conversation AS (UPDATE agents_conversation SET last_message_at = %s WHERE id = %s) "
            f"INSERT INTO agents_contextentry (conversation_id, message_id, position) VALUES {entries}"
        )
        values += [rows[-1].created_at, rows[-1].conversation_id]
        for offset, row in enumerate(rows):
            values += [row.conversation_id, row.id, first_position + offset]
    with connection.cursor() as cursor:
        cursor.execute(insert, values)
