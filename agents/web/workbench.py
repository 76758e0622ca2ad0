"""The workbench of one agent: the page, older messages, sending, stopping, asking again."""

from __future__ import annotations

from typing import Any, Literal, cast

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from agents.models import Message, RunEvent
from agents.models.message import MessageRole
from agents.services.context import parts_of
from agents.services.execution import cancel_runs, start_run
from agents.services.run_requests import InputMessage, RunRequest
from agents.services.runs import get_run_for
from agents.web.transcript_rows import load_transcript, split_inputs
from agents.web.workbench_page import open_bench, page_context
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, Conflict, Invalid, NotFound
from letta_ade.llm.messages import TextPart

Role = Literal["user", "system"]


@require_GET
def workbench_page(request: PageRequest, agent_id: str) -> HttpResponse:
    """One agent: what it is, what it does, what it knows."""
    bench = open_bench(request.caller, agent_id)
    return render(request, "agents/workbench.html", page_context(bench))


@require_GET
def older_runs(request: PageRequest, agent_id: str) -> HttpResponse:
    """The runs before one, for the top of the transcript. Without script: a page of its own."""
    bench = open_bench(request.caller, agent_id)
    transcript = load_transcript(bench.agent, bench.conversation, before=request.GET.get("before"))
    context = {**bench.base, "transcript": transcript}
    if request.htmx:
        return render(request, "agents/partials/runs.html", context)
    return render(request, "agents/workbench_older.html", context)


@require_POST
async def send_message(request: PageRequest, agent_id: str) -> HttpResponse:
    """Start a run with what was typed. The page hears of it over its websocket."""
    role = request.POST.get("role", "user")
    text = request.POST.get("text", "").replace("\r\n", "\n").strip()
    try:
        if role not in ("user", "system"):
            raise Invalid(f"A message is from the user or the system, not from {role!r}.")
        if not text:
            raise Invalid("Write a message first.")
        message = InputMessage(
            role=cast(Role, role),
            content=(TextPart(text=text),),
            otid=request.POST.get("otid") or None,
        )
        started = await start_run(
            caller=request.caller, request=RunRequest(agent_id=agent_id, messages=(message,))
        )
    except AdeError as error:
        return _refusal(request, error)
    return _answer(request, agent_id, {"run_id": started.run_id})


@require_POST
async def stop(request: PageRequest, agent_id: str) -> HttpResponse:
    """Stop what goes on; nothing going on is what was wanted, too."""
    try:
        stopped = await cancel_runs(caller=request.caller, agent_id=agent_id, conversation_id="default")
    except Conflict:
        stopped = {}
    except AdeError as error:
        return _refusal(request, error)
    return _answer(request, agent_id, {"run_ids": list(stopped)})


@require_POST
async def ask_again(request: PageRequest, agent_id: str, run_id: str) -> HttpResponse:
    """Send the messages of a run that failed once more, as a new run."""
    try:
        messages = await threads.run(_inputs_of, request.caller, agent_id, run_id)
        started = await start_run(
            caller=request.caller, request=RunRequest(agent_id=agent_id, messages=messages)
        )
    except AdeError as error:
        return _refusal(request, error)
    return _answer(request, agent_id, {"run_id": started.run_id})


def _inputs_of(caller: Caller, agent_id: str, run_id: str) -> tuple[InputMessage, ...]:
    run = get_run_for(caller=caller, run_id=run_id)
    if run.agent_id != agent_id:
        raise NotFound(f"The agent has no run {run_id!r}.")
    rows = list(Message.objects.filter(run=run).defer("search", "text").order_by("created_at", "id"))
    inputs, _ = split_inputs(rows)
    if not inputs:  # the run ended before it could store them; its first event has them
        first = RunEvent.objects.filter(run=run, seq=1, type="RunStarted").first()
        inputs = [Message.from_data(data) for data in (first.data["inputs"] if first else ())]
    if not inputs:
        raise NotFound("What this run was asked is no longer there.")
    return tuple(
        InputMessage(
            role=cast(Role, message.role if message.role == MessageRole.SYSTEM else "user"),
            content=parts_of(message.content),
            name=message.name,
        )
        for message in inputs
    )


def _answer(request: PageRequest, agent_id: str, data: dict[str, Any]) -> HttpResponse:
    return JsonResponse(data) if _is_script(request) else redirect("agents:detail", agent_id=agent_id)


def _refusal(request: PageRequest, error: AdeError) -> HttpResponse:
    if not _is_script(request):
        raise error
    return JsonResponse({"message": error.message, **error.data}, status=error.status)


def _is_script(request: PageRequest) -> bool:
    return request.headers.get("Accept") == "application/json"
