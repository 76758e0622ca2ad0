"""The conversations whose system message shows a block: which version of it was compiled in, and how full their windows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from agents.services.agent_types import FACTS
from letta_ade.accounts.auth import Caller
from memory.models import Block

#: One row for each conversation that is neither deleted nor archived and shows the block: because its agent holds it and it has no
#: copy of its own in that place, or because the block is that copy. The size is what the provider counted last or, of a conversation
#: that was compacted since or has not spoken yet, an estimate.
_READERS = """
SELECT conversation.id, conversation.is_default, coalesce(conversation.summary, ''), agent.id, agent.name,
  (conversation.compiled_versions->>%(block)s)::int, (conversation.pinned_versions->>%(block)s)::int,
  coalesce(conversation.context_window_limit, agent.context_window_limit),
  CASE WHEN compaction.tokens_after IS NOT NULL AND (step.tokens IS NULL OR compaction.created_at >= step.started_at)
    THEN compaction.tokens_after
    ELSE coalesce(step.tokens, (
      SELECT coalesce(sum(octet_length(message.content::text)), 0) / 4
      FROM agents_contextentry entry JOIN agents_message message ON message.id = entry.message_id
      WHERE entry.conversation_id = conversation.id))
    END,
  lease.run_id
FROM agents_conversation conversation JOIN agents_agent agent ON agent.id = conversation.agent_id
LEFT JOIN agents_runlease lease ON lease.conversation_id = conversation.id
LEFT JOIN LATERAL (
  SELECT one.prompt_tokens + one.completion_tokens AS tokens, one.started_at
  FROM agents_run run JOIN agents_step one ON one.run_id = run.id
  WHERE run.conversation_id = conversation.id AND one.prompt_tokens > 0
  ORDER BY run.created_at DESC, run.id DESC, one.created_at DESC, one.id DESC LIMIT 1
) step ON true
LEFT JOIN LATERAL (
  SELECT one.tokens_after, one.created_at FROM agents_compaction one
  WHERE one.conversation_id = conversation.id AND one.undone_at IS NULL
  ORDER BY one.created_at DESC, one.id DESC LIMIT 1
) compaction ON true
WHERE conversation.id IN (
    SELECT held.id FROM agents_conversation held JOIN agents_agentblock link ON link.agent_id = held.agent_id
    WHERE link.block_id = %(block)s AND NOT EXISTS (
      SELECT 1 FROM agents_conversationblock own WHERE own.conversation_id = held.id AND own.label = %(label)s)
    UNION SELECT own.conversation_id FROM agents_conversationblock own WHERE own.block_id = %(block)s)
  AND agent.workspace_id = %(workspace)s AND agent.agent_type = ANY(%(types)s)
  AND conversation.deleted_at IS NULL
  AND CASE WHEN %(conversation)s::text IS NULL THEN conversation.archived_at IS NULL ELSE conversation.id = %(conversation)s END
ORDER BY agent.name, agent.id, conversation.is_default DESC, conversation.created_at, conversation.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockReader:
    """A conversation that shows a block."""

    conversation_id: str
    is_default: bool
    #: Empty when the conversation has none.
    summary: str
    agent_id: str
    agent_name: str
    #: The version in its system message; None when the block came to the agent after that was compiled.
    compiled: int | None
    #: The version that it keeps.
    pinned: int | None
    #: Tokens: what the conversation may use, and what its context takes.
    window: int
    used: int
    #: The run that goes on in it.
    run_id: str | None
    #: The block's newest version.
    current: int

    @property
    def behind(self) -> int:
        """How many versions came since the one that it shows."""
        return self.current - (self.compiled or 0)

    @property
    def is_stale(self) -> bool:
        """It shows an older version, or none, and will show the newest at its next turn."""
        return self.pinned is None and self.behind > 0

    @property
    def title(self) -> str:
        """How pages name it beside its agent."""
        return "Default" if self.is_default else self.summary or self.conversation_id


def list_readers(*, caller: Caller, block: Block, conversation_id: str | None = None) -> list[BlockReader]:
    """Those of one block, by the names of their agents; one query.

    With `conversation_id` that one alone, if it shows the block; then it may be archived.
    """
    caller.check("read")
    parameters = {
        "block": block.id,
        "label": block.label,
        "workspace": caller.workspace_id,
        "types": [each.value for each, facts in FACTS.items() if facts.shows_blocks],
        "conversation": conversation_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_READERS, parameters)
        rows: Sequence[tuple[object, ...]] = cursor.fetchall()
    names = (
        "conversation_id",
        "is_default",
        "summary",
        "agent_id",
        "agent_name",
        "compiled",
        "pinned",
        "window",
        "used",
        "run_id",
    )
    return [
        BlockReader(**dict(zip(names, row, strict=True)), current=block.version)  # type: ignore[arg-type]  # the columns' types
        for row in rows
    ]
