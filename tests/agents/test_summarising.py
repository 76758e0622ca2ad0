"""Summaries: in as many calls as the window needs, by the next model when one fails, and never without an answer."""

from __future__ import annotations

import asyncio

from agents.runtime.cancellation import CancelToken
from agents.runtime.compaction import CompactionSettings, ContextItem, Summary
from agents.runtime.model_call import Retry
from agents.runtime.summarising import Scribe, Summariser
from letta_ade.llm.errors import ContextOverflow, ModelOverloaded
from letta_ade.llm.messages import ChatMessage, TextPart
from letta_ade.llm.testing import ScriptedModel, error, text
from letta_ade.llm.tokens import estimate_payload
from tests.support.loop import SYSTEM


def _said(*texts: str, role: str = "user") -> list[ContextItem]:
    return [
        ContextItem(
            message_id=str(place),
            chat=ChatMessage(role=role, parts=(TextPart(text=each),)),  # type: ignore[arg-type]
        )
        for place, each in enumerate(texts)
    ]


def _summary(replaced: list[ContextItem], *models: ScriptedModel, **settings: object) -> Summary:
    scribe = Scribe(
        settings=CompactionSettings(**settings),  # type: ignore[arg-type]  # the names of its fields
        summarisers=[Summariser(model=model, window=model.context_window) for model in models],
        token=CancelToken(),
        retry=Retry(attempts=1, pause_seconds=0),
    )
    return asyncio.run(scribe.summarise(SYSTEM, replaced))


def test_a_short_conversation_is_one_call() -> None:
    model = ScriptedModel([text("Ada likes tea.")])
    summary = _summary(_said("I like tea."), model)
    assert (summary.text, summary.model, summary.failure) == ("Ada likes tea.", "test/scripted", None)
    assert "user: I like tea." in model.requests[0].messages[1].text
    assert [call.reply is not None for call in summary.calls] == [True]


def test_a_prompt_and_an_acknowledgement_are_sent_when_asked_for() -> None:
    model = ScriptedModel([text("Short.")])
    _summary(_said("Hello"), model, prompt="Be brief.", prompt_acknowledgement=True)
    assert model.requests[0].messages[0].text == "Be brief."
    assert "nothing else" in model.requests[0].messages[1].text


def test_a_long_conversation_is_summarised_in_pieces_that_fit() -> None:
    model = ScriptedModel([text(f"So far {number}.") for number in range(12)], context_window=2000)
    summary = _summary(_said(*[f"{number} " + "tea " * 300 for number in range(12)]), model)
    assert len(model.payloads) > 2
    assert all(estimate_payload(payload) <= 2000 for payload in model.payloads)
    assert "So far 0." in model.requests[1].messages[1].text
    assert summary.text == f"So far {len(model.payloads) - 1}."


def test_a_window_smaller_than_one_message_takes_it_in_parts() -> None:
    model = ScriptedModel([text("Part.")] * 12, context_window=1000)
    summary = _summary(_said("tea " * 4000), model)
    assert summary.model == "test/scripted"
    assert len(model.payloads) > 1
    assert all(estimate_payload(payload) <= 1000 for payload in model.payloads)


def test_a_conversation_that_takes_too_many_calls_loses_its_middle() -> None:
    model = ScriptedModel([text("Part.")] * 20, context_window=1000)
    _summary(_said(*[f"message {number} " + "tea " * 100 for number in range(200)]), model)
    sent = "".join(request.messages[1].text for request in model.requests)
    assert len(model.payloads) <= 12
    assert "message 0 " in sent
    assert "message 199 " in sent
    assert "are left out" in sent


def test_a_window_without_room_for_anything_gives_way_to_the_next_model() -> None:
    tiny, own = ScriptedModel(handle="test/tiny", context_window=100), ScriptedModel([text("Mine.")])
    summary = _summary(_said("Hello"), tiny, own)
    assert (summary.text, summary.model) == ("Mine.", "test/scripted")
    assert tiny.payloads == []
    assert isinstance(summary.failure, ContextOverflow)


def test_a_summariser_that_fails_or_says_nothing_gives_way_to_the_next_model() -> None:
    failing = ScriptedModel([error(ModelOverloaded("busy"))] * 2, handle="test/failing")
    silent = ScriptedModel([text("")] * 2, handle="test/silent")
    own = ScriptedModel([text("Mine.")])
    summary = _summary(_said("Hello"), failing, silent, own)
    assert (summary.text, summary.model) == ("Mine.", "test/scripted")
    assert [(call.model, call.error is None) for call in summary.calls] == [
        ("test/failing", False),
        ("test/silent", False),
        ("test/scripted", True),
    ]


def test_when_nobody_writes_a_summary_a_note_says_so_and_keeps_the_older_one() -> None:
    older = ContextItem(
        message_id="s",
        chat=ChatMessage(role="user", parts=(TextPart(text="Ada likes tea."),)),
        is_summary=True,
    )
    failing = ScriptedModel([error(ModelOverloaded("busy"))] * 2)
    summary = _summary([older, *_said("one", "two")], failing)
    assert summary.model is None
    assert "2 messages left the context without one" in summary.text
    assert "Ada likes tea." in summary.text


def test_a_provider_that_finds_it_too_long_gets_smaller_pieces() -> None:
    model = ScriptedModel([error(ContextOverflow("long")), *[text("Part.")] * 12], context_window=4000)
    summary = _summary(_said(*["tea " * 300 for _ in range(8)]), model)
    assert summary.model == "test/scripted"
    assert estimate_payload(model.payloads[1]) < estimate_payload(model.payloads[0])
