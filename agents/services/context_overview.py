"""The context window of a conversation by its parts, and the request that a message would make: what would be sent, and no more.

An overview is kept by the versions of what it is made of: it is asked for far more often than it changes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from django.db import connection

from agents.models import Agent, Conversation, Message
from agents.runtime.progress import Progress
from agents.runtime.prompt import build_request
from agents.runtime.system_sections import SystemParts, split_system
from agents.services.agents import get_agent_for
from agents.services.conversations import get_conversation_of
from agents.services.opening import ModelOfRun, OpenedRun, look_at, preview
from agents.services.run_requests import RunRequest
from agents.services.system_message import load_memory, prompt_source
from letta_ade.accounts.auth import Caller
from letta_ade.llm.client import ChatRequest
from letta_ade.llm.events import ChatEvent
from letta_ade.llm.messages import ChatMessage, ToolSpec
from letta_ade.llm.tokens import estimate_messages, estimate_text, estimate_tools

_MOST_KEPT = 64
_TOOL_VERSIONS = """
SELECT tool.id, tool.updated_at FROM tools_tool tool JOIN agents_agenttool link ON link.tool_id = tool.id
WHERE link.agent_id = %s ORDER BY tool.name
"""
_ENTRIES = """
SELECT count(*), md5(string_agg(message_id, ',' ORDER BY position)) FROM agents_contextentry WHERE conversation_id = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOverview:
    """What the next request of a conversation begins with."""

    window: int
    #: The system message as it is sent.
    system: str
    parts: SystemParts
    #: The message that stands for what was compacted.
    summary: str | None
    #: Behind the system message and the summary.
    chat: tuple[ChatMessage, ...]
    message_ids: tuple[str, ...]
    tools: tuple[ToolSpec, ...]
    archival_count: int
    recall_count: int

    @property
    def counts(self) -> dict[str, int]:
        """Estimated tokens of each part, by its name on the wire."""
        return {
            "system": estimate_text(self.parts.instructions),
            "core_memory": estimate_text(self.parts.blocks),
            "tool_usage_rules": estimate_text(self.parts.rules),
            "external_memory_summary": estimate_text(self.parts.metadata),
            "summary_memory": estimate_text(self.summary) if self.summary is not None else 0,
            "functions_definitions": estimate_tools(self.tools),
            "messages": estimate_messages(self.chat),
        }


_kept: OrderedDict[tuple[object, ...], ContextOverview] = OrderedDict()
_lock = Lock()


def get_context_overview(
    *, caller: Caller, agent_id: str, conversation_id: str | None = None
) -> ContextOverview:
    """The parts of what the next request sends. Raises NotFound (agent, conversation)."""
    caller.check("read")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    conversation = get_conversation_of(agent=agent, conversation_id=conversation_id)
    version = _version(agent, conversation)
    with _lock:
        if (known := _kept.get(version)) is not None:
            _kept.move_to_end(version)
            return known
    overview = _overview(caller, agent, conversation)
    with _lock:
        _kept[version] = overview
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return overview


def list_context_messages(overview: ContextOverview) -> list[Message]:
    """The stored messages behind the system message and the summary, in their order."""
    rows = Message.objects.defer("search", "text").in_bulk(overview.message_ids)
    return [rows[message_id] for message_id in overview.message_ids if message_id in rows]


def preview_payload(caller: Caller, request: RunRequest) -> dict[str, Any]:
    """The request that this would send to the model first, which is not sent. Raises as the sending of it does, but for RunBusy."""
    opened = preview(caller, request)
    return opened.model.payload(_first_request(opened))


def preview_next(*, caller: Caller, agent_id: str, conversation_id: str | None = None) -> dict[str, Any]:
    """The request that the conversation would make now, without a word that is still to come; nothing is sent or stored.

    Raises NotFound (agent, conversation, model) and ModelAuthentication.
    """
    caller.check("read")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    opened = look_at(
        caller=caller, conversation=get_conversation_of(agent=agent, conversation_id=conversation_id)
    )
    return opened.model.payload(_first_request(opened))


def _first_request(opened: OpenedRun) -> ChatRequest:
    snapshot, progress = opened.snapshot, Progress(opened.snapshot)
    allowance = snapshot.rules.allowance(snapshot.tool_names, progress.history)
    return build_request(snapshot, progress.messages, allowance)


def _version(agent: Agent, conversation: Conversation) -> tuple[object, ...]:
    memory = load_memory(agent, conversation)
    with connection.cursor() as cursor:
        cursor.execute(_ENTRIES, [conversation.id])
        entries = cursor.fetchone()
        cursor.execute(_TOOL_VERSIONS, [agent.id])
        tools = tuple(cursor.fetchall())
    return (
        conversation.id,
        prompt_source(agent, conversation, memory).fingerprint,
        conversation.compiled_hash,
        conversation.updated_at,
        agent.updated_at,
        entries,
        tools,
        _stored_count(agent),
    )


def _stored_count(agent: Agent) -> int:
    return Message.objects.filter(agent=agent, is_err=False).count()


def _overview(caller: Caller, agent: Agent, conversation: Conversation) -> ContextOverview:
    model = ModelOfRun(
        chat=_Unasked(conversation.model or agent.model),
        endpoint=None,
        settings={**agent.model_settings, **(conversation.model_settings or {})},
        context_window=conversation.context_window_limit or agent.context_window_limit,
    )
    opened = look_at(caller=caller, conversation=conversation, model=model)
    asked = _first_request(opened)
    system, behind = asked.messages[0].text, list(opened.snapshot.context[1:])
    entries = conversation.entries.filter(position__gt=0).order_by("position")
    ids = list(entries.values_list("message_id", "message__role"))
    summary = None
    if ids and ids[0][1] == "summary":
        summary, ids, behind = behind[0].text, ids[1:], behind[1:]
    return ContextOverview(
        window=opened.snapshot.context_window,
        system=system,
        parts=split_system(system),
        summary=summary,
        chat=tuple(behind),
        message_ids=tuple(message_id for message_id, _ in ids),
        tools=asked.tools,
        archival_count=load_memory(agent, conversation).archival_count,
        recall_count=max(0, _stored_count(agent) - len(ids) - (summary is not None) - 1),
    )


def tool_data(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools as they are offered, in the shape that most providers take."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": json.loads(json.dumps(tool.parameters)),
            },
        }
        for tool in tools
    ]


class _Unasked:
    """A model that is only named: an overview must not need the provider's key."""

    def __init__(self, handle: str) -> None:
        self._handle = handle

    @property
    def handle(self) -> str:
        return self._handle

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        raise AssertionError("an overview asks no model")

    def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        raise AssertionError("an overview asks no model")
