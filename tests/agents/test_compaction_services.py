"""Compactions against the database: stored as a whole, undone as a whole, and never half of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from agents.models import Agent, Compaction, ContextEntry, Message, ProviderTrace, Run
from agents.runtime.compaction import read_summary
from agents.runtime.events import CompactionStarted, ContextCompacted
from agents.services import compaction_rows, compactions, journal, leases
from agents.services.agents import AgentDraft, create_agent
from agents.services.compaction_settings import complete_settings, read_settings
from agents.services.conversations import get_default_conversation
from agents.services.outside_ends import fail_abandoned
from letta_ade.core.errors import Conflict, Forbidden, Invalid, NotFound
from letta_ade.llm.errors import ContextOverflow, ModelOverloaded
from letta_ade.llm.messages import Usage
from letta_ade.llm.testing import ScriptedModel, ending, error, hang, installed, text, tool_call
from tests.support.factories import make_agent, make_caller, make_conversation, make_lease, make_message
from tests.support.runs import check_one_end, db, finish, lost_commits, start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]

FULL = ending(usage=Usage(prompt_tokens=31_000, completion_tokens=5))


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return create_agent(caller=make_caller(), draft=AgentDraft(name="Ada", model=model.handle))


def context(agent: Agent) -> list[tuple[int, str, str]]:
    """Position, id and role of what is in context."""
    entries = ContextEntry.objects.filter(conversation__agent=agent).order_by("position")
    return list(entries.values_list("position", "message_id", "message__role"))


async def talk(agent: Agent, model: ScriptedModel, turns: int, *, last: Any = None) -> list[Any]:
    """So many turns; the events of the last one, whose reply says more than words."""
    events: list[Any] = []
    for number in range(turns):
        is_last = number == turns - 1
        model.add([text(f"Answer {number}"), last] if is_last and last else text(f"Answer {number}"))
        if is_last and last:
            model.add(text("They counted."))
        events = await finish((await start(agent, f"Number {number} " + "tea " * 800)).run_id)
    return events


async def test_a_compaction_replaces_messages_in_context_and_keeps_them(
    agent: Agent, model: ScriptedModel
) -> None:
    events = await talk(agent, model, 6, last=FULL)
    now = await db(lambda: context(agent))
    compaction = await db(lambda: Compaction.objects.get(agent=agent))
    assert [role for _, _, role in now][:2] == ["system", "summary"]
    assert len(now) == compaction.messages_after < compaction.messages_before == 13
    assert await db(lambda: Message.objects.filter(agent=agent).count()) == 14
    assert (compaction.summary, compaction.model) == ("They counted.", model.handle)
    assert (compaction.trigger, compaction.tokens_before > 31_000) == ("post_step_context_check", True)
    assert compaction.prompt_tokens > 0
    run = await db(lambda: Run.objects.latest("created_at"))
    assert (compaction.run_id, compaction.step_id) == (run.id, await db(lambda: run.steps.get().id))
    trace = await db(lambda: ProviderTrace.objects.select_related("step").get(call_type="summarization"))
    assert (trace.compaction_id, trace.run_id) == (compaction.id, run.id)
    assert trace.step is None
    assert "Number 0" in trace.request_text
    told = [event for event in events if isinstance(event, CompactionStarted | ContextCompacted)]
    assert [event.compaction_id for event in told] == [compaction.id] * 2
    ended = await check_one_end(run.id)
    assert (ended.status, ended.stop_reason) == ("completed", "end_turn")


async def test_the_next_request_is_sent_with_the_summary(agent: Agent, model: ScriptedModel) -> None:
    await talk(agent, model, 6, last=FULL)
    await talk(agent, model, 1)
    sent = model.requests[-1].messages
    assert read_summary(sent[1].text)[0] == "They counted."
    assert not any("Number 0" in message.text for message in sent[:-1])
    assert sent[-1].text.startswith("Number 0")


async def test_undo_puts_everything_back_where_it_was(agent: Agent, model: ScriptedModel) -> None:
    await talk(agent, model, 5)
    before = await db(lambda: context(agent))
    model.add(text("They counted."))
    caller = await db(make_caller)
    done = await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    assert (done.summary, done.messages_before) == ("They counted.", 11)
    assert done.messages_after == len(await db(lambda: context(agent))) < 11
    compaction = await db(lambda: Compaction.objects.select_related("run").get(agent=agent))
    assert compaction.run is None
    assert compaction.trigger == "manual"

    def undo() -> Compaction:
        return compactions.undo_compaction(caller=caller, agent_id=agent.id, compaction_id=compaction.id)

    undone = await db(undo)
    assert undone.undone_at is not None
    assert await db(lambda: context(agent)) == before
    with pytest.raises(Conflict, match="undone already"):
        await db(undo)


async def test_what_was_said_after_a_compaction_stays_behind_what_comes_back(
    agent: Agent, model: ScriptedModel
) -> None:
    await talk(agent, model, 5)
    caller = await db(make_caller)
    before = [message_id for _, message_id, _ in await db(lambda: context(agent))]
    model.add(text("They counted."))
    await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    await talk(agent, model, 1)
    last = await db(lambda: Compaction.objects.get(agent=agent))
    await db(lambda: compactions.undo_compaction(caller=caller, agent_id=agent.id, compaction_id=last.id))
    now = [message_id for _, message_id, _ in await db(lambda: context(agent))]
    assert now[: len(before)] == before
    assert len(now) == len(before) + 2


async def test_only_the_last_compaction_can_be_undone(agent: Agent, model: ScriptedModel) -> None:
    caller = await db(make_caller)
    for _ in range(2):
        await talk(agent, model, 4)
        model.add(text("They counted."))
        await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    first, second = await db(lambda: list(Compaction.objects.order_by("created_at")))

    def undo(compaction: Compaction) -> Compaction:
        return compactions.undo_compaction(caller=caller, agent_id=agent.id, compaction_id=compaction.id)

    with pytest.raises(Conflict, match="Only the last"):
        await db(lambda: undo(first))
    await db(lambda: undo(second))
    # Now the first one is the last again, and its summary is back.
    await db(lambda: undo(first))
    assert "summary" not in [role for _, _, role in await db(lambda: context(agent))]


async def test_undo_is_refused_while_a_run_goes_on_and_to_those_without_rights(agent: Agent) -> None:
    def check() -> None:
        conversation = get_default_conversation(agent)
        message = make_message(conversation=conversation, role="summary", in_context=True)
        compaction = Compaction.objects.create(
            workspace_id=agent.workspace_id,
            agent=agent,
            conversation=conversation,
            message=message,
            summary="",
            trigger="manual",
            mode="all",
            tokens_before=2,
            tokens_after=1,
            messages_before=3,
            messages_after=2,
            context_window=10,
        )
        asked = {"agent_id": agent.id, "compaction_id": compaction.id}
        with pytest.raises(Forbidden):
            compactions.undo_compaction(caller=make_caller(role="viewer"), **asked)
        other_id = make_agent().id
        with pytest.raises(NotFound):
            compactions.undo_compaction(caller=make_caller(), **{**asked, "agent_id": other_id})
        make_lease(conversation)
        with pytest.raises(leases.RunBusy):
            compactions.undo_compaction(caller=make_caller(), **asked)

    await db(check)


async def test_a_run_that_is_too_long_is_answered_after_a_compaction(
    agent: Agent, model: ScriptedModel
) -> None:
    await talk(agent, model, 5)
    model.add(error(ContextOverflow("too long")), text("They counted."), text("Hi"))
    started = await start(agent, "Once more")
    await finish(started.run_id)
    run = await check_one_end(started.run_id)
    assert run.stop_reason == "end_turn"
    steps = await db(lambda: list(run.steps.order_by("number").values_list("number", "status")))
    assert steps == [(1, "failed"), (2, "success")]
    # What was said is stored once, and in context.
    said = await db(
        lambda: list(Message.objects.filter(run=run, role="user").values_list("is_err", flat=True))
    )
    assert said == [False]
    traces = await db(lambda: list(ProviderTrace.objects.filter(run=run).values_list("call_type", "error")))
    assert sorted(kind for kind, _ in traces) == ["agent_step", "agent_step", "summarization"]
    assert sum(failure is not None for _, failure in traces) == 1


async def test_a_summariser_that_fails_leaves_a_manual_compaction_undone(
    agent: Agent, model: ScriptedModel
) -> None:
    await talk(agent, model, 5)
    before = await db(lambda: context(agent))
    model.add(*[error(ModelOverloaded("busy"))] * 4)
    caller = await db(make_caller)
    with pytest.raises(ModelOverloaded):
        await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    assert await db(lambda: context(agent)) == before
    assert not await db(Compaction.objects.exists)


async def test_nothing_to_compact_changes_nothing(agent: Agent) -> None:
    caller = await db(make_caller)
    done = await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    assert (done.summary, done.messages_before, done.messages_after) == ("", 1, 1)


async def test_one_message_is_not_replaced_by_one(agent: Agent, model: ScriptedModel) -> None:
    await db(lambda: make_message(conversation=get_default_conversation(agent), in_context=True))
    model.add(text("Somebody said hello."))
    caller = await db(make_caller)
    with pytest.raises(Invalid, match="no fewer messages"):
        await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)


async def test_a_run_that_begins_meanwhile_wins(agent: Agent, model: ScriptedModel) -> None:
    await talk(agent, model, 5)

    def begin_a_run(payload: dict[str, Any]) -> Any:
        taken.append(payload)
        return text("They counted.")

    taken: list[Any] = []
    model.add(begin_a_run)
    caller = await db(make_caller)
    conversation = await db(lambda: get_default_conversation(agent))
    before = await db(lambda: context(agent))
    original = compactions._store

    def store(*arguments: Any) -> Any:
        make_lease(conversation)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compactions, "_store", store)
        with pytest.raises(leases.RunBusy):
            await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    assert taken
    assert await db(lambda: context(agent)) == before


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_compaction_is_stored_once_though_its_commit_was_not_confirmed(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, is_stored: bool
) -> None:
    await talk(agent, model, 5)
    model.add([text("Answer"), FULL], text("They counted."))
    with lost_commits(journal, monkeypatch, is_stored=is_stored):
        await finish((await start(agent, "Last")).run_id)
    assert await db(Compaction.objects.count) == 1
    roles = [role for _, _, role in await db(lambda: context(agent))]
    assert roles.count("summary") == 1
    times = await db(lambda: list(Message.objects.filter(agent=agent).values_list("created_at", flat=True)))
    assert len(set(times)) == len(times)


async def test_a_compaction_that_fails_halfway_changes_nothing(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    await talk(agent, model, 5)
    before = await db(lambda: context(agent))

    def fail(*_: Any) -> None:
        raise RuntimeError("gone")

    monkeypatch.setattr(compaction_rows, "_insert_trace", fail)
    model.add(text("They counted."))
    caller = await db(make_caller)
    with pytest.raises(RuntimeError):
        await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    assert await db(lambda: context(agent)) == before
    assert not await db(Compaction.objects.exists)


async def test_a_run_whose_process_died_over_its_last_compaction_ends_as_its_last_step_did(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add([text("Answer"), FULL], hang())
    # Enough for a compaction after the first step.
    await db(
        lambda: [
            make_message(
                conversation=get_default_conversation(agent), role=role, text="x" * 4000, in_context=True
            )
            for _ in range(4)
            for role in ("user", "assistant")
        ]
    )
    started = await start(agent, "Hello")
    async for _ in _until_compacting(started.run_id):
        pass

    def die() -> Run:
        run = Run.objects.get(id=started.run_id)
        with transaction.atomic():
            fail_abandoned(run)
            leases.give_back(run.id)
        run.refresh_from_db()
        return run

    run = await db(die)
    assert (run.status, run.stop_reason) == ("completed", "end_turn")


async def _until_compacting(run_id: str) -> Any:
    from agents import streams

    async for _, event in streams.follow(run_id):
        yield event
        if isinstance(event, CompactionStarted):
            return


async def test_a_call_is_never_parted_from_its_return(agent: Agent, model: ScriptedModel) -> None:
    for number in range(6):
        model.add(tool_call("conversation_search", query=f"{number}"), text(f"Answer {number}"))
        await finish((await start(agent, f"Number {number}")).run_id)
    model.add(text("They searched."))
    caller = await db(make_caller)
    await compactions.compact_conversation(caller=caller, agent_id=agent.id, conversation_id=None)
    rows = await db(lambda: [role for _, _, role in context(agent)])
    assert rows[2] == "assistant"
    assert rows.count("tool") <= rows.count("assistant")


def test_settings_are_completed_in_a_new_object_and_read_leniently() -> None:
    stored = complete_settings({"mode": "all"})
    over = complete_settings({"clip_chars": None}, stored)
    changed = complete_settings({"mode": "sliding_window"}, stored)
    assert stored["clip_chars"] == 50_000
    assert (over["clip_chars"], over["prompt"]) == (None, stored["prompt"])
    assert changed["prompt"] != stored["prompt"]
    assert complete_settings({"prompt": "Mine."}, stored)["prompt"] == "Mine."
    odd = read_settings({"mode": "odd", "sliding_window_percentage": 7, "clip_chars": "many"})
    assert odd == read_settings(None)


def test_another_workspace_sees_no_compaction(agent: Agent) -> None:
    make_conversation(agent=agent)
    with pytest.raises(NotFound):
        compactions.get_compaction_for(caller=make_caller(), agent_id=agent.id, compaction_id="compaction-0")
