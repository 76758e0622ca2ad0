"""Calls that wait, against the database: what is stored when, and which answers are taken (spec/agent-loop.md §6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agents.models import Agent, Run, RunLease
from agents.services.agent_tools import set_approval
from agents.services.approvals import PendingApproval
from agents.services.run_requests import AnswersInput, ClientTool
from letta_ade.core.errors import Invalid
from letta_ade.core.ids import message_id_before, new_id
from letta_ade.llm.testing import ScriptedModel, installed, reasoning, text, tool_call
from tests.support.approvals import (
    RULE,
    SHELL,
    answers,
    asked,
    assert_talks,
    block_of,
    insert,
    make_careful_agent,
    no,
    replace,
    request_of,
    returned,
    status_of,
    yes,
)
from tests.support.factories import make_caller, make_conversation
from tests.support.sending import context_of, db, roles, send, stored_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return make_careful_agent(model)


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
    agent = await db(lambda: make_careful_agent(model, context_window_limit=4000))
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


# Rules over the pause.


async def test_rules_look_back_over_the_pause(model: ScriptedModel) -> None:
    rules = (
        RULE,
        {"type": "run_first", "tool_name": "memory_insert"},
        {"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 1},
    )
    agent = await db(lambda: make_careful_agent(model, tool_rules=rules))
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
        lambda: make_careful_agent(
            model, tool_rules=(RULE, {"type": "exit_loop", "tool_name": "memory_insert"})
        )
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
