"""Calls that wait, against the database: what is stored when, what answers are taken, and that no agent waits for ever (§6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents import streams
from agents.models import Agent, ContextEntry, Conversation, Message, Run, RunLease
from agents.services import execution, leases
from agents.services.agent_context import reset_messages
from agents.services.agent_tools import detach_tool, set_approval
from agents.services.agents import AgentChanges, AgentDraft, create_agent, delete_agent, update_agent
from agents.services.approvals import CLOSED, CLOSED_RETURN, PendingApproval
from agents.services.conversations import get_default_conversation
from agents.services.run_requests import AnswersInput, ClientTool
from letta_ade.core.errors import Conflict, Invalid, NotFound
from letta_ade.core.ids import message_id_before, new_id
from letta_ade.llm.errors import ModelBadRequest
from letta_ade.llm.testing import ScriptedModel, error, gate, hang, installed, reasoning, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller, make_conversation, make_message
from tests.support.runs import Finished, context_of, db, finish, roles, said, send, start, stored_of
from tests.support.workers import run_queue_worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]

SHELL = ClientTool(name="shell", parameters={"type": "object", "properties": {"command": {"type": "string"}}})
RULE = {"type": "requires_approval", "tool_name": "memory_insert"}


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


def make(model: ScriptedModel, **fields: Any) -> Agent:
    values: dict[str, Any] = {
        "model": model.handle,
        "blocks": (BlockDraft(label="human", value="Name: Ada"),),
        "tool_rules": (RULE,),
    }
    return create_agent(caller=make_caller(), draft=AgentDraft(**{**values, **fields}))


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return make(model)


def insert(words: str = "Likes tea.", **fields: Any) -> Any:
    """The call that waits."""
    return tool_call("memory_insert", label="human", new_string=words, **fields)


def replace(**fields: Any) -> Any:
    """A call that does not."""
    return tool_call("memory_replace", label="human", old_string="Ada", new_string="Grace", **fields)


def yes(call_id: str) -> dict[str, Any]:
    return {"type": "approval", "tool_call_id": call_id, "approve": True, "reason": None}


def no(call_id: str, reason: str | None = None) -> dict[str, Any]:
    return {"type": "approval", "tool_call_id": call_id, "approve": False, "reason": reason}


def returned(call_id: str, value: Any = "42", status: str = "success") -> dict[str, Any]:
    return {"type": "tool", "tool_call_id": call_id, "tool_return": value, "status": status}


def answers(*items: dict[str, Any], **fields: Any) -> AnswersInput:
    return AnswersInput(items=items, **fields)


async def asked(agent: Agent, model: ScriptedModel, *pieces: Any, **fields: Any) -> Finished:
    """A run that ends in a request; the call that waits is c1."""
    model.add(list(pieces) or insert(call_id="c1"))
    run = await send(agent, "Hello", **fields)
    assert run.stop_reason == "requires_approval"
    return run


async def request_of(agent: Agent) -> Message:
    request = (await context_of(agent))[-1]
    assert (request.role, request.approvals) == ("approval", None)
    return request


async def block_of(agent: Agent) -> str:
    return await db(lambda: agent.blocks.get(label="human").value)


async def status_of(run_id: str) -> tuple[str, str | None]:
    run = await db(lambda: Run.objects.get(id=run_id))
    return run.status, run.stop_reason


async def assert_talks(agent: Agent, model: ScriptedModel, words: str = "Still there?") -> None:
    """The agent takes messages, and every call that the model reads has its one return."""
    model.add(text("Yes."))
    run = await send(agent, words)
    assert (run.stop_reason, run.end.status) == ("end_turn", "completed")
    calls, returns = [], []
    for message in model.payloads[-1]["messages"]:
        calls += [call["id"] for call in message.get("tool_calls", ())]
        returns += [each["tool_call_id"] for each in message.get("tool_returns", ())]
    assert calls == returns


# Asking.


async def test_free_calls_and_thoughts_come_before_the_request_whose_id_is_one_less(
    agent: Agent, model: ScriptedModel
) -> None:
    run = await asked(
        agent, model, reasoning("Two things."), text("I try."), insert(call_id="c1"), replace(call_id="c2")
    )
    user, said_by_agent, request = await context_of(agent)
    assert roles([user, said_by_agent, request]) == ["user", "assistant", "approval"]
    assert [part["type"] for part in said_by_agent.content] == ["reasoning", "text"]
    assert [call["id"] for call in said_by_agent.tool_calls] == ["c2"]
    assert [call["id"] for call in request.tool_calls] == ["c1"]
    assert request.id == message_id_before(said_by_agent.id)
    assert said_by_agent.created_at < request.created_at
    assert said_by_agent.step_id == request.step_id
    assert await status_of(run.run_id) == ("completed", "requires_approval")
    assert await block_of(agent) == "Name: Ada"
    assert (await db(lambda: Agent.objects.get(id=agent.id))).last_stop_reason == "requires_approval"
    assert not await db(RunLease.objects.exists)


async def test_a_request_without_words_and_free_calls_stands_alone(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    assert roles(await context_of(agent)) == ["user", "approval"]


async def test_while_it_waits_a_message_is_refused_with_the_requests_id_and_nothing_is_stored(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    request = await request_of(agent)
    for background in (False, True):
        with pytest.raises(PendingApproval) as refused:
            await send(agent, "Hurry", background=background)
        assert refused.value.wire_detail() == {
            "code": "PENDING_APPROVAL",
            "message": refused.value.message,
            "pending_request_id": request.id,
        }
        assert refused.value.status == 409
    assert await db(Run.objects.count) == 1
    assert roles(await stored_of(agent)) == ["user", "approval"]


async def test_another_conversation_of_the_agent_does_not_wait(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    other = await db(lambda: make_conversation(agent=agent))
    model.add(text("Here."))
    assert (await send(agent, "Hi", conversation_id=other.id)).stop_reason == "end_turn"


# Answering.


async def test_an_approved_call_and_the_free_ones_run_in_the_step_of_the_request(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    request = await request_of(agent)
    model.add(text("Done."))
    run = await send(agent, answers=answers(yes("c1"), otid="o-answer"))
    answer, tool, final = (await context_of(agent))[3:]
    assert roles([answer, tool, final]) == ["approval", "tool", "assistant"]
    assert answer.approvals == [yes("c1")]
    assert answer.otid == "o-answer"
    assert (answer.step_id, tool.step_id) == (request.step_id, request.step_id)
    assert final.step_id != request.step_id
    assert {answer.run_id, tool.run_id, final.run_id} == {run.run_id}
    assert [each["tool_call_id"] for each in tool.tool_returns] == ["c2", "c1"]
    assert [each["status"] for each in tool.tool_returns] == ["success", "success"]
    assert await block_of(agent) == "Name: Grace\nLikes tea."
    times = [message.created_at for message in await stored_of(agent)]
    assert times == sorted(set(times))


async def test_a_denial_is_told_with_its_reason_and_changes_nothing(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(text("I see."))
    await send(agent, answers=answers(no("c1", "Ada drinks coffee.")))
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    [told] = tool.tool_returns
    assert (told["status"], told["was_run"]) == ("error", False)
    assert "denied" in told["text"]
    assert "Ada drinks coffee." in told["text"]
    assert await block_of(agent) == "Name: Ada"
    await assert_talks(agent, model)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("42", "42"),
        ("", ""),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\ntwo"),
        (
            [{"type": "text", "text": "See"}, {"type": "image", "source": {"type": "base64", "data": "x"}}],
            "See\n[1 image left out]",
        ),
        ("a null \0 inside", "a null  inside"),
    ],
    ids=["text", "nothing", "parts", "an image", "a null"],
)
async def test_the_clients_return_is_taken_as_given(
    agent: Agent, model: ScriptedModel, value: Any, read: str
) -> None:
    await asked(agent, model, tool_call("shell", call_id="c1", command="ls"), client_tools=(SHELL,))
    model.add(text("ok"))
    item = {**returned("c1", value, "error"), "stdout": ["out"], "stderr": ["err"]}
    run = await send(agent, answers=answers(item), client_tools=(SHELL,))
    assert run.stop_reason == "end_turn"
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    [told] = tool.tool_returns
    assert (told["text"], told["status"], told["stdout"], told["stderr"]) == (read, "error", ["out"], ["err"])
    assert told["name"] == "shell"


async def test_a_clients_return_is_cut_by_its_share_of_the_window(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model, tool_call("shell", call_id="c1"), client_tools=(SHELL,))
    model.add(text("ok"))
    limit = int((await db(lambda: Agent.objects.get(id=agent.id))).context_window_limit * 0.8)
    await send(agent, answers=answers(returned("c1", "x" * (limit + 7))))
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    assert tool.tool_returns[0]["text"].startswith("x" * limit + "… [The return was cut")
    assert f"it has {limit + 7} characters" in tool.tool_returns[0]["text"]


async def test_a_small_window_leaves_a_clients_return_five_thousand_characters(model: ScriptedModel) -> None:
    agent = await db(lambda: make(model, context_window_limit=4000))
    await asked(agent, model, tool_call("shell", call_id="c1"), client_tools=(SHELL,))
    model.add(text("ok"))
    await send(agent, answers=answers(returned("c1", "x" * 6000)))
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    assert tool.tool_returns[0]["text"].startswith("x" * 5000 + "… [The return was cut")


async def test_answers_of_all_kinds_are_stored_together(agent: Agent, model: ScriptedModel) -> None:
    await db(
        lambda: set_approval(
            caller=make_caller(), agent_id=agent.id, tool_name="memory_replace", requires_approval=True
        )
    )
    await asked(
        agent,
        model,
        insert(call_id="c1"),
        tool_call("shell", call_id="c2"),
        replace(call_id="c3"),
        tool_call("conversation_search", call_id="c4", query="tea"),
        client_tools=(SHELL,),
    )
    model.add(text("ok"))
    # In another order than the calls.
    await send(agent, answers=answers(no("c3"), returned("c2"), yes("c1")), client_tools=(SHELL,))
    answer, tool = (await context_of(agent))[3:5]
    assert [each["tool_call_id"] for each in answer.approvals or ()] == ["c1", "c2", "c3"]
    assert [(each["tool_call_id"], each["status"]) for each in tool.tool_returns] == [
        ("c4", "success"),
        ("c1", "success"),
        ("c2", "success"),
        ("c3", "error"),
    ]


WRONG: dict[str, AnswersInput] = {
    "another id": answers(yes("c9"), yes("c2")),
    "some": answers(yes("c1")),
    "too many": answers(yes("c1"), yes("c2"), yes("c3")),
    "one twice": answers(yes("c1"), yes("c1")),
    "one twice beside the other": answers(yes("c1"), yes("c1"), yes("c2")),
    "a free call": answers(yes("c1"), yes("c2"), yes("free")),
    "none": answers(),
    "the request for two calls": AnswersInput(approve=True, request_id="c1"),
    "one decision for two calls": AnswersInput(approve=True),
}


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("background", [False, True])
async def test_answers_to_other_calls_than_those_that_wait_are_refused_and_nothing_is_stored(
    agent: Agent, model: ScriptedModel, given: AnswersInput, background: bool
) -> None:
    await asked(agent, model, insert(call_id="c1"), insert(call_id="c2"), replace(call_id="free"))
    before = roles(await stored_of(agent))
    with pytest.raises(Invalid):
        await send(agent, "And", answers=given, background=background)
    assert roles(await stored_of(agent)) == before
    assert await db(Run.objects.count) == 1
    assert not await db(RunLease.objects.exists)
    assert await block_of(agent) == "Name: Ada"
    model.add(text("ok"))
    assert (await send(agent, answers=answers(yes("c2"), no("c1")))).stop_reason == "end_turn"


async def test_an_answer_without_a_request_is_refused(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi"))
    await send(agent, "Hello")
    for given in (
        answers(yes("c1")),
        AnswersInput(approve=True),
        AnswersInput(approve=True, request_id="c1"),
    ):
        with pytest.raises(Invalid, match="waits for an approval"):
            await send(agent, answers=given)
    assert roles(await stored_of(agent)) == ["user", "assistant"]


async def test_only_the_client_can_run_its_tools(agent: Agent, model: ScriptedModel) -> None:
    # It has the name of a tool of the server, which it hides.
    mine = ClientTool(name="memory_replace")
    await asked(agent, model, replace(call_id="c1"), client_tools=(mine,))
    with pytest.raises(Invalid, match="runs at the client"):
        await send(agent, answers=answers(yes("c1")), client_tools=(mine,))
    assert await block_of(agent) == "Name: Ada"
    model.add(text("ok"))
    run = await send(agent, answers=answers(no("c1")), client_tools=(mine,))
    assert run.stop_reason == "end_turn"


async def test_a_tool_of_the_client_hides_the_servers_of_the_same_name(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Hi"))
    mine = ClientTool(name="memory_insert", description="Mine.")
    await send(agent, "Hello", client_tools=(mine, SHELL))
    tools = {tool.name: tool.description for tool in model.requests[0].tools}
    assert tools["memory_insert"] == "Mine."
    assert "shell" in tools
    assert len(tools) == len(model.requests[0].tools)


# The older form, with one decision for the request.


@pytest.mark.parametrize("by", ["the request", "the call", "nothing", "the request as a call"])
@pytest.mark.parametrize("approve", [True, False])
async def test_one_waiting_call_is_answered_in_the_older_form(
    agent: Agent, model: ScriptedModel, by: str, approve: bool
) -> None:
    await asked(agent, model)
    request = await request_of(agent)
    given = {
        "the request": AnswersInput(approve=approve, request_id=request.id, reason="because"),
        "the call": AnswersInput(approve=approve, request_id="c1", reason="because"),
        "nothing": AnswersInput(approve=approve, reason="because"),
        "the request as a call": answers(
            {"type": "approval", "tool_call_id": request.id, "approve": approve, "reason": "because"}
        ),
    }[by]
    model.add(text("ok"))
    first = await send(agent, answers=given)
    assert (await block_of(agent) == "Name: Ada\nLikes tea.") is approve
    answer = (await context_of(agent))[2]
    assert answer.approvals == [
        {"type": "approval", "tool_call_id": "c1", "approve": approve, "reason": "because"}
    ]
    if by != "nothing":
        assert (await send(agent, answers=given)).run_id == first.run_id


async def test_a_decision_for_another_request_is_refused(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    with pytest.raises(Invalid, match="No request"):
        await send(agent, answers=AnswersInput(approve=True, request_id=new_id("message")))


# What is said beside the answers, and answers that are sent again.


async def test_what_is_said_beside_the_answers_is_heard_after_them(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(text("ok"))
    await send(agent, said("And", otid="o1"), said("hurry."), answers=answers(yes("c1")))
    assert roles(await context_of(agent)) == [
        "user",
        "approval",
        "approval",
        "tool",
        "user",
        "user",
        "assistant",
    ]
    sent = model.payloads[-1]["messages"]
    assert [message["role"] for message in sent[-3:]] == ["tool", "user", "user"]


async def test_the_same_answers_again_give_the_same_run_and_run_nothing_again(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(text("ok"))
    first = await send(agent, answers=answers(yes("c1")))
    for background in (False, True):
        again = await send(agent, answers=answers(yes("c1")), background=background)
        assert again.run_id == first.run_id
        assert [type(event) for event in again.events] == [type(event) for event in first.events]
    assert await block_of(agent) == "Name: Ada\nLikes tea."
    assert await db(Run.objects.count) == 2


async def test_a_repeat_with_something_new_beside_it_says_the_new(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    model.add(text("ok"), text("I hurry."))
    first = await send(agent, answers=answers(yes("c1")))
    again = await send(agent, "Hurry.", answers=answers(yes("c1")))
    assert again.run_id != first.run_id
    assert roles(await context_of(agent))[-3:] == ["assistant", "user", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_answers_are_still_known_ten_messages_later_and_not_much_longer(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(*(text("ok") for _ in range(6)))
    first = await send(agent, answers=answers(yes("c1")))
    for _ in range(3):
        await send(agent, "More")
    assert (await send(agent, answers=answers(yes("c1")))).run_id == first.run_id
    await send(agent, "More")
    await send(agent, "More")
    with pytest.raises(Invalid):
        await send(agent, answers=answers(yes("c1")))


async def test_an_answer_that_has_just_left_the_context_is_still_known(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(text("ok"))
    first = await send(agent, answers=answers(yes("c1")))
    conversation = await db(lambda: get_default_conversation(agent))
    await db(lambda: conversation.entries.filter(position__gt=0).delete())
    assert (await send(agent, answers=answers(yes("c1")))).run_id == first.run_id
    with pytest.raises(Invalid):
        await send(agent, answers=answers(yes("c9")))


async def test_a_repeat_after_the_model_failed_lets_the_run_go_on(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    model.add([error(ModelBadRequest("no"))], text("Done."))
    failed = await send(agent, answers=answers(yes("c1")))
    assert failed.end.status == "failed"
    again = await send(agent, answers=answers(yes("c1")))
    assert again.run_id != failed.run_id
    assert again.stop_reason == "end_turn"
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."
    assert model.payloads[-1]["messages"][-1]["role"] == "tool"


async def test_a_repeat_after_the_failure_was_talked_over_is_only_a_repeat(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add([error(ModelBadRequest("no"))], text("Never mind."))
    failed = await send(agent, answers=answers(yes("c1")))
    await send(agent, "Well?")
    assert (await send(agent, answers=answers(yes("c1")))).run_id == failed.run_id


async def test_what_was_said_beside_answers_to_a_model_that_failed_is_kept(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add([error(ModelBadRequest("no"))])
    await send(agent, "Hurry.", answers=answers(yes("c1")))
    kept = (await stored_of(agent))[-1]
    assert (kept.role, kept.text, kept.is_err) == ("user", "Hurry.", True)
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool"]


async def test_the_same_answers_while_they_are_worked_on_are_told_of_the_run(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    release = asyncio.Event()
    model.add([gate(release), text("ok")])
    run_id = await start(agent, answers=answers(yes("c1"), otid="o1"))
    with pytest.raises(leases.RunBusy) as busy:
        await start(agent, answers=answers(yes("c1")))
    assert busy.value.data["run_id"] == run_id
    # With an otid it is known as a repeat.
    assert await start(agent, answers=answers(yes("c1"), otid="o1")) == run_id
    release.set()
    await finish(run_id)


# Rules over the pause.


async def test_rules_look_back_over_the_pause(model: ScriptedModel) -> None:
    rules = (
        RULE,
        {"type": "run_first", "tool_name": "memory_insert"},
        {"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 1},
    )
    agent = await db(lambda: make(model, tool_rules=rules))
    await asked(agent, model)
    assert model.requests[-1].tool_choice.name == "memory_insert"
    model.add(text("ok"))
    await send(agent, answers=answers(yes("c1")))
    request = model.requests[-1]
    assert request.tool_choice.mode == "auto"
    assert "memory_insert" not in {tool.name for tool in request.tools}
    # A new turn begins with an empty history.
    model.add(insert(call_id="c2"))
    await send(agent, "Again")
    assert model.requests[-1].tool_choice.name == "memory_insert"


async def test_an_approved_exit_tool_ends_the_run_with_its_return(model: ScriptedModel) -> None:
    agent = await db(
        lambda: make(model, tool_rules=(RULE, {"type": "exit_loop", "tool_name": "memory_insert"}))
    )
    await asked(agent, model)
    run = await send(agent, answers=answers(yes("c1")))
    assert run.stop_reason == "tool_rule"
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool"]
    assert await status_of(run.run_id) == ("completed", "tool_rule")
    await assert_talks(agent, model)


async def test_an_approved_call_with_bad_arguments_tells_the_model(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model, tool_call("memory_insert", call_id="c1", json_text='{"label": '))
    model.add(text("Sorry."))
    run = await send(agent, answers=answers(yes("c1")))
    assert run.stop_reason == "end_turn"
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    assert tool.tool_returns[0]["status"] == "error"
    assert "BadArguments" in tool.tool_returns[0]["text"]


# In the background.


async def test_answers_are_worked_on_in_the_background(agent: Agent, model: ScriptedModel) -> None:
    async with run_queue_worker():
        model.add(insert(call_id="c1"))
        run = await send(agent, "Hello", background=True)
        assert run.stop_reason == "requires_approval"
        model.add(text("Done."))
        run = await send(agent, "Hurry.", answers=answers(yes("c1")), background=True)
    assert run.stop_reason == "end_turn"
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool", "user", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_tools_of_the_client_are_offered_in_the_background(agent: Agent, model: ScriptedModel) -> None:
    async with run_queue_worker():
        model.add(tool_call("shell", call_id="c1"))
        run = await send(agent, "Hello", background=True, client_tools=(SHELL,))
        assert run.stop_reason == "requires_approval"
        model.add(text("Done."))
        run = await send(agent, answers=answers(returned("c1")), background=True, client_tools=(SHELL,))
    assert run.stop_reason == "end_turn"
    assert "shell" in {tool.name for tool in model.requests[-1].tools}


@pytest.mark.parametrize("words", [(), ("Hurry.",)], ids=["alone", "with words"])
async def test_a_worker_goes_on_after_the_answers_that_another_one_stored(
    agent: Agent, model: ScriptedModel, words: tuple[str, ...]
) -> None:
    await asked(agent, model)
    is_called = asyncio.Event()

    def reply(payload: Any) -> Any:
        is_called.set()
        return [hang()]

    model.add(reply)
    run_id = await start(agent, *words, answers=answers(yes("c1")), background=True)
    working = asyncio.create_task(execution.carry_out(run_id))
    await is_called.wait()
    assert roles(await context_of(agent))[-1] == "tool"
    # The server stops: it hands the run over.
    await execution.stop_all()
    await working
    model.add(text("Done."))
    await execution.carry_out(run_id)
    assert await status_of(run_id) == ("completed", "end_turn")
    expected = ["user", "approval", "approval", "tool", *(["user"] if words else []), "assistant"]
    assert roles(await context_of(agent)) == expected
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_what_was_said_beside_the_answers_outlives_a_process_that_dies(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    is_called = asyncio.Event()

    def reply(payload: Any) -> Any:
        is_called.set()
        return [hang()]

    model.add(reply)
    run_id = await start(agent, "Hurry.", answers=answers(yes("c1")))
    await is_called.wait()
    await streams.flush()
    host = leases.OWNER.rsplit(":", 2)[0]
    # No process has this number: it is over the kernel's limit.
    await db(lambda: RunLease.objects.update(owner=f"{host}:4194305:gone"))
    assert await db(leases.reap_abandoned_runs) == [run_id]
    kept = [message.text for message in await stored_of(agent) if message.is_err]
    assert kept == ["Hurry."]
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool"]
    # The process was not dead after all: it finds that the run is no longer its own.
    await execution.stop_all()
    assert await status_of(run_id) == ("failed", "error")
    assert [message.text for message in await stored_of(agent) if message.is_err] == kept
    await assert_talks(agent, model)


# Agents that forget after each request.


async def test_an_agent_that_forgets_does_not_forget_what_waits(model: ScriptedModel) -> None:
    agent = await db(lambda: make(model, message_buffer_autoclear=True))
    model.add(text("Hi"))
    await send(agent, "Xylophone")
    await asked(agent, model)
    assert "Xylophone" not in json.dumps(model.payloads[-1]["messages"])
    with pytest.raises(PendingApproval):
        await send(agent, "Hurry")
    model.add(text("ok"))
    await send(agent, "Hurry", answers=answers(yes("c1")))
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool", "user", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."
    model.add(text("Anew"))
    await send(agent, "Later")
    assert roles(await context_of(agent)) == ["user", "assistant"]


# Cancelling.


async def cancel(agent: Agent, **fields: Any) -> dict[str, str]:
    return await execution.cancel_runs(caller=await db(make_caller), agent_id=agent.id, **fields)


async def test_a_cancel_closes_what_waits_and_the_agent_takes_messages_again(
    agent: Agent, model: ScriptedModel
) -> None:
    run = await asked(agent, model, text("Two."), insert(call_id="c1"), replace(call_id="c2"))
    request = await request_of(agent)
    assert await cancel(agent) == {run.run_id: "cancelled"}
    answer, tool = (await context_of(agent))[3:]
    assert answer.approvals == [no("c1", CLOSED)]
    assert [(each["tool_call_id"], each["status"], each["was_run"]) for each in tool.tool_returns] == [
        ("c2", "error", False),
        ("c1", "error", False),
    ]
    assert {each["text"] for each in tool.tool_returns} == {CLOSED_RETURN}
    assert {(row.run_id, row.step_id) for row in (answer, tool)} == {(run.run_id, request.step_id)}
    assert await status_of(run.run_id) == ("cancelled", "cancelled")
    assert (await db(lambda: Agent.objects.get(id=agent.id))).last_stop_reason == "cancelled"
    assert await block_of(agent) == "Name: Ada"
    times = [message.created_at for message in await stored_of(agent)]
    assert times == sorted(set(times))
    await assert_talks(agent, model)


async def test_after_a_cancel_there_is_nothing_more_to_cancel(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    await cancel(agent)
    with pytest.raises(Conflict, match="nothing to cancel"):
        await cancel(agent)
    assert await cancel(agent, run_ids=[run.run_id]) == {run.run_id: "cancelled"}
    assert len(await context_of(agent)) == 4


async def test_an_answer_that_comes_after_the_cancel_runs_nothing(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    await cancel(agent)
    late = await send(agent, answers=answers(yes("c1")))
    assert late.run_id == run.run_id
    assert await block_of(agent) == "Name: Ada"
    model.add(text("As you wish."))
    assert (await send(agent, "Never mind.", answers=answers(yes("c1")))).stop_reason == "end_turn"


async def test_the_run_that_asked_can_be_named(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi"))
    earlier = await send(agent, "Hello")
    run = await asked(agent, model)
    assert await cancel(agent, run_ids=[earlier.run_id]) == {earlier.run_id: "cancelled"}
    assert await status_of(earlier.run_id) == ("completed", "end_turn")
    await request_of(agent)
    assert await cancel(agent, run_ids=[run.run_id]) == {run.run_id: "cancelled"}
    await assert_talks(agent, model)


async def test_a_cancel_of_one_conversation_leaves_what_waits_in_another(
    agent: Agent, model: ScriptedModel
) -> None:
    other = await db(lambda: make_conversation(agent=agent))
    first = await asked(agent, model)
    second = await asked(agent, model, insert(call_id="c2"), conversation_id=other.id)
    assert await cancel(agent, conversation_id=other.id) == {second.run_id: "cancelled"}
    await request_of(agent)
    assert await cancel(agent) == {first.run_id: "cancelled"}


async def test_while_a_run_goes_on_a_cancel_ends_it_and_not_what_waits_elsewhere(
    agent: Agent, model: ScriptedModel
) -> None:
    waiting = await asked(agent, model)
    other = await db(lambda: make_conversation(agent=agent))
    model.add([hang()])
    run_id = await start(agent, "Hi", conversation_id=other.id)
    assert await cancel(agent) == {run_id: "cancelled"}
    assert await status_of(waiting.run_id) == ("completed", "requires_approval")
    await request_of(agent)


async def test_what_waits_for_another_agent_is_not_found(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    other = await db(lambda: make(model))
    with pytest.raises(NotFound):
        await cancel(other, run_ids=[run.run_id])
    with pytest.raises(Conflict):
        await cancel(other)
    await request_of(agent)


async def test_a_request_whose_run_is_gone_can_be_closed(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    request = await request_of(agent)
    await db(lambda: Run.objects.filter(id=run.run_id).delete())
    assert await cancel(agent) == {request.id: "cancelled"}
    await assert_talks(agent, model)


async def test_a_cancel_while_the_approved_tool_runs_keeps_the_answer(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.services import journal

    began, release = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> tuple[()]:
        began.set()
        await release.wait()
        return ()

    await asked(agent, model)
    monkeypatch.setattr(journal.DatabaseJournal, "execute", slow)
    run_id = await start(agent, "Hurry.", answers=answers(yes("c1")))
    await began.wait()
    assert await cancel(agent) == {run_id: "cancelled"}
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool"]
    kept = (await stored_of(agent))[-1]
    assert (kept.text, kept.is_err) == ("Hurry.", True)
    assert await block_of(agent) == "Name: Ada"
    monkeypatch.undo()
    await assert_talks(agent, model)


async def test_a_cancel_of_queued_answers_leaves_the_request_open(agent: Agent, model: ScriptedModel) -> None:
    asked_in = await asked(agent, model)
    run_id = await start(agent, answers=answers(yes("c1")), background=True)
    assert await cancel(agent) == {run_id: "cancelled"}
    await request_of(agent)
    assert await cancel(agent) == {asked_in.run_id: "cancelled"}
    await assert_talks(agent, model)


async def test_a_run_that_is_cancelled_too_late_leaves_nothing_waiting(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends in a request between the look at the runs and the stop."""
    release = asyncio.Event()
    model.add([gate(release), insert(call_id="c1")])
    run_id = await start(agent, "Hello")
    looked = execution._runs_to_cancel

    def look(*arguments: Any) -> dict[str, bool]:
        found = looked(*arguments)
        loop.call_soon_threadsafe(release.set)
        while Run.objects.filter(id=run_id, status="running").exists():
            pass
        return found

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(execution, "_runs_to_cancel", look)
    assert await cancel(agent) == {run_id: "cancelled"}
    assert await status_of(run_id) == ("cancelled", "cancelled")
    await assert_talks(agent, model)


