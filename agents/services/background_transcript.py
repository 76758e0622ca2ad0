"""What the background of an agent reads: the messages that it has not been handed yet, as a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from agents.models import Conversation, Group, Message
from agents.models.message import MessageRole
from agents.runtime.spoken import AnswerTool
from letta_ade.llm.messages import reasoning_text

#: Messages that one transcript holds at most; what is left comes with the next one.
_MOST_MESSAGES = 1000
#: A tool's return is cut to so many characters: what matters of it is what the agent said about it.
_MOST_RETURN_CHARACTERS = 2000
_ANSWER_TOOL = AnswerTool()
_REASONING_TYPES = ("reasoning", "summarized_reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said, and how far that goes."""

    text: str
    #: As `Group.processed`.
    processed: dict[str, str]
    last_message_id: str
    #: False: there is more, which did not fit.
    is_all: bool


def read_transcript(group: Group, *, most_characters: int) -> Transcript | None:
    """The messages since the last transcript, the oldest first, as many as fit; None when nothing was said.

    A message that is too long alone is cut: it would come back for ever.
    """
    processed = dict(group.processed)
    texts: list[str] = []
    last_id, room, is_all = "", most_characters, True
    rows = _unread(group)
    for row in rows[:_MOST_MESSAGES]:
        text = "\n".join(_lines(row))
        if texts and len(text) > room:
            is_all = False
            break
        if len(text) > room:
            text = f"{text[:room]}… [cut: the message has {len(text)} characters]"
        if text:
            texts.append(text)
            room -= len(text)
        processed[row.conversation_id] = row.created_at.isoformat()
        last_id = row.id
    else:
        is_all = len(rows) <= _MOST_MESSAGES
    if not texts:
        return None
    return Transcript(text="\n".join(texts), processed=processed, last_message_id=last_id, is_all=is_all)


def _unread(group: Group) -> list[Message]:
    """The unread messages of all conversations in order of time, one more than a transcript may hold."""
    where, is_any = Q(), False
    conversations = Conversation.objects.filter(
        agent_id=group.manager_agent_id, last_message_at__gt=group.created_at, deleted_at=None
    )
    for conversation_id, last_at in conversations.values_list("id", "last_message_at"):
        mark = group.processed.get(conversation_id)
        since = datetime.fromisoformat(mark) if mark else group.created_at
        if last_at is not None and last_at > since:
            where |= Q(conversation_id=conversation_id, created_at__gt=since)
            is_any = True
    if not is_any:
        return []
    # A system message of no run is the compiled one.
    rows = Message.objects.filter(where, is_err=False).exclude(role=MessageRole.SYSTEM, run=None)
    return list(rows.defer("search").order_by("created_at", "id")[: _MOST_MESSAGES + 1])


def _lines(row: Message) -> Iterator[str]:
    match row.role:
        case MessageRole.USER | MessageRole.SYSTEM:
            # A note of ours to the model has no words to be found.
            if words := row.text or _image_words(row):
                yield f"{row.role}: {words}"
        case MessageRole.TOOL:
            for each in row.tool_returns:
                if each.get("name") != _ANSWER_TOOL.name:
                    yield f"{each.get('name')} returned: {_short(str(each.get('text', '')))}"
        case MessageRole.ASSISTANT | MessageRole.APPROVAL:
            yield from _said(row)


def _said(row: Message) -> Iterator[str]:
    for part in row.content:
        if part.get("type") in _REASONING_TYPES and (thought := reasoning_text(part)):
            yield f"assistant: <thinking>{thought}</thinking>"
        elif part.get("type") == "text" and part["text"]:
            yield f"assistant: {part['text']}"
    for call in row.tool_calls:
        words = _ANSWER_TOOL.words_of([call])
        yield f"assistant: {words}" if words is not None else f"assistant: Calling tool {call['name']}"


def _image_words(row: Message) -> str:
    return "[an image]" if any(part.get("type") == "image" for part in row.content) else ""


def _short(text: str) -> str:
    if len(text) <= _MOST_RETURN_CHARACTERS:
        return text
    return f"{text[:_MOST_RETURN_CHARACTERS]}… [cut: it has {len(text)} characters]"
