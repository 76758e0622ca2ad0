"""Agents that write to each other: answers, circles, busy and silent agents, and that a stop reaches whoever is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.models import Agent, Message, Run
from agents.services import execution
from agents.services.agents import AgentDraft, create_agent, delete_agent
from letta_ade.core.jobs import DEFAULT_QUEUE, run_worker
from letta_ade.llm.errors import ModelBadRequest
from letta_ade.llm.testing import ScriptedModel, error, gate, hang, installed, text, tool_call
from tests.support.factories import make_agent, make_caller, make_workspace
from tests.support.sending import Finished, db, finish, send, start, stored_of
from tests.support.workers import run_queue_worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]

ASK = "send_message_to_agent_and_wait_for_reply"
ASK_TAGGED = "send_message_to_agents_matching_tags"
LEAVE = "send_message_to_agent_async"


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel(handle="test/ada")
    with installed(scripted):
        yield scripted


@pytest.fixture
def other_model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel(handle="test/bob")
    with installed(scripted):
        yield scripted


def make(model: ScriptedModel, name: str, **fields: Any) -> Agent:
    draft = AgentDraft(name=name, model=model.handle, include_multi_agent_tools=True, **fields)
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
def ada(model: ScriptedModel) -> Agent:
    return make(model, "Ada")


@pytest.fixture
def bob(other_model: ScriptedModel) -> Agent:
    return make(other_model, "Bob", tags=("helper", "red"))


async def return_of(agent: Agent) -> dict[str, Any]:
    """The last return of a call of the agent."""
    rows = [row for row in await stored_of(agent) if row.role == "tool"]
    returned: dict[str, Any] = rows[-1].tool_returns[-1]
    return returned


async def ask(ada: Agent, model: ScriptedModel, agent_id: str, message: str = "How far?") -> Finished:
    model.add(tool_call(ASK, message=message, other_agent_id=agent_id), text("Thanks."))
    return await send(ada, "Ask them.")


async def test_an_agent_reads_what_the_other_one_answers(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    other_model.add(tool_call("conversation_search", query="way"), [text("Ten miles.")])
    await ask(ada, model, bob.id)
    returned = await return_of(ada)
    assert returned["status"] == "success"
    assert returned["text"] == str({"agent_id": bob.id, "response": ["Ten miles."]})
    question = (await stored_of_system(bob))[-1]
    assert (question.role, question.sender_id) == ("system", ada.id)
    assert f"'Ada' ({ada.id})" in question.text
    assert question.text.endswith("\n\nHow far?")


async def stored_of_system(agent: Agent) -> list[Message]:
    rows = Message.objects.filter(agent=agent, role="system", run__isnull=False)
    return await db(lambda: list(rows.order_by("created_at")))


async def test_an_agent_that_speaks_by_a_tool_answers_by_it(
    ada: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    bob = await db(lambda: make(other_model, "Bob", agent_type="memgpt_v2_agent"))
    other_model.add([text("I think."), tool_call("send_message", message="Ten miles.")])
    await ask(ada, model, bob.id)
    assert (await return_of(ada))["text"] == str({"agent_id": bob.id, "response": ["Ten miles."]})


async def test_no_words_are_no_response(ada: Agent, model: ScriptedModel, other_model: ScriptedModel) -> None:
    bob = await db(lambda: make(other_model, "Bob", agent_type="sleeptime_agent"))
    other_model.add(tool_call("memory_finish_edits"))
    await ask(ada, model, bob.id)
    assert "['<no response>']" in (await return_of(ada))["text"]


@pytest.mark.parametrize("agent_id", ["agent-00000000-0000-4000-8000-000000000000", "Bob"])
async def test_an_unknown_agent_is_an_error_that_names_it(
    ada: Agent, model: ScriptedModel, agent_id: str
) -> None:
    await ask(ada, model, agent_id)
    returned = await return_of(ada)
    assert (returned["status"], f"There is no agent '{agent_id}'" in returned["text"]) == ("error", True)


async def test_an_agent_of_another_workspace_is_unknown(ada: Agent, model: ScriptedModel) -> None:
    stranger = await db(lambda: make_agent(workspace=make_workspace()))
    await ask(ada, model, stranger.id)
    assert "There is no agent" in (await return_of(ada))["text"]
    assert not await db(lambda: Run.objects.filter(agent=stranger).exists())


@pytest.mark.parametrize("tool", [ASK, LEAVE])
async def test_an_agent_cannot_write_to_itself(ada: Agent, model: ScriptedModel, tool: str) -> None:
    model.add(tool_call(tool, message="Hm?", other_agent_id=ada.id), text("Right."))
    await send(ada, "Ask yourself.")
    returned = await return_of(ada)
    assert (returned["status"], "cannot write to itself" in returned["text"]) == ("error", True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"message": ""}, "empty"), ({"other_agent_id": " "}, "other_agent_id"), ({}, "message")],
)
async def test_bad_arguments_are_told(
    ada: Agent, bob: Agent, model: ScriptedModel, fields: dict[str, Any], words: str
) -> None:
    arguments = (
        {"message": "Hm?", "other_agent_id": bob.id, **fields} if fields else {"other_agent_id": bob.id}
    )
    model.add(tool_call(ASK, **arguments), text("Right."))
    await send(ada, "Ask.")
    returned = await return_of(ada)
    assert (returned["status"], words in returned["text"]) == ("error", True)


async def test_who_is_asked_cannot_ask_back(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    other_model.add(tool_call(ASK, message="You?", other_agent_id=ada.id), text("I do not know."))
    await ask(ada, model, bob.id)
    assert "waits for your answer itself" in (await return_of(bob))["text"]
    assert "I do not know." in (await return_of(ada))["text"]


async def test_a_row_of_questions_has_an_end(model: ScriptedModel) -> None:
    agents = await db(lambda: [make(model, f"Agent {number}") for number in range(7)])
    for agent in agents[1:]:
        model.add(tool_call(ASK, message="And you?", other_agent_id=agent.id))
    model.add(*[text("So.")] * 6)
    await send(agents[0], "Go.")
    assert "more than 5 are not passed on" in (await return_of(agents[5]))["text"]
    assert "So." in (await return_of(agents[0]))["text"]
    assert not await db(lambda: Run.objects.filter(agent=agents[6]).exists())


async def test_two_agents_can_be_asked_at_the_same_time(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    eve = await db(lambda: make(other_model, "Eve"))
    both = asyncio.Event()
    met = []

    def meet(_: dict[str, Any]) -> Any:
        met.append(1)
        if len(met) == 2:
            both.set()
        return [gate(both), text("Here.")]

    other_model.add(meet, meet)
    model.add(
        [
            tool_call(ASK, call_id="call_1", message="You?", other_agent_id=bob.id),
            tool_call(ASK, call_id="call_2", message="You?", other_agent_id=eve.id),
        ],
        text("Thanks."),
    )
    done = await send(ada, "Ask both.")
    assert done.stop_reason == "end_turn"
    (row,) = [row for row in await stored_of(ada) if row.role == "tool"]
    assert ["Here." in each["text"] for each in row.tool_returns] == [True, True]


async def test_a_busy_agent_is_waited_for(
    ada: Agent,
    bob: Agent,
    model: ScriptedModel,
    other_model: ScriptedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on, waits = asyncio.Event(), execution.ends_within

    async def wait(run_id: str, seconds: float) -> bool:
        goes_on.set()
        return await waits(run_id, seconds)

    monkeypatch.setattr(execution, "ends_within", wait)
    other_model.add([gate(goes_on), text("Done.")], text("Ten miles."))
    busy = await start(bob, "Work.")
    await ask(ada, model, bob.id)
    assert "Ten miles." in (await return_of(ada))["text"]
    assert (await finish(busy)).stop_reason == "end_turn"


async def test_an_agent_that_stays_busy_is_an_error(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel, settings: Any
) -> None:
    settings.AGENT_BUSY_SECONDS = 0.05
    other_model.add(hang())
    await start(bob, "Work.")
    await ask(ada, model, bob.id)
    assert "has been busy for 0.05 seconds" in (await return_of(ada))["text"]


async def test_two_agents_that_ask_each_other_at_once_do_not_wait_for_ever(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel, settings: Any
) -> None:
    settings.AGENT_BUSY_SECONDS = 0.2
    both_run = asyncio.Event()
    model.add([gate(both_run), tool_call(ASK, message="You?", other_agent_id=bob.id)])
    other_model.add([gate(both_run), tool_call(ASK, message="You?", other_agent_id=ada.id)])
    model.add(text("So."), text("So."))
    other_model.add(text("So."), text("So."))
    first, second = await start(ada, "Ask Bob."), await start(bob, "Ask Ada.")
    both_run.set()
    assert [(await finish(run_id)).stop_reason for run_id in (first, second)] == ["end_turn"] * 2
    assert "has been busy" in (await return_of(ada))["text"] + (await return_of(bob))["text"]


async def test_an_agent_that_waits_for_a_person_is_not_asked(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    rule = {"type": "requires_approval", "tool_name": "conversation_search", "prompt_template": None}
    await db(lambda: Agent.objects.filter(id=bob.id).update(tool_rules=[rule]))
    other_model.add(tool_call("conversation_search", query="way"))
    await ask(ada, model, bob.id)
    assert "a call of its own waits for a person" in (await return_of(ada))["text"]
    await ask(ada, model, bob.id)
    returned = await return_of(ada)
    assert (returned["status"], "waits for a person to answer" in returned["text"]) == ("error", True)


async def test_a_failure_of_the_other_agent_is_told(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    other_model.add(error(ModelBadRequest("the model said no")))
    done = await ask(ada, model, bob.id)
    returned = await return_of(ada)
    assert (done.stop_reason, returned["status"]) == ("end_turn", "error")
    assert "the model said no" in returned["text"]


async def test_an_answer_that_does_not_come_is_given_up_and_the_other_run_stopped(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel, settings: Any
) -> None:
    settings.AGENT_REPLY_SECONDS = 0.2
    other_model.add(hang())
    await ask(ada, model, bob.id)
    assert "no answer within 0.2 seconds" in (await return_of(ada))["text"]
    await ended(bob)


async def ended(agent: Agent) -> None:
    """The agent's only run was cancelled, or is a moment later."""
    run = await db(lambda: Run.objects.get(agent=agent))
    assert (await finish(run.id)).end.status == "cancelled"


