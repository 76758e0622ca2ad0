"""What a block's value is to the conversations that show it, on the wire: extensions of ours."""

from __future__ import annotations

from typing import Annotated

from ninja import Schema
from pydantic import Field

from agents.services.block_impact import BlockImpact, ReaderImpact
from agents.services.block_readers import BlockReader
from agents.services.stale_conversations import Recompiled
from letta_ade.core.pagination import MOST_ROWS
from letta_ade.core.schemas import Body, Wire
from memory.api.schemas.block_version import DiffResponse
from memory.services.block_versions import VersionDiff

#: How many of each list.
Most = Annotated[int, Field(ge=0, le=MOST_ROWS, description="How many of each list; the totals count all.")]


class ConversationOfBlock(Wire):
    """A conversation that shows a block."""

    conversation_id: str
    agent_id: str
    agent_name: str
    is_default: bool
    summary: str | None
    #: The version in its system message; null when it was compiled before the block came to the agent.
    compiled_version: int | None
    #: The version that it keeps; null when it follows the block.
    pinned_version: int | None
    current_version: int
    #: Versions since the one that it shows.
    versions_behind: int
    is_stale: bool
    #: The run that goes on in it.
    run_id: str | None

    @classmethod
    def of(cls, reader: BlockReader) -> ConversationOfBlock:
        """The conversation of a reader."""
        return cls(**_reader(reader))


def _reader(reader: BlockReader) -> dict[str, object]:
    return {
        "conversation_id": reader.conversation_id,
        "agent_id": reader.agent_id,
        "agent_name": reader.agent_name,
        "is_default": reader.is_default,
        "summary": reader.summary or None,
        "compiled_version": reader.compiled,
        "pinned_version": reader.pinned,
        "current_version": reader.current,
        "versions_behind": reader.behind,
        "is_stale": reader.is_stale,
        "run_id": reader.run_id,
    }


class ConversationWithDiff(ConversationOfBlock):
    """A conversation that shows a block, and how that differs from the newest version; null when it shows none."""

    diff: DiffResponse | None

    @classmethod
    def with_diff(cls, reader: BlockReader, diff: VersionDiff | None) -> ConversationWithDiff:
        """The conversation of a reader."""
        return cls(**_reader(reader), diff=DiffResponse.of(diff) if diff else None)


class ConversationsQuery(Schema):
    """Which conversations of a block."""

    stale: bool | None = None
    pinned: bool | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class ContextSize(Wire):
    """A conversation and its window, in tokens."""

    conversation_id: str
    agent_id: str
    agent_name: str
    is_default: bool
    summary: str | None
    #: As counted last.
    used: int
    #: At its next turn, with the value in question.
    used_after: int
    window: int

    @classmethod
    def of(cls, impact: ReaderImpact) -> ContextSize:
        """The size of one."""
        reader = impact.reader
        return cls(
            conversation_id=reader.conversation_id,
            agent_id=reader.agent_id,
            agent_name=reader.agent_name,
            is_default=reader.is_default,
            summary=reader.summary or None,
            used=reader.used,
            used_after=impact.after,
            window=impact.window,
        )


class RunInFlight(Wire):
    """A run that reads an older or the present version until it ends."""

    run_id: str
    conversation_id: str
    agent_id: str
    agent_name: str
    version: int | None


class AskImpact(Body):
    """The value that is to be saved; null is the one that the block has."""

    value: str | None = None


class ImpactResponse(Wire):
    """What saving the value would do. Tokens of values are estimates."""

    block_id: str
    version: int
    tokens_before: int
    tokens_after: int
    agents_total: int
    conversations_total: int
    #: Of each agent the conversation that would be fullest; the fullest first.
    agents: list[ContextSize]
    passing_total: int
    #: Conversations that would pass their window.
    passing: list[ContextSize]
    runs_total: int
    runs: list[RunInFlight]

    @classmethod
    def of(cls, impact: BlockImpact, *, most: int) -> ImpactResponse:
        """The impact, with at most so many in each list."""
        passing, runs = impact.passing, impact.in_flight
        return cls(
            block_id=impact.block.id,
            version=impact.block.version,
            tokens_before=impact.tokens_before,
            tokens_after=impact.tokens_after,
            agents_total=len(impact.holders),
            conversations_total=len(impact.readers),
            agents=[ContextSize.of(each) for each in impact.fullest[:most]],
            passing_total=len(passing),
            passing=[ContextSize.of(each) for each in passing[:most]],
            runs_total=len(runs),
            runs=[
                RunInFlight(
                    run_id=each.run_id or "",
                    conversation_id=each.conversation_id,
                    agent_id=each.agent_id,
                    agent_name=each.agent_name,
                    version=each.compiled,
                )
                for each in runs[:most]
            ],
        )


class RecompileResponse(Wire):
    """Ids of conversations."""

    recompiled: list[str]
    #: A run goes on in them.
    busy: list[str]
    #: Not reached: ask again.
    left: list[str]

    @classmethod
    def of(cls, done: Recompiled) -> RecompileResponse:
        """What came of it."""
        return cls(recompiled=list(done.done), busy=list(done.busy), left=list(done.left))
