"""What people do to the conversations of an agent: begin one, find one, name it, put it away, delete it, fork it, hide a message."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.models import Message
from agents.services.agent_conversations import (
    ConversationChanges,
    ConversationDraft,
    create_conversation,
    delete_conversation,
    update_conversation,
)
from agents.services.conversations import DEFAULT, history_of
from agents.services.forks import fork_conversation
from agents.services.history_edits import hide_message, show_message
from agents.web.context_places import places_of
from agents.web.conversation_rows import Switch, address_of, load_switch, title_of
from agents.web.workbench_page import Bench, open_bench
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Conflict, Invalid, NotFound

_UNPROCESSABLE = 422
#: Characters of a name.
_LONGEST_NAME = 200


@require_GET
def switch_part(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """The list of the switcher, as the address narrows it."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    context = {**bench.base, "switch": switch_of(request, bench)}
    return render(request, "agents/partials/switch_list.html", context)


def switch_of(request: PageRequest, bench: Bench) -> Switch:
    """The conversations that the address asks for with `search` and `archived`."""
    search = request.GET.get("search", "").strip()
    return load_switch(bench.conversation, search=search, shows_archived="archived" in request.GET)


@require_POST
def begin_conversation(request: PageRequest, agent_id: str) -> HttpResponse:
    """A new conversation, with the name that was typed for it, and the way to it."""
    draft = ConversationDraft(summary=_typed_name(request) or None)
    made = create_conversation(caller=request.caller, agent_id=agent_id, draft=draft)
    return _go_to(request, address_of(made))


@require_http_methods(["GET", "POST"])
def name_part(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """The head of the conversation: seen, being renamed (`edit`), renamed, archived or brought back."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    is_editing = "edit" in request.GET
    if request.method == "GET" and not is_editing:
        return _head(request, bench)
    request.caller.check("edit")
    if bench.conversation.is_default:
        raise Invalid("The default conversation goes with its agent: it keeps its name and its place.")
    if request.method == "GET":
        return _head(request, bench, is_editing=True)
    if "archived" in request.POST:
        _change(request, bench, ConversationChanges(archived=request.POST["archived"] == "1"))
        return _after_change(request, agent_id, conversation_id)
    try:
        name = _typed_name(request)
        changes = ConversationChanges(summary=name or None, cleared=frozenset(() if name else ("summary",)))
        _change(request, bench, changes)
    except Invalid as error:
        typed = request.POST.get("summary", "")
        return _head(request, bench, is_editing=True, typed=typed, error=error.message)
    return _after_change(request, agent_id, conversation_id)


def _typed_name(request: PageRequest) -> str:
    name = request.POST.get("summary", "").strip()
    if len(name) > _LONGEST_NAME:
        raise Invalid(f"A name has at most {_LONGEST_NAME} characters; this one has {len(name)}.")
    return name


def _change(request: PageRequest, bench: Bench, changes: ConversationChanges) -> None:
    update_conversation(caller=request.caller, conversation_id=bench.conversation.id, changes=changes)


def _after_change(request: PageRequest, agent_id: str, conversation_id: str) -> HttpResponse:
    bench = open_bench(request.caller, agent_id, conversation_id)
    return _head(request, bench) if request.htmx else redirect(address_of(bench.conversation))


def _head(request: PageRequest, bench: Bench, **extra: Any) -> HttpResponse:
    context = {**bench.base, "switch": switch_of(request, bench), **extra}
    status = _UNPROCESSABLE if extra.get("error") else 200
    return render(request, "agents/partials/conversation_head.html", context, status=status)


@require_http_methods(["GET", "POST"])
def delete_page(request: PageRequest, agent_id: str, conversation_id: str) -> HttpResponse:
    """Names what goes and what stays, then deletes. While a run goes on it says so, and that it was not done."""
    request.caller.check("edit")
    bench = open_bench(request.caller, agent_id, conversation_id)
    if bench.conversation.is_default:
        raise Invalid(
            "The default conversation goes with its agent. Delete the agent, or reset its messages."
        )
    error: AdeError | None = None
    if request.method == "POST":
        try:
            delete_conversation(caller=request.caller, conversation_id=bench.conversation.id)
        except Conflict as conflict:
            error = conflict
        else:
            messages.success(request, f"Deleted {title_of(bench.conversation)}")
            return redirect("agents:detail", agent_id)
    context = {
        **bench.base,
        "address": address_of(bench.conversation),
        "message_count": Message.objects.filter(conversation=bench.conversation).count(),
        "isolated_labels": list(bench.conversation.block_links.values_list("label", flat=True)),
        "error": error.message if error else "",
    }
    return render(request, "agents/delete_conversation.html", context, status=error.status if error else 200)


@require_POST
def fork_here(
    request: PageRequest, agent_id: str, conversation_id: str, message_id: str | None = None
) -> HttpResponse:
    """A new conversation that goes on after the message, or after all that was said, and the way to it."""
    fork = fork_conversation(
        caller=request.caller, conversation_id=conversation_id, agent_id=agent_id, message_id=message_id
    )
    return _go_to(request, address_of(fork))


@require_POST
def context_place(request: PageRequest, agent_id: str, conversation_id: str, message_id: str) -> HttpResponse:
    """Hide the message from the context, or with `shown` bring it back. The answer is its mark."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    change = show_message if request.POST.get("shown") else hide_message
    change(caller=request.caller, conversation_id=bench.conversation.id, message_id=message_id)
    if not request.htmx:
        return redirect(f"{address_of(bench.conversation)}#{message_id}")
    message = history_of(bench.conversation).filter(id=message_id).defer("search").first()
    if message is None:
        raise NotFound(f"The conversation has no message {message_id!r}.")
    place = places_of(bench.conversation.id, [message])[message_id]
    context = {**bench.base, "message_id": message_id, "place": place, "has_text": bool(message.text)}
    return render(request, "agents/partials/message_place.html", context)


def _go_to(request: PageRequest, address: str) -> HttpResponse:
    if not request.htmx:
        return redirect(address)
    response = HttpResponse(status=204)
    response["HX-Redirect"] = address
    return response
