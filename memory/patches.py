"""Patches as models write them for memory blocks: unified-diff hunks, and `***` headers for several blocks (spec/memory.md §2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_ADD, _DELETE, _UPDATE, _MOVE = "*** Add Block:", "*** Delete Block:", "*** Update Block:", "*** Move to:"
#: Frames that models know from patches of files; they say nothing here.
_FRAMES = ("*** Begin Patch", "*** End Patch", "*** End of File")
_DESCRIPTION = "Description:"
_FILE_NAMES = ("--- ", "+++ ")
_NO_NEWLINE = "\\ No newline"
_NAMED_LINES = 20


class PatchError(Exception):
    """The patch cannot be read, or does not fit the text; the message is for who wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines that must follow each other, and the lines that take their place."""

    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def only_adds(self) -> bool:
        return not self.old


@dataclass(frozen=True, slots=True, kw_only=True)
class AddBlock:
    label: str
    value: str
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateBlock:
    label: str
    hunks: tuple[Hunk, ...]
    new_label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBlock:
    label: str


Section = AddBlock | UpdateBlock | DeleteBlock


def has_headers(patch: str) -> bool:
    """Whether the patch names its blocks itself."""
    return any(line.startswith("***") for line in patch.split("\n"))


def parse_sections(patch: str) -> tuple[Section, ...]:
    """The sections of a patch with headers, in order. Raises PatchError; no block may be named twice."""
    sections: list[Section] = []
    header, body = "", list[str]()
    for line in [*patch.split("\n"), "*** End Patch"]:
        if not line.startswith("***") or line.startswith(_MOVE):
            body.append(line)
            continue
        if header:
            sections.append(_section(header, body))
        elif any(each.strip() for each in body):
            raise PatchError(f"{_shown(body)} stands before the first header. {_HEADERS}")
        header, body = ("" if line.startswith(_FRAMES) else line), []
    if not sections:
        raise PatchError(f"The patch holds no section. {_HEADERS}")
    labels = [label for section in sections for label in _labels(section)]
    if double := next((label for label in labels if labels.count(label) > 1), None):
        raise PatchError(
            f"The patch names the block {double!r} twice. Put all of its changes into one section."
        )
    return tuple(sections)


_HEADERS = f"The headers are {_ADD!r}, {_UPDATE!r} (with {_MOVE!r} below it to rename) and {_DELETE!r}, each with a label."


def _labels(section: Section) -> list[str]:
    moved = section.new_label if isinstance(section, UpdateBlock) else None
    return [section.label, *([moved] if moved else [])]


def _section(header: str, body: Sequence[str]) -> Section:
    for start in (_ADD, _DELETE, _UPDATE):
        if header.startswith(start):
            label = header.removeprefix(start).strip()
            if not label:
                raise PatchError(f"{start!r} needs a label.")
            break
    else:
        raise PatchError(f"{header!r} is no header. {_HEADERS}")
    if start == _ADD:
        return _added(label, body)
    if start == _DELETE:
        if any(line.strip() for line in body):
            raise PatchError(f"Nothing stands below {header!r}: the block is removed whole.")
        return DeleteBlock(label=label)
    return _updated(label, body)


def _added(label: str, body: Sequence[str]) -> AddBlock:
    lines = _without_blank_ends(body)
    description = None
    if lines and lines[0].startswith(_DESCRIPTION):
        description = lines[0].removeprefix(_DESCRIPTION).strip()
        lines = lines[1:]
    lines = _without_blank_ends(lines)
    if wrong := next((line for line in lines if not line.startswith("+")), None):
        raise PatchError(f"Every line of a new block begins with '+'; {wrong!r} does not.")
    # An empty line inside: the '+' was left out.
    value = "\n".join(line.removeprefix("+") for line in lines)
    return AddBlock(label=label, value=value, description=description or None)


def _updated(label: str, body: Sequence[str]) -> UpdateBlock:
    new_label, lines = None, list[str]()
    for line in body:
        if line.startswith(_MOVE):
            new_label = line.removeprefix(_MOVE).strip()
            if not new_label:
                raise PatchError(f"{_MOVE!r} needs the new label.")
        else:
            lines.append(line)
    is_rename_only = new_label is not None and not any(line.strip() for line in lines)
    hunks = () if is_rename_only else parse_hunks("\n".join(lines))
    return UpdateBlock(label=label, hunks=hunks, new_label=new_label)


def parse_hunks(patch: str) -> tuple[Hunk, ...]:
    """The hunks of a unified diff. Line numbers and file names in it are not looked at. Raises PatchError."""
    lines = patch.split("\n")
    if any(line.startswith("@@") for line in lines):
        first = next(at for at, line in enumerate(lines) if line.startswith("@@"))
        # Only there do these name files; elsewhere they are lines that begin with "-- " or "++ ".
        lines = [line for line in lines[:first] if not line.startswith(_FILE_NAMES)] + lines[first:]
    groups: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("@@"):
            groups.append([])
        else:
            groups[-1].append(line)
    hunks = tuple(
        hunk for number, lines in enumerate(groups) if (hunk := _hunk(lines, number or 1)) is not None
    )
    if not hunks:
        raise PatchError("The patch changes nothing: no line begins with '+' or '-'.")
    return hunks


def _hunk(lines: Sequence[str], number: int) -> Hunk | None:
    """The hunk; None for lines that are all blank."""
    old, new = [], []
    for line in _without_blank_ends(line for line in lines if not line.startswith(_NO_NEWLINE)):
        sign, text = line[:1], line[1:]
        if sign not in ("", " ", "+", "-"):
            raise PatchError(
                f"{line!r} in hunk {number} begins with no sign. A line that stays begins with a space, "
                "one that goes with '-', one that comes with '+'."
            )
        if sign != "+":
            old.append(text)
        if sign != "-":
            new.append(text)
    if old == new:
        if not old:
            return None
        raise PatchError(f"Hunk {number} changes nothing: no line of it begins with '+' or '-'.")
    return Hunk(old=tuple(old), new=tuple(new))


def apply_hunks(value: str, hunks: Iterable[Hunk]) -> str:
    """The value with the hunks applied one after another. A hunk that only adds goes to the end.

    Raises PatchError for a hunk whose lines occur nowhere, or more than once.
    """
    lines = value.split("\n") if value else []
    for number, hunk in enumerate(hunks, 1):
        # An empty text has no line, and a diff of it one empty line.
        is_first = not lines and not any(hunk.old)
        at = len(lines) if hunk.only_adds or is_first else _place(lines, hunk, number)
        lines[at : at + len(hunk.old)] = hunk.new
    return "\n".join(lines)


def _place(lines: Sequence[str], hunk: Hunk, number: int) -> int:
    old, length = list(hunk.old), len(hunk.old)
    places = [at for at in range(len(lines) - length + 1) if lines[at : at + length] == old]
    if not places:
        raise PatchError(
            f"Hunk {number} does not fit: the block does not hold these lines one after another: "
            f"{_shown(hunk.old)}. Lines must be exactly as they stand there now."
        )
    if len(places) > 1:
        numbers = ", ".join(str(at + 1) for at in places[:_NAMED_LINES])
        raise PatchError(
            f"Hunk {number} fits in {len(places)} places, at lines {numbers}. "
            "Add lines around it so that it fits in one."
        )
    return places[0]


def _without_blank_ends(lines: Iterable[str]) -> list[str]:
    """The lines without empty ones at both ends: those are the patch's own layout. A blank line of the text has its sign."""
    kept = list(lines)
    while kept and not kept[0]:
        kept.pop(0)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _shown(lines: Iterable[str]) -> str:
    return repr("\n".join(lines))
