"""Blocks as a list shows them: who holds each, who wrote it last, how large it is, and where it matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, Count, F, IntegerField, Min, QuerySet, Value, When
from django.db.models.functions import Greatest, Length, Lower, StrIndex, Substr

from letta_ade.accounts.auth import Caller
from letta_ade.core.pagination import PageRequest, paginate
from memory.models import Block, BlockVersion
from memory.texts import searchable

#: What a row needs of the value: one line of a wide screen.
_EXCERPT_CHARACTERS = 240
_BEFORE_A_MATCH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """A block without its value, which may be long."""

    block: Block
    #: Characters of the value.
    size: int
    #: The beginning of the value, or the part around what was looked for, on one line.
    excerpt: str
    holder_count: int
    #: One of the agents that hold it; None without any.
    holder_name: str | None
    #: The newest version; None when somebody took it from the history.
    written: BlockVersion | None


def page_of_rows(
    *, caller: Caller, blocks: QuerySet[Block], page: PageRequest, text: str = ""
) -> list[BlockRow]:
    """A page of the blocks as rows, in four queries. Raises NotFound for an unknown cursor."""
    caller.check("read")
    among = Block.objects.filter(workspace_id=caller.workspace_id)
    return _rows(paginate(blocks.defer("value", "metadata"), page, among=among), searchable(text))


def count_up_to_page(blocks: QuerySet[Block], rows: Sequence[BlockRow], page: PageRequest) -> int:
    """How many blocks there are. The first page, when it is not full, has them all: a search then reads the values once."""
    if page.after is None and page.before is None and len(rows) < page.limit:
        return len(rows)
    return blocks.order_by().count()


def _rows(blocks: Sequence[Block], text: str) -> list[BlockRow]:
    ids = [block.id for block in blocks]
    shown = {id_: (size, excerpt) for id_, size, excerpt in _values(ids, text)}
    held = {
        id_: (count, name)
        for id_, count, name in Block.objects.filter(id__in=ids)
        .order_by()
        .values_list("id")
        .annotate(Count("agent_links"), Min("agent_links__agent__name"))
    }
    newest = BlockVersion.objects.filter(block_id__in=ids, number=F("block__version"))
    written = {version.block_id: version for version in newest.defer("value", "description", "line_changes")}
    return [
        BlockRow(
            block=block,
            size=shown[block.id][0],
            excerpt=" ".join(shown[block.id][1].split()),
            holder_count=held[block.id][0],
            holder_name=held[block.id][1],
            written=written.get(block.id),
        )
        for block in blocks
        if block.id in shown and block.id in held  # else deleted meanwhile
    ]


def _values(ids: Sequence[str], text: str) -> list[tuple[str, int, str]]:
    """Of each block the length of its value and a part of it."""
    blocks = Block.objects.filter(id__in=ids).order_by()
    start = Value(1, output_field=IntegerField())
    if text:
        found = StrIndex(Lower("value"), Lower(Value(text)))
        start = Case(When(at__gt=0, then=Greatest(F("at") - _BEFORE_A_MATCH, Value(1))), default=start)  # type: ignore[assignment]  # both are whole numbers
        blocks = blocks.annotate(at=found)
    blocks = blocks.annotate(size=Length("value"), excerpt=Substr("value", start, _EXCERPT_CHARACTERS))
    return list(blocks.values_list("id", "size", "excerpt"))