async def test_an_answer_that_has_just_come_is_not_closed(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    release = asyncio.Event()
    model.add([gate(release), text("ok")])

    from agents.services.approvals import close_request

    answering = await start(agent, answers=answers(yes("c1")))
    conversation = await db(lambda: get_default_conversation(agent))
    caller = await db(make_caller)
    with pytest.raises(leases.RunBusy):
        await db(lambda: close_request(caller=caller, conversation=conversation))
    release.set()
    await finish(answering)
    assert not await db(lambda: close_request(caller=caller, conversation=conversation))
    assert await status_of(run.run_id) == ("completed", "requires_approval")


# Changes of the agent while it waits.


async def test_a_reset_forgets_what_waits(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    await db(lambda: reset_messages(caller=make_caller(), agent_id=agent.id))
    assert await context_of(agent) == []
    with pytest.raises(Invalid):
        await send(agent, answers=answers(yes("c1")))
    with pytest.raises(Conflict):
        await cancel(agent)
    await assert_talks(agent, model)


async def set_messages(agent: Agent, *message_ids: str) -> None:
    def change() -> None:
        entries = get_default_conversation(agent).entries
        system_id = entries.get(position=0).message_id
        changes = AgentChanges(message_ids=(system_id, *message_ids))
        update_agent(caller=make_caller(), agent_id=agent.id, changes=changes)

    await db(change)


@pytest.mark.parametrize("kept", [(), (0,), (0, 1), (1,)], ids=["nothing", "user", "user and calls", "calls"])
async def test_a_context_without_the_request_does_not_wait(
    agent: Agent, model: ScriptedModel, kept: tuple[int, ...]
) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    messages = await context_of(agent)
    await set_messages(agent, *(messages[place].id for place in kept))
    await assert_talks(agent, model)


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 2, 1), (2, 1, 0)])
async def test_a_context_that_does_not_end_with_the_request_does_not_wait(
    agent: Agent, model: ScriptedModel, order: tuple[int, ...]
) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    messages = await context_of(agent)
    await set_messages(agent, *(messages[place].id for place in order))
    await assert_talks(agent, model)


