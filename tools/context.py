"""What a tool may know about the call that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from letta_ade.accounts.auth import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Made by the runtime for each call; a tool reaches only what stands here."""

    #: The agent as a caller: kind "agent", id agent-….
    caller: Caller
    agent_id: str
    agent_name: str
    conversation_id: str
    run_id: str
    step_id: str
    #: The assistant message that holds the call.
    message_id: str
    tool_call_id: str
    tool_name: str
    #: Blocks of the agent: label -> block id.
    block_ids: Mapping[str, str] = field(default_factory=dict)
    #: Archives of the agent in order of attachment; an insert goes to the first.
    archive_ids: tuple[str, ...] = ()
    #: Handle for the archive that a first insert makes.
    embedding: str | None = None
    #: IANA name; times that a model reads and writes are in it.
    timezone: str = "UTC"
