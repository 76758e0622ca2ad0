"""What an agent knows, as the right pane shows it: its blocks, its archival memory. Its context window: `context_view`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from django.db.models import F, Q

from agents.models import Agent, Conversation, Run
from agents.services.agent_types import as_caller
from agents.services.agents import count_agents_of_blocks
from agents.services.system_message import blocks_in
from memory.models import Block, BlockVersion
from memory.policies import Policy
from memory.services.block_policies import policy_of
from memory.services.proposals import waiting_ids

#: Lines of a value that a card shows, and those around a change.
_FIRST_LINES = 6
_LINES_AROUND = 2
#: Comparing more pairs of lines would hold up the page.
_MOST_PAIRS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine:
    """A line of a card; a `gap` stands for lines that are not shown, `gone` for lines that were removed."""

    kind: Literal["line", "gap", "gone"] = "line"
    number: int = 0
    text: str = ""
    change: Literal["", "add", "mod"] = ""
    is_fresh: bool = False
    #: How many lines a gap or a removal stands for, and where a gap is.
    count: int = 0
    place: Literal["above", "between", "below"] = "between"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCard:
    block: Block
    #: Agents that hold it, this one included.
    holder_count: int
    #: Who wrote the newest version, and with what.
    author: BlockVersion | None
    lines: tuple[BlockLine, ...]
    #: Changed since the newest run began.
    is_changed: bool
    #: Shows every line.
    is_whole: bool = False
    #: The version in the system message of the open conversation, and the one that it keeps; None where there is none.
    compiled: int | None = None
    pinned: int | None = None
    #: What becomes of the agent's own edits.
    policy: Policy = "free"
    #: Proposals that wait for approval.
    waiting_ids: tuple[str, ...] = ()

    @property
    def behind(self) -> int:
        """How many versions came since the one that the conversation shows."""
        return self.block.version - self.compiled if self.compiled is not None else 0

    @property
    def author_kind(self) -> str:
        kinds = {"agent": "agent", "api_key": "key"}
        return kinds.get(self.author.actor_kind if self.author else "", "person")


def load_cards(
    agent: Agent,
    conversation: Conversation,
    *,
    fresh_after: dict[str, int] | None = None,
    only: Iterable[str] | None = None,
    is_whole: bool = False,
) -> list[BlockCard]:
    """The cards of the blocks, as the conversation has them.

    Args:
        conversation: what its newest run changed stays marked.
        fresh_after: by block, the version that was last shown; later lines flash.
        only: ids of the blocks that are wanted.
    """
    wanted = None if only is None else set(only)
    blocks = [each for each in blocks_in(agent, conversation) if wanted is None or each.id in wanted]
    ids = [block.id for block in blocks]
    newest = BlockVersion.objects.filter(block_id__in=ids, number=F("block__version"))
    authors = {version.block_id: version for version in newest}
    bases = _turn_bases(ids, newest_run_id(conversation))
    numbers = fresh_after or {}
    shown = {
        each.id: numbers[each.id] for each in blocks if numbers.get(each.id, each.version) < each.version
    }
    old = _values({(block_id, number) for mapping in (bases, shown) for block_id, number in mapping.items()})
    holders = count_agents_of_blocks(ids)
    waiting, caller = waiting_ids(ids), as_caller(agent)
    return [
        BlockCard(
            block=block,
            holder_count=holders.get(block.id, 0),
            author=authors.get(block.id),
            lines=card_lines(
                block.value,
                turn_base=old.get((block.id, bases.get(block.id, -1))),
                shown=old.get((block.id, shown.get(block.id, -1))),
                is_whole=is_whole,
            ),
            is_changed=block.id in bases or block.id in shown,
            is_whole=is_whole,
            compiled=conversation.compiled_versions.get(block.id),
            pinned=conversation.pinned_versions.get(block.id),
            policy=policy_of(block, caller),
            waiting_ids=tuple(waiting.get(block.id, ())),
        )
        for block in blocks
    ]


def newest_run_id(conversation: Conversation) -> str | None:
    """The run whose changes are marked: the one that goes on, or the last."""
    runs = Run.objects.filter(conversation=conversation).order_by("-created_at", "-id")
    return runs.values_list("id", flat=True).first()


def _turn_bases(block_ids: Sequence[str], run_id: str | None) -> dict[str, int]:
    """By block that the run wrote, the version before its first write."""
    if run_id is None:
        return {}
    versions = BlockVersion.objects.filter(block_id__in=block_ids, run_id=run_id).order_by("-number")
    return {version.block_id: version.number - 1 for version in versions.only("block_id", "number")}


def _values(wanted: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    if not wanted:
        return {}
    where = Q()
    for block_id, number in wanted:
        where |= Q(block_id=block_id, number=number)
    rows = BlockVersion.objects.filter(where).values_list("block_id", "number", "value")
    found = {(block_id, number): value for block_id, number, value in rows}
    # Before its first version a block was empty.
    return {pair: "" for pair in wanted if pair[1] == 0} | found


def card_lines(
    value: str, *, turn_base: str | None, shown: str | None, is_whole: bool = False
) -> tuple[BlockLine, ...]:
    """The lines of a card: those around what changed, or the first ones."""
    texts = value.split("\n") if value else []
    marks: dict[int, Literal["add", "mod"]] = {}
    gone: dict[int, int] = {}
    for base in (turn_base, shown):
        if base is not None:
            changed, removed = _changed_lines(base, texts)
            marks = changed | marks
            gone = removed | gone
    fresh = set(_changed_lines(shown, texts)[0]) if shown is not None else set()
    lines = [
        BlockLine(number=place + 1, text=text, change=marks.get(place, ""), is_fresh=place in fresh)
        for place, text in enumerate(texts)
    ]
    if is_whole:
        kept = set(range(len(lines)))
    elif marks or gone:
        kept = {
            near
            for place in (*marks, *gone)
            for near in range(place - _LINES_AROUND, place + _LINES_AROUND + 1)
        }
    else:
        kept = set(range(_FIRST_LINES if len(lines) > _FIRST_LINES + 1 else len(lines)))
    return tuple(_with_gaps(lines, kept, gone))


def _with_gaps(lines: Sequence[BlockLine], kept: set[int], gone: dict[int, int]) -> Iterable[BlockLine]:
    hidden = 0
    has_shown = False
    for place, line in enumerate(lines):
        if place in gone:
            if hidden:
                yield BlockLine(kind="gap", count=hidden, place="between" if has_shown else "above")
                hidden = 0
            yield BlockLine(kind="gone", count=gone[place])
            has_shown = True
        if place not in kept:
            hidden += 1
            continue
        if hidden:
            yield BlockLine(kind="gap", count=hidden, place="between" if has_shown else "above")
            hidden = 0
        has_shown = True
        yield line
    if hidden:
        yield BlockLine(kind="gap", count=hidden, place="below")
    if len(lines) in gone:
        yield BlockLine(kind="gone", count=gone[len(lines)])


def _changed_lines(
    base: str, texts: Sequence[str]
) -> tuple[dict[int, Literal["add", "mod"]], dict[int, int]]:
    """Places of lines that are new or other than in `base`, and how many lines are gone before a place."""
    before = base.split("\n") if base else []
    if len(before) * len(texts) > _MOST_PAIRS:
        return {}, {}
    changed: dict[int, Literal["add", "mod"]] = {}
    gone: dict[int, int] = {}
    for tag, old_start, old_end, start, end in SequenceMatcher(None, before, texts, False).get_opcodes():
        if tag == "insert":
            changed |= dict.fromkeys(range(start, end), "add")
        elif tag == "replace":
            both = min(old_end - old_start, end - start)
            changed |= dict.fromkeys(range(start, start + both), "mod")
            changed |= dict.fromkeys(range(start + both, end), "add")
        elif tag == "delete":
            gone[start] = old_end - old_start
    return changed, gone
