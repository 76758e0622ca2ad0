"""What waits for an answer, as a person reads it: which calls, since when, and who is to answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from agents.models import ContextEntry, Conversation, Message, RunLease
from agents.models.message import MessageRole
from agents.services.run_requests import ClientTool
from letta_ade.accounts.auth import Caller
from letta_ade.core.pagination import PageRequest, paginate

#: Whom a request waits for: a person's approval, or what a client's tool returns. One with both kinds of calls is of both kinds.
WaitsFor = Literal["approval", "client"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCall:
    """A call that waits. `is_client`: for what a program returns, and not for an approval."""

    id: str
    name: str
    #: JSON text.
    arguments: str
    is_client: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that nobody has answered."""

    request_id: str
    agent_id: str
    agent_name: str
    conversation_id: str
    #: What the conversation is called; "" when it has no name.
    conversation_name: str
    is_default_conversation: bool
    run_id: str | None
    step_id: str | None
    since: datetime
    #: When it is closed without an answer; None: never.
    expires_at: datetime | None
    calls: tuple[WaitingCall, ...]
    #: Names of the tools that the same reply calls and that run after the answer.
    put_off: tuple[str, ...] = ()
    #: What the program that asked offers: whoever answers in its place offers it on.
    client_tools: tuple[ClientTool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFilters:
    """Which requests are wanted; None: all."""

    agent_id: str | None = None
    conversation_id: str | None = None
    waits_for: WaitsFor | None = None


def open_requests() -> QuerySet[Message]:
    """The requests that wait: each is the end of its conversation's context, and no run answers it now."""
    later = ContextEntry.objects.filter(
        conversation_id=OuterRef("conversation_id"), position__gt=OuterRef("position")
    )
    here = ContextEntry.objects.filter(
        ~Exists(later), message_id=OuterRef("id"), conversation_id=OuterRef("conversation_id")
    )
    lease = RunLease.objects.filter(conversation_id=OuterRef("conversation_id"))
    return Message.objects.filter(
        Exists(here), ~Exists(lease), role=MessageRole.APPROVAL, conversation__deleted_at=None
    ).exclude(tool_calls=[])


def select_waiting(*, caller: Caller, filters: WaitingFilters) -> QuerySet[Message]:
    """The requests of the caller's workspace that pass."""
    caller.check("read")
    found = open_requests().filter(workspace_id=caller.workspace_id)
    if filters.agent_id is not None:
        found = found.filter(agent_id=filters.agent_id)
    if filters.conversation_id is not None:
        found = found.filter(conversation_id=filters.conversation_id)
    if filters.waits_for is not None:
        kinds = kinds_of(found)
        found = found.filter(id__in=[each for each in kinds if filters.waits_for in kinds[each]])
    return found


def kinds_of(requests: QuerySet[Message]) -> dict[str, set[WaitsFor]]:
    """Whom each of these requests waits for, by its id; one query.

    Known by what the run of a request offered, so it is worked out here: what waits at one time is few.
    """
    rows = requests.select_related("run").only("tool_calls", "run__request_config")
    return {row.id: {"client" if call.is_client else "approval" for call in _calls(row)} for row in rows}


def list_waiting(*, caller: Caller, filters: WaitingFilters, page: PageRequest) -> list[Waiting]:
    """A page of what waits, newest first unless asked otherwise. A request that was answered meanwhile still holds its place."""
    requests = Message.objects.filter(workspace_id=caller.workspace_id, role=MessageRole.APPROVAL)
    found = select_waiting(caller=caller, filters=filters).select_related("agent", "conversation", "run")
    return load_requests(paginate(found.defer("search", "text"), page, among=requests))


def load_requests(requests: Sequence[Message]) -> list[Waiting]:
    """What is told of each of these requests; one query beside those for `agent`, `conversation` and `run`."""
    put_off = _put_off([request.step_id for request in requests if request.step_id])
    return [_waiting(request, put_off.get(request.step_id or "", ())) for request in requests]


def load_waiting(conversation: Conversation) -> Waiting | None:
    """What the conversation waits for; None when nothing waits, or an answer is just being worked on."""
    last = (
        conversation.entries.order_by("-position")
        .select_related("message__run", "message__agent", "message__conversation")
        .first()
    )
    if last is None or last.message.role != MessageRole.APPROVAL or not last.message.tool_calls:
        return None
    if RunLease.objects.filter(conversation=conversation).exists():
        return None
    [waiting] = load_requests([last.message])
    return waiting


def expiry_of(since: datetime) -> datetime | None:
    """When a request of this time is closed if nobody answers it; None: it waits for ever."""
    hours = settings.REQUEST_EXPIRY_HOURS
    return since + timedelta(hours=hours) if hours else None


def find_answer(conversation: Conversation, request_id: str) -> Message | None:
    """The answer that a request of this conversation got; None when it got none, or there is no such request."""
    request = conversation.messages.filter(id=request_id, role=MessageRole.APPROVAL).first()
    if request is None or not request.step_id:
        return None
    return conversation.messages.filter(
        step_id=request.step_id, role=MessageRole.APPROVAL, approvals__isnull=False
    ).first()


def _waiting(request: Message, put_off: tuple[str, ...]) -> Waiting:
    conversation = request.conversation
    return Waiting(
        request_id=request.id,
        agent_id=request.agent_id,
        agent_name=request.agent.name,
        conversation_id=request.conversation_id,
        conversation_name=conversation.summary or "",
        is_default_conversation=conversation.is_default,
        run_id=request.run_id,
        step_id=request.step_id,
        since=request.created_at,
        expires_at=expiry_of(request.created_at),
        calls=_calls(request),
        put_off=put_off,
        client_tools=_client_tools(request),
    )


def _calls(request: Message) -> tuple[WaitingCall, ...]:
    of_client = {tool.name for tool in _client_tools(request)}
    return tuple(
        WaitingCall(
            id=call["id"],
            name=call["name"],
            arguments=call["arguments"],
            is_client=call["name"] in of_client,
        )
        for call in request.tool_calls
    )


def _put_off(step_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The names of the calls that stand beside a request, by its step."""
    names: dict[str, tuple[str, ...]] = defaultdict(tuple)
    said = Message.objects.filter(step_id__in=step_ids, role=MessageRole.ASSISTANT)
    for message in said.only("step_id", "tool_calls"):
        names[message.step_id or ""] += tuple(call["name"] for call in message.tool_calls)
    return names


def _client_tools(request: Message) -> tuple[ClientTool, ...]:
    stored = request.run.request_config.get("client_tools", []) if request.run is not None else []
    return tuple(ClientTool(**tool) for tool in stored)
