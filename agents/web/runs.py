"""Pages of the runs: the list with its peek. One run has its own page, in `run_page`."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agents.models import Message, Run
from agents.models.message import MessageRole
from agents.services.runs import get_run_for, select_runs
from agents.web import run_list, run_rows
from agents.web.transcript import fault_from, text_of
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import pagination
from letta_ade.core.errors import NotFound
from letta_ade.llm import catalog

PAGE_ROWS = 50
#: Counting more would take longer than reading the page.
MOST_COUNTED = 1000
_SAID_CHARACTERS = 1200


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """The runs, newest first, filtered by the address; `peek` opens one beside the list."""
    caller = request.caller
    filters = run_list.filters_from(caller, request.GET)
    chosen = select_runs(caller=caller, filters=filters.to_run_filters())
    after = request.GET.get("after") or None
    page = pagination.PageRequest(limit=PAGE_ROWS + 1, after=after)
    everything = Run.objects.filter(workspace_id=caller.workspace_id)
    found = pagination.paginate(chosen.select_related("agent", "conversation"), page, among=everything)
    shown = found[:PAGE_ROWS]
    total = chosen.order_by()[: MOST_COUNTED + 1].count()
    context: dict[str, Any] = {
        "rows": run_rows.rows_of(shown, workspace_id=caller.workspace_id),
        "filters": filters,
        "chips": filters.chips,
        "total": min(total, MOST_COUNTED),
        "is_more": total > MOST_COUNTED,
        "has_any": bool(shown) or everything.exists(),
        "agents": run_list.agent_choices(caller),
        "statuses": run_list.STATUSES,
        "stop_reasons": [(value, value.replace("_", " ")) for value in run_list.STOP_REASONS],
        "spans": [(value, name) for value, (name, _) in run_list.SPANS.items()],
        "has_earlier": after is not None,
        "next_after": shown[-1].id if len(found) > PAGE_ROWS else None,
        "peek": _peek(request),
    }
    if not context["has_any"]:  # the empty page shows how to begin
        context["snippet_model"] = catalog.suggested_handle(workspace_id=caller.workspace_id)
    is_part = request.htmx.target == "run-list"
    return render(request, "runs/partials/list.html" if is_part else "runs/list.html", context)


@require_GET
def peek_panel(request: PageRequest, run_id: str) -> HttpResponse:
    """One run beside the list."""
    return render(request, "runs/partials/peek.html", {"peek": _look(request, run_id)})


def _peek(request: PageRequest) -> dict[str, Any] | None:
    run_id = request.GET.get("peek")
    if not run_id:
        return None
    try:
        return _look(request, run_id)
    except NotFound:  # deleted since: the list is still worth showing
        return None


def _look(request: PageRequest, run_id: str) -> dict[str, Any]:
    """What the panel shows. Raises NotFound."""
    run = get_run_for(caller=request.caller, run_id=run_id)
    said = Message.objects.filter(run=run, role=MessageRole.ASSISTANT, is_err=False).only("content")
    answers = [text_of(message.content) for message in said.order_by("-created_at", "-id")[:5]]
    asked = Message.objects.filter(run=run, role=MessageRole.USER).order_by("created_at", "id")
    first = asked.values_list("text", flat=True).first()
    return {
        "row": run_rows.rows_of([run], workspace_id=run.workspace_id)[0],
        "input": (first or "")[:_SAID_CHARACTERS],
        "answer": next((answer for answer in answers if answer), "")[:_SAID_CHARACTERS],
        "fault": fault_from(run.metadata.get("error")),
        "steps": list(run.steps.order_by("number")[:20]),
    }
