"""What a run works with: read once at its start, never changed by others while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.runtime.tool_rules import RuleBook
from letta_ade.llm.messages import ChatMessage, ToolSpec


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
    #: The inputs as the model reads them, and as events tell them (`Message.to_data`).
    inputs: tuple[ChatMessage, ...] = ()
    input_data: tuple[dict[str, Any], ...] = field(default=())

    @property
    def tool_names(self) -> list[str]:
        return [tool.spec.name for tool in self.tools]
