"""Background memory: who is made, when it runs, what it reads, and that nothing of it touches the turn before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError

from agents import streams
from agents.models import Agent, Group, Message, Run, RunEvent
from agents.services import background_memory, background_turns, execution
from agents.services.agent_blocks import attach_block, detach_block
from agents.services.agents import AgentChanges, AgentDraft, create_agent, delete_agent, update_agent
from agents.services.groups import GroupChanges, update_group
from agents.services.run_requests import AnswersInput, ClientTool
from agents.services.untold import tell_end
from letta_ade.core.jobs import DEFAULT_QUEUE, run_worker
from letta_ade.llm.errors import ModelBadRequest
from letta_ade.llm.testing import ScriptedModel, error, gate, hang, installed, reasoning, text, tool_call
from memory.models import Block
from memory.services.blocks import BlockChanges, BlockDraft, update_block
from tests.support.factories import make_block, make_caller
from tests.support.sending import Finished, db, finish, send, start, stored_of
from tests.support.workers import run_queue_worker
from tools.models import Tool

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def background() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel(handle="test/background")
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel, background: ScriptedModel) -> Agent:
    """An agent whose background works after every second turn, with a model of its own."""
    made = create_agent(
        caller=make_caller(),
        draft=AgentDraft(
            name="Ada's",
            model=model.handle,
            blocks=(BlockDraft(label="human", value="Name: Ada"),),
            enable_sleeptime=True,
        ),
    )
    group = group_of(made)
    update_group(
        caller=make_caller(), group_id=group.id, changes=GroupChanges(sets_frequency=True, frequency=2)
    )
    Agent.objects.filter(groups=group).update(model=background.handle)
    return made


def group_of(agent: Agent) -> Group:
    return Group.objects.get(manager_agent=agent)


def partner_of(agent: Agent) -> Agent:
    return Agent.objects.get(groups__manager_agent=agent)


def labels(agent: Agent) -> list[str]:
    return list(agent.block_links.values_list("block__label", flat=True))


async def turn(agent: Agent, model: ScriptedModel, words: str = "Hello") -> Finished:
    model.add(text(f"Answer to {words}"))
    return await send(agent, words)


async def work_off() -> None:
    """Do the jobs that wait, and those that follow from them."""
    await run_worker(name="test", queues={DEFAULT_QUEUE: 4}, wait=False)


async def runs_of(agent: Agent) -> list[Run]:
    return await db(lambda: list(Run.objects.filter(agent=agent).order_by("created_at")))


async def transcripts(agent: Agent) -> list[str]:
    partner = await db(lambda: partner_of(agent))
    return [row.text for row in await stored_of(partner) if row.role == "user"]


def test_the_switch_makes_an_agent_that_shares_every_block(agent: Agent) -> None:
    partner = partner_of(agent)
    assert (partner.name, partner.agent_type) == ("Ada's-sleeptime", "sleeptime_agent")
    assert labels(partner) == [background_memory.PERSONA_LABEL, "human"]
    assert {tool.name for tool in partner.tools.all()} == {
        "memory_replace",
        "memory_insert",
        "memory_rethink",
        "memory_finish_edits",
    }
    assert {"type": "exit_loop", "tool_name": "memory_finish_edits", "prompt_template": None} in (
        partner.tool_rules
    )
    group = group_of(agent)
    assert (group.manager_type, group.turns_counter, group.sleeptime_agent_frequency) == ("sleeptime", 0, 2)


def test_blocks_that_are_attached_and_detached_later_are_shared_too(agent: Agent) -> None:
    caller, block = make_caller(), make_block(label="plans")
    attach_block(caller=caller, agent_id=agent.id, block_id=block.id)
    assert labels(partner_of(agent))[-1] == "plans"
    detach_block(caller=caller, agent_id=agent.id, block_id=block.id)
    assert "plans" not in labels(partner_of(agent))
    update_agent(caller=caller, agent_id=agent.id, changes=AgentChanges(block_ids=(block.id,)))
    assert labels(partner_of(agent)) == [background_memory.PERSONA_LABEL, "plans"]


def test_switching_on_twice_makes_one_and_switching_off_removes_it(agent: Agent) -> None:
    caller, persona = make_caller(), Block.objects.get(label=background_memory.PERSONA_LABEL)
    update_agent(caller=caller, agent_id=agent.id, changes=AgentChanges(enable_sleeptime=True))
    assert Agent.objects.count() == 2
    update_agent(caller=caller, agent_id=agent.id, changes=AgentChanges(enable_sleeptime=False))
    assert (list(Agent.objects.all()), Group.objects.count()) == ([agent], 0)
    assert not Block.objects.filter(id=persona.id).exists()
    assert Block.objects.filter(label="human").exists()
    update_agent(caller=caller, agent_id=agent.id, changes=AgentChanges(enable_sleeptime=True))
    assert group_of(agent).sleeptime_agent_frequency == background_memory.DEFAULT_FREQUENCY


def test_the_agent_takes_its_background_with_it(agent: Agent) -> None:
    delete_agent(caller=make_caller(), agent_id=agent.id)
    assert (Agent.objects.count(), Group.objects.count()) == (0, 0)


def test_without_its_background_agent_the_agent_has_none(agent: Agent) -> None:
    delete_agent(caller=make_caller(), agent_id=partner_of(agent).id)
    agent.refresh_from_db()
    assert (agent.enable_sleeptime, Group.objects.count()) == (False, 0)


def test_a_background_agent_has_no_background_of_its_own(model: ScriptedModel) -> None:
    draft = AgentDraft(model=model.handle, agent_type="sleeptime_agent", enable_sleeptime=True)
    create_agent(caller=make_caller(), draft=draft)
    assert (Agent.objects.count(), Group.objects.count()) == (1, 0)


async def test_every_second_turn_starts_a_run_that_reads_what_was_said(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    model.add([reasoning("They greet."), text("Good day.")])
    first = await send(agent, "I moved to Oslo.")
    assert "run_ids" not in first.end.usage
    model.add(tool_call("conversation_search", query="Bergen"), text("So I see."))
    second = await send(agent, "Do you remember?")
    partner = await db(lambda: partner_of(agent))
    background.add(
        tool_call("memory_insert", label="human", new_string="Lives in Oslo."),
        tool_call("memory_finish_edits"),
    )
    (run_id,) = second.end.usage["run_ids"]
    async with run_queue_worker():
        done = await finish(run_id)
    assert done.stop_reason == "tool_rule"
    block = await db(lambda: Block.objects.get(label="human"))
    assert block.value == "Name: Ada\nLives in Oslo."
    (run,) = await runs_of(partner)
    assert (run.background, run.metadata["run_type"]) == (True, "sleeptime_agent_send_message_async")
    (read,) = await transcripts(agent)
    assert read.endswith(
        "\nuser: I moved to Oslo.\nassistant: <thinking>They greet.</thinking>\nassistant: Good day.\n"
        "user: Do you remember?\nassistant: Calling tool conversation_search\n"
        'conversation_search returned: {"message": "No results found.", "results": []}\nassistant: So I see.'
    )
    group = await db(lambda: group_of(agent))
    last = (await stored_of(agent))[-1]
    assert (group.turns_counter, group.last_processed_message_id) == (2, last.id)


async def test_a_transcript_begins_after_the_one_before(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    async with run_queue_worker():
        for words in ("one", "two", "three", "four"):
            background.add(text("Nothing to do."))
            done = await turn(agent, model, words)
            for run_id in done.end.usage.get("run_ids", ()):
                await finish(run_id)
    first, second = await transcripts(agent)
    assert ("user: one" in first, "user: two" in first) == (True, True)
    assert ("user: two" in second, "user: three" in second, "user: four" in second) == (False, True, True)


async def test_a_turn_that_is_due_while_the_background_works_is_read_when_it_has_ended(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    for words in ("one", "two", "three", "four"):
        done = await turn(agent, model, words)
    assert "run_ids" not in done.end.usage
    partner = await db(lambda: partner_of(agent))
    (first,) = await runs_of(partner)
    background.add(text("Done."), text("Done."))
    async with run_queue_worker():
        await finish(first.id)
        await work_off()
        _, second = await runs_of(partner)
        await finish(second.id)
        await work_off()
    assert len(await runs_of(partner)) == 2
    assert [("user: two" in read, "user: four" in read) for read in await transcripts(agent)] == [
        (True, False),
        (False, True),
    ]


async def test_what_a_failed_run_was_to_read_is_read_with_the_next_turn_that_is_due(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    async with run_queue_worker():
        background.add(error(ModelBadRequest("no")))
        await turn(agent, model, "one")
        (run_id,) = (await turn(agent, model, "two")).end.usage["run_ids"]
        assert (await finish(run_id)).end.status == "failed"
        await work_off()
        await turn(agent, model, "three")
        background.add(text("Done."))
        (run_id,) = (await turn(agent, model, "four")).end.usage["run_ids"]
        assert (await finish(run_id)).end.status == "completed"
    *_, last = await transcripts(agent)
    assert [f"user: {words}\n" in last for words in ("one", "two", "three", "four")] == [True] * 4


async def test_what_does_not_fit_is_read_at_once_in_another_run(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    partner = await db(lambda: partner_of(agent))
    await db(lambda: Agent.objects.filter(id=partner.id).update(context_window_limit=4000))
    background.add(text("Done."), text("Done."))
    for words in ("one " + "x" * 1500, "two " + "y" * 1500):
        model.add(text("Yes."))
        await send(agent, words)
    async with run_queue_worker():
        for number in range(2):
            runs = await runs_of(partner)
            await finish(runs[number].id)
            await work_off()
    first, second = await transcripts(agent)
    assert ("user: one" in first, "user: two" in first) == (True, False)
    assert ("user: one" in second, "user: two" in second) == (False, True)
    assert not (await db(lambda: group_of(agent))).is_due


async def test_a_background_that_cannot_be_started_does_not_touch_the_turn(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise DatabaseError("no")

    await turn(agent, model, "one")
    monkeypatch.setattr(background_turns, "read_transcript", broken)
    done = await turn(agent, model, "two")
    assert (done.end.status, "run_ids" in done.end.usage) == ("completed", False)
    assert [row.role for row in await stored_of(agent)] == ["user", "assistant"] * 2
    monkeypatch.undo()
    # That turn was not counted: the next one is the second.
    assert (await turn(agent, model, "three")).end.usage["run_ids"]


async def test_an_end_that_was_lost_with_its_process_names_the_runs_too(
    agent: Agent, model: ScriptedModel
) -> None:
    await turn(agent, model, "one")
    done = await turn(agent, model, "two")
    await streams.flush()

    def tell_again() -> dict[str, Any]:
        RunEvent.objects.filter(run=done.run_id, type="RunEnded").delete()
        tell_end(Run.objects.get(id=done.run_id))
        told: dict[str, Any] = RunEvent.objects.get(run=done.run_id, type="RunEnded").data["usage"]
        return told

    assert (await db(tell_again))["run_ids"] == done.end.usage["run_ids"]


async def test_a_turn_that_fails_is_not_counted(agent: Agent, model: ScriptedModel) -> None:
    model.add(error(ModelBadRequest("no")))
    await send(agent, "one")
    assert (await db(lambda: group_of(agent))).turns_counter == 0


async def test_both_edits_of_a_block_survive_when_somebody_writes_it_while_the_background_works(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    await turn(agent, model, "one")
    (run_id,) = (await turn(agent, model, "two")).end.usage["run_ids"]
    block = await db(lambda: Block.objects.get(label="human"))
    # As the background read it, it says "Ada". The agent, or a person, writes before its edits come.
    changes = BlockChanges(value="Name: Bea\nBy another.")
    caller = await db(make_caller)
    background.add(
        tool_call("memory_insert", label="human", new_string="By the background."),
        tool_call("memory_replace", label="human", old_string="Ada", new_string="A."),
        tool_call("memory_finish_edits"),
    )
    await db(lambda: update_block(caller=caller, block_id=block.id, changes=changes))
    async with run_queue_worker():
        assert (await finish(run_id)).stop_reason == "tool_rule"
    block = await db(lambda: Block.objects.get(label="human"))
    assert block.value == "Name: Bea\nBy another.\nBy the background."
    rows = await stored_of(await db(lambda: partner_of(agent)))
    returned = {each["name"]: each for row in rows for each in row.tool_returns}
    assert returned["memory_replace"]["status"] == "error"
    assert "old_string was not found" in returned["memory_replace"]["text"]


async def test_both_edits_survive_when_the_agent_and_its_background_edit_at_once(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    def attach() -> None:
        tool = Tool.objects.get(workspace_id=agent.workspace_id, name="memory_insert")
        agent.tool_links.get_or_create(tool=tool, defaults={"position": 50})

    await db(attach)
    await turn(agent, model, "one")
    (background_id,) = (await turn(agent, model, "two")).end.usage["run_ids"]
    together = asyncio.Event()
    ours = tool_call("memory_insert", label="human", new_string="By the agent.")
    theirs = tool_call("memory_insert", label="human", new_string="By the background.")
    model.add([gate(together), ours], text("Done."))
    background.add([gate(together), theirs], tool_call("memory_finish_edits"))
    async with run_queue_worker():
        run_id = await start(agent, "three")
        while len(model.payloads) < 3 or not background.payloads:
            await db(lambda: None)
        together.set()
        assert (await finish(run_id)).stop_reason == "end_turn"
        assert (await finish(background_id)).stop_reason == "tool_rule"
    block = await db(lambda: Block.objects.get(label="human"))
    assert sorted(block.value.splitlines()) == ["By the agent.", "By the background.", "Name: Ada"]
    assert await db(block.versions.count) == 3


async def test_deleting_the_agent_ends_a_background_run_that_goes_on(
    agent: Agent, model: ScriptedModel, background: ScriptedModel
) -> None:
    await turn(agent, model, "one")
    (run_id,) = (await turn(agent, model, "two")).end.usage["run_ids"]
    background.add([text("I think"), hang()])
    async with run_queue_worker():
        while run_id not in execution._active or not background.payloads:
            await db(lambda: None)
        caller = await db(make_caller)
        await db(lambda: delete_agent(caller=caller, agent_id=agent.id))
        await execution.stop_all("cancelled", timeout=5)
    assert await db(lambda: (Agent.objects.count(), Message.objects.count(), Run.objects.count())) == (
        0,
        0,
        0,
    )


async def test_a_turn_that_waits_for_an_answer_is_counted_when_it_has_ended(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(tool_call("shell", call_id="call_1"))
    run_id = await start(agent, "List files", client_tools=(ClientTool(name="shell"),))
    assert (await finish(run_id)).stop_reason == "requires_approval"
    assert (await db(lambda: group_of(agent))).turns_counter == 0
    model.add(text("Two files."))
    item = {"type": "tool", "tool_call_id": "call_1", "tool_return": "a b", "status": "success"}
    await send(agent, answers=AnswersInput(items=(item,)), client_tools=(ClientTool(name="shell"),))
    assert (await db(lambda: group_of(agent))).turns_counter == 1
