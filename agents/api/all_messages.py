"""Messages of all agents of the workspace: listed, looked at, searched."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.messages import listed
from agents.api.schemas.message import MessageQuery
from agents.api.schemas.message_search import (
    FoundMessage,
    RankedMessage,
    SearchMessages,
    SearchStoredMessages,
)
from agents.api.wire import wire_one
from agents.runtime.spoken import AnswerTool
from agents.services.message_search import search_messages
from agents.services.messages import get_message_for, list_all_messages
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import MessageId, respond

router = Router()
#: Where SDK 0.x searches.
older_router = Router()


@router.get("/", response=list[dict[str, Any]])
def list_messages(request: ApiRequest, query: Query[MessageQuery]) -> HttpResponse:
    stored = list_all_messages(
        caller=request.auth,
        conversation_id=query.conversation_id or None,
        filters=query.filters(),
        page=query.page(),
    )
    return respond(listed(stored, query))


@router.post("/search", response=list[FoundMessage])
def search(request: ApiRequest, body: SearchMessages) -> HttpResponse:
    hits = search_messages(caller=request.auth, search=body.search())
    return respond([FoundMessage.of(hit) for hit in hits])


@router.get("/{message_id}", response=list[dict[str, Any]])
def retrieve_message(request: ApiRequest, message_id: MessageId) -> HttpResponse:
    """All that the stored message says on the wire."""
    message = get_message_for(caller=request.auth, message_id=message_id)
    return respond(wire_one(message, AnswerTool()))


@older_router.post("/messages/search", response=list[RankedMessage])
def search_stored(request: ApiRequest, body: SearchStoredMessages) -> HttpResponse:
    hits = search_messages(caller=request.auth, search=body.search())
    return respond([RankedMessage.of(hit) for hit in hits])
