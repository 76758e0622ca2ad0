"""How a request becomes a run: everything is checked, the conversation is taken, and the loop gets its snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agents.models import Agent, Conversation, Message, Run, RunLease
from agents.models.message import MessageRole
from agents.models.run import RunStatus
from agents.runtime.snapshot import AttachedTool, CallSettings, Snapshot
from agents.runtime.tool_rules import Rule, RuleBook
from agents.runtime.turn import past_calls
from agents.services import leases, run_rows
from agents.services.agent_types import facts_of
from agents.services.approvals import (
    PendingApproval,
    PendingRequest,
    find_answered,
    find_pending,
    match_answers,
    pending_turn,
)
from agents.services.callbacks import check_callback_url
from agents.services.compaction_settings import read_settings
from agents.services.context import ContextMessage, load_context, to_chat_message
from agents.services.conversation_model import model_in
from agents.services.conversations import get_conversation_with_agent
from agents.services.decision_notes import load_note
from agents.services.journal import OpenRun, without_nulls
from agents.services.run_requests import AnswersInput, InputMessage, RunRequest
from agents.services.runs import find_same_request
from agents.services.system_message import load_memory, write_system_message
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Invalid
from letta_ade.core.ids import new_id, new_otid
from letta_ade.core.rows import Select
from letta_ade.llm import catalog
from letta_ade.llm.client import ChatModel
from letta_ade.llm.messages import ChatMessage, TextPart, ToolSpec, part_to_data
from letta_ade.llm.model_settings import shows_thoughts, thinking_budget, thinks
from letta_ade.llm.tokens import estimate_messages
from tools.custom import CustomTool, has_source
from tools.models import Tool
from tools.services.tools import tool_schema

#: A request that is sent again with the same otids within this time gets the first one's run.
_REPEAT_WINDOW = timedelta(hours=3)

_TOOL = Select(Tool, "tool")
#: By name, so that equal requests begin with equal text, which providers cache.
_TOOLS_OF_AGENT = f"""
SELECT {_TOOL.columns} FROM tools_tool tool JOIN agents_agenttool link ON link.tool_id = tool.id
WHERE link.agent_id = %s ORDER BY tool.name
"""  # noqa: S608 - all of it is ours

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRun:
    run_id: str
    agent_id: str
    conversation_id: str
    #: The request had been sent before: this is that run, finished or not.
    is_repeat: bool = False

    @classmethod
    def of(cls, run: Run, *, is_repeat: bool = False) -> StartedRun:
        return cls(
            run_id=run.id, agent_id=run.agent_id, conversation_id=run.conversation_id, is_repeat=is_repeat
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
    """A run that is ready to go on."""

    open_run: OpenRun
    snapshot: Snapshot
    model: ChatModel
    #: The number of its last event so far.
    last_event: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOfRun:
    """What a run takes from its model."""

    chat: ChatModel
    endpoint: str | None
    #: As on the wire (spec/objects.md §6).
    settings: Mapping[str, Any]
    #: Tokens.
    context_window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A request that can be run, if its conversation is free."""

    caller: Caller
    request: RunRequest
    agent: Agent
    conversation: Conversation
    run: Run
    model: ModelOfRun
    inputs: list[Message]


