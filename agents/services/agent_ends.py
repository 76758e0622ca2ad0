"""How the rows of an agent go: its runs are stopped, and nothing that still writes meets half of them."""

from __future__ import annotations

from agents.models import Agent, Run
from agents.services.isolated_blocks import delete_isolated
from agents.services.leases import ask_to_stop
from letta_ade.accounts.auth import Caller
from memory.services.proposals import withdraw_of_agent


def stop_runs(agent: Agent) -> None:
    """Stop what goes on. Before the agent is locked: a run that ends locks its lease before its agent, and so does this."""
    for run_id in list(agent.runs.filter(lease__isnull=False).values_list("id", flat=True)):
        ask_to_stop(run_id)


def delete_rows(caller: Caller, agent: Agent) -> None:
    """Delete the agent with its conversations, messages and runs. In a transaction that has locked it."""
    # Events of its runs may be on their way into the table: they name only the run, and must find it locked and then gone.
    list(Run.objects.select_for_update().filter(agent=agent).values_list("id"))
    for conversation in agent.conversations.exclude(block_links=None):
        delete_isolated(caller=caller, conversation=conversation)
    agent_id = agent.id
    agent.delete()
    # Last: whoever decides about them has locked a block first, as those who delete one do.
    withdraw_of_agent(workspace_id=agent.workspace_id, agent_id=agent_id)
