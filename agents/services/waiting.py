"""What a conversation waits for, as a person reads it: which calls, since when, and who is to answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.models import Conversation, Message, RunLease
from agents.models.message import MessageRole
from agents.services.run_requests import ClientTool


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
    run_id: str | None
    step_id: str | None
    since: datetime
    calls: tuple[WaitingCall, ...]
    #: Names of the tools that the same reply calls and that run after the answer.
    put_off: tuple[str, ...] = ()
    #: What the program that asked offers: whoever answers in its place offers it on.
    client_tools: tuple[ClientTool, ...] = ()


def load_waiting(conversation: Conversation) -> Waiting | None:
    """What the conversation waits for; None when nothing waits, or an answer is just being worked on."""
    last = conversation.entries.order_by("-position").select_related("message__run").first()
    if last is None or last.message.role != MessageRole.APPROVAL or not last.message.tool_calls:
        return None
    if RunLease.objects.filter(conversation=conversation).exists():
        return None
    request = last.message
    tools = _client_tools(request)
    of_client = {tool.name for tool in tools}
    return Waiting(
        request_id=request.id,
        run_id=request.run_id,
        step_id=request.step_id,
        since=request.created_at,
        calls=tuple(
            WaitingCall(
                id=call["id"],
                name=call["name"],
                arguments=call["arguments"],
                is_client=call["name"] in of_client,
            )
            for call in request.tool_calls
        ),
        put_off=_put_off(request),
        client_tools=tools,
    )


def find_answer(conversation: Conversation, request_id: str) -> Message | None:
    """The answer that a request of this conversation got; None when it got none, or there is no such request."""
    request = conversation.messages.filter(id=request_id, role=MessageRole.APPROVAL).first()
    if request is None or not request.step_id:
        return None
    return conversation.messages.filter(
        step_id=request.step_id, role=MessageRole.APPROVAL, approvals__isnull=False
    ).first()


def _put_off(request: Message) -> tuple[str, ...]:
    if not request.step_id:
        return ()
    said = Message.objects.filter(step_id=request.step_id, role=MessageRole.ASSISTANT).only("tool_calls")
    return tuple(call["name"] for message in said for call in message.tool_calls)


def _client_tools(request: Message) -> tuple[ClientTool, ...]:
    stored = request.run.request_config.get("client_tools", []) if request.run is not None else []
    return tuple(ClientTool(**tool) for tool in stored)
