"""The merge screen: two people changed the same lines of a block, and one of them settles it.

The page holds everything: the version that both began with, what was typed, the version that the other saved, and the choices. So
it survives a reload, works without a script, and a third save in between only leads to the next merge screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid
from memory.history import LineCount, count_changed_lines
from memory.lines import split_lines
from memory.merge import Hunk, compose, find_hunks
from memory.models import Block, BlockVersion
from memory.services.block_merges import BlockConflict
from memory.services.block_versions import get_version_of
from memory.services.block_writes import VERSIONED, lock_block
from memory.services.blocks import BlockChanges, change_block, get_block_for
from memory.web.block_versions import mark_of

#: Unchanged lines around a place.
_CONTEXT = 2
_MOST_TITLE = 200
_FIELD_NAMES = {"label": "Label", "description": "Description", "limit": "Limit", "read_only": "Read-only"}
_OTHERS = tuple(name for name in VERSIONED if name != "value")

Choice = Literal["mine", "theirs", "both", "own", "base", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideLine:
    """A line of one side; `op` as against the base."""

    number: int | None
    op: Literal["same", "add", "del"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place of the merge, as the page shows it."""

    number: int
    hunk: Hunk
    choice: Choice
    #: The text that was written in the place of both.
    own: str
    base: tuple[SideLine, ...]
    mine: tuple[SideLine, ...]
    theirs: tuple[SideLine, ...]

    @property
    def is_clash(self) -> bool:
        return self.hunk.kind == "clash"

    @property
    def where(self) -> str:
        """Line 10, lines 4 to 6, or after line 3, counted in the base."""
        first, last = self.hunk.start + 1, self.hunk.end
        if last < first:
            return f"After line {last}" if last else "At the beginning"
        return f"Line {first}" if first == last else f"Lines {first} to {last}"

    @property
    def mine_text(self) -> str:
        return "\n".join(self.hunk.mine)

    @property
    def theirs_text(self) -> str:
        return "\n".join(self.hunk.theirs)

    @property
    def both_text(self) -> str:
        return "\n".join((*self.hunk.mine, *self.hunk.theirs))

    @property
    def lines(self) -> Sequence[str] | None:
        """What is to stand there; None while nobody has chosen."""
        match self.choice:
            case "mine":
                return self.hunk.mine
            case "theirs":
                return self.hunk.theirs
            case "both":
                return (*self.hunk.mine, *self.hunk.theirs)
            case "own":
                return split_lines(self.own)
            case "base":
                return [line.text for line in self.base if line.op == "del"]
            case _:
                return self.hunk.merged


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldClash:
    """A field that both changed. Values as forms have them."""

    name: str
    title: str
    base: str
    mine: str
    theirs: str
    choice: Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A merge that waits for a person."""

    base: BlockVersion
    theirs: BlockVersion
    mine: str
    places: tuple[Place, ...]
    fields: tuple[FieldClash, ...]
    #: Fields on which nobody disagrees, as they are to be saved.
    agreed: Mapping[str, str]
    #: Why there is something to settle, when it is not a save that came in between.
    title: str = ""

    @property
    def open_count(self) -> int:
        """Places and fields that nobody has chosen."""
        return sum(place.lines is None for place in self.places) + sum(
            not each.choice for each in self.fields
        )

    @property
    def merged_count(self) -> int:
        return sum(not place.is_clash for place in self.places)

    @property
    def clash_count(self) -> int:
        return sum(place.is_clash for place in self.places)

    @property
    def mark(self) -> str:
        return mark_of(self.theirs)

    @property
    def mine_lines(self) -> LineCount:
        return count_changed_lines(self.base.value, self.mine)

    @property
    def theirs_lines(self) -> LineCount:
        return count_changed_lines(self.base.value, self.theirs.value)


def show_clash(
    request: PageRequest, block_id: str, wanted: Mapping[str, str], base_number: int
) -> HttpResponse:
    """The screen for a save that was refused. `wanted`: the fields of `VERSIONED` as the form had them."""
    with transaction.atomic():
        # What somebody wrote behind our back has no version until a writer looks; the screen needs one to be merged with.
        block = lock_block(request.caller, block_id)
    asked = {**wanted, "base": str(base_number), "theirs": str(block.version)}
    return _draw(request, block, read_screen(block, asked), status=409)


@require_POST
def merge_page(request: PageRequest, block_id: str) -> HttpResponse:
    """Save the choices; again the screen while one is missing, or when somebody saved once more."""
    request.caller.check("edit")
    block = get_block_for(caller=request.caller, block_id=block_id)
    screen = read_screen(block, request.POST)
    if screen.open_count:
        return _draw(request, block, screen, status=422, is_asked=True)
    chosen = {each.name: each.mine if each.choice == "mine" else each.theirs for each in screen.fields}
    wanted = {**screen.agreed, **chosen}
    lines = [place.lines if place.lines is not None else () for place in screen.places]
    wanted["value"] = compose(screen.base.value, [place.hunk for place in screen.places], lines)
    try:
        change = change_block(
            caller=request.caller,
            block_id=block_id,
            changes=_changes(wanted, screen.theirs),
            base_version=screen.theirs.number,
        )
    except BlockConflict:
        return show_clash(request, block_id, wanted, screen.theirs.number)
    except AdeError as error:
        return _draw(request, block, screen, status=422, error=error.message)
    if change.proposal is not None:
        messages.success(request, f"Your edit of {change.block.label} waits for approval")
        return redirect("proposals:detail", proposal_id=change.proposal.id)
    messages.success(
        request, f"Saved {change.block.label} v{change.block.version}, merged with v{screen.theirs.number}"
    )
    return after_save(change.block)


def after_save(block: Block) -> HttpResponse:
    """To the block's page; the number lets it forget the draft that has been saved (behaviors/drafts.js)."""
    return redirect(f"{reverse('blocks:detail', args=[block.id])}?saved={block.version}")


