"""The tools of an agent: attached and detached."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from agents.models import Agent
from agents.services import agent_links
from agents.services.agent_tool_rules import add_rules, approval_rule, approval_rules, remove_rules
from agents.services.agent_versions import record_version
from agents.services.agents import get_agent_for, tell
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
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
        record_version(caller, agent)
        tell(agent)
    return agent


def detach_tool(*, caller: Caller, agent_id: str, tool_id: str) -> Agent:
    """The agent without the tool; detaching what is not attached changes nothing. Raises NotFound for an unknown tool."""
    caller.check("edit")
    with transaction.atomic():
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        tool = get_tool_for(caller=caller, tool_id=tool_id)
        agent.tool_links.filter(tool=tool).delete()
        record_version(caller, agent)
        tell(agent)
    return agent


def set_approval(*, caller: Caller, agent_id: str, tool_name: str, requires_approval: bool) -> Agent:
    """The agent with or without the rule that a person must agree to calls of the tool. Raises NotFound for a tool it has not."""
    caller.check("edit")
    with transaction.atomic():
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        tool = tools_of(agent).filter(name=tool_name).first()
        if tool is None:
            raise NotFound(f"The agent has no tool {tool_name!r}.")
        if requires_approval:
            add_rules(agent, [approval_rule(tool)])
        else:
            remove_rules(agent, [approval_rule(tool)])
        record_version(caller, agent)
        tell(agent)
    return agent
