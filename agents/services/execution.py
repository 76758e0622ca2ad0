"""The only bridge between rows and loop: a request becomes a run, the run's events become a stream."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from agents.models import ContextEntry, Run
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.runtime.cancellation import CancelToken, StopCause
from agents.runtime.endings import error_payload
from agents.runtime.events import RunEnded
from agents.runtime.loop import run_loop
from agents.runtime.model_call import Retry
from agents.services import leases
from agents.services.agents import get_agent_for
from agents.services.approvals import close_request, waiting_entries
from agents.services.conversations import get_conversation_of
from agents.services.journal import DatabaseJournal
from agents.services.opening import OpenedRun, StartedRun, open_run, queue_run, take_up_run
from agents.services.run_requests import RunRequest
from agents.streams import RunStream, abandon, flush, follow, let_go, open_stream, publish
from letta_ade.accounts.auth import Caller
from letta_ade.core import notices, threads
from letta_ade.core.errors import AdeError, Conflict, NotFound
from letta_ade.core.nudges import agent_group, send_nudge, workspace_group
from letta_ade.llm.tokens import estimate_messages

logger = logging.getLogger(__name__)

#: A run of another process is given so long to stop when it is told to.
_CANCEL_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class _Active:
    opened: OpenedRun
    token: CancelToken
    task: asyncio.Task[None]


#: Runs of this process. Touched on the serving loop only.
_active: dict[str, _Active] = {}
_heartbeat: asyncio.Task[None] | None = None


async def start_run(*, caller: Caller, request: RunRequest) -> StartedRun:
    """Start a run; when this returns, every check has passed and the run goes on by itself, here or in a worker.

    Raises NotFound (agent, conversation, model), Invalid (messages, answers), Forbidden, RunBusy, PendingApproval, or
    ModelAuthentication when the provider has no key.
    """
    # A browser that leaves cancels its request: between the opening of a run and its task that would leave a run that nobody runs.
    return await asyncio.shield(_start(caller, request))


async def carry_out(run_id: str) -> None:
    """Work on a queued run until it ends; returns at once when it has ended or another process works on it. For the job."""
    try:
        opened = await threads.run(take_up_run, run_id)
    except AdeError as error:
        await threads.run(_fail_queued, run_id, error)
        return
    if opened is not None:
        await asyncio.shield(_launch(opened))


async def cancel_runs(
    *,
    caller: Caller,
    agent_id: str,
    conversation_id: str | None = None,
    run_ids: Sequence[str] | None = None,
) -> dict[str, str]:
    """Cancel the given runs, or all that go on, or when none does those that wait for an answer; the status of each afterwards.

    A request in which one of them ended and that nobody has answered is closed with a no. Raises Conflict when no run is given and
    none goes on or waits, NotFound for a run of another agent, RunBusy when an answer has just come. A run that has ended is left as
    it is and reported as cancelled.
    """
    runs = await threads.run(_runs_to_cancel, caller, agent_id, conversation_id, run_ids)
    going_on = [run_id for run_id, has_ended in runs.items() if not has_ended]
    for run_id in going_on:
        if (active := _active.get(run_id)) is not None:
            active.token.request("cancelled")
    ended = await asyncio.gather(*(_cancelled(run_id) for run_id in going_on))
    await threads.run(_close_requests, caller, agent_id, runs)
    return {**dict.fromkeys(runs, "cancelled"), **dict(zip(going_on, ended, strict=True))}


async def stop_all(cause: StopCause = "shutdown", *, timeout: float = 8.0) -> None:
    """End every run of this process, and hand those of the background over; called when the server stops."""
    for active in list(_active.values()):
        is_kept = cause == "shutdown" and active.opened.open_run.run.request is not None
        active.token.request("handover" if is_kept else cause)
    tasks = {active.task for active in _active.values()}
    if tasks:
        await asyncio.wait(tasks, timeout=timeout)
    if _heartbeat is not None:
        _heartbeat.cancel()


async def close() -> None:
    """End what runs and write what waits. Called once, when the server stops."""
    await stop_all()
    await flush()
    let_go()


async def watch_leases() -> None:
    """Every now and then, end what nobody works on any more, and give to the workers what can go on. Until cancelled."""
    while True:
        await asyncio.sleep(settings.LEASE_SECONDS / 3)
        try:
            for run_id in await threads.run(leases.reap_abandoned_runs):
                logger.warning("run %s was abandoned by its process and is now failed", run_id)
        except Exception:
            # The next round may reach the database again.
            logger.exception("leases could not be looked at")


async def watch_stops() -> None:
    """Stop runs of this process that somebody in another one wants to stop. Until cancelled."""
    with notices.subscribe(leases.STOP_TOPIC) as subscription:
        while True:
            heard = await subscription.wait()
            wanted = [payload["run_id"] for payload in heard.payloads]
            if heard.may_have_missed and _active:
                wanted += await threads.run(leases.wanted_to_stop)
            for run_id in wanted:
                if (active := _active.get(run_id)) is not None:
                    active.token.request("cancelled")


async def _start(caller: Caller, request: RunRequest) -> StartedRun:
    deadline = time.monotonic() + request.wait_seconds
    while True:
        try:
            if request.background:
                queued = await threads.run(queue_run, caller, request)
                await _tell_started(caller.workspace_id, queued)
                return queued
            opened = await threads.run(open_run, caller, request)
            break
        except leases.RunBusy as busy:
            left = deadline - time.monotonic()
            if left <= 0 or "run_id" not in busy.data or not await _ends_within(busy.data["run_id"], left):
                raise
    if isinstance(opened, StartedRun):
        return opened
    _launch(opened)
    run = opened.open_run.run
    return StartedRun(run_id=run.id, agent_id=run.agent_id, conversation_id=run.conversation_id)


def _launch(opened: OpenedRun) -> asyncio.Task[None]:
    """The task that works on the run."""
    run_id = opened.open_run.run.id
    token = CancelToken()
    stream = open_stream(run_id, owner=leases.OWNER, after_seq=opened.last_event)
    # A context of its own: one made inside a request dies with the request's thread context.
    task = asyncio.get_running_loop().create_task(
        _drive(opened, stream, token), name=run_id, context=contextvars.Context()
    )
    _active[run_id] = _Active(opened=opened, token=token, task=task)
    task.add_done_callback(lambda _: _active.pop(run_id, None))
    _keep_leases()
    return task


async def _drive(opened: OpenedRun, stream: RunStream, token: CancelToken) -> None:
    """Run the loop to its end, whoever listens."""
    run = opened.open_run.run
    await _tell_started(
        run.workspace_id,
        StartedRun(run_id=run.id, agent_id=run.agent_id, conversation_id=run.conversation_id),
    )
    journal = DatabaseJournal(opened.open_run)
    events = run_loop(
        opened.snapshot,
        model=opened.model,
        journal=journal,
        tools=journal,
        token=token,
        estimate=lambda message: estimate_messages((message,)),
        retry=Retry(attempts=settings.LLM_RETRIES, pause_seconds=settings.LLM_RETRY_PAUSE_SECONDS),
    )
    has_ended = False
    async for event in events:
        publish(stream, event)
        has_ended = isinstance(event, RunEnded)
    if not has_ended:
        # Another process tells how the run goes on; its readers here look there.
        await flush()
        if token.cause == "handover":
            await threads.run(leases.hand_over, opened.open_run.lease)
        abandon(stream)


async def _tell_started(workspace_id: str, run: StartedRun) -> None:
    """Tell the open pages of a run that waits for a worker, or that begins."""
    for group in (agent_group(run.agent_id), workspace_group(workspace_id)):
        await send_nudge(
            group,
            "run_started",
            run_id=run.run_id,
            agent_id=run.agent_id,
            conversation_id=run.conversation_id,
        )


async def _cancelled(run_id: str) -> str:
    """The status of a run that was told to stop, or is told now because it goes on elsewhere."""
    if (active := _active.get(run_id)) is not None:
        await asyncio.wait({active.task})
    elif not await threads.run(leases.cancel_queued, run_id):
        await threads.run(leases.ask_to_stop, run_id)
        if not await _ends_within(run_id, _CANCEL_SECONDS):
            await threads.run(leases.reap_abandoned_runs)
    return await threads.run(_status_after_cancel, run_id)


async def _ends_within(run_id: str, seconds: float) -> bool:
    async def to_the_end() -> None:
        async for _ in follow(run_id):
            pass

    try:
        await asyncio.wait_for(to_the_end(), seconds)
    except TimeoutError:
        return False
    return True


def _keep_leases() -> None:
    global _heartbeat
    if _heartbeat is None or _heartbeat.done():
        _heartbeat = asyncio.get_running_loop().create_task(
            _renew_while_needed(), context=contextvars.Context()
        )


async def _renew_while_needed() -> None:
    while _active:
        await asyncio.sleep(settings.LEASE_SECONDS / 3)
        before = dict(_active)
        try:
            held = await threads.run(leases.renew_leases, list(before))
        except Exception:
            # The next round may reach the database again; until the lease expires nothing is lost.
            logger.exception("leases could not be renewed")
            continue
        for run_id, active in before.items():
            if active.task.done():
                continue
            if run_id not in held:
                active.token.request("lease_lost")
            elif held[run_id]:
                active.token.request("cancelled")


def _runs_to_cancel(
    caller: Caller, agent_id: str, conversation_id: str | None, run_ids: Sequence[str] | None
) -> dict[str, bool]:
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    runs = Run.objects.filter(agent=agent)
    conversation = None
    if conversation_id is not None:
        conversation = get_conversation_of(agent=agent, conversation_id=conversation_id)
        runs = runs.filter(conversation=conversation)
    if run_ids:
        found = {run.id: run.has_ended for run in runs.filter(id__in=run_ids)}
        if missing := [run_id for run_id in run_ids if run_id not in found]:
            raise NotFound(f"Run not found: {missing[0]!r}.")
        return found
    active = {run.id: False for run in runs.filter(status__in=ACTIVE_STATUSES)}
    if active:
        return active
    waiting = {
        _asker(entry): True
        for entry in waiting_entries([agent.id])
        if conversation is None or entry.conversation_id == conversation.id
    }
    if not waiting:
        raise Conflict("No run of this agent is going on or waits for an answer: there is nothing to cancel.")
    return waiting


def _asker(entry: ContextEntry) -> str:
    """The run that made a request; the request itself when its run has been deleted."""
    return entry.message.run_id or entry.message_id


def _close_requests(caller: Caller, agent_id: str, cancelled: Collection[str]) -> None:
    for entry in waiting_entries([agent_id]):
        if _asker(entry) in cancelled:
            close_request(caller=caller, conversation=entry.conversation)


def _status_after_cancel(run_id: str) -> str:
    run = Run.objects.filter(id=run_id).only("status").first()
    if run is None or not run.has_ended:
        return "failed"
    return "cancelled" if run.status in {RunStatus.CANCELLED, RunStatus.COMPLETED} else "failed"


def _fail_queued(run_id: str, error: AdeError) -> None:
    """End a run that was taken up and cannot be opened: its agent's model has gone, say."""
    payload = error_payload(run_id, "internal_error", error.message, None, http_status=error.status)
    with transaction.atomic():
        leases.end_from_outside(run_id, status=RunStatus.FAILED, stop_reason="error", error=payload)
        leases.give_back(run_id)
