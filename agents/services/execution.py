"""The only bridge between rows and loop: a request becomes a run, the run's events become a stream."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agents.models import Agent, Conversation, Message, Run
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.runtime.cancellation import CancelToken, StopCause
from agents.runtime.events import RunEnded
from agents.runtime.loop import Retry, run_loop
from agents.runtime.snapshot import AttachedTool, CallSettings, Snapshot
from agents.runtime.tool_rules import Rule, RuleBook
from agents.services import leases
from agents.services.agents import get_agent_for
from agents.services.context import load_context, to_chat_message
from agents.services.conversations import get_conversation_of
from agents.services.journal import DatabaseJournal, OpenRun, end_run, without_nulls
from agents.services.system_message import load_memory, write_system_message
from agents.streams import RunStream, flush, follow, open_stream, publish
from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.errors import Conflict, Invalid, NotFound
from letta_ade.core.ids import new_id, new_otid
from letta_ade.core.nudges import agent_group, send_nudge, workspace_group
from letta_ade.llm import catalog
from letta_ade.llm.client import ChatModel
from letta_ade.llm.messages import ChatMessage, Part, TextPart, ToolSpec, part_to_data
from letta_ade.llm.model_settings import shows_thoughts, thinking_budget, thinks
from letta_ade.llm.tokens import estimate_messages
from tools.models import Tool
from tools.services.tools import tool_schema

logger = logging.getLogger(__name__)

#: A request that is sent again with the same otids within this time gets the first one's run.
_REPEAT_WINDOW = timedelta(hours=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputMessage:
    """A message of a request."""

    role: Literal["user", "system", "assistant"]
    content: tuple[Part, ...]
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What somebody asks of an agent."""

    agent_id: str
    messages: tuple[InputMessage, ...]
    #: None or "default": the agent's default conversation.
    conversation_id: str | None = None
    max_steps: int | None = None
    override_model: str | None = None
    #: Replaces the whole system message for this request only.
    override_system: str | None = None
    background: bool = False
    run_type: str = "send_message"
    request_config: dict[str, Any] = field(default_factory=dict)
    #: Wait this long for a run that is going on, instead of a conflict.
    wait_seconds: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRun:
    run_id: str
    agent_id: str
    conversation_id: str
    #: The request had been sent before: this is that run, finished or not.
    is_repeat: bool = False


@dataclass(slots=True, kw_only=True)
class _Active:
    token: CancelToken
    task: asyncio.Task[None]


#: Runs of this process. Touched on the serving loop only.
_active: dict[str, _Active] = {}
_heartbeat: asyncio.Task[None] | None = None


async def start_run(*, caller: Caller, request: RunRequest) -> StartedRun:
    """Start a run; when this returns, every check has passed and the run goes on by itself.

    Raises NotFound (agent, conversation, model), Invalid (messages), Forbidden, RunBusy, or ModelAuthentication when the
    provider has no key.
    """
    # A browser that leaves cancels its request: between the opening of a run and its task that would leave a run that nobody runs.
    return await asyncio.shield(_start(caller, request))


async def _start(caller: Caller, request: RunRequest) -> StartedRun:
    deadline = time.monotonic() + request.wait_seconds
    while True:
        try:
            opened = await threads.run(_open_run, caller, request)
            break
        except leases.RunBusy as busy:
            left = deadline - time.monotonic()
            if left <= 0 or not await _ends_within(busy.data["run_id"], left):
                raise
    if isinstance(opened, StartedRun):
        return opened
    run = opened.open_run.run
    stream = open_stream(run.id)
    token = CancelToken()
    # A context of its own: one made inside a request dies with the request's thread context.
    task = asyncio.get_running_loop().create_task(
        _drive(opened, stream, token), name=run.id, context=contextvars.Context()
    )
    _active[run.id] = _Active(token=token, task=task)
    task.add_done_callback(lambda _: _active.pop(run.id, None))
    _keep_leases()
    for group in (agent_group(run.agent_id), workspace_group(run.workspace_id)):
        await send_nudge(
            group, "run_started", run_id=run.id, agent_id=run.agent_id, conversation_id=run.conversation_id
        )
    return StartedRun(run_id=run.id, agent_id=run.agent_id, conversation_id=run.conversation_id)


async def cancel_runs(
    *,
    caller: Caller,
    agent_id: str,
    conversation_id: str | None = None,
    run_ids: Sequence[str] | None = None,
) -> dict[str, str]:
    """Cancel the given runs, or all that go on; the status of each afterwards.

    Raises Conflict when no run is given and none goes on, NotFound for a run of another agent. A run that has ended is left as it is
    and reported as cancelled.
    """
    runs = await threads.run(_runs_to_cancel, caller, agent_id, conversation_id, run_ids)
    for run_id, has_ended in runs.items():
        active = _active.get(run_id)
        if not has_ended and active is not None:
            active.token.request("cancelled")
    results = {}
    for run_id, has_ended in runs.items():
        active = _active.get(run_id)
        if has_ended:
            results[run_id] = "cancelled"
        elif active is not None:
            await asyncio.wait({active.task})
            results[run_id] = await threads.run(_status_after_cancel, run_id)
        else:
            await threads.run(leases.reap_abandoned_runs)
            results[run_id] = await threads.run(_status_after_cancel, run_id)
    return results


