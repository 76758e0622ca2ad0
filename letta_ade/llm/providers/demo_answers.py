"""What the demonstration says."""

from __future__ import annotations

import json
import re
from itertools import cycle, islice
from typing import Any

from letta_ade.llm.providers import demo_reading as reading
from letta_ade.llm.providers.demo_memory import known_name
from letta_ade.llm.providers.demo_plan import Act, Plan, quoted
from letta_ade.llm.providers.demo_turn import Done, Turn

LABEL = "_Scripted demonstration, not a language model._"
_RESULT_CHARACTERS = 1200
_ITEM_CHARACTERS = 300
_MOST_ITEMS = 5
_GREETING = re.compile(r"^\s*(?:hi|hello|hey|good (?:morning|evening|afternoon)|greetings)\b", re.I)
_THANKS = re.compile(r"\b(?:thanks|thank you|thx|cheers)\b", re.I)

_TRY = """**Things to try**

- *My name is Ada and I like green tea.*
- *Remember that the pump is serviced in May.*
- *What do you know about the pump?*
- `/call conversation_search {"query": "tea"}`
- `/think` before a message, to see reasoning
- `/slow 200`, for a long answer to stop or to reload"""

_LOOKS_FOR = "I look for a name, a preference, something to remember, a question about memory, or a command."

_LONG = (
    "Every word of this answer leaves the server on its own and reaches the page over a websocket. "
    "You may stop it, close the page, or reload it in the middle. "
    "The run goes on without a reader, and each event of it has a number. "
    "A page that returns asks for what came after the last number it saw, and misses nothing. "
    "The same events go to a program that uses the SDK, at the same time. "
)


def answer(turn: Turn, plan: Plan) -> str:
    """The text that ends the turn, after every call has returned."""
    paragraphs = [_report(done, _act_of(done, plan)) for done in turn.done]
    paragraphs += plan.notes
    if plan.slow_words:
        paragraphs.append(_long_text(plan.slow_words))
    if not paragraphs:
        paragraphs = _small_talk(turn)
    return "\n\n".join([*paragraphs, LABEL])


def reasoning(turn: Turn, plan: Plan) -> str:
    """The reasoning shown on request: what was seen, and what follows."""
    labels = ", ".join(turn.blocks) or "none"
    lines = [
        f"The message has {len(turn.text.split())} words. {_LOOKS_FOR}",
        f"In my system message I find these memory blocks: {labels}. I may call {len(turn.tools)} tools.",
    ]
    if plan.acts:
        lines.append(
            "So I call " + ", then ".join(act.tool for act in plan.acts) + ", and report what comes back."
        )
    elif plan.notes:
        lines.append("I understand what is asked, but something it needs is missing; I say what.")
    else:
        lines.append("Nothing here asks for a tool, so I answer from my script.")
    return "\n\n".join(lines)


def _act_of(done: Done, plan: Plan) -> Act:
    return next(
        (
            act
            for act in plan.acts
            if act.tool == done.name and act.arguments.items() <= done.arguments.items()
        ),
        Act(tool=done.name, arguments=done.arguments),
    )


def _report(done: Done, act: Act) -> str:
    if done.text is None:
        return f"`{done.name}` was called, and nothing came back."
    if done.is_error:
        return f"`{done.name}` did not work:\n\n{quoted(_cut(done.text).splitlines())}"
    if act.kind in ("insert", "replace") and done.text.startswith("Not written"):
        return f"I proposed an edit of my `human` block; it waits for a person:\n\n{quoted(act.subject.splitlines())}"
    match act.kind:
        case "insert":
            return f"I wrote this into my `human` block:\n\n{quoted(act.subject.splitlines())}"
        case "replace":
            old, _, new = act.subject.partition("\n")
            return f"I changed my `human` block.\n\n> ~~{old}~~  \n> {new}"
        case "archive":
            return f"I put this into archival memory:\n\n{quoted([act.subject])}"
        case "recall":
            return _found(done.text, f"archival memory about **{act.subject}**")
        case "conversation":
            return _found(done.text, f"our conversation about **{act.subject}**")
        case _:
            return f"`{done.name}` returned:\n\n```\n{_cut(done.text)}\n```"


def _found(text: str, where: str) -> str:
    items = _items(text)
    if items is None:
        return f"This is what I found in {where}:\n\n```\n{_cut(text)}\n```"
    if not items:
        return f"I found nothing in {where}."
    lines = "\n".join(f"- {item}" for item in items[:_MOST_ITEMS])
    return f"This is what I found in {where}:\n\n{lines}"


def _items(text: str) -> list[str] | None:
    """The texts of a search result; None when it has another shape."""
    try:
        data = json.loads(text)
    except ValueError:
        return None
    rows = data.get("results") if isinstance(data, dict) else data
    if not isinstance(rows, list):
        return None
    return [_item(row) for row in rows]


def _item(row: Any) -> str:
    text = (
        next((row[key] for key in ("content", "text") if row.get(key)), row) if isinstance(row, dict) else row
    )
    # What I said before is found as well; its label says nothing there.
    line = " ".join(
        (text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)).replace(LABEL, "").split()
    )
    return line if len(line) <= _ITEM_CHARACTERS else f"{line[:_ITEM_CHARACTERS]}…"


def _cut(text: str) -> str:
    text = text.replace("```", "'''")
    return (
        text if len(text) <= _RESULT_CHARACTERS else f"{text[:_RESULT_CHARACTERS]}… ({len(text)} characters)"
    )


def _long_text(count: int) -> str:
    """So many words, in paragraphs of one round through the text."""
    supply = _LONG.split()
    words = list(islice(cycle(supply), count))
    paragraphs = [words[at : at + len(supply)] for at in range(0, count, len(supply))]
    return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs)


def _small_talk(turn: Turn) -> list[str]:
    name = known_name(turn.blocks.values())
    if reading.asks_about_speaker(turn.text):
        human = turn.blocks.get("human")
        if human is not None and human.lines:
            return [f"My `human` block says:\n\n{quoted(human.lines)}"]
        return ["I know nothing about you yet. Tell me your name, or what you like, and I write it down."]
    if _THANKS.search(turn.text) and len(turn.text.split()) < 8:
        return [f"You are welcome{f', {name}' if name else ''}."]
    hello = f"Hello{f', {name}' if name else ''}. " if _GREETING.match(turn.text) else ""
    what = (
        f"{hello}I am the built-in demonstration: a script that recognises a few sentences. Around me everything is "
        "real: the memory, the tools, the stream. Choose another model for this agent, and it takes my place."
    )
    return [what, _TRY, _memory(turn)]


def _memory(turn: Turn) -> str:
    if not turn.blocks:
        return "**My memory** holds no block."
    rows = []
    for block in turn.blocks.values():
        first = block.lines[0] if block.lines else "_empty_"
        more = f" (and {len(block.lines) - 1} more)" if len(block.lines) > 1 else ""
        rows.append(f"- `{block.label}`: {first if len(first) < 100 else first[:100] + '…'}{more}")
    return "**What I see in my memory**\n\n" + "\n".join(rows)
