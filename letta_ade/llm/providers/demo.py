"""The built-in demonstration: a model that needs no key and no network, because it is a script."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.events import ChatEvent
from letta_ade.llm.providers import demo_answers, demo_transcript
from letta_ade.llm.providers.demo_plan import Plan, make_plan
from letta_ade.llm.providers.demo_turn import Turn, read_turn
from letta_ade.llm.scripting import Call, Piece, Say, Think, play, request_data

DEMO_MODEL = "assistant"
DEMO_WINDOW = 32_000


class DemoChat:
    """Deterministic: the same request gives the same reply, but for the ids of its calls."""

    def __init__(self, *, word_seconds: float = 0.025) -> None:
        self._word_seconds = word_seconds

    @property
    def handle(self) -> str:
        return f"demo/{DEMO_MODEL}"

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        return request_data(request, model=DEMO_MODEL)

    async def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        events = play(list(reply_to(read_turn(payload))), payload=payload, word_seconds=self._word_seconds)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


def reply_to(turn: Turn) -> Iterator[Piece]:
    """One reply: reasoning if asked for, then the next calls, or the answer when all of them returned."""
    if turn.to_summarise is not None:
        yield Say(text=demo_transcript.summary(turn.to_summarise))
        return
    plan = make_plan(turn)
    if plan.thinks and not turn.done:
        yield Think(text=demo_answers.reasoning(turn, plan))
    calls = [] if turn.choice == "none" else list(_next_calls(turn, plan))
    if calls:
        yield from calls if turn.may_call_several else calls[:1]
        return
    text = demo_answers.answer(turn, plan)
    if turn.answers_by_tool:
        yield Call(name="send_message", arguments=json.dumps({"message": text}, ensure_ascii=False))
    else:
        yield Say(text=text)


def _next_calls(turn: Turn, plan: Plan) -> Iterator[Call]:
    waiting = list(turn.done)
    forced = turn.chosen_tool
    for act in plan.acts:
        done = next(
            (
                item
                for item in waiting
                if item.name == act.tool and act.arguments.items() <= item.arguments.items()
            ),
            None,
        )
        if done is not None:
            waiting.remove(done)
        elif forced in (None, act.tool):
            yield _call(turn, act.tool, act.arguments, goes_on=True)
            forced = None if turn.choice != "one" else "no other tool"
    if turn.answers_by_tool or turn.choice not in ("required", "one"):
        return
    # A rule demands a tool that nothing in the text asks for: call it with arguments that fit its schema.
    name = turn.chosen_tool or next(iter(turn.tools), None)
    if name in turn.tools:
        schema = turn.tools[name]
        properties = schema.get("properties") or {}
        arguments = {key: _sample(properties.get(key) or {}) for key in schema.get("required") or ()}
        yield _call(turn, name, arguments, goes_on=False)


def _call(turn: Turn, name: str, arguments: dict[str, Any], *, goes_on: bool) -> Call:
    if "request_heartbeat" in (turn.tools[name].get("properties") or {}):
        # The older loop goes on only when it is asked to.
        arguments = {**arguments, "request_heartbeat": goes_on}
    return Call(name=name, arguments=json.dumps(arguments, ensure_ascii=False))


def _sample(schema: dict[str, Any]) -> Any:
    """Some value of the schema's type."""
    if schema.get("enum"):
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    samples: dict[str, Any] = {
        "integer": 1,
        "number": 1.0,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
    }
    return samples.get(str(kind), "demonstration")
