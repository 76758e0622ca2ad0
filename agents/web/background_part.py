"""Changes to the background memory of an agent, made in the workbench. Each answers with the part."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from agents.services.agents import AgentChanges, update_agent
from agents.services.background_memory import background_of
from agents.services.groups import GroupChanges, update_group
from agents.web.workbench_page import background_context, open_bench
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid

_UNPROCESSABLE = 422


@require_POST
def background_part(request: PageRequest, agent_id: str) -> HttpResponse:
    """Switch the background on or off, or change after how many turns it works."""
    error = ""
    try:
        _change(request, agent_id)
    except AdeError as failure:
        error = failure.message
    bench = open_bench(request.caller, agent_id)
    context = {**background_context(bench), "error": error}
    status = _UNPROCESSABLE if error else 200
    return render(request, "agents/partials/background.html", context, status=status)


def _change(request: PageRequest, agent_id: str) -> None:
    if (switch := request.POST.get("switch")) is not None:
        changes = AgentChanges(enable_sleeptime=switch == "on")
        update_agent(caller=request.caller, agent_id=agent_id, changes=changes)
        return
    typed = request.POST.get("frequency", "").strip()
    if not typed.isdecimal():
        raise Invalid("Write after how many turns the background works: a whole number from 1 on.")
    group = background_of(open_bench(request.caller, agent_id).agent)
    if group is None:
        raise Invalid("The background of this agent was switched off meanwhile.")
    changed = GroupChanges(sets_frequency=True, frequency=int(typed))
    update_group(caller=request.caller, group_id=group.id, changes=changed)
