"""What is attached to an agent, as rows with a position; callers have checked that all is of one workspace."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Max

from agents.models import Agent, AgentBlock, AgentTool
from letta_ade.core.errors import Conflict
from memory.models import Block
from tools.models import Tool


def link_blocks(agent: Agent, blocks: Sequence[Block]) -> None:
    """Attach the blocks after those that are there. Raises Conflict when two would share a label."""
    linked = list(Block.objects.filter(agent_links__agent=agent).only("id", "label"))
    held = {block.id for block in linked}
    new = list({block.id: block for block in blocks if block.id not in held}.values())
    _check_labels([*linked, *new])
    last = agent.block_links.aggregate(last=Max("position"))["last"]
    start = 0 if last is None else last + 1
    AgentBlock.objects.bulk_create(
        AgentBlock(agent=agent, block=block, position=start + index) for index, block in enumerate(new)
    )


def replace_blocks(agent: Agent, blocks: Sequence[Block]) -> None:
    """Attach exactly these blocks, in this order."""
    agent.block_links.all().delete()
    link_blocks(agent, blocks)


def link_tools(agent: Agent, tools: Sequence[Tool]) -> list[Tool]:
    """Attach the tools that are not attached yet and return them. Raises Conflict when two would share a name."""
    held = dict(agent.tool_links.values_list("tool_id", "tool__name"))
    new = list({tool.id: tool for tool in tools if tool.id not in held}.values())
    names = [*held.values(), *(tool.name for tool in new)]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise Conflict(f"The agent would have two tools named {double!r}.")
    last = agent.tool_links.aggregate(last=Max("position"))["last"]
    start = 0 if last is None else last + 1
    AgentTool.objects.bulk_create(
        AgentTool(agent=agent, tool=tool, position=start + index) for index, tool in enumerate(new)
    )
    return new


def replace_tools(agent: Agent, tools: Sequence[Tool]) -> list[Tool]:
    """Attach exactly these tools, in this order; those that were not attached before are returned."""
    held = set(agent.tool_links.values_list("tool_id", flat=True))
    agent.tool_links.all().delete()
    return [tool for tool in link_tools(agent, tools) if tool.id not in held]


def _check_labels(blocks: Sequence[Block]) -> None:
    labels = [block.label for block in blocks]
    if double := next((label for label in labels if labels.count(label) > 1), None):
        raise Conflict(
            f"The agent would have two blocks with the label {double!r}; labels are unique within an agent."
        )
