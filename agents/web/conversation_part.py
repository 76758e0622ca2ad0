"""What the workbench does to conversations: begin, rename, fork, archive, delete. Each leads to the page of one."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from agents.models import Conversation
from agents.services.agent_conversations import (
    ConversationChanges,
    ConversationDraft,
    create_conversation,
    delete_conversation,
    update_conversation,
)
from agents.services.conversations import find_conversation
from agents.services.forks import fork_conversation
from agents.web.conversation_switcher import address_of
from agents.web.workbench_page import open_bench, switcher_context
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import Invalid


@require_GET
def switcher_part(request: PageRequest, agent_id: str) -> HttpResponse:
    """The list of conversations as it is now."""
    bench = open_bench(request.caller, agent_id, request.GET.get("conversation"))
    return render(request, "agents/partials/switcher.html", switcher_context(bench))


@require_POST
def begin_conversation(request: PageRequest, agent_id: str) -> HttpResponse:
    """A new conversation, opened."""
    draft = ConversationDraft(summary=request.POST.get("summary", "").strip() or None)
    made = create_conversation(caller=request.caller, agent_id=agent_id, draft=draft)
    return _lead_to(request, address_of(made))


@require_POST
def change_conversation(request: PageRequest, agent_id: str, conversation_id: str) -> HttpResponse:
    """Do to the conversation what the pressed button says (`do`)."""
    found = find_conversation(caller=request.caller, conversation_id=conversation_id, agent_id=agent_id)
    match request.POST.get("do"):
        case "rename":
            changed = _rename(request, found)
        case "archive" | "unarchive" as wish:
            changed = _change(request, found, ConversationChanges(archived=wish == "archive"))
        case "fork":
            changed = _fork(request, found)
        case "delete":
            delete_conversation(caller=request.caller, conversation_id=found.id)
            return _lead_to(request, reverse("agents:detail", args=[found.agent_id]))
        case wish:
            raise Invalid(f"There is nothing to do that is called {wish!r}.")
    return _lead_to(request, address_of(changed))


def _lead_to(request: PageRequest, address: str) -> HttpResponse:
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


def _rename(request: PageRequest, found: Conversation) -> Conversation:
    name = request.POST.get("summary", "").strip()
    cleared = frozenset() if name else frozenset({"summary"})
    return _change(request, found, ConversationChanges(summary=name or None, cleared=cleared))


def _change(request: PageRequest, found: Conversation, changes: ConversationChanges) -> Conversation:
    if found.is_default:
        raise Invalid("The default conversation goes with its agent: it keeps its name and place.")
    return update_conversation(caller=request.caller, conversation_id=found.id, changes=changes)


def _fork(request: PageRequest, found: Conversation) -> Conversation:
    message_id = request.POST.get("message_id") or None
    return fork_conversation(caller=request.caller, conversation_id=found.id, message_id=message_id)
