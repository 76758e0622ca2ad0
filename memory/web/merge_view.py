"""The merge screen as its template shows it: three texts side by side where they differ, and what was chosen for each place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from memory.history import LineCount, count_changed_lines
from memory.lines import split_lines
from memory.merge import Hunk, merge_hunks, settled
from memory.models import BlockVersion

#: Unchanged lines that are shown above and below a hunk.
_AROUND = 1
#: Answers to a clash, in the order of their keys.
SIDES = ("mine", "theirs", "both", "text")
FIELDS = {
    "label": "Label",
    "description": "Description",
    "limit": "Limit",
    "read_only": "Read-only for agents",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SideLine:
    """A line of a column. `op` is empty for one that is as in the base."""

    number: int
    op: Literal["", "add", "del"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A hunk with its three columns, and what was chosen: a side, or for one that merged by itself whether it is undone."""

    number: int
    hunk: Hunk
    base: tuple[SideLine, ...]
    mine: tuple[SideLine, ...]
    theirs: tuple[SideLine, ...]
    choice: str
    text: str

    @property
    def is_clash(self) -> bool:
        return self.hunk.kind == "clash"

    @property
    def is_undone(self) -> bool:
        return not self.is_clash and self.choice == "undone"

    @property
    def where(self) -> str:
        """ "Line 10", "Lines 4 to 6": of the base, or of the side that added them."""
        hunk = self.hunk
        if hunk.base:
            start, size = hunk.base_from, len(hunk.base)
        elif hunk.kind == "theirs":
            start, size = hunk.theirs_from, len(hunk.theirs)
        else:
            start, size = hunk.mine_from, len(hunk.mine)
        return f"Line {start + 1}" if size < 2 else f"Lines {start + 1} to {start + size}"

    @property
    def deed(self) -> str:
        """What was done there, by the one side that did it."""
        made = self.hunk.theirs if self.hunk.kind == "theirs" else self.hunk.mine
        them = "it" if max(len(self.hunk.base), len(made)) < 2 else "them"
        return f"{'added' if not self.hunk.base else 'changed' if made else 'removed'} {them}"

    @property
    def rows(self) -> int:
        return max(2, len(split_lines(self.text)))

    def lines(self) -> Sequence[str]:
        """The lines that stand there in the result; of a clash without a choice mine, so that none is lost."""
        hunk = self.hunk
        if not self.is_clash:
            return hunk.base if self.is_undone else hunk.theirs if hunk.kind == "theirs" else hunk.mine
        match self.choice:
            case "theirs":
                return hunk.theirs
            case "both":
                return (*hunk.mine, *hunk.theirs)
            case "text":
                return split_lines(self.text)
            case _:
                return hunk.mine


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlace:
    """A field beside the value that both changed."""

    name: str
    title: str
    base: Any
    mine: Any
    theirs: Any
    choice: str

    @property
    def chosen(self) -> Any:
        return self.theirs if self.choice == "theirs" else self.mine


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeView:
    """All of the screen."""

    base: BlockVersion
    theirs: BlockVersion
    #: The text that was typed, and the other fields as they were sent.
    mine: str
    mine_fields: Mapping[str, Any]
    #: Who wrote between the base and theirs, each once.
    writers: tuple[str, ...]
    places: tuple[Place, ...]
    fields: tuple[FieldPlace, ...]

    @property
    def they(self) -> str:
        return self.writers[0] if len(self.writers) == 1 else "others"

    @property
    def clash_count(self) -> int:
        return sum(place.is_clash for place in self.places) + len(self.fields)

    @property
    def merged_count(self) -> int:
        return sum(not place.is_clash for place in self.places)

    @property
    def left(self) -> int:
        """How many clashes nobody has settled."""
        open_places = sum(place.is_clash and not place.choice for place in self.places)
        return open_places + sum(not each.choice for each in self.fields)

    @property
    def mine_lines(self) -> LineCount:
        return count_changed_lines(self.base.value, self.mine)

    @property
    def their_lines(self) -> LineCount:
        return count_changed_lines(self.base.value, self.theirs.value)

    def text(self) -> str:
        """The value with all choices made."""
        chosen = [place.lines() for place in self.places]
        return settled(self.base.value, [place.hunk for place in self.places], chosen)

    def field(self, name: str) -> Any:
        """What a field is to be: the chosen side, or that of whoever changed it."""
        for each in self.fields:
            if each.name == name:
                return each.chosen
        mine, was = self.mine_fields[name], getattr(self.base, name)
        return getattr(self.theirs, name) if (mine or "") == (was or "") else mine