class Opening:
    """A request on its way to its run. What it does can be done again when the connection was lost: what was stored is found."""

    def __init__(self, caller: Caller, request: RunRequest) -> None:
        self._caller, self._request = caller, request
        self._checked: Checked | None = None
        self._may_be_stored = False

    def open(self) -> OpenedRun | StartedRun:
        """The run, opened for this process; or the earlier run of a request that is repeated.

        Raises NotFound (agent, conversation, model), Invalid (messages, answers), Forbidden, PendingApproval, RunBusy, or
        ModelAuthentication when the provider has no key.
        """
        checked = self._check()
        if isinstance(checked, StartedRun):
            return checked
        checked.run.request = {"caller": asdict(self._caller), "inputs": _input_data(checked)}
        if self._may_be_stored:
            lease = RunLease.objects.filter(run_id=checked.run.id, owner=leases.OWNER).first()
            if lease is not None:
                with transaction.atomic():
                    return furnish(checked, lease)
        return self._take(checked, leases.OWNER, furnish)

    def queue(self) -> StartedRun:
        """The run, given to the workers; it holds its conversation from now on. Raises as `open`."""
        checked = self._check()
        if isinstance(checked, StartedRun):
            return checked
        checked.run.status = RunStatus.CREATED
        checked.run.request = {**self._request.to_data(self._caller), "inputs": _input_data(checked)}
        if self._may_be_stored and Run.objects.filter(id=checked.run.id).exists():
            return StartedRun.of(checked.run)
        return self._take(checked, leases.QUEUE, _queue)

    def _check(self) -> Checked | StartedRun:
        if self._checked is None:
            checked = _check(self._caller, self._request)
            if isinstance(checked, StartedRun):
                return checked
            self._checked = checked
        return self._checked

    def _take(self, checked: Checked, owner: str, begin: Callable[[Checked, RunLease], T]) -> T | StartedRun:
        """What `begin` makes of the conversation's lease, in the transaction that takes it."""
        self._may_be_stored = True
        try:
            with transaction.atomic():
                lease = leases.start_run_row(checked.run, owner=owner)
                # Again: while this one was checked, its twin may have run to its end.
                if repeat := _find_repeat(checked.caller, checked.run, checked.request):
                    transaction.set_rollback(True)
                    return repeat
                return begin(checked, lease)
        except leases.RunBusy:
            # The run that is in the way may be this request's own.
            if repeat := _find_repeat(checked.caller, checked.run, checked.request):
                return repeat
            raise


def _queue(checked: Checked, lease: RunLease) -> StartedRun:
    answers = _answers_for(checked, load_context(checked.conversation))
    if isinstance(answers, StartedRun):
        transaction.set_rollback(True)
        return answers
    leases.enqueue(lease.run_id)
    return StartedRun.of(checked.run)


def _input_data(checked: Checked) -> list[dict[str, Any]]:
    return [row.to_data() for row in checked.inputs]


def _check(caller: Caller, request: RunRequest) -> Checked | StartedRun:
    caller.check("edit")
    if not request.messages and request.answers is None and request.goes_on_after is None:
        raise Invalid("A request needs at least one message.")
    conversation = get_conversation_with_agent(
        caller=caller, agent_id=request.agent_id, conversation_id=request.conversation_id
    )
    agent = conversation.agent
    handle = request.override_model or conversation.model or agent.model
    run = _new_run(caller, agent, conversation, request, handle)
    if repeat := _find_repeat(caller, run, request):
        return repeat
    if request.callback_url is not None:
        check_callback_url(request.callback_url)
    model = model_of_run(conversation, handle)
    inputs = [_input_row(run, caller, message) for message in request.messages]
    _check_size(inputs, window=model.context_window)
    return Checked(
        caller=caller,
        request=request,
        agent=agent,
        conversation=conversation,
        run=run,
        model=model,
        inputs=inputs,
    )


