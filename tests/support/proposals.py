"""Proposals that wait, made as an agent's tool makes them, without a run."""

from __future__ import annotations

from agents.models import Agent, Conversation
from letta_ade.core.ids import new_id
from memory.models import Block, BlockProposal
from memory.services.block_policies import set_policy
from memory.services.block_writes import Origin
from memory.services.blocks import edit_block
from memory.services.proposals import Cause
from tests.support.factories import make_agent, make_agent_caller, make_block, make_caller


def make_proposal(
    *,
    agent: Agent | None = None,
    block: Block | None = None,
    value: str = "First line.\nSecond line.",
    label: str | None = None,
    excerpt: str = "Write that down.",
    excerpt_message_id: str | None = None,
    tool_name: str = "memory_insert",
    conversation: Conversation | None = None,
) -> BlockProposal:
    """The proposal of an agent for a block that it holds, each of a run of its own."""
    agent = agent or make_agent()
    block = block or make_block(agent=agent, label=label or "notes")
    set_policy(caller=make_caller(), block_id=block.id, rules={"agents": "propose"})
    done = edit_block(
        caller=make_agent_caller(agent),
        block_id=block.id,
        edit=lambda _: value,
        origin=Origin(
            run_id=new_id("run"), step_id=new_id("step"), message_id=new_id("message"), tool_name=tool_name
        ),
        find_cause=lambda: Cause(
            conversation_id=conversation.id if conversation else None,
            text=excerpt,
            message_id=excerpt_message_id,
        ),
    )
    assert done.proposal is not None
    return done.proposal
