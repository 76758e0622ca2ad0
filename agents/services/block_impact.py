"""What saving a block would do: who reads it, what it costs each of them, whose window it would pass, which runs go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.models import AgentBlock
from agents.services.block_readers import BlockReader, list_readers
from letta_ade.accounts.auth import Caller
from letta_ade.llm.tokens import estimate_text
from memory.models import Block, BlockVersion
from memory.services.blocks import get_block_for


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderImpact:
    """A conversation after its next turn, were the value saved."""

    reader: BlockReader
    #: Tokens of its context then, about.
    after: int

    @property
    def window(self) -> int:
        return self.reader.window

    @property
    def passes(self) -> bool:
        """Its context would not fit its window any more."""
        return self.after > self.window

    @property
    def fullness(self) -> float:
        return self.after / self.window if self.window else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockImpact:
    """Token counts are estimates, but for what a conversation takes now, which its provider counted."""

    block: Block
    tokens_before: int
    tokens_after: int
    #: Names of the agents that hold the block, by their ids, whether they have a conversation that shows it or not.
    holders: Mapping[str, str]
    readers: tuple[ReaderImpact, ...]

    @property
    def tokens_each(self) -> int:
        """What the value adds to each conversation that shows the newest version."""
        return self.tokens_after - self.tokens_before

    @property
    def unread(self) -> dict[str, str]:
        """The holders without a conversation that shows the block."""
        reading = {each.reader.agent_id for each in self.readers}
        return {key: name for key, name in self.holders.items() if key not in reading}

    @property
    def fullest(self) -> list[ReaderImpact]:
        """Of each agent the conversation that would be fullest; the fullest agent first."""
        by_agent: dict[str, ReaderImpact] = {}
        for each in self.readers:
            known = by_agent.get(each.reader.agent_id)
            if known is None or each.fullness > known.fullness:
                by_agent[each.reader.agent_id] = each
        return sorted(by_agent.values(), key=lambda each: -each.fullness)

    @property
    def passing(self) -> list[ReaderImpact]:
        """Those that would pass their window, the fullest first."""
        return sorted((each for each in self.readers if each.passes), key=lambda each: -each.fullness)

    @property
    def in_flight(self) -> list[BlockReader]:
        """Those in which a run goes on: it reads the version that was compiled when it began, until it ends."""
        return [each.reader for each in self.readers if each.reader.run_id is not None]


def get_impact(*, caller: Caller, block_id: str, value: str | None = None) -> BlockImpact:
    """What it would do to save this value; None is the one that the block has. Four queries, however many conversations there are.

    The value is only counted: whether it may be saved is said when it is. Raises NotFound.
    """
    block = get_block_for(caller=caller, block_id=block_id)
    readers = list_readers(caller=caller, block=block)
    before = estimate_text(block.value)
    after = before if value is None else estimate_text(value)
    holders = AgentBlock.objects.filter(block=block)
    compiled = _tokens_of_versions(block, {each.compiled for each in readers if each.compiled is not None})
    return BlockImpact(
        block=block,
        tokens_before=before,
        tokens_after=after,
        holders=dict(holders.order_by("agent__name", "agent_id").values_list("agent_id", "agent__name")),
        readers=tuple(
            ReaderImpact(reader=each, after=each.used + _added(each, compiled, after)) for each in readers
        ),
    )


def _added(reader: BlockReader, compiled: Mapping[int, int], after: int) -> int:
    """What its next turn adds: the value in place of the version that it shows; a pinned version stays."""
    if reader.pinned is not None:
        return 0
    return after - compiled.get(reader.compiled or 0, 0)


def _tokens_of_versions(block: Block, numbers: set[int]) -> dict[int, int]:
    tokens = {block.version: estimate_text(block.value)}
    if older := numbers - {block.version}:
        versions = BlockVersion.objects.filter(block=block, number__in=older)
        tokens |= {number: estimate_text(value) for number, value in versions.values_list("number", "value")}
    return tokens
