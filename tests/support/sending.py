"""Runs of the product in a test: a request is started, its events are read to the end, rows are looked at beside the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agents import streams
from agents.models import Agent, Message
from agents.runtime.events import Event, RunEnded
from agents.services import execution
from agents.services.conversations import get_default_conversation
from agents.services.run_requests import AnswersInput, InputMessage, RunRequest
from letta_ade.core import threads
from letta_ade.llm.messages import TextPart
from tests.support.factories import make_caller

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run that has ended."""

    run_id: str
    events: list[Event]

    @property
    def end(self) -> RunEnded:
        assert isinstance(self.events[-1], RunEnded)
        return self.events[-1]

    @property
    def stop_reason(self) -> str:
        return self.end.stop_reason


async def db(fn: Callable[[], R]) -> R:
    """What `fn` finds in the database, on a thread that may look at it."""
    return await threads.run(fn)


def said(words: str, **fields: Any) -> InputMessage:
    return InputMessage(role="user", content=(TextPart(text=words),), **fields)


async def start(
    agent: Agent, *messages: InputMessage | str, answers: AnswersInput | None = None, **fields: Any
) -> str:
    """The id of a run that goes on."""
    inputs = tuple(said(each) if isinstance(each, str) else each for each in messages)
    request = RunRequest(agent_id=agent.id, messages=inputs, answers=answers, **fields)
    started = await execution.start_run(caller=await db(make_caller), request=request)
    return started.run_id


async def finish(run_id: str) -> Finished:
    return Finished(run_id=run_id, events=[event async for _, event in streams.follow(run_id)])


async def send(
    agent: Agent, *messages: InputMessage | str, answers: AnswersInput | None = None, **fields: Any
) -> Finished:
    """A run from its request to its end."""
    return await finish(await start(agent, *messages, answers=answers, **fields))


async def context_of(agent: Agent) -> list[Message]:
    """The messages in the context of the default conversation, the system message left out."""

    def load() -> list[Message]:
        entries = get_default_conversation(agent).entries.filter(position__gt=0).order_by("position")
        return [entry.message for entry in entries.select_related("message")]

    return await db(load)


async def stored_of(agent: Agent) -> list[Message]:
    """All messages of the agent in order of time, the system message left out."""
    return await db(
        lambda: list(Message.objects.filter(agent=agent).exclude(role="system").order_by("created_at", "id"))
    )


def roles(messages: Sequence[Message]) -> list[str]:
    return [message.role for message in messages]
