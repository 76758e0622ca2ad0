"""What a tool may know about the call that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from letta_ade.accounts.auth import Caller
from memory.models import Archive, Block
from memory.services.block_writes import Origin
from memory.services.blocks import BlockEdit
from memory.services.proposals import Cause
from tools.custom import CallScope, CustomTool
from tools.models.tool import DEFAULT_RETURN_CHAR_LIMIT


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
    #: Blocks of the agent: label -> block id. The run's own: tools that add, remove or rename a block keep it true.
    block_ids: dict[str, str] = field(default_factory=dict)
    #: Versions of blocks as the prompt shows them: block id -> number.
    seen_versions: Mapping[str, int] = field(default_factory=dict)
    #: Those of them that the conversation keeps although the block goes on: block id -> number.
    pinned_versions: Mapping[str, int] = field(default_factory=dict)
    #: Archives of the agent in order of attachment; an insert goes to the first.
    archive_ids: tuple[str, ...] = ()
    #: Handle for the archive that a first insert makes.
    embedding: str | None = None
    #: IANA name; times that a model reads and writes are in it.
    timezone: str = "UTC"
    #: The tool row's; a longer return is cut.
    return_char_limit: int = DEFAULT_RETURN_CHAR_LIMIT
    #: The agent's first archive, made and attached when there is none. Called in `run` only.
    ensure_archive: Callable[[], Archive]
    #: Attach a block that a tool has made. None: this agent gets no new blocks from its tools.
    attach_block: Callable[[Block], None] | None = None
    #: Detach the block of this id. None: this agent's tools take no block away.
    detach_block: Callable[[str], None] | None = None
    #: Texts of the messages with which the run began, in order.
    input_texts: tuple[str, ...] = ()
    #: What led to the call, for an edit that waits for approval.
    find_cause: Callable[[], Cause] = Cause
    #: What the run remembers of how it came about (`Run.metadata`).
    run_metadata: Mapping[str, Any] = field(default_factory=dict)
    #: The tool itself, where a user wrote it.
    custom: CustomTool | None = None
    #: What a call of it gets of its agent; synchronous, called before it.
    call_scope: Callable[[CustomTool], CallScope] = lambda tool: CallScope()
    #: What the call did to blocks. `run` adds to it, the runtime tells of it.
    changes: list[BlockEdit] = field(default_factory=list)

    @property
    def origin(self) -> Origin:
        """What a block version remembers of this call."""
        return Origin(
            # Empty when a person runs the tool without a run.
            run_id=self.run_id or None,
            step_id=self.step_id or None,
            message_id=self.message_id or None,
            tool_call_id=self.tool_call_id or None,
            tool_name=self.tool_name,
        )
