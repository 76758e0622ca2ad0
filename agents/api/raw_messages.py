"""The messages of a conversation as the SDK gives them, for a signed-in browser: `/v1` takes API keys only."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from agents.api.messages import listed
from agents.api.schemas.message import MessageQuery
from agents.services.conversations import get_conversation_with_agent
from agents.services.messages import MessageFilters, MessagePage, list_conversation_messages
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.schemas import respond

#: Stored messages; one gives one or more on the wire.
_AT_ONCE = 50


@require_GET
def raw_messages(request: PageRequest, agent_id: str, conversation_id: str) -> HttpResponse:
    """The newest messages, or those `before` one, oldest first; those of failed steps too."""
    conversation = get_conversation_with_agent(
        caller=request.caller, agent_id=agent_id, conversation_id=conversation_id
    )
    page = MessagePage(limit=_AT_ONCE + 1, before=request.GET.get("before") or None)
    filters = MessageFilters(shows_errors=True)
    found = list_conversation_messages(
        caller=request.caller, conversation=conversation, filters=filters, page=page
    )
    stored = found[:_AT_ONCE][::-1]
    has_more = len(found) > _AT_ONCE
    return respond({"messages": listed(stored, MessageQuery()), "before": stored[0].id if has_more else None})
