"""Agents whose memory edits wait for approval, in whole runs: what the model reads, and when it is told what was decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.models import Agent, Conversation, Message
from agents.services.agent_conversations import ConversationDraft, create_conversation, delete_conversation
from agents.services.agents import AgentDraft, create_agent, delete_agent
from agents.web.transcript import input_from
from letta_ade.core.ids import LOCAL_USER_ID
from letta_ade.llm.errors import ModelError
from letta_ade.llm.testing import ScriptedModel, error, installed, text, tool_call
from memory.models import Block, BlockProposal
from memory.services.block_policies import set_policy
from memory.services.blocks import BlockDraft
from memory.services.proposal_decisions import approve_proposal, reject_proposal
from tests.support.factories import make_caller
from tests.support.sending import context_of, db, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        model=model.handle,
        blocks=(BlockDraft(label="human", value="Name: Ada"), BlockDraft(label="scratch", value="old")),
        tool_names=(
            "memory",
            "memory_apply_patch",
            "memory_rethink",
            "core_memory_append",
            "rethink_user_memory",
        ),
        include_base_tool_rules=False,
    )
    agent = create_agent(caller=make_caller(), draft=draft)
    guard(agent, "human")
    return agent


def guard(agent: Agent, label: str, **rules: str) -> None:
    block = Block.objects.get(label=label, agent_links__agent=agent)
    set_policy(caller=make_caller(), block_id=block.id, rules=rules or {"agents": "propose"})


def insert(words: str, path: str = "human") -> Any:
    return tool_call("memory", command="insert", path=path, insert_text=words)


async def returns() -> list[str]:
    rows = await db(lambda: list(Message.objects.filter(role="tool").order_by("created_at")))
    return [each["text"] for row in rows for each in row.tool_returns]


async def pending() -> list[BlockProposal]:
    return await db(lambda: list(BlockProposal.objects.filter(state="pending").order_by("created_at")))


async def value_of(label: str) -> str:
    return await db(lambda: Block.objects.get(label=label).value)


def words_of(message: dict[str, Any]) -> str:
    return str(message.get("content") or "".join(part["text"] for part in message["parts"]))


def request_text(model: ScriptedModel, at: int) -> str:
    return json.dumps(model.payloads[at]["messages"], ensure_ascii=False)


async def test_an_agent_proposes_is_rejected_and_reads_the_reason_once_with_its_next_turn(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(insert("Born in 1815."), text("I proposed it."), text("I see."), text("Fine."))
    await send(agent, "I was born in 1815.")
    [proposal] = await pending()
    [returned] = await returns()
    assert returned.startswith("Not written")
    assert proposal.id in returned
    assert await value_of("human") == "Name: Ada"
    assert "Born in 1815" not in request_text(model, 1).split('"role": "user"')[0], "its memory is unchanged"
    assert (proposal.excerpt, proposal.value) == ("I was born in 1815.", "Name: Ada\nBorn in 1815.")
    message = await db(lambda: Message.objects.get(id=proposal.excerpt_message_id))
    assert (message.role, message.conversation_id) == ("user", proposal.conversation_id)

    reason = "It was 1816, ask again."
    await db(
        lambda: reject_proposal(caller=make_caller(name="Grace"), proposal_id=proposal.id, reason=reason)
    )
    await send(agent, "Hello?")
    sent = model.payloads[2]["messages"]
    note, said = sent[-2], sent[-1]
    assert (note["role"], words_of(said)) == ("user", "Hello?")
    told = json.loads(words_of(note))
    assert told["type"] == "system_alert"
    assert "rejected by Grace" in told["message"]
    assert reason in told["message"]
    assert "+ Born in 1815." in told["message"]
    stored = await db(lambda: BlockProposal.objects.get(id=proposal.id).told_message_id or "")
    assert stored in [message.id for message in await context_of(agent)]

    row = await db(lambda: Message.objects.get(id=stored))
    shown = input_from(row, {}, "You")
    assert (shown.who, shown.role, reason in shown.text) == ("Letta ADE", "system", True)
    row.created_by_id = LOCAL_USER_ID
    assert input_from(row, {}, "You").who == "You", "what somebody sends in its form is not ours"

    await send(agent, "And now?")
    assert request_text(model, 3).count("rejected by Grace") == 1, (
        "it stays in the context and is not said again"
    )


async def test_an_approval_is_in_the_memory_and_told(agent: Agent, model: ScriptedModel) -> None:
    model.add(insert("Likes tea."), text("Proposed."), text("Good."))
    await send(agent, "I like tea.")
    [proposal] = await pending()
    await db(lambda: approve_proposal(caller=make_caller(), proposal_id=proposal.id))
    await send(agent, "Hello?")
    sent = model.payloads[2]["messages"]
    assert "Likes tea." in words_of(sent[0])
    assert "approved by You" in words_of(sent[-2])


async def test_a_note_of_a_run_whose_first_step_fails_is_told_by_the_next_one(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(insert("x"), text("Proposed."))
    await send(agent, "x")
    [proposal] = await pending()
    await db(lambda: reject_proposal(caller=make_caller(), proposal_id=proposal.id, reason="No."))
    model.add(error(ModelError("The provider is broken.")))
    failed = await send(agent, "Lost?")
    assert failed.end.status == "failed"
    assert "Reason: No." in request_text(model, 2)
    assert (await db(lambda: BlockProposal.objects.get(id=proposal.id))).told_message_id is None
    model.add(text("Now."))
    await send(agent, "Again.")
    assert "Reason: No." in request_text(model, 3)
    assert (await db(lambda: BlockProposal.objects.get(id=proposal.id))).told_message_id is not None
    notes = await db(lambda: list(Message.objects.filter(role="user", text="")))
    assert len(notes) == 1


async def test_calls_of_one_reply_become_one_proposal_that_holds_them_all(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add([insert("a"), insert("b"), insert("free", "scratch")], insert("c"), text("Done"))
    await send(agent, "Go")
    [proposal] = await pending()
    assert proposal.value == "Name: Ada\na\nb\nc"
    assert await value_of("scratch") == "old\nfree"
    await db(lambda: approve_proposal(caller=make_caller(), proposal_id=proposal.id))
    assert await value_of("human") == "Name: Ada\na\nb\nc"


@pytest.mark.parametrize(
    "call",
    [
        tool_call("core_memory_append", label="human", content="x"),
        tool_call("memory_rethink", label="human", new_memory="x"),
        tool_call("rethink_user_memory", new_memory="x"),
        tool_call("memory", command="str_replace", path="human", old_string="Ada", new_string="x"),
        tool_call("memory", command="rename", old_path="human", new_path="person"),
        tool_call("memory", command="rename", path="human", description="Somebody."),
        tool_call("memory_apply_patch", label="human", patch="+x"),
        tool_call("memory_apply_patch", patch="*** Update Block: human\n*** Move to: person\n+x"),
    ],
    ids=lambda call: str(call),
)
async def test_every_tool_that_edits_a_block_proposes(agent: Agent, model: ScriptedModel, call: Any) -> None:
    model.add(call, insert("y"), text("Done"))
    await send(agent, "Go")
    first, second = await returns()
    assert "Not written" in first
    assert "Not written" in second, "the block keeps its label until a person agrees"
    block = await db(lambda: Block.objects.get(label="human"))
    assert (block.value, block.version) == ("Name: Ada", 1)
    [proposal] = await pending()
    await db(lambda: approve_proposal(caller=make_caller(), proposal_id=proposal.id))
    approved = await db(lambda: Block.objects.get(id=block.id))
    assert approved.value.endswith("\ny")


async def test_a_patch_says_what_it_proposed(agent: Agent, model: ScriptedModel) -> None:
    patch = "*** Update Block: human\n*** Move to: person\n+x\n*** Update Block: scratch\n+y"
    model.add(tool_call("memory_apply_patch", patch=patch), text("Done"))
    await send(agent, "Go")
    [returned] = await returns()
    assert [each["done"] for each in json.loads(returned)] == ["proposed", "proposed", "updated"]
    [proposal] = await pending()
    assert (proposal.value, proposal.changes) == ("Name: Ada\nx", {"label": "person"})


async def test_taking_a_block_away_cannot_wait_and_is_refused(agent: Agent, model: ScriptedModel) -> None:
    model.add(tool_call("memory", command="delete", path="human"), text("Done"))
    await send(agent, "Go")
    [returned] = await returns()
    assert "Forbidden" in returned
    assert "approval" in returned
    assert await db(lambda: agent.block_links.count()) == 2


async def test_a_read_only_rule_refuses_the_edit(agent: Agent, model: ScriptedModel) -> None:
    await db(lambda: guard(agent, "human", agents="read_only"))
    model.add(insert("x"), text("Done"))
    await send(agent, "Go")
    [returned] = await returns()
    assert "BlockReadOnly" in returned
    assert await pending() == []


async def test_a_background_agent_has_its_own_rule_and_tells_what_led_to_its_edit(
    model: ScriptedModel,
) -> None:
    draft = AgentDraft(
        model=model.handle,
        agent_type="sleeptime_agent",
        blocks=(BlockDraft(label="shared", value="a"), BlockDraft(label="own", value="b")),
        tool_names=("memory",),
        include_base_tool_rules=False,
    )
    agent = await db(lambda: create_agent(caller=make_caller(), draft=draft))
    await db(lambda: guard(agent, "shared", background_agents="propose"))
    await db(lambda: guard(agent, "own", agents="propose", background_agents="free"))
    model.add(insert("x", "shared"), insert("y", "own"), text("Done"))
    await send(agent, "user: I moved to Turin.")
    [proposal] = await pending()
    assert (proposal.label, proposal.is_background) == ("shared", True)
    assert proposal.excerpt == "user: I moved to Turin."
    assert await value_of("own") == "b\ny"


async def test_what_is_decided_is_told_where_it_was_proposed_or_when_that_is_gone_by_default(
    agent: Agent, model: ScriptedModel
) -> None:
    other = await db(
        lambda: create_conversation(caller=make_caller(), agent_id=agent.id, draft=ConversationDraft())
    )
    model.add(insert("x"), text("Proposed."), text("Hello."), text("Hello."))
    await send(agent, "x", conversation_id=other.id)
    [proposal] = await pending()
    await db(lambda: reject_proposal(caller=make_caller(), proposal_id=proposal.id, reason="No."))
    await send(agent, "Hello?")
    assert "Reason: No." not in request_text(model, 2)
    await db(lambda: delete_conversation(caller=make_caller(), conversation_id=other.id))
    await send(agent, "Hello again?")
    assert "Reason: No." in request_text(model, 3)


async def test_an_agent_that_is_deleted_takes_its_waiting_proposals_back(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(insert("x"), text("Proposed."))
    await send(agent, "x")
    [proposal] = await pending()
    await db(lambda: delete_agent(caller=make_caller(), agent_id=agent.id))
    closed = await db(lambda: BlockProposal.objects.get(id=proposal.id))
    assert (closed.state, closed.reason) == ("withdrawn", "The agent was deleted.")
    assert not await db(lambda: Conversation.objects.filter(agent_id=proposal.actor_id).exists())


async def test_a_private_copy_of_a_block_has_its_rules(agent: Agent, model: ScriptedModel) -> None:
    draft = ConversationDraft(isolated_block_labels=("human",))
    other = await db(lambda: create_conversation(caller=make_caller(), agent_id=agent.id, draft=draft))
    model.add(insert("x"), text("Proposed."))
    await send(agent, "x", conversation_id=other.id)
    [proposal] = await pending()
    await db(lambda: delete_conversation(caller=make_caller(), conversation_id=other.id))
    assert (await db(lambda: BlockProposal.objects.get(id=proposal.id))).state == "withdrawn"
