"""What the loop needs of the world. The product gives it a database and tools, a test gives it neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from agents.runtime.events import BlockChanged
from letta_ade.llm.messages import Part, Reply, ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """A call that the loop has decided on. With a `refusal` it is not executed, and the refusal is its return."""

    call: ToolCall
    arguments: dict[str, Any] = field(default_factory=dict)
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """What a call returned; `text` is what the model reads."""

    tool_call_id: str
    name: str
    text: str
    is_error: bool = False
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
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
    calls: tuple[PlannedCall, ...] = ()
    #: Results that are already known; a call without one is executed by the journal, inside its transaction.
    outcomes: tuple[CallOutcome, ...] = ()
    #: A note of ours that the model reads next, as a user message.
    heartbeat: str | None = None
    reply: Reply | None = None
    context_tokens: int = 0
    llm_request_ns: int = 0
    ttft_ns: int | None = None
    step_ns: int = 0
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStep:
    """What the journal made of a StepEnd."""

    #: `Message.to_data` of every stored message, inputs first.
    messages: list[dict[str, Any]]
    input_ids: list[str]
    outcomes: tuple[CallOutcome, ...]
    changes: tuple[BlockChanged, ...] = ()


class Journal(Protocol):
    """Where a run is written."""

    async def begin_step(self, step: StepStart) -> None:
        """Record that a call is made. Runs beside the call."""

    async def end_step(self, step: StepEnd) -> StoredStep:
        """Store the step in one transaction; the inputs of the request go with the first step that succeeds.

        A failed step stores its inputs as messages with `is_err`, out of context.
        """


class ToolRunner(Protocol):
    """Who executes tools."""

    async def execute(self, step: StepStart, calls: Sequence[PlannedCall]) -> tuple[CallOutcome, ...]:
        """Do what must be done outside a transaction; outcomes of the calls that are thereby done, in any order."""
