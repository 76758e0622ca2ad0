"""The page of one run: what happened in it and when, watched while it goes on, and stopped."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from agents.models import Run
from agents.services.execution import cancel_runs
from agents.services.runs import get_run_for
from agents.web.context_page import panel_context
from agents.web.run_view import load_view, page_context
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import threads
from letta_ade.core.errors import Conflict, NotFound


@require_GET
def detail_page(request: PageRequest, run_id: str) -> HttpResponse:
    """The run; `at` names the row that is looked at, `view` is timeline or tree."""
    view = load_view(caller=request.caller, run_id=run_id)
    key = request.GET.get("at") or _first_key(view.run)
    context: dict[str, Any] = {
        **page_context(view, key=key, shape=request.GET.get("view", "")),
        "socket_path": _socket_path(request, run_id),
    }
    context |= _side(request, context["at"].step_id, view.run.agent_id)
    is_part = request.htmx.target == "trace"
    return render(request, "runs/partials/trace.html" if is_part else "runs/detail.html", context)


def _side(request: PageRequest, step_id: str, agent_id: str) -> dict[str, Any]:
    """What stands beside the trace: the messages, or the request of the step that is looked at."""
    if request.GET.get("side") != "context":
        return {"side": "messages"}
    if not step_id:
        return {"side": "context"}
    try:
        return {"side": "context", **panel_context(request.caller, agent_id, step_id)}
    except NotFound:  # nothing was kept of it
        return {"side": "context"}


def _socket_path(request: PageRequest, run_id: str) -> str:
    path = f"{settings.URL_PREFIX}/ws/runs/{run_id}/"
    return f"{path}?view=tree" if request.GET.get("view") == "tree" else path


def _first_key(run: Run) -> str:
    """A run that failed in a step opens there: that is what one looks for."""
    if run.status != "failed":
        return "run"
    failed = run.steps.filter(status="failed").order_by("-number").values_list("id", flat=True).first()
    return failed or "run"


@require_POST
async def cancel(request: PageRequest, run_id: str) -> HttpResponse:
    """Stop the run, or take back the request in which it ended. What it stored is kept."""
    run = await threads.run(_get_run, request.caller, run_id)
    try:
        await cancel_runs(caller=request.caller, agent_id=run.agent_id, run_ids=[run.id])
    except Conflict:
        pass  # it had ended, or was answered just now: the page says so
    if request.htmx:
        return HttpResponse(status=204)  # the page hears of it over its websocket
    return redirect("runs:detail", run_id)


def _get_run(caller: Caller, run_id: str) -> Run:
    caller.check("edit")
    return get_run_for(caller=caller, run_id=run_id)
