"""Ask again with other words: a fork that ends before a message and goes on with its edited text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from agents.models import Conversation, Message
from agents.models.message import MessageRole
from agents.services.agent_conversations import delete_conversation
from agents.services.context import parts_of
from agents.services.conversations import find_conversation, history_of
from agents.services.execution import start_run
from agents.services.forks import fork_conversation
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, Invalid, NotFound
from letta_ade.llm.messages import Part, TextPart

EDITABLE = (MessageRole.USER, MessageRole.SYSTEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """The fork, and the run that goes on in it."""

    fork: Conversation
    run_id: str


def get_editable(*, caller: Caller, agent_id: str, conversation_id: str, message_id: str) -> Message:
    """A message of the conversation that somebody sent. Raises NotFound, or Invalid for one that the agent wrote."""
    caller.check("edit")
    conversation = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
    message = history_of(conversation).filter(id=message_id).defer("search").first()
    if message is None:
        raise NotFound(f"The conversation has no message {message_id!r}.")
    if message.role not in EDITABLE or message.id == _system_message_id(conversation):
        raise Invalid("Only a message that somebody sent can be edited and run again.")
    return message


async def rerun_edited(
    *, caller: Caller, agent_id: str, conversation_id: str, message_id: str, text: str
) -> Rerun:
    """Fork the conversation before the message and send the text there, with the images that the message had.

    The conversation itself stays as it is. Raises NotFound, Invalid, or what `start_run` raises; then there is no fork either.
    """
    fork, message = await threads.run(
        lambda: _fork(caller, agent_id, conversation_id, message_id, text),
    )
    request = RunRequest(agent_id=agent_id, conversation_id=fork.id, messages=(message,))
    try:
        started = await start_run(caller=caller, request=request)
    except AdeError:
        await threads.run(delete_conversation, caller=caller, conversation_id=fork.id)
        raise
    return Rerun(fork=fork, run_id=started.run_id)


def _fork(
    caller: Caller, agent_id: str, conversation_id: str, message_id: str, text: str
) -> tuple[Conversation, InputMessage]:
    message = get_editable(
        caller=caller, agent_id=agent_id, conversation_id=conversation_id, message_id=message_id
    )
    content = _edited(parts_of(message.content), text)
    if not content:
        raise Invalid("Write a message first.")
    fork = fork_conversation(
        caller=caller,
        conversation_id=conversation_id,
        agent_id=agent_id,
        message_id=message_id,
        is_before=True,
    )
    role = cast(Literal["user", "system"], message.role)
    return fork, InputMessage(role=role, content=content, name=message.name)


def _edited(content: tuple[Part, ...], text: str) -> tuple[Part, ...]:
    """The parts with this text in the place of their own, in the front when they had none."""
    texts = [place for place, part in enumerate(content) if isinstance(part, TextPart)]
    others = [part for part in content if not isinstance(part, TextPart)]
    if not text:
        return tuple(others)
    if not texts:
        return (TextPart(text=text), *others)
    first = texts[0]
    written = replace(cast(TextPart, content[first]), text=text)
    return (*content[:first], written, *(part for part in content[first:] if not isinstance(part, TextPart)))


def _system_message_id(conversation: Conversation) -> str | None:
    first = conversation.entries.order_by("position").values_list("message_id", flat=True).first()
    return None if first is None else str(first)