async def stop_all(cause: StopCause = "shutdown", *, timeout: float = 8.0) -> None:
    """End every run of this process; called when the server stops."""
    for active in list(_active.values()):
        active.token.request(cause)
    tasks = {active.task for active in _active.values()}
    if tasks:
        await asyncio.wait(tasks, timeout=timeout)
    if _heartbeat is not None:
        _heartbeat.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    open_run: OpenRun
    snapshot: Snapshot
    model: ChatModel


async def _drive(opened: _Opened, stream: RunStream, token: CancelToken) -> None:
    """Run the loop to its end, whoever listens."""
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
    async for event in events:
        if isinstance(event, RunEnded):
            try:
                await threads.run(
                    end_run,
                    opened.open_run,
                    status=event.status,
                    stop_reason=event.stop_reason,
                    error=event.error,
                    duration_ms=event.duration_ms,
                )
            except Exception:
                # The lease stays and expires: the reaper will write what could not be written now.
                logger.exception("the end of run %s could not be stored", opened.open_run.run.id)
        publish(stream, event)


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
            if run_id not in held and not active.task.done():
                active.token.request("lease_lost")


def _open_run(caller: Caller, request: RunRequest) -> _Opened | StartedRun:
    caller.check("edit")
    if not request.messages:
        raise Invalid("A request needs at least one message.")
    agent = get_agent_for(caller=caller, agent_id=request.agent_id)
    conversation = get_conversation_of(agent=agent, conversation_id=request.conversation_id)
    if repeat := _find_repeat(conversation, request):
        return repeat
    handle = request.override_model or agent.model
    # May ask the provider for its models, so it comes before the transaction.
    model = catalog.get_chat_model(handle, workspace_id=agent.workspace_id)
    endpoint = catalog.get_model_info(handle, workspace_id=agent.workspace_id).endpoint
    run = _new_run(caller, agent, conversation, request, handle)
    inputs = [_input_row(agent, conversation, run, caller, message) for message in request.messages]
    _check_size(agent, inputs)
    tools = list(Tool.objects.filter(agent_links__agent=agent).order_by("agent_links__position"))
    with transaction.atomic():
        memory = load_memory(agent)
        # The lease points at the run, so the run comes first; a busy conversation rolls both back.
        run.save(force_insert=True)
        lease = leases.take_lease(conversation=conversation, run=run)
        conversation = lease.conversation
        if agent.message_buffer_autoclear:
            conversation.entries.filter(position__gt=0).delete()
        context = load_context(conversation)
        system_id = context[0].message_id if context and context[0].position == 0 else None
        system = write_system_message(
            agent=agent, conversation=conversation, memory=memory, current_id=system_id
        )
    chat = [entry.chat for entry in context if entry.position > 0]
    chat.insert(0, context[0].chat if system.new_text is None else _system(system.new_text))
    if request.override_system is not None:
        chat[0] = _system(request.override_system)
    opened = OpenRun(
        caller=caller,
        agent=agent,
        conversation=conversation,
        run=run,
        lease=lease,
        inputs=inputs,
        next_position=max((entry.position for entry in context), default=0) + 1,
        last_message_at=conversation.last_message_at,
        block_ids={block.label: block.id for block in memory.blocks},
        archive_ids=memory.archive_ids,
        return_limits={tool.name: tool.return_char_limit for tool in tools},
        model_endpoint=endpoint,
    )
    return _Opened(open_run=opened, snapshot=_snapshot(opened, request, chat, tools), model=model)


def _snapshot(
    opened: OpenRun, request: RunRequest, chat: Sequence[ChatMessage], tools: Sequence[Tool]
) -> Snapshot:
    agent = opened.agent
    return Snapshot(
        run_id=opened.run.id,
        agent_id=agent.id,
        conversation_id=opened.conversation.id,
        caller_name=opened.caller.name,
        caller_id=opened.caller.id,
        context=tuple(chat),
        tools=tuple(_attached(tool) for tool in tools),
        rules=RuleBook(Rule.from_data(rule) for rule in agent.tool_rules),
        settings=call_settings(agent),
        context_window=agent.context_window_limit,
        max_steps=request.max_steps or settings.DEFAULT_MAX_STEPS,
        inputs=tuple(to_chat_message(row) for row in opened.inputs),
        input_data=tuple(row.to_data() for row in opened.inputs),
    )