@pytest.mark.parametrize("kept", [(2,), (0, 2), (1, 2)], ids=["alone", "with the user", "with its calls"])
async def test_a_request_that_is_left_at_the_end_can_be_answered_or_closed(
    agent: Agent, model: ScriptedModel, kept: tuple[int, ...]
) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    messages = await context_of(agent)
    await set_messages(agent, *(messages[place].id for place in kept))
    with pytest.raises(PendingApproval):
        await send(agent, "Hurry")
    model.add(text("ok"))
    assert (await send(agent, answers=answers(yes("c1")))).stop_reason == "end_turn"
    await set_messages(agent, messages[2].id)
    await cancel(agent)
    await assert_talks(agent, model)


async def test_a_tool_that_is_detached_meanwhile_does_not_run(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))

    def detach() -> None:
        for tool in agent.tools.filter(name__in=["memory_insert", "memory_replace"]):
            detach_tool(caller=make_caller(), agent_id=agent.id, tool_id=tool.id)

    await db(detach)
    model.add(text("I cannot."))
    assert (await send(agent, answers=answers(yes("c1")))).stop_reason == "end_turn"
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    assert [each["status"] for each in tool.tool_returns] == ["error", "error"]
    assert await block_of(agent) == "Name: Ada"
    await assert_talks(agent, model)