def model_of_run(conversation: Conversation, handle: str) -> ModelOfRun:
    """The model with the settings and window that it has in this conversation.

    May ask the provider for its models, so it comes before the transaction.
    """
    workspace_id = conversation.workspace_id
    chat = catalog.get_chat_model(handle, workspace_id=workspace_id)
    info = catalog.get_model_info(handle, workspace_id=workspace_id)
    choice = model_in(conversation, handle, info)
    return ModelOfRun(
        chat=chat,
        endpoint=info.endpoint,
        settings=choice.settings,
        context_window=choice.context_window_limit,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """The answers of a request, with the calls that they are for."""

    pending: PendingRequest | None = None
    items: tuple[dict[str, Any], ...] = ()
    #: The run goes on with the turn that the context ends in.
    continues_turn: bool = False


def look_at(*, caller: Caller, conversation: Conversation, model: ModelOfRun | None = None) -> OpenedRun:
    """The conversation as a run would find it that is told nothing: what is read of it, and no run. Stores nothing.

    Without a `model` the conversation's own is looked up: raises NotFound or ModelAuthentication for one that cannot be had.
    """
    agent = conversation.agent
    request = RunRequest(agent_id=agent.id, messages=())
    handle = conversation.model or agent.model
    run = _new_run(caller, agent, conversation, request, handle)
    checked = Checked(
        caller=caller,
        request=request,
        agent=agent,
        conversation=conversation,
        run=run,
        model=model or model_of_run(conversation, handle),
        inputs=[],
    )
    return _without_traces(checked, is_answering=False)


def preview(caller: Caller, request: RunRequest) -> OpenedRun:
    """What a run of this request would work with. Stores nothing. Raises as `Opening.open`, but for RunBusy."""
    checked = _check(caller, request)
    if isinstance(checked, StartedRun):
        raise Conflict(f"This request was sent before: run {checked.run_id} is its answer.")
    return _without_traces(checked, is_answering=True)


def _without_traces(checked: Checked, *, is_answering: bool) -> OpenedRun:
    lease = RunLease(conversation=checked.conversation, run_id=checked.run.id, owner=leases.OWNER)
    with transaction.atomic():
        opened = (
            furnish(checked, lease)
            if is_answering
            else _furnish(checked, lease, load_context(checked.conversation), _Answers())
        )
        transaction.set_rollback(True)
    if isinstance(opened, StartedRun):
        raise Conflict(f"This request was answered before, in run {opened.run_id}.")
    return opened


def _answers_for(checked: Checked, context: Sequence[ContextMessage]) -> _Answers | StartedRun:
    """What the request answers, or the run in which the same was answered before."""
    pending, answers = find_pending(context), checked.request.answers
    if pending is None and answers is None:
        return _goes_on(checked.request, context)
    if pending is None:
        assert answers is not None, "one of the two is there"
        return _heard_before(checked, context, answers)
    if answers is None:
        raise PendingApproval(pending.message_id)
    client_tools = {tool.name for tool in checked.request.client_tools}
    items = match_answers(pending, answers, client_tools=client_tools)
    return _Answers(pending=pending, items=tuple(items), continues_turn=True)


def _goes_on(request: RunRequest, context: Sequence[ContextMessage]) -> _Answers:
    if request.goes_on_after is None:
        return _Answers()
    if not context or context[-1].run_id != request.goes_on_after:
        raise Conflict("The conversation has gone on since that run failed. Write a new message.")
    return _Answers(continues_turn=True)


def _heard_before(
    checked: Checked, context: Sequence[ContextMessage], answers: AnswersInput
) -> _Answers | StartedRun:
    """What a request comes to whose answers are stored already: sent again, or by this very run before its process died."""
    run = checked.run
    if run.messages.filter(role=MessageRole.APPROVAL).exists():
        return _Answers(continues_turn=True)
    earlier = find_answered(checked.conversation, context, answers)
    if earlier is None:
        raise Invalid("No tool call of this conversation waits for an approval or a return.")
    if checked.inputs:
        # The answers have been heard; what was said beside them has not.
        return _Answers()
    has_failed = not Run.objects.filter(id=earlier.run_id).exclude(status=RunStatus.FAILED).exists()
    if has_failed and context[-1].chat.role == "tool":
        # The model has not been heard yet.
        return _Answers(continues_turn=True)
    if earlier.run_id is None:
        raise Invalid("These calls were answered before, in a run that has been deleted.")
    return StartedRun(
        run_id=earlier.run_id, agent_id=run.agent_id, conversation_id=run.conversation_id, is_repeat=True
    )


def furnish(checked: Checked, lease: RunLease) -> OpenedRun | StartedRun:
    """Load what the run works with, now that nobody else writes to its conversation. In a transaction."""
    conversation = checked.conversation
    run_rows.lock_conversation(conversation)
    context = load_context(conversation)
    answers = _answers_for(checked, context)
    if isinstance(answers, StartedRun):
        transaction.set_rollback(True)
        return answers
    return _furnish(checked, lease, context, answers)


def _furnish(
    checked: Checked, lease: RunLease, context: list[ContextMessage], answers: _Answers
) -> OpenedRun:
    agent, conversation, run = checked.agent, checked.conversation, checked.run
    is_new_turn = bool(checked.inputs) and not answers.continues_turn
    if agent.message_buffer_autoclear and is_new_turn:
        conversation.entries.filter(position__gt=0).delete()
        context = [entry for entry in context if entry.position == 0]
    memory = load_memory(agent, conversation)
    tools = _TOOL.fetch(_TOOLS_OF_AGENT, [agent.id])
    system = write_system_message(
        agent=agent,
        conversation=conversation,
        memory=memory,
        current_id=context[0].message_id if context and context[0].position == 0 else None,
    )
    note = load_note(agent=agent, conversation=conversation, run_id=run.id) if is_new_turn else None
    open_run = OpenRun(
        caller=checked.caller,
        agent=agent,
        conversation=conversation,
        run=run,
        lease=lease,
        inputs=checked.inputs,
        note=note,
        answers=[_answer_row(checked, answers.items)] if answers.items else [],
        next_position=max((entry.position for entry in context), default=0) + 1,
        last_message_at=conversation.last_message_at,
        block_ids={block.label: block.id for block in memory.blocks},
        archive_ids=memory.archive_ids,
        return_limits={tool.name: tool.return_char_limit for tool in tools},
        custom_tools={tool.name: CustomTool.of(tool) for tool in tools if has_source(tool)},
        parallel_tools=frozenset(tool.name for tool in tools if tool.enable_parallel_execution),
        model_endpoint=checked.model.endpoint,
        skills_text="" if checked.request.override_system is not None else checked.request.skills_text,
        has_stored_inputs=not checked.inputs,
    )
    chat = [entry.chat for entry in context if entry.position > 0]
    chat.insert(0, _system_of(checked.request, system.new_text, context))
    inputs = [*([note.message] if note is not None else []), *checked.inputs]
    snapshot = _snapshot(checked, chat, tools, answers, inputs)
    if not is_new_turn:
        snapshot = replace(snapshot, past_calls=past_calls(chat))
    return OpenedRun(open_run=open_run, snapshot=snapshot, model=checked.model.chat)


def _snapshot(
    checked: Checked,
    chat: Sequence[ChatMessage],
    tools: Sequence[Tool],
    answers: _Answers,
    inputs: Sequence[Message],
) -> Snapshot:
    agent, request, window = checked.agent, checked.request, checked.model.context_window
    pending = None
    if answers.pending is not None:
        pending = pending_turn(answers.pending, answers.items, context_window=window)
    return Snapshot(
        run_id=checked.run.id,
        agent_id=agent.id,
        conversation_id=checked.conversation.id,
        caller_name=checked.caller.name,
        caller_id=checked.caller.id,
        context=tuple(chat),
        tools=_tools(tools, request),
        rules=RuleBook(Rule.from_data(rule) for rule in agent.tool_rules),
        settings=_with_logprobs(call_settings(agent, checked.model.settings), request),
        context_window=window,
        max_steps=request.max_steps or settings.DEFAULT_MAX_STEPS,
        loop="heartbeat" if facts_of(agent.agent_type).is_heartbeat else "direct",
        timezone=agent.timezone,
        compaction=read_settings(agent.compaction_settings),
        has_own_system=request.override_system is not None,
        inputs=tuple(to_chat_message(row) for row in inputs),
        input_data=tuple(row.to_data() for row in inputs),
        pending=pending,
    )


def _tools(tools: Sequence[Tool], request: RunRequest) -> tuple[AttachedTool, ...]:
    """The agent's tools by name, so that equal requests begin with equal text, and the client's, which hide them."""
    hidden = {tool.name for tool in request.client_tools}
    own = tuple(_attached(tool) for tool in tools if tool.name not in hidden)
    client = tuple(
        AttachedTool(
            spec=ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters),
            is_client=True,
        )
        for tool in request.client_tools
    )
    return own + client


