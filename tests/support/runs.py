"""Runs in the loop of a test: started, read to their end, and looked at afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, transaction

from agents import streams
from agents.models import Agent, ContextEntry, Run, RunEvent
from agents.runtime.events import Event, RunEnded
from agents.services import execution
from agents.services.opening import StartedRun
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.core import threads
from letta_ade.llm.messages import TextPart
from tests.support.factories import make_caller

R = TypeVar("R")


async def db(fn: Callable[[], R]) -> R:
    """What the synchronous code returns."""
    return await threads.run(fn)


def request_to(agent: Agent, words: str = "Hello", *, otid: str | None = None, **fields: Any) -> RunRequest:
    message = InputMessage(role="user", content=(TextPart(text=words),), otid=otid)
    return RunRequest(agent_id=agent.id, messages=(message,), **fields)


async def start(agent: Agent, words: str = "Hello", **fields: Any) -> StartedRun:
    caller = await db(make_caller)
    return await execution.start_run(caller=caller, request=request_to(agent, words, **fields))


async def finish(run_id: str) -> list[Event]:
    """The events of the run, which ends."""
    events = [event async for _, event in streams.follow(run_id)]
    assert isinstance(events[-1], RunEnded), events
    return events


async def check_one_end(run_id: str) -> Run:
    """The run, which has ended once: in its row, and in its events."""
    await streams.flush()
    run = await db(lambda: Run.objects.get(id=run_id))
    ends = await db(
        lambda: list(RunEvent.objects.filter(run=run, type="RunEnded").values_list("data", flat=True))
    )
    assert [(end["status"], end["stop_reason"]) for end in ends] == [(run.status, run.stop_reason)]
    assert run.completed_at is not None
    return run


def roles(agent: Agent) -> list[str]:
    """The roles of the messages in context, in their order."""
    entries = ContextEntry.objects.filter(conversation__agent=agent).order_by("position")
    return list(entries.values_list("message__role", flat=True))


@contextmanager
def lost_commits(
    module: Any, monkeypatch: pytest.MonkeyPatch, *, is_stored: bool, times: int = 1
) -> Iterator[None]:
    """The next transactions of a module lose their connection while they commit: after it, or before."""
    left = times

    @contextmanager
    def atomic(*arguments: Any, **options: Any) -> Iterator[None]:
        nonlocal left
        is_lost = left > 0
        left -= is_lost
        with transaction.atomic(*arguments, **options):
            yield
            if is_lost and not is_stored:
                raise OperationalError("the connection is lost")
        if is_lost:
            raise OperationalError("the connection is lost")

    class Transaction:
        set_rollback = staticmethod(transaction.set_rollback)

    stand_in = Transaction()
    stand_in.atomic = atomic  # type: ignore[attr-defined]  # a function that must not become a method
    with monkeypatch.context() as patched:
        patched.setattr(module, "transaction", stand_in)
        yield