def _system(text: str) -> ChatMessage:
    return ChatMessage(role="system", parts=(TextPart(text=text),))


def _find_repeat(conversation: Conversation, request: RunRequest) -> StartedRun | None:
    otids = [message.otid for message in request.messages]
    if not all(otids):
        return None
    run = (
        Run.objects.filter(
            conversation=conversation,
            otids=otids,
            created_at__gt=timezone.now() - _REPEAT_WINDOW,
            status__in=[RunStatus.CREATED, RunStatus.RUNNING, RunStatus.COMPLETED],
        )
        .order_by("-created_at")
        .first()
    )
    if run is None:
        return None
    return StartedRun(
        run_id=run.id, agent_id=run.agent_id, conversation_id=run.conversation_id, is_repeat=True
    )


def _new_run(
    caller: Caller, agent: Agent, conversation: Conversation, request: RunRequest, handle: str
) -> Run:
    return Run(
        workspace_id=agent.workspace_id,
        agent=agent,
        conversation=conversation,
        status=RunStatus.RUNNING,
        background=request.background,
        metadata={"run_type": request.run_type, "model": handle},
        request_config=request.request_config,
        otids=[message.otid for message in request.messages if message.otid],
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
    )


def _input_row(
    agent: Agent, conversation: Conversation, run: Run, caller: Caller, message: InputMessage
) -> Message:
    content = without_nulls([part_to_data(part) for part in message.content])
    if not any(part["type"] != "text" or part["text"] for part in content):
        raise Invalid("A message needs content: its text is empty.")
    return Message(
        id=new_id("message"),
        workspace_id=agent.workspace_id,
        agent_id=agent.id,
        conversation_id=conversation.id,
        run_id=run.id,
        role=message.role,
        content=content,
        otid=message.otid or new_otid(),
        name=message.name,
        sender_id=message.sender_id,
        group_id=message.group_id,
        created_at=timezone.now(),
        created_by_id=caller.id,
    )


def _check_size(agent: Agent, inputs: Sequence[Message]) -> None:
    tokens = estimate_messages(tuple(to_chat_message(row) for row in inputs))
    if tokens > agent.context_window_limit:
        raise Invalid(
            f"The message is about {tokens:,} tokens long and the agent's context window has "
            f"{agent.context_window_limit:,}. Send less, or put the text into archival memory."
        )


def _attached(tool: Tool) -> AttachedTool:
    schema = tool_schema(tool)
    return AttachedTool(
        spec=ToolSpec(
            name=tool.name,
            description=schema.get("description") or "",
            parameters=schema.get("parameters") or {"type": "object", "properties": {}},
        ),
        is_parallel=tool.enable_parallel_execution,
    )


def call_settings(agent: Agent) -> CallSettings:
    """What the agent's model settings mean for a call."""
    stored = agent.model_settings
    return CallSettings(
        max_output_tokens=stored.get("max_output_tokens"),
        temperature=stored.get("temperature"),
        frequency_penalty=stored.get("frequency_penalty"),
        reasoning_effort=(stored.get("reasoning") or {}).get("reasoning_effort"),
        thinking_tokens=thinking_budget(stored),
        shows_thoughts=shows_thoughts(stored),
        thinks=thinks(stored),
        effort=stored.get("effort"),
        verbosity=stored.get("verbosity"),
        strict=bool(stored.get("strict")),
        return_logprobs=bool(stored.get("return_logprobs")),
        top_logprobs=stored.get("top_logprobs"),
        parallel_tool_calls=bool(stored.get("parallel_tool_calls", True)),
        response_format=agent.response_format
        or stored.get("response_format")
        or stored.get("response_schema"),
    )


def _runs_to_cancel(
    caller: Caller, agent_id: str, conversation_id: str | None, run_ids: Sequence[str] | None
) -> dict[str, bool]:
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    runs = Run.objects.filter(agent=agent)
    if conversation_id is not None:
        runs = runs.filter(conversation=get_conversation_of(agent=agent, conversation_id=conversation_id))
    if run_ids:
        found = {run.id: run.has_ended for run in runs.filter(id__in=run_ids)}
        if missing := [run_id for run_id in run_ids if run_id not in found]:
            raise NotFound(f"Run not found: {missing[0]!r}.")
        return found
    active = {run.id: False for run in runs.filter(status__in=ACTIVE_STATUSES)}
    if not active:
        raise Conflict("No run of this agent is going on: there is nothing to cancel.")
    return active


def _status_after_cancel(run_id: str) -> str:
    run = Run.objects.filter(id=run_id).only("status").first()
    if run is None or not run.has_ended:
        return "failed"
    return "cancelled" if run.status in {RunStatus.CANCELLED, RunStatus.COMPLETED} else "failed"


async def close() -> None:
    """End what runs and write what waits. Called once, when the server stops."""
    await stop_all()
    await flush()
