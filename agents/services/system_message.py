"""The compiled system message of a conversation: written, and written anew when what it tells has changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import F, Func
from django.utils import timezone

from agents.models import Agent, ContextEntry, Conversation, Message
from agents.models.agent import AgentType
from agents.runtime.system_prompt import PromptSource, compile_system_prompt
from agents.runtime.tool_rules import Rule
from agents.services.context import text_content
from memory.models import Block, Passage
from memory.rendering import BlockView

_NUMBERED_TYPES = {AgentType.SLEEPTIME, AgentType.MEMGPT_V2, AgentType.LETTA_V1}
_BLOCKLESS_TYPES = {AgentType.REACT, AgentType.WORKFLOW}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMemory:
    """The rows of an agent that its system message is compiled from."""

    blocks: tuple[Block, ...]
    archive_ids: tuple[str, ...]
    archival_count: int
    archive_tags: tuple[str, ...]


def load_memory(agent: Agent) -> AgentMemory:
    """The agent's blocks in order of attachment, and the facts about its archives. Two queries, four with archives."""
    blocks = tuple(Block.objects.filter(agent_links__agent=agent).order_by("agent_links__position"))
    archive_ids = tuple(agent.archive_links.order_by("position", "id").values_list("archive_id", flat=True))
    count, tags = 0, ()
    if archive_ids:
        passages = Passage.objects.filter(archive_id__in=archive_ids)
        count = passages.count()
        first = Passage.objects.filter(archive_id=archive_ids[0])
        tags = tuple(
            sorted(
                first.annotate(tag=Func(F("tags"), function="unnest"))
                .values_list("tag", flat=True)
                .distinct()
            )
        )
    return AgentMemory(blocks=blocks, archive_ids=archive_ids, archival_count=count, archive_tags=tags)


def prompt_source(agent: Agent, conversation: Conversation, memory: AgentMemory) -> PromptSource:
    """What the system message of this conversation is compiled from now."""
    # A workspace's own provider has a name of its own; its type is in the settings.
    provider = agent.model_settings.get("provider_type") or agent.model.split("/", 1)[0]
    return PromptSource(
        system=agent.system,
        agent_id=agent.id,
        conversation_id=conversation.wire_id,
        timezone=agent.timezone,
        blocks=tuple(
            BlockView(
                label=block.label,
                value=block.value,
                description=block.description,
                limit=block.limit,
                read_only=block.read_only,
            )
            for block in memory.blocks
        ),
        rules=tuple(Rule.from_data(rule) for rule in agent.tool_rules),
        has_line_numbers=provider == "anthropic" and agent.agent_type in _NUMBERED_TYPES,
        has_blocks=agent.agent_type not in _BLOCKLESS_TYPES,
        archival_count=memory.archival_count,
        archive_tags=memory.archive_tags,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMessage:
    message_id: str
    #: The compiled text; None when it stands as it was.
    new_text: str | None


def write_system_message(
    *,
    agent: Agent,
    conversation: Conversation,
    memory: AgentMemory | None = None,
    current_id: str | None = None,
) -> SystemMessage:
    """Compile the system message if it is missing or out of date. The row keeps its id.

    Called inside a transaction by whoever holds the conversation; `current_id` saves a query to who knows it already.
    """
    memory = memory or load_memory(agent)
    source = prompt_source(agent, conversation, memory)
    current_id = current_id or _current_id(conversation)
    fingerprint = source.fingerprint
    if current_id is not None and conversation.compiled_hash == fingerprint:
        return SystemMessage(message_id=current_id, new_text=None)
    # A rebuild keeps the time of the last forced one: only `update_timestamp` moves it.
    compiled_at = conversation.compiled_at or timezone.now()
    recalled = recall_count(agent, conversation)
    text = compile_system_prompt(source, compiled_at=compiled_at, recall_count=recalled)
    message_id = _store(agent, conversation, current_id, text, compiled_at)
    conversation.compiled_hash = fingerprint
    conversation.compiled_at = compiled_at
    conversation.compiled_versions = {block.id: block.version for block in memory.blocks}
    conversation.save(update_fields=["compiled_hash", "compiled_at", "compiled_versions", "updated_at"])
    return SystemMessage(message_id=message_id, new_text=text)


def recall_count(agent: Agent, conversation: Conversation) -> int:
    """Stored messages of the agent that are not in this context."""
    stored = Message.objects.filter(agent=agent, is_err=False).count()
    return max(0, stored - conversation.entries.count())


def _current_id(conversation: Conversation) -> str | None:
    return conversation.entries.filter(position=0).values_list("message_id", flat=True).first()


def _store(
    agent: Agent, conversation: Conversation, current_id: str | None, text: str, compiled_at: datetime
) -> str:
    assert connection.in_atomic_block, "the message, its place and its hash change together"
    if current_id is not None:
        Message.objects.filter(id=current_id).update(content=text_content(text))
        return current_id
    message = Message.objects.create(
        workspace_id=agent.workspace_id,
        agent=agent,
        conversation=conversation,
        role="system",
        content=text_content(text),
        model=agent.model,
        created_at=compiled_at,
    )
    ContextEntry.objects.create(conversation=conversation, message=message, position=0)
    return message.id
