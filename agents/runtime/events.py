"""What a run tells while it goes on. The stream, the stored record and the pages all come from these events.

An event is stored as `{"type": <class name>, **fields}` and read back by `event_from_data`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The first event. `inputs` are the messages of the request as `Message.to_data` writes them (not stored yet)."""

    run_id: str
    agent_id: str
    conversation_id: str
    model: str
    #: ISO 8601.
    started_at: str
    #: Who asked: `Caller.name`.
    caller_name: str
    inputs: list[dict[str, Any]]
    #: Which loop the agent runs (`Snapshot.loop`): direct or heartbeat.
    loop: str = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A model call begins. `message_id` is the id that its assistant message will have."""

    step_id: str
    number: int
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    """`is_native`: the model's own reasoning, and not the words that an agent of the heartbeat loop says to itself."""

    step_id: str
    message_id: str
    otid: str
    text: str
    is_native: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningHidden:
    """`state` is omitted or redacted; `data` is the redacted blob."""

    step_id: str
    message_id: str
    otid: str
    state: str
    data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    step_id: str
    message_id: str
    otid: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """The model begins to write a call.

    `is_request`: it will wait for somebody outside; `message_id` is the request's then, and so is `otid` (spec/streaming.md §5).
    """

    step_id: str
    message_id: str
    otid: str
    tool_call_id: str
    name: str
    is_request: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    step_id: str
    message_id: str
    otid: str
    tool_call_id: str
    name: str
    arguments: str
    is_request: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRetried:
    """The model call failed for a passing reason, or said nothing, and is sent again.

    What was streamed of this step so far is void; `message_id` replaces the one of StepStarted.
    """

    step_id: str
    message_id: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    """The call is being executed; `arguments` is the JSON text that is used (prefilled values included)."""

    step_id: str
    tool_call_id: str
    name: str
    arguments: str
    #: ISO 8601; None in the events of an older server.
    started_at: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStored:
    """The step is committed. `messages` (`Message.to_data`) are all that it stored, inputs of a first step included (role user/system)."""

    step_id: str
    number: int
    messages: list[dict[str, Any]]
    #: Ids among `messages` that were the request's own input: never sent back to the client.
    input_ids: list[str]
    #: Tokens of this call: prompt_tokens, completion_tokens, total_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens.
    usage: dict[str, int | None]
    #: Size of the context after this step.
    context_tokens: int
    step_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChanged:
    """A tool of this run wrote a new version of a block. Comes right after the StepStored that committed it."""

    step_id: str
    tool_call_id: str
    block_id: str
    label: str
    from_version: int
    to_version: int
    #: Lines.
    added: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionStarted:
    """The context is about to be compacted. `context_tokens` is its size, `step_id` the step after which, if there was one."""

    compaction_id: str
    step_id: str | None
    trigger: str
    context_tokens: int
    context_window: int
    #: As in ToolStarted.
    started_at: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCompacted:
    """The compaction is committed. `message` (`Message.to_data`) is the summary message."""

    compaction_id: str
    step_id: str | None
    message: dict[str, Any]
    tokens_before: int
    #: Estimated.
    tokens_after: int
    messages_before: int
    messages_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """The process that worked on the run has died and another one goes on after `steps` stored steps.

    What was told of a step that was not stored is void.
    """

    run_id: str
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The last event, always. `error` is the payload of spec/streaming.md §6 when the run failed by an error."""

    status: str
    stop_reason: str
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    duration_ms: int = 0
    #: `Reply.logprobs` of the last model call, for who asked for them.
    logprobs: dict[str, Any] | None = None


Event = (
    RunStarted
    | StepStarted
    | ReasoningDelta
    | ReasoningHidden
    | TextDelta
    | ToolCallStarted
    | ToolCallDelta
    | CallRetried
    | ToolStarted
    | StepStored
    | BlockChanged
    | CompactionStarted
    | ContextCompacted
    | RunResumed
    | RunEnded
)

_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        RunStarted,
        StepStarted,
        ReasoningDelta,
        ReasoningHidden,
        TextDelta,
        ToolCallStarted,
        ToolCallDelta,
        CallRetried,
        ToolStarted,
        StepStored,
        BlockChanged,
        CompactionStarted,
        ContextCompacted,
        RunResumed,
        RunEnded,
    )
}


def event_to_data(event: Event) -> dict[str, Any]:
    """The event's fields as JSON; its type is the class name."""
    return asdict(event)


def event_from_data(type_name: str, data: dict[str, Any]) -> Event:
    """The event that was stored. Fields that this version does not know are left out, for events of a newer server."""
    cls = _CLASSES[type_name]
    known = {each.name for each in fields(cls)}
    event: Event = cls(**{name: value for name, value in data.items() if name in known})
    return event
