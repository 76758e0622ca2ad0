"""The only bridge between rows and loop: a request becomes a run, the run's events become a stream."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from weakref import WeakSet

from django.conf import settings
from django.db import transaction

from agents.event_rows import PASSING_FAILURES
from agents.models import ContextEntry, Run
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.runtime.cancellation import CancelToken, StopCause
from agents.runtime.endings import error_payload
from agents.runtime.events import RunEnded
from agents.runtime.loop import run_loop
from agents.runtime.model_call import Retry
from agents.runtime.summarising import Summariser
from agents.services import leases
from agents.services.agents import get_agent_for
from agents.services.approvals import close_request, waiting_entries
from agents.services.conversations import get_conversation_of
from agents.services.journal import DatabaseJournal
from agents.services.opening import OpenedRun, Opening, StartedRun
from agents.services.outside_ends import end_from_outside
from agents.services.run_requests import RunRequest
from agents.services.summarisers import find_summarisers
from agents.services.taking_up import take_up_run
from agents.services.untold import tell_lost_ends
from agents.streams import RunStream, abandon, flush, follow, let_go, open_stream, publish
from letta_ade.accounts.auth import Caller
from letta_ade.core import notices, threads
from letta_ade.core.errors import AdeError, Conflict, NotFound
from letta_ade.core.nudges import agent_group, send_nudge, workspace_group
from letta_ade.llm.tokens import estimate_messages

logger = logging.getLogger(__name__)

#: A run of another process is given so long to stop when it is told to.
_CANCEL_SECONDS = 5.0
#: A request waits so long for a database that is away; then its client is told, and may send it again.
_OPENING_SECONDS = 5.0
#: A process that stops waits so long for the database to hand a run over; later, that counts as its death.
_HAND_OVER_SECONDS = 5.0
#: Ends that were told within this time, and whose process died before it had written them down, are looked for.
_LOST_ENDS = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class _Active:
    opened: OpenedRun
    token: CancelToken
    task: asyncio.Task[None]


#: Runs of this process. Touched on the serving loop only.
_active: dict[str, _Active] = {}
#: Runs that somebody in another process wants to stop and that are not here: one of them may just be opening.
_unmet_stops: deque[str] = deque(maxlen=1000)
_heartbeat: asyncio.Task[None] | None = None
#: Loops that serve no more: what still opens there ends at once.
_closed: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


async def start_run(*, caller: Caller, request: RunRequest) -> StartedRun:
    """Start a run; when this returns, every check has passed and the run goes on by itself, here or in a worker.

    Raises NotFound (agent, conversation, model), Invalid (messages, answers), Forbidden, RunBusy, PendingApproval, or
    ModelAuthentication when the provider has no key.
    """
    # A browser that leaves cancels its request: between the opening of a run and its task that would leave a run that nobody runs.
    return await asyncio.shield(_start(caller, request))


async def carry_out(run_id: str) -> None:
    """Work on a queued run until it ends; returns at once when it has ended or somebody works on it. For the job."""
    if run_id in leases.working_on:
        return
    leases.working_on.add(run_id)
    opened = None
    try:
        opened = await threads.insist(take_up_run, run_id, patience=settings.DATABASE_PATIENCE_SECONDS)
    except AdeError as error:
        await threads.run(_fail_queued, run_id, error)
    finally:
        if opened is None:
            leases.working_on.discard(run_id)
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


def stop_here(run_id: str) -> None:
    """Tell a run of this process to stop, without waiting for its end; one that has ended is left alone. On the serving loop."""
    if (active := _active.get(run_id)) is not None:
        active.token.request("cancelled")


async def stop_all(cause: StopCause = "shutdown", *, timeout: float = 8.0) -> None:
    """End every run of this process, and hand those of the background over; called when the server stops."""
    for active in list(_active.values()):
        active.token.request(_stop_cause(active.opened, cause))
    tasks = {active.task for active in _active.values()}
    if tasks:
        await asyncio.wait(tasks, timeout=timeout)
    if _heartbeat is not None:
        _heartbeat.cancel()


async def close(*, is_final: bool = False) -> None:
    """End what runs and write what waits; `is_final`: also what is about to begin. Called when the server stops."""
    if is_final:
        _closed.add(asyncio.get_running_loop())
    await stop_all()
    try:
        await flush()
    except PASSING_FAILURES:
        # The next server tells what was stored.
        logger.exception("the last events of runs could not be written")
    let_go()


async def watch_leases() -> None:
    """Every now and then, end what nobody works on any more, and give to the workers what can go on. Until cancelled."""
    has_looked = False
    while True:
        try:
            await _look_for_the_dead(is_first=not has_looked)
            has_looked = True
        except Exception:
            # The next round may reach the database again.
            logger.exception("leases could not be looked at")
        await asyncio.sleep(settings.LEASE_SECONDS / 3)


async def watch_stops() -> None:
    """Stop runs of this process that somebody in another one wants to stop. Until cancelled."""
    with notices.subscribe(leases.STOP_TOPIC) as subscription:
        while True:
            heard = await subscription.wait()
            wanted = [payload["run_id"] for payload in heard.payloads]
            if heard.may_have_missed and _active:
                wanted += await threads.insist(leases.wanted_to_stop, patience=None)
            for run_id in wanted:
                if (active := _active.get(run_id)) is not None:
                    active.token.request("cancelled")
                else:
                    _unmet_stops.append(run_id)


async def _look_for_the_dead(*, is_first: bool) -> None:
    for run_id in await threads.run(leases.reap_abandoned_runs):
        logger.warning("run %s was abandoned by its process and is now failed", run_id)
    if is_first:
        await threads.run(leases.queue_lost_jobs)
    for run_id in await threads.run(tell_lost_ends, None if is_first else _LOST_ENDS):
        logger.warning("run %s had ended and nobody had been told", run_id)


def _stop_cause(opened: OpenedRun, cause: StopCause) -> StopCause:
    return "handover" if cause == "shutdown" and opened.open_run.run.background else cause


async def _start(caller: Caller, request: RunRequest) -> StartedRun:
    deadline = time.monotonic() + request.wait_seconds
    while True:
        opening = Opening(caller, request)
        try:
            if request.background:
                queued = await threads.insist(opening.queue, patience=_OPENING_SECONDS)
                await _tell_started(caller.workspace_id, queued)
                return queued
            opened = await threads.insist(opening.open, patience=_OPENING_SECONDS)
            break
        except leases.RunBusy as busy:
            left = deadline - time.monotonic()
            if left <= 0 or "run_id" not in busy.data or not await ends_within(busy.data["run_id"], left):
                raise
    if isinstance(opened, StartedRun):
        return opened
    _launch(opened)
    return StartedRun.of(opened.open_run.run)


def _launch(opened: OpenedRun) -> asyncio.Task[None]:
    """The task that works on the run."""
    run_id = opened.open_run.run.id
    token = CancelToken()
    if asyncio.get_running_loop() in _closed:
        token.request(_stop_cause(opened, "shutdown"))
    elif run_id in _unmet_stops:
        token.request("cancelled")
    stream = open_stream(run_id, owner=leases.OWNER, after_seq=opened.last_event)
    # A context of its own: one made inside a request dies with the request's thread context.
    task = asyncio.get_running_loop().create_task(
        _drive(opened, stream, token), name=run_id, context=contextvars.Context()
    )
    _active[run_id] = _Active(opened=opened, token=token, task=task)
    leases.working_on.add(run_id)
    task.add_done_callback(_leave)
    _keep_leases()
    return task


def _leave(task: asyncio.Task[None]) -> None:
    run_id = task.get_name()
    # It may have been handed over and taken up again meanwhile.
    if run_id in _active and _active[run_id].task is task:
        del _active[run_id]
        leases.working_on.discard(run_id)


async def _drive(opened: OpenedRun, stream: RunStream, token: CancelToken) -> None:
    """Run the loop to its end, whoever listens."""
    run = opened.open_run.run
    try:
        await _tell_started(run.workspace_id, StartedRun.of(run))
        has_ended = await _follow_loop(opened, stream, token)
        if not has_ended:
            await _let_go(opened, token)
    except Exception:
        # Its lease expires, and whoever watches over leases ends it or gives it to a worker.
        logger.exception("run %s broke off", stream.run_id)
        has_ended = False
    if not has_ended:
        # Another process tells how the run goes on; its readers here look there.
        abandon(stream)


async def _follow_loop(opened: OpenedRun, stream: RunStream, token: CancelToken) -> bool:
    """Publish what the loop tells; whether it told an end."""
    journal = DatabaseJournal(opened.open_run)
    events = run_loop(
        opened.snapshot,
        model=opened.model,
        journal=journal,
        tools=journal,
        token=token,
        estimate=lambda message: estimate_messages((message,)),
        retry=Retry(attempts=settings.LLM_RETRIES, pause_seconds=settings.LLM_RETRY_PAUSE_SECONDS),
        find_summarisers=lambda: _summarisers_of(opened),
    )
    has_ended = False
    async for event in events:
        if isinstance(event, RunEnded):
            has_ended = True
            if run_ids := opened.open_run.background_run_ids:
                event = replace(event, usage={**event.usage, "run_ids": run_ids})
        publish(stream, event)
    return has_ended


async def _summarisers_of(opened: OpenedRun) -> Sequence[Summariser]:
    agent = opened.open_run.agent
    return await threads.run(
        find_summarisers, agent, agent.compaction_settings, own=opened.model, snapshot=opened.snapshot
    )


async def _let_go(opened: OpenedRun, token: CancelToken) -> None:
    """Leave a run that goes on elsewhere; what was told of it is written first."""
    await flush()
    if token.cause == "handover":
        await threads.insist(leases.hand_over, opened.open_run.lease, patience=_HAND_OVER_SECONDS)


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
    # One that was just being handed over waits for a worker now.
    is_asked = await threads.run(_cancel_elsewhere, run_id)
    if is_asked and not await ends_within(run_id, _CANCEL_SECONDS):
        await threads.run(leases.cancel_unattended, run_id)
    return await threads.run(_status_after_cancel, run_id)


def _cancel_elsewhere(run_id: str) -> bool:
    """Whether another process works on the run, which has been asked to stop."""
    return not leases.cancel_unattended(run_id) and leases.ask_to_stop(run_id)


async def ends_within(run_id: str, seconds: float) -> bool:
    """Wait for the end of a run; whether it came in time."""

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
        end_from_outside(run_id, status=RunStatus.FAILED, stop_reason="error", error=payload)
        leases.give_back(run_id)