def _system_of(request: RunRequest, new_text: str | None, context: Sequence[ContextMessage]) -> ChatMessage:
    if request.override_system is not None:
        return _system(request.override_system)
    text = context[0].chat.text if new_text is None else new_text
    return _system(f"{text}\n\n{request.skills_text}" if request.skills_text else text)


def _system(text: str) -> ChatMessage:
    return ChatMessage(role="system", parts=(TextPart(text=text),))


def _find_repeat(caller: Caller, run: Run, request: RunRequest) -> StartedRun | None:
    """The earlier run of the request, which `run` would repeat."""
    earlier = None
    if request.otids and len(request.otids) >= request.item_count:
        earlier = (
            Run.objects.filter(
                conversation_id=run.conversation_id,
                otids=request.otids,
                created_at__gt=timezone.now() - _REPEAT_WINDOW,
                status__in=[RunStatus.CREATED, RunStatus.RUNNING, RunStatus.COMPLETED],
            )
            .exclude(id=run.id)
            .order_by("-created_at")
            .first()
        )
    if earlier is None and request.is_retry:
        earlier = find_same_request(
            caller=caller, agent_id=run.agent_id, fingerprint=request.fingerprint, but=run.id
        )
    return None if earlier is None else StartedRun.of(earlier, is_repeat=True)


