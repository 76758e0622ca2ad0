"""What a run works with: read once at its start, never changed by others while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.runtime.compaction import CompactionSettings
from agents.runtime.ports import CallOutcome
from agents.runtime.tool_rules import PastCall, RuleBook
from letta_ade.llm.messages import ChatMessage, ToolCall, ToolSpec

#: direct: what the model says is the answer, and it goes on while it calls tools. heartbeat: it must call a tool, answers through one
#: (`send_message`), and goes on when it asks to (spec/agent-loop.md §1).
Loop = Literal["direct", "heartbeat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """The settings of the agent that shape a model call (spec/objects.md §6)."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    thinking_tokens: int | None = None
    shows_thoughts: bool = True
    thinks: bool | None = None
    effort: str | None = None
    verbosity: str | None = None
    strict: bool = False
    return_logprobs: bool = False
    top_logprobs: int | None = None
    parallel_tool_calls: bool = True
    response_format: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedTool:
    spec: ToolSpec
    #: May run at the same time as other calls of the same reply.
    is_parallel: bool = False
    #: Run by the client: the run ends when it is called, and the client comes back with its return.
    is_client: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was decided about a call that waited: it may run, it may not, or the client has run it."""

    is_approved: bool = False
    reason: str | None = None
    #: The client's return.
    returned: CallOutcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTurn:
    """The calls of a step that ended in a request for approval, and the answers that this run begins with."""

    step_id: str
    #: The stored request.
    message_id: str
    #: All calls of the reply: those that waited, and those that were put off with them.
    calls: tuple[ToolCall, ...]
    #: By tool call id; a call without one did not have to wait.
    answers: Mapping[str, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """How far a run had come when the process that worked on it died."""

    #: Steps that are stored.
    steps: int
    #: The number of the last one that was begun.
    last_number: int
    #: Sums over them, as `RunEnded.usage` has them.
    usage: Mapping[str, Any]
    #: The last of them ended the run, but for what was still to be done.
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The agent and its context as the run found them."""

    run_id: str
    agent_id: str
    conversation_id: str
    caller_name: str
    #: The caller's public id; providers ask for an end user.
    caller_id: str
    #: Starts with the system message. The inputs of the request are not in it.
    context: tuple[ChatMessage, ...]
    tools: tuple[AttachedTool, ...]
    rules: RuleBook
    settings: CallSettings
    #: Tokens that the agent may use.
    context_window: int
    max_steps: int
    loop: Loop = "direct"
    #: IANA name; times that the model reads are in it.
    timezone: str = "UTC"
    #: The inputs as the model reads them, and as events tell them (`Message.to_data`).
    inputs: tuple[ChatMessage, ...] = ()
    input_data: tuple[dict[str, Any], ...] = field(default=())
    #: Calls that this turn has made before the run began: rules look back over a pause for approval, and over a crash.
    past_calls: tuple[PastCall, ...] = ()
    compaction: CompactionSettings = field(default_factory=CompactionSettings)
    #: The system message is this request's own, and stays as it is.
    has_own_system: bool = False
    pending: PendingTurn | None = None
    resumed: Resumed | None = None

    @property
    def tool_names(self) -> list[str]:
        return [tool.spec.name for tool in self.tools]

    @property
    def allows_parallel_calls(self) -> bool:
        """Whether a reply may hold several calls."""
        is_wanted = self.settings.parallel_tool_calls and self.loop == "direct"
        return is_wanted and self.rules.allows_parallel_calls

    @property
    def waiting_names(self) -> frozenset[str]:
        """Tools whose calls wait for somebody outside: a person who agrees, or the client who runs them."""
        return frozenset(
            tool.spec.name
            for tool in self.tools
            if tool.is_client or self.rules.needs_approval(tool.spec.name)
        )