async def test_a_rule_that_is_lifted_meanwhile_leaves_the_request_as_it_is(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    await db(
        lambda: set_approval(
            caller=make_caller(), agent_id=agent.id, tool_name="memory_insert", requires_approval=False
        )
    )
    with pytest.raises(PendingApproval):
        await send(agent, "Hurry")
    model.add(text("ok"))
    await send(agent, answers=answers(yes("c1")))
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_an_agent_that_waits_can_be_deleted(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    await db(lambda: delete_agent(caller=make_caller(), agent_id=agent.id))
    assert not await db(Message.objects.exists)
    with pytest.raises(NotFound):
        await send(agent, answers=answers(yes("c1")))
    with pytest.raises(NotFound):
        await cancel(agent)


# What is found.


async def test_only_a_request_at_the_end_of_a_context_waits(agent: Agent, model: ScriptedModel) -> None:
    from agents.services.approvals import waiting_entries

    def waiting() -> list[str]:
        return [entry.message_id for entry in waiting_entries([agent.id, other.id])]

    other = await db(lambda: make(model))
    assert await db(waiting) == []
    await asked(agent, model)
    await asked(other, model, insert(call_id="c2"))
    requests = [(await request_of(each)).id for each in (agent, other)]
    assert sorted(await db(waiting)) == sorted(requests)
    model.add(text("ok"))
    await send(agent, answers=answers(yes("c1")))
    assert await db(waiting) == [requests[1]]
    # An answer is of the same role and waits for nobody.
    last = (await context_of(agent))[2]

    def shorten() -> None:
        conversation: Conversation = get_default_conversation(agent)
        place = ContextEntry.objects.get(conversation=conversation, message=last).position
        conversation.entries.filter(position__gt=place).delete()

    await db(shorten)
    assert await db(waiting) == [requests[1]]
    await db(lambda: make_message(conversation=get_default_conversation(other), in_context=True))
    assert await db(waiting) == []