def merge_view(
    *,
    base: BlockVersion,
    theirs: BlockVersion,
    mine: str,
    mine_fields: Mapping[str, Any],
    writers: Sequence[str],
    answers: Mapping[str, str],
) -> MergeView:
    """The screen for three texts. `answers` are the form's: `hunk_1`, `text_1`, `undo_1`, `field_label` …, none at first."""
    return MergeView(
        base=base,
        theirs=theirs,
        mine=mine,
        mine_fields=mine_fields,
        writers=tuple(writers),
        places=tuple(
            _place(number, hunk, split_lines(base.value), answers)
            for number, hunk in enumerate(
                merge_hunks(base=base.value, mine=mine, theirs=theirs.value), start=1
            )
        ),
        fields=tuple(_clashing_fields(base, theirs, mine_fields, answers)),
    )


def _place(number: int, hunk: Hunk, base: Sequence[str], answers: Mapping[str, str]) -> Place:
    sent = answers.get(f"text_{number}")
    text = "\n".join(hunk.mine) if sent is None else sent.replace("\r\n", "\n")
    choice = answers.get(f"hunk_{number}", "")
    if hunk.kind != "clash":
        choice = "undone" if f"undo_{number}" in answers else ""
    elif choice not in SIDES:
        # Without a script writing the lines chooses nothing: what was written counts.
        choice = "text" if text != "\n".join(hunk.mine) else ""
    return Place(
        number=number,
        hunk=hunk,
        base=tuple(_column(base, hunk, hunk.base_from, None)),
        mine=tuple(_column(base, hunk, hunk.mine_from, hunk.mine)),
        theirs=tuple(_column(base, hunk, hunk.theirs_from, hunk.theirs)),
        choice=choice,
        text=text,
    )


def _column(base: Sequence[str], hunk: Hunk, start: int, made: Sequence[str] | None) -> Iterator[SideLine]:
    """The lines of one column with what stands around them; the base's own for None, and for a side that left them."""
    end = hunk.base_from + len(hunk.base)
    top = max(0, hunk.base_from - _AROUND)
    shift = start - hunk.base_from
    for at in range(top, hunk.base_from):
        yield SideLine(number=at + shift + 1, op="", text=base[at])
    is_same = made is None or tuple(made) == hunk.base
    for at, text in enumerate(hunk.base, start=hunk.base_from):
        yield SideLine(number=at + (shift if is_same else 0) + 1, op="" if is_same else "del", text=text)
    if made is None or is_same:
        made = hunk.base
    else:
        for at, text in enumerate(made, start=start):
            yield SideLine(number=at + 1, op="add", text=text)
    grown = len(made) - len(hunk.base)
    for at in range(end, min(len(base), end + _AROUND)):
        yield SideLine(number=at + shift + grown + 1, op="", text=base[at])


def _clashing_fields(
    base: BlockVersion, theirs: BlockVersion, mine_fields: Mapping[str, Any], answers: Mapping[str, str]
) -> Iterator[FieldPlace]:
    for name, title in FIELDS.items():
        # An empty description and none are the same in a form.
        was, now = getattr(base, name) or "", getattr(theirs, name) or ""
        mine = mine_fields[name] or ""
        if mine == was or now in (was, mine):
            continue
        choice = answers.get(f"field_{name}", "")
        yield FieldPlace(
            name=name,
            title=title,
            base=getattr(base, name),
            mine=mine_fields[name],
            theirs=getattr(theirs, name),
            choice=choice if choice in ("mine", "theirs") else "",
        )
