"""What the demonstration is going to do about a turn: tools to call, and what it must say besides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from letta_ade.llm.providers import demo_reading as reading
from letta_ade.llm.providers.demo_memory import Block, Change, change_for
from letta_ade.llm.providers.demo_turn import Turn

_COMMAND = re.compile(r"^\s*/(?P<name>\w+)[ \t]*(?P<rest>.*)$", re.M)
_MOST_WORDS = 5000
_DEFAULT_WORDS = 200
COMMANDS = ("/call", "/slow", "/think", "/help")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A tool to call. `kind` says how its return is reported; `subject` is what it is about, for people."""

    tool: str
    arguments: dict[str, Any]
    kind: str = "call"
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    acts: tuple[Act, ...] = ()
    #: What could not be done, and why.
    notes: tuple[str, ...] = ()
    thinks: bool = False
    #: Length of the long answer that was asked for.
    slow_words: int | None = None


def make_plan(turn: Turn) -> Plan:
    """The same plan at every step of a turn, because it depends on what was said and not on what was done."""
    if turn.keeps_memory:
        return _keep_memory(turn)
    acts: list[Act] = []
    notes: list[str] = []
    slow_words = None
    plain = turn.text
    for match in _COMMAND.finditer(turn.text):
        name, rest = match["name"], match["rest"].strip()
        if name == "think":
            plain = plain.replace("/think", " ")
            continue
        plain = plain.replace(match.group(), " ")
        if name == "call":
            _plan_call(rest, turn, acts, notes)
        elif name == "slow":
            slow_words = min(int(rest), _MOST_WORDS) if rest.isdigit() and int(rest) else _DEFAULT_WORDS
        elif f"/{name}" not in COMMANDS:
            known = ", ".join(f"`{command}`" for command in COMMANDS)
            notes.append(f"I do not know the command `/{name}`. I know {known}.")
    for item in chain(_facts(plain, turn), _archive(plain, turn), _searches(plain, turn)):
        if isinstance(item, Act):
            acts.append(item)
        else:
            notes.append(item)
    return Plan(
        acts=tuple(acts), notes=tuple(notes), thinks=reading.asks_to_think(turn.text), slow_words=slow_words
    )


def _keep_memory(turn: Turn) -> Plan:
    """Facts of what was overheard go to the memory; then the work is done."""
    items = list(_facts(turn.text, turn))
    acts = [item for item in items if isinstance(item, Act)]
    notes = [item for item in items if isinstance(item, str)]
    return Plan(acts=(*acts, Act(tool="memory_finish_edits", arguments={})), notes=tuple(notes))


def _plan_call(rest: str, turn: Turn, acts: list[Act], notes: list[str]) -> None:
    name, _, text = rest.partition(" ")
    if not name:
        notes.append(
            'Write the tool after the command, such as `/call conversation_search {"query": "tea"}`.'
        )
        return
    if name not in turn.tools:
        notes.append(f"The tool `{name}` is not attached to this agent. {_attached(turn)}")
        return
    try:
        arguments = json.loads(text) if text.strip() else {}
    except ValueError as error:
        notes.append(f"I did not call `{name}`: what follows it is not JSON ({error}).")
        return
    if not isinstance(arguments, dict):
        notes.append(
            f'I did not call `{name}`: its arguments must be one JSON object, such as `{{"key": 1}}`.'
        )
        return
    acts.append(Act(tool=name, arguments=arguments))


def _attached(turn: Turn) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(turn.tools))
    return f"Attached are {names}." if names else "No tool is attached."


def _facts(text: str, turn: Turn) -> Iterator[Act | str]:
    facts = reading.facts_in(text)
    if not facts:
        return
    block = turn.blocks.get("human")
    if block is None:
        yield "I would write that down, but this agent has no `human` block."
        return
    if block.is_read_only:
        yield "I would write that down, but my `human` block is read-only."
        return
    changes = [change for fact in facts if (change := change_for(fact, block)) is not None]
    if len(changes) < len(facts):
        known = [fact.line for fact in facts if change_for(fact, block) is None]
        yield f"My `human` block says this already:\n\n{quoted(known)}"
    for change in changes:
        if change.old is not None:
            yield _replacing(change, block, turn)
    if added := [change.new for change in changes if change.old is None]:
        yield _adding(added, turn)


def _replacing(change: Change, block: Block, turn: Turn) -> Act | str:
    kind, subject = "replace", f"{change.old}\n{change.new}"
    if "memory_replace" in turn.tools:
        arguments = {"label": block.label, "old_string": change.old, "new_string": change.new}
        return Act(tool="memory_replace", arguments=arguments, kind=kind, subject=subject)
    if "core_memory_replace" in turn.tools:
        arguments = {"label": block.label, "old_content": change.old, "new_content": change.new}
        return Act(tool="core_memory_replace", arguments=arguments, kind=kind, subject=subject)
    return "I would change that in my `human` block, but `memory_replace` is not attached to this agent."


def _adding(lines: list[str], turn: Turn) -> Act | str:
    text = "\n".join(lines)
    if "memory_insert" in turn.tools:
        return Act(
            tool="memory_insert",
            arguments={"label": "human", "new_string": text},
            kind="insert",
            subject=text,
        )
    if "core_memory_append" in turn.tools:
        return Act(
            tool="core_memory_append",
            arguments={"label": "human", "content": text},
            kind="insert",
            subject=text,
        )
    return "I would write that into my `human` block, but `memory_insert` is not attached to this agent."


def _archive(text: str, turn: Turn) -> Iterator[Act | str]:
    for content in reading.things_to_remember(text):
        if "archival_memory_insert" in turn.tools:
            yield Act(
                tool="archival_memory_insert", arguments={"content": content}, kind="archive", subject=content
            )
        else:
            yield (
                "I cannot put that into archival memory: `archival_memory_insert` is not attached to this agent. "
                "Attach it in the tool list, and ask me again."
            )
            return


def _searches(text: str, turn: Turn) -> Iterator[Act | str]:
    if query := reading.thing_said(text):
        tool, kind, place = "conversation_search", "conversation", "our conversation"
    elif (query := reading.thing_to_recall(text)) and not reading.asks_about_speaker(text):
        tool, kind, place = "archival_memory_search", "recall", "archival memory"
    else:
        return
    if tool in turn.tools:
        yield Act(tool=tool, arguments={"query": query}, kind=kind, subject=query)
    else:
        yield f"I cannot search {place}: `{tool}` is not attached to this agent."


def quoted(lines: list[str]) -> str:
    """The lines as a quotation in markdown."""
    return "\n".join(f"> {line}  " for line in lines)