async def test_cancelling_the_run_cancels_the_one_that_it_waits_for(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    other_model.add([text("Let me see"), hang()])
    model.add(tool_call(ASK, message="How far?", other_agent_id=bob.id))
    run_id = await start(ada, "Ask.")
    while not other_model.payloads:
        await db(lambda: None)
    statuses = await execution.cancel_runs(caller=await db(make_caller), agent_id=ada.id)
    assert statuses == {run_id: "cancelled"}
    await ended(bob)


async def test_the_deletion_of_an_agent_that_is_asked_is_told(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel, settings: Any
) -> None:
    settings.AGENT_REPLY_SECONDS = 5.0
    goes_on = asyncio.Event()
    other_model.add([gate(goes_on), text("Ten miles.")])
    model.add(tool_call(ASK, message="How far?", other_agent_id=bob.id), text("Pity."))
    run_id = await start(ada, "Ask.")
    while not other_model.payloads:
        await db(lambda: None)
    caller = await db(make_caller)
    await db(lambda: delete_agent(caller=caller, agent_id=bob.id))
    goes_on.set()
    assert (await finish(run_id)).stop_reason == "end_turn"
    assert (await return_of(ada))["status"] == "error"


async def test_agents_are_asked_by_their_tags(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    eve = await db(lambda: make(other_model, "Eve", tags=("helper", "blue")))
    await db(lambda: make(other_model, "Idle", tags=("helper",)))
    other_model.add(text("One."), error(ModelBadRequest("no")))
    model.add(
        tool_call(ASK_TAGGED, message="You?", match_all=["helper"], match_some=["red", "blue"]),
        text("Thanks."),
    )
    await send(ada, "Ask the helpers.")
    returned = (await return_of(ada))["text"]
    assert all(agent.id in returned for agent in (bob, eve))
    assert (returned.count("One."), returned.count("<error: ")) == (1, 1)


async def test_nobody_with_these_tags_is_an_empty_list(ada: Agent, model: ScriptedModel) -> None:
    model.add(tool_call(ASK_TAGGED, message="You?", match_all=["none"], match_some=[]), text("Nobody."))
    await send(ada, "Ask.")
    assert (await return_of(ada))["text"] == "[]"


async def test_a_message_is_left_and_read_once_the_other_agent_is_free(
    ada: Agent, bob: Agent, model: ScriptedModel, other_model: ScriptedModel
) -> None:
    goes_on = asyncio.Event()
    other_model.add([gate(goes_on), text("Done.")], text("Noted."))
    busy = await start(bob, "Work.")
    model.add(tool_call(LEAVE, message="The way is ten miles.", other_agent_id=bob.id), text("I told Bob."))
    await send(ada, "Tell Bob.")
    assert (await return_of(ada))["text"] == "Successfully sent message"
    await run_worker(name="test", queues={DEFAULT_QUEUE: 1}, wait=False)
    assert await stored_of_system(bob) == []
    goes_on.set()
    await finish(busy)
    await retry_now()
    async with run_queue_worker():
        await run_worker(name="test", queues={DEFAULT_QUEUE: 1}, wait=False)
        run = await db(lambda: Run.objects.filter(agent=bob).order_by("-created_at")[0])
        assert (await finish(run.id)).stop_reason == "end_turn"
    (read,) = await stored_of_system(bob)
    assert read.text.endswith("The way is ten miles.")
    assert (run.background, run.metadata["asked_by_agent_id"]) == (True, ada.id)


async def retry_now() -> None:
    """Let jobs that are to be tried again later be due."""

    def due() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")

    await db(due)


def _letters() -> Any:
    """Messages that were left and are neither delivered nor dropped."""
    return ProcrastinateJob.objects.filter(task_name="deliver_message", status__in=["todo", "failed"])


async def test_a_message_for_an_agent_that_is_deleted_meanwhile_is_dropped(
    ada: Agent, bob: Agent, model: ScriptedModel
) -> None:
    model.add(tool_call(LEAVE, message="Hello.", other_agent_id=bob.id), text("Told."))
    await send(ada, "Tell Bob.")
    caller = await db(make_caller)
    await db(lambda: delete_agent(caller=caller, agent_id=bob.id))
    await run_worker(name="test", queues={DEFAULT_QUEUE: 1}, wait=False)
    assert not await db(lambda: _letters().exists())
