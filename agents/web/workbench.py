"""The workbench of one agent: the page, older messages, sending, stopping, asking again."""

from __future__ import annotations

from typing import Literal, cast

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from agents.models import Message, RunEvent
from agents.models.message import MessageRole
from agents.services.context import parts_of
from agents.services.conversations import DEFAULT
from agents.services.execution import cancel_runs, start_run
from agents.services.images import embed_images
from agents.services.run_requests import InputMessage, RunRequest
from agents.services.runs import get_run_for
from agents.web.conversation_pages import switch_of
from agents.web.conversation_rows import address_of
from agents.web.image_parts import image_parts
from agents.web.replies import answer, refusal
from agents.web.transcript_rows import inputs_of, load_transcript
from agents.web.workbench_page import open_bench, page_context
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, Conflict, Invalid, NotFound
from letta_ade.llm.messages import TextPart

Role = Literal["user", "system"]


@require_GET
def workbench_page(request: PageRequest, agent_id: str, conversation_id: str | None = None) -> HttpResponse:
    """One agent: what it is, what it does in a conversation, what it knows. The default one has the agent's own address."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    if wanted := request.GET.get("conversation"):
        # Another way to name it, for those who have the id only.
        return redirect(address_of(open_bench(request.caller, agent_id, wanted).conversation))
    if conversation_id is not None and bench.conversation.is_default:
        return redirect(address_of(bench.conversation))
    is_switching = bool(request.GET.keys() & {"search", "archived"})
    context = {**page_context(bench), "switch": switch_of(request, bench), "is_switching": is_switching}
    return render(request, "agents/workbench.html", context)


@require_GET
def older_runs(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """The runs before one, for the top of the transcript. Without script: a page of its own."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    transcript = load_transcript(bench.agent, bench.conversation, before=request.GET.get("before"))
    context = {**bench.base, "transcript": transcript, "address": address_of(bench.conversation)}
    if request.htmx:
        return render(request, "agents/partials/runs.html", context)
    return render(request, "agents/workbench_older.html", context)


@require_POST
async def send_message(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """Start a run with what was typed and the images beside it. The page hears of it over its websocket."""
    role = request.POST.get("role", "user")
    text = request.POST.get("text", "").replace("\r\n", "\n").strip()
    try:
        if role not in ("user", "system"):
            raise Invalid(f"A message is from the user or the system, not from {role!r}.")
        images = image_parts(request.FILES.getlist("images"))
        if not text and not images:
            raise Invalid("Write a message first.")
        message = InputMessage(
            role=cast(Role, role),
            content=(*((TextPart(text=text),) if text else ()), *images),
            otid=request.POST.get("otid") or None,
        )
        asked = RunRequest(agent_id=agent_id, conversation_id=conversation_id, messages=(message,))
        asked = await embed_images(caller=request.caller, request=asked)
        started = await start_run(caller=request.caller, request=asked)
    except AdeError as error:
        return refusal(request, error)
    return answer(request, agent_id, {"run_id": started.run_id}, conversation_id)


@require_POST
async def stop(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """Stop what goes on; nothing going on is what was wanted, too."""
    try:
        # The card of the inbox names it in its form.
        conversation_id = request.POST.get("conversation_id") or conversation_id
        stopped = await cancel_runs(caller=request.caller, agent_id=agent_id, conversation_id=conversation_id)
    except Conflict:
        stopped = {}
    except AdeError as error:
        return refusal(request, error)
    return answer(request, agent_id, {"run_ids": list(stopped)}, conversation_id)


@require_POST
async def ask_again(request: PageRequest, agent_id: str, run_id: str) -> HttpResponse:
    """Take up what a failed run was asked: where it broke off when that is in the context, and else from its messages on."""
    try:
        asked = await threads.run(_again, request.caller, agent_id, run_id)
        started = await start_run(caller=request.caller, request=asked)
    except AdeError as error:
        return refusal(request, error)
    return answer(request, agent_id, {"run_id": started.run_id}, asked.conversation_id)


def _again(caller: Caller, agent_id: str, run_id: str) -> RunRequest:
    caller.check("edit")
    run = get_run_for(caller=caller, run_id=run_id)
    if run.agent_id != agent_id:
        raise NotFound(f"The agent has no run {run_id!r}.")
    rows = list(Message.objects.filter(run=run).defer("search", "text").order_by("created_at", "id"))
    inputs = inputs_of(rows, list(run.steps.values_list("id", flat=True)))
    if rows and not any(message.is_err for message in inputs):
        # The model has it in its context, and must not read it twice.
        return RunRequest(
            agent_id=agent_id, conversation_id=run.conversation_id, messages=(), goes_on_after=run.id
        )
    if not inputs:  # the run ended before it could store them; its first event has them
        first = RunEvent.objects.filter(run=run, seq=1, type="RunStarted").first()
        inputs = [Message.from_data(data) for data in (first.data["inputs"] if first else ())]
    if not inputs:
        raise NotFound("What this run was asked is no longer there.")
    messages = tuple(
        InputMessage(
            role=cast(Role, message.role if message.role == MessageRole.SYSTEM else "user"),
            content=parts_of(message.content),
            # The same for whoever else asks again: the second one gets the first one's run.
            otid=f"again-{run.id}-{place}",
            name=message.name,
        )
        for place, message in enumerate(inputs)
    )
    return RunRequest(agent_id=agent_id, conversation_id=run.conversation_id, messages=messages)
