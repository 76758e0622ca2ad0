"""The tools of an agent: attached and detached."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from agents.models import Agent
from agents.services import agent_links
from agents.services.agent_tool_rules import approval_rules
from agents.services.agents import add_rules, get_agent_for, tell
from letta_ade.accounts.auth import Caller
from letta_ade.core.pagination import PageRequest, paginate
from tools.models import Tool
from tools.services.tools import get_tool_for


def tools_of(agent: Agent) -> QuerySet[Tool]:
    """The agent's tools in order of attachment."""
    return Tool.objects.filter(agent_links__agent=agent).order_by("agent_links__position", "agent_links__id")


def list_agent_tools(*, caller: Caller, agent_id: str, page: PageRequest) -> list[Tool]:
    """A page of the agent's tools. Raises NotFound."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    return paginate(Tool.objects.filter(agent_links__agent=agent), page)


def attach_tool(*, caller: Caller, agent_id: str, tool_id: str) -> Agent:
    """The agent with the tool; attaching it again changes nothing.

    A tool that wants approval by default brings the rule. Raises NotFound, or Conflict for a name that is taken.
    """
    caller.check("edit")
    with transaction.atomic():
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        added = agent_links.link_tools(agent, [get_tool_for(caller=caller, tool_id=tool_id)])
        add_rules(agent, approval_rules(added))
        tell(agent)
    return agent


def detach_tool(*, caller: Caller, agent_id: str, tool_id: str) -> Agent:
    """The agent without the tool; detaching what is not attached changes nothing. Raises NotFound for an unknown tool."""
    caller.check("edit")
    with transaction.atomic():
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        tool = get_tool_for(caller=caller, tool_id=tool_id)
        agent.tool_links.filter(tool=tool).delete()
        tell(agent)
    return agent
