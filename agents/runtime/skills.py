"""The skills that a client offers with a request, as a section of its system message; never stored (spec/agent-loop.md §2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from memory.rendering import mask

INTRODUCTION = (
    "Skills are instructions in files of the client. When one fits the task, read its file first, with the tools "
    "that you have for files."
)
_INDENT = "  "
_HERE = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    name: str
    description: str
    #: Path of its file on the client's machine.
    location: str


@dataclass(slots=True)
class _Folder:
    folders: dict[str, _Folder] = field(default_factory=dict)
    #: (file name, what is said of it)
    files: list[tuple[str, str]] = field(default_factory=list)


def render_skills(skills: Iterable[Skill]) -> str:
    """The section, or an empty text without skills: a tree for each root, in an order that does not depend on theirs."""
    distinct = sorted(set(skills), key=lambda skill: (skill.location, skill.name, skill.description))
    if not distinct:
        return ""
    roots = _roots(distinct)
    trees: dict[str, _Folder] = {}
    for skill in distinct:
        parts = _parts(skill.location)
        root = next(each for each in roots if parts[: len(each)] == each)
        folder = trees.setdefault(_shown_root(root), _Folder())
        for name in parts[len(root) : -1]:
            folder = folder.folders.setdefault(name, _Folder())
        folder.files.append((parts[-1], _line_of(skill)))
    shown = "\n\n".join("\n".join([root, *_lines(trees[root], 1)]) for root in sorted(trees))
    return f"<available_skills>\n{INTRODUCTION}\n\n{mask(shown)}\n</available_skills>"


def _roots(skills: Sequence[Skill]) -> list[tuple[str, ...]]:
    """The folders that hold the folders of the skills, the longest first; one inside another one is left out."""
    roots: list[tuple[str, ...]] = []
    for root in sorted({_root_of(_parts(skill.location)) for skill in skills}, key=len):
        if not any(outer and root[: len(outer)] == outer for outer in roots):
            roots.append(root)
    return roots[::-1]


def _root_of(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The names before those of a skill's folder and file; of an absolute path at least the slash."""
    return parts[:-2] or (parts[:1] if parts[0] == "" and len(parts) > 1 else ())


def _shown_root(root: tuple[str, ...]) -> str:
    return "/".join(root or (_HERE,)) + "/"


def _parts(location: str) -> tuple[str, ...]:
    """The names in a path; an absolute one begins with an empty name."""
    path = " ".join(location.split())
    names = [name for name in path.split("/") if name and name != _HERE]
    if not names:
        return (path,)
    return ("", *names) if path.startswith("/") else tuple(names)


def _line_of(skill: Skill) -> str:
    lines = skill.description.strip().splitlines()
    name = " ".join(skill.name.split())
    return f"{name}: {lines[0].strip()}" if lines else name


def _lines(folder: _Folder, depth: int) -> list[str]:
    """The files of a folder, then its folders; one that holds nothing but one thing stands on the line of that thing."""
    indent, lines = _INDENT * depth, list[str]()
    for name, said in folder.files:
        lines.append(f"{indent}{name} - {said}")
    for name in sorted(folder.folders):
        path, inner = name, folder.folders[name]
        while not inner.files and len(inner.folders) == 1:
            ((next_name, inner),) = inner.folders.items()
            path = f"{path}/{next_name}"
        if len(inner.files) == 1 and not inner.folders:
            file_name, said = inner.files[0]
            lines.append(f"{indent}{path}/{file_name} - {said}")
        else:
            lines += [f"{indent}{path}/", *_lines(inner, depth + 1)]
    return lines
