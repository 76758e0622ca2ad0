"""The compiled system message of a conversation: written, and written anew when what it tells has changed."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import F, Func, Q
from django.utils import timezone

from agents.models import Agent, ContextEntry, Conversation, Message
from agents.runtime.system_prompt import PromptSource, compile_system_prompt
from agents.runtime.tool_rules import Rule
from agents.services.agent_types import as_caller, facts_of
from agents.services.context import text_content
from agents.services.conversation_model import provider_type_in
from letta_ade.core.errors import NotFound
from letta_ade.core.rows import Select
from memory.models import Block, BlockVersion, Passage
from memory.rendering import BlockView
from memory.services.block_policies import policy_of

_BLOCK = Select(Block, "block")
#: Those that a conversation has of its own come last.
_BLOCKS = f"""
SELECT link.label, {_BLOCK.columns} FROM memory_block block JOIN (
  SELECT block_id, NULL AS label, position, id FROM agents_agentblock WHERE agent_id = %s
  UNION ALL
  SELECT block_id, label, NULL, id FROM agents_conversationblock WHERE conversation_id = %s
) link ON link.block_id = block.id
ORDER BY link.position NULLS LAST, link.id
"""  # noqa: S608 - all of it is ours
_ARCHIVES_OF_AGENT = "SELECT archive_id FROM agents_agentarchive WHERE agent_id = %s ORDER BY position, id"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMemory:
    """The rows that a system message is compiled from."""

    blocks: tuple[Block, ...]
    archive_ids: tuple[str, ...]
    archival_count: int
    archive_tags: tuple[str, ...]


def load_memory(agent: Agent, conversation: Conversation) -> AgentMemory:
    """The blocks as this conversation has them, and the facts about the agent's archives.

    Two queries, four with archives, one more when blocks are pinned. Pinned blocks are not for saving: they hold an older text.
    """
    blocks = blocks_shown_in(agent, conversation)
    with connection.cursor() as cursor:
        cursor.execute(_ARCHIVES_OF_AGENT, [agent.id])
        archive_ids = tuple(archive_id for (archive_id,) in cursor.fetchall())
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


def blocks_in(agent: Agent, conversation: Conversation) -> tuple[Block, ...]:
    """The agent's blocks in order of attachment; a copy of the conversation stands in the place of the block of its label."""
    with connection.cursor() as cursor:
        cursor.execute(_BLOCKS, [agent.id, conversation.id])
        found = [(label, _BLOCK.row(columns)) for label, *columns in cursor.fetchall()]
    # A dict keeps the place of a key that gets another value.
    return tuple({label or block.label: block for label, block in found}.values())


def blocks_shown_in(agent: Agent, conversation: Conversation) -> tuple[Block, ...]:
    """The same as the system message shows them: pinned ones with value and description of their version. Not for saving.

    Label, limit and read-only mark stay those of now: the tools that write to the block go by them.
    """
    blocks, pins = blocks_in(agent, conversation), conversation.pinned_versions
    where = Q()
    for block in blocks:
        if block.id in pins:
            where |= Q(block_id=block.id, number=pins[block.id])
    if not where:
        return blocks
    versions = {each.block_id: each for each in BlockVersion.objects.filter(where)}
    return tuple(_at(block, versions[block.id]) if block.id in versions else block for block in blocks)


def _at(block: Block, version: BlockVersion) -> Block:
    older = copy(block)
    older.value, older.description, older.version = version.value, version.description, version.number
    return older


def prompt_source(agent: Agent, conversation: Conversation, memory: AgentMemory) -> PromptSource:
    """What the system message of this conversation is compiled from now."""
    facts, caller = facts_of(agent.agent_type), as_caller(agent)
    endpoint_type = provider_type_in(conversation, agent)
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
                read_only=policy_of(block, caller) == "read_only",
            )
            for block in memory.blocks
        ),
        rules=tuple(Rule.from_data(rule) for rule in agent.tool_rules),
        has_line_numbers=endpoint_type == "anthropic" and facts.numbers_lines,
        has_blocks=facts.shows_blocks,
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
    memory = memory or load_memory(agent, conversation)
    source = prompt_source(agent, conversation, memory)
    current_id = current_id or _current_id(conversation)
    if current_id is not None and conversation.compiled_hash == source.fingerprint:
        return SystemMessage(message_id=current_id, new_text=None)
    # A rebuild keeps the time of the last forced one: only `update_timestamp` moves it.
    compiled_at = conversation.compiled_at or timezone.now()
    text = _compile(agent, conversation, source, compiled_at)
    message_id = _store(agent, conversation, current_id, text, compiled_at)
    _remember(conversation, source, memory, compiled_at)
    return SystemMessage(message_id=message_id, new_text=text)


def recompile(*, agent: Agent, conversation: Conversation, update_timestamp: bool, is_dry_run: bool) -> str:
    """The system message compiled from what is true now, also when it is not out of date; a dry run stores nothing.

    Raises NotFound when the conversation has no system message. To store, call it inside a transaction and keep runs out.
    """
    current_id = _current_id(conversation)
    if current_id is None:
        raise NotFound("The conversation has no system message.")
    memory = load_memory(agent, conversation)
    source = prompt_source(agent, conversation, memory)
    kept = None if update_timestamp else conversation.compiled_at
    compiled_at = kept or timezone.now()
    text = _compile(agent, conversation, source, compiled_at)
    if not is_dry_run:
        _store(agent, conversation, current_id, text, compiled_at)
        _remember(conversation, source, memory, compiled_at)
    return text


def _compile(agent: Agent, conversation: Conversation, source: PromptSource, compiled_at: datetime) -> str:
    recalled = recall_count(agent, conversation)
    return compile_system_prompt(source, compiled_at=compiled_at, recall_count=recalled)


def _remember(
    conversation: Conversation, source: PromptSource, memory: AgentMemory, compiled_at: datetime
) -> None:
    conversation.compiled_hash = source.fingerprint
    conversation.compiled_at = compiled_at
    conversation.compiled_versions = {block.id: block.version for block in memory.blocks}
    conversation.save(update_fields=["compiled_hash", "compiled_at", "compiled_versions", "updated_at"])


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