def read_screen(block: Block, asked: Mapping[str, Any]) -> Screen:
    """The screen as a form describes it. Raises Invalid or NotFound when it names no versions of this block."""
    numbers = [str(asked.get(name, "")) for name in ("base", "theirs")]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise Invalid("The merge does not say which versions it is about. Open the block again.")
    base, theirs = (get_version_of(block, int(number)) for number in numbers)
    mine = str(asked.get("value", base.value)).replace("\r\n", "\n")
    hunks = find_hunks(base=base.value, mine=mine, theirs=theirs.value)
    fields, agreed = _fields(base, theirs, asked)
    return Screen(
        base=base,
        theirs=theirs,
        mine=mine,
        places=tuple(_place(at, hunk, base, asked) for at, hunk in enumerate(hunks)),
        fields=fields,
        agreed=agreed,
        title=str(asked.get("title", ""))[:_MOST_TITLE],
    )


def _fields(
    base: BlockVersion, theirs: BlockVersion, asked: Mapping[str, Any]
) -> tuple[tuple[FieldClash, ...], dict[str, str]]:
    clashes: list[FieldClash] = []
    agreed: dict[str, str] = {}
    for name in _OTHERS:
        was, now = _as_form(getattr(base, name)), _as_form(getattr(theirs, name))
        mine = str(asked.get(name, now)).replace("\r\n", "\n")
        if mine in (was, now) or now == was:
            agreed[name] = now if mine == was else mine
            continue
        choice = asked.get(f"field-{name}", "")
        clashes.append(
            FieldClash(
                name=name,
                title=_FIELD_NAMES[name],
                base=was,
                mine=mine,
                theirs=now,
                choice=choice if choice in ("mine", "theirs") else "",
            )
        )
    return tuple(clashes), agreed


def _place(at: int, hunk: Hunk, base: BlockVersion, asked: Mapping[str, Any]) -> Place:
    choice = asked.get(f"place-{at}", "")
    allowed = ("mine", "theirs", "both", "own") if hunk.kind == "clash" else ("base",)
    lines = split_lines(base.value)
    return Place(
        number=at,
        hunk=hunk,
        choice=choice if choice in allowed else "",
        own=str(asked.get(f"text-{at}", "\n".join(hunk.mine))).replace("\r\n", "\n"),
        base=_side(lines, hunk, None),
        mine=_side(lines, hunk, hunk.mine),
        theirs=_side(lines, hunk, hunk.theirs),
    )


def _side(base: Sequence[str], hunk: Hunk, made: Sequence[str] | None) -> tuple[SideLine, ...]:
    """The lines of a side, with some that stand around; for the base itself those that somebody changed are `del`."""
    before = range(max(0, hunk.start - _CONTEXT), hunk.start)
    after = range(hunk.end, min(len(base), hunk.end + _CONTEXT))
    was = tuple(base[hunk.start : hunk.end])
    lines = [SideLine(number=at + 1, op="same", text=base[at]) for at in before]
    if made is None or tuple(made) != was:
        lines += [SideLine(number=hunk.start + at + 1, op="del", text=text) for at, text in enumerate(was)]
        lines += [SideLine(number=None, op="add", text=text) for text in made or ()]
    else:
        lines += [SideLine(number=hunk.start + at + 1, op="same", text=text) for at, text in enumerate(was)]
    return (*lines, *(SideLine(number=at + 1, op="same", text=base[at]) for at in after))


def _as_form(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    return "" if value is None else str(value)


def _changes(wanted: Mapping[str, str], theirs: BlockVersion) -> BlockChanges:
    """Raises Invalid for a limit that is no number."""
    if not (wanted["limit"].isascii() and wanted["limit"].isdigit()):
        raise Invalid("The limit must be a whole number.")
    has_description = theirs.description is not None or wanted["description"]
    return BlockChanges(
        label=wanted["label"],
        value=wanted["value"],
        limit=int(wanted["limit"]),
        description=wanted["description"] if has_description else None,
        read_only=wanted["read_only"] == "on",
    )


def _draw(
    request: PageRequest,
    block: Block,
    screen: Screen,
    *,
    status: int,
    is_asked: bool = False,
    error: str = "",
) -> HttpResponse:
    context = {"memory_block": block, "screen": screen, "is_asked": is_asked, "error": error}
    return render(request, "blocks/merge.html", context, status=status)