def _new_run(
    caller: Caller, agent: Agent, conversation: Conversation, request: RunRequest, handle: str
) -> Run:
    return Run(
        workspace_id=agent.workspace_id,
        agent=agent,
        conversation=conversation,
        status=RunStatus.RUNNING,
        background=request.background,
        metadata={**request.metadata, "run_type": request.run_type, "model": handle},
        request_config=_config(request),
        otids=request.otids,
        callback_url=request.callback_url,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
    )


def _config(request: RunRequest) -> dict[str, Any]:
    """With the client's tools: somebody else may answer in its place."""
    if not request.client_tools:
        return request.request_config
    return {**request.request_config, "client_tools": [asdict(tool) for tool in request.client_tools]}


def _input_row(run: Run, caller: Caller, message: InputMessage) -> Message:
    content = without_nulls([part_to_data(part) for part in message.content])
    if not any(part["type"] != "text" or part["text"] for part in content):
        raise Invalid("A message needs content: its text is empty.")
    return Message(
        id=new_id("message"),
        workspace_id=run.workspace_id,
        agent_id=run.agent_id,
        conversation_id=run.conversation_id,
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


def _answer_row(checked: Checked, items: Sequence[dict[str, Any]]) -> Message:
    given = checked.request.answers
    assert given is not None, "items come from answers"
    run = checked.run
    return Message(
        id=new_id("message"),
        workspace_id=run.workspace_id,
        agent_id=run.agent_id,
        conversation_id=run.conversation_id,
        run_id=run.id,
        role="approval",
        approvals=without_nulls(list(items)),
        otid=given.otid or new_otid(),
        group_id=given.group_id,
        created_at=timezone.now(),
        created_by_id=checked.caller.id,
    )


def _check_size(inputs: Sequence[Message], *, window: int) -> None:
    tokens = estimate_messages(tuple(to_chat_message(row) for row in inputs))
    if tokens > window:
        raise Invalid(
            f"The message is about {tokens:,} tokens long and the agent's context window has "
            f"{window:,}. Send less, or put the text into archival memory."
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


def call_settings(agent: Agent, settings: Mapping[str, Any] | None = None) -> CallSettings:
    """What model settings mean for a call; those of the agent unless others are given."""
    stored = agent.model_settings if settings is None else settings
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


def _with_logprobs(settings: CallSettings, request: RunRequest) -> CallSettings:
    if not request.return_logprobs:
        return settings
    return replace(settings, return_logprobs=True, top_logprobs=request.top_logprobs)
