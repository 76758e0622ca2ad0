"""Turns that stand still somewhere, one for each stage at which a process can be killed."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.faults.model import Gate, HeldOpenAI, calls, held, says

BEFORE_THE_ANSWER = "before the model answers"
AMONG_THE_WORDS = "in the middle of its words"
DURING_A_CALL = "between a tool call and its return"
BETWEEN_STEPS = "between two steps"
STAGES = [BEFORE_THE_ANSWER, AMONG_THE_WORDS, DURING_A_CALL, BETWEEN_STEPS]

History = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a turn says and does, and where it stands still until its gate is opened."""

    said: str
    gate: Gate = field(default_factory=Gate)
    #: What the history has of it while it stands there.
    stored: History = field(default_factory=list)
    #: And what it has in the end, if it is let go on.
    whole: History


def make_stages(model: HeldOpenAI, name: str) -> dict[str, Stage]:
    """The stages, scripted; `name` tells them from those of other tests."""
    silent = Stage(
        said=f"Say nothing, {name}.",
        whole=[("user_message", f"Say nothing, {name}."), ("assistant_message", "I say it now.")],
    )
    model.script(silent.said, held("I say it now.", silent.gate))
    talking = Stage(
        said=f"Talk, {name}.",
        whole=[("user_message", f"Talk, {name}."), ("assistant_message", "One two three four five.")],
    )
    model.script(talking.said, held("One two three four five.", talking.gate, after_words=3))
    keeping = Stage(
        said=f"Keep this, {name}.",
        whole=[
            ("user_message", f"Keep this, {name}."),
            ("tool_call_message", "archival_memory_insert"),
            ("tool_return_message", "success"),
            ("assistant_message", "Kept."),
        ],
    )
    kept = f"Tea at four, {name}."
    model.script(keeping.said, calls("archival_memory_insert", f'{{"content": "{kept}"}}'), says("Kept."))
    model.gates[kept] = keeping.gate
    stored = [
        ("user_message", f"Note this, {name}."),
        ("tool_call_message", "memory_insert"),
        ("tool_return_message", "success"),
    ]
    noting = Stage(
        said=f"Note this, {name}.", stored=stored, whole=[*stored, ("assistant_message", "Noted.")]
    )
    note = calls("memory_insert", '{"label": "human", "new_string": "Likes tea."}')
    model.script(noting.said, note, held("Noted.", noting.gate))
    return dict(zip(STAGES, (silent, talking, keeping, noting), strict=True))
