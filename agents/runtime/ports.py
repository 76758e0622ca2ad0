"""What the loop needs of the world. The product gives it a database and tools, a test gives it neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from agents.runtime.compaction import ContextItem, Mode, Summary, Trigger
from agents.runtime.events import BlockChanged
from letta_ade.llm.messages import Part, Reply, ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """A call that the loop has decided on. With a `refusal` it is not executed, and the refusal is its return."""

    call: ToolCall
    arguments: dict[str, Any] = field(default_factory=dict)
    refusal: str | None = None
    #: Waits for somebody outside; it is stored and neither executed nor refused.
    is_waiting: bool = False
    #: A tool rule sets arguments that the tool does not take: the run cannot go on.
    has_bad_rule: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """What a call returned; `text` is what the model reads."""

    tool_call_id: str
    name: str
    text: str
    is_error: bool = False
    #: False: the call was refused, and the text says why.
    was_run: bool = True
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    #: None where this server did not run it, or cannot say when.
    started_at: datetime | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStart:
    """A model call that is about to be made."""

    step_id: str
    number: int
    #: The id of the assistant message that it will give.
    message_id: str
    #: The exact JSON text that is sent.
    request_text: str
    #: Tokens.
    context_window: int
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How the run ended. `error` is the payload of spec/streaming.md §6."""

    status: str
    stop_reason: str
    error: dict[str, Any] | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """A step as it is to be stored."""

    step_id: str
    number: int
    message_id: str
    status: Literal["success", "failed", "cancelled"]
    stop_reason: str | None = None
    #: What the model said; None when it said nothing that can be kept.
    parts: tuple[Part, ...] = ()
    #: When one of them waits, all are put off.
    calls: tuple[PlannedCall, ...] = ()
    #: Results that are already known; a call without one is executed by the journal, inside its transaction.
    outcomes: tuple[CallOutcome, ...] = ()
    #: A note of ours that the model reads next, as the text of a user message.
    heartbeat: str | None = None
    reply: Reply | None = None
    context_tokens: int = 0
    #: The attempt that counts: Unix time, None when the model was not called; how long it took; when it said its first word.
    llm_request_start_ns: int | None = None
    llm_request_ns: int = 0
    ttft_ns: int | None = None
    #: Spent on tools outside the journal; None when none ran there. It adds the calls that it executes itself.
    tool_ns: int | None = None
    step_ns: int = 0
    error: dict[str, Any] | None = None
    #: The run ends with this step, in the same transaction.
    run_end: RunEnd | None = None
    #: The step failed and another one follows in its place: what was said to the run is not stored with it.
    is_repeated: bool = False

    @property
    def is_request(self) -> bool:
        """Whether it ends in a request for approval."""
        return any(each.is_waiting for each in self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersEnd:
    """The returns of calls that had waited, as they are to be stored: with the answers, in the step that asked."""

    step_id: str
    #: The stored request.
    message_id: str
    calls: tuple[PlannedCall, ...]
    #: As in StepEnd.
    outcomes: tuple[CallOutcome, ...] = ()
    heartbeat: str | None = None
    #: As in StepEnd.
    tool_ns: int | None = None
    run_end: RunEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStep:
    """What the journal made of a StepEnd or an AnswersEnd."""

    #: `Message.to_data` of every stored message, inputs first.
    messages: list[dict[str, Any]]
    input_ids: list[str]
    outcomes: tuple[CallOutcome, ...]
    changes: tuple[BlockChanged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionEnd:
    """A compaction as it is to be stored: messages that leave the context, and the summary that takes their place."""

    compaction_id: str
    trigger: Trigger
    mode: Mode
    #: Ids of the messages, which stay stored.
    replaced: tuple[str, ...]
    summary: Summary
    #: The text of the summary message.
    text: str
    #: After which it happened; None: before the first one, or outside a run.
    step_id: str | None
    tokens_before: int
    #: Estimated.
    tokens_after: int
    messages_before: int
    messages_after: int
    context_window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCompaction:
    """What the journal made of a CompactionEnd."""

    #: `Message.to_data` of the summary message.
    message: dict[str, Any]
    #: The context as it is now; the system message was compiled anew.
    context: tuple[ContextItem, ...]


class ContextStore(Protocol):
    """Where a context is kept."""

    async def load_context(self) -> tuple[ContextItem, ...]:
        """The stored messages in context, the system message first."""

    async def compact(self, compaction: CompactionEnd) -> StoredCompaction:
        """Store a compaction in one transaction; done again, it gives what was stored."""


class Journal(ContextStore, Protocol):
    """Where a run is written. Its methods raise RunStopped when the right to write has gone to another process.

    While the store cannot be reached they wait for it: a step for some time, the end of a run for as long as it takes.
    """

    async def begin_step(self, step: StepStart) -> None:
        """Record that a call is made. Runs beside the call."""

    async def end_step(self, step: StepEnd) -> StoredStep:
        """Store the step in one transaction; the inputs of the request go with the first step that succeeds.

        A failed step stores its inputs as messages with `is_err`, out of context.
        """

    async def store_answers(self, answers: AnswersEnd) -> StoredStep:
        """Store the answers to a request and the returns of its calls in one transaction."""

    async def end_run(self, end: RunEnd) -> None:
        """Write the end of a run that ends beside its steps. RunStopped, too, when it cannot be written: somebody else will."""


class ToolRunner(Protocol):
    """Who executes tools."""

    async def execute(
        self, step_id: str, message_id: str, calls: Sequence[PlannedCall]
    ) -> tuple[CallOutcome, ...]:
        """Do what must be done outside a transaction; outcomes of the calls that are thereby done, in any order.

        Cancelled when the run is: whatever runs then must end.
        """
