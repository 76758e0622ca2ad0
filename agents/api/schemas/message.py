"""Requests and answers that carry messages (spec/agent-loop.md §3, spec/streaming.md §1)."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Schema
from pydantic import Field, model_validator

from agents.services.execution import InputMessage, RunRequest
from agents.services.messages import MessageFilters, MessagePage
from letta_ade.core.errors import Invalid, Unprocessable, Unsupported
from letta_ade.core.pagination import MOST_ROWS, Order
from letta_ade.core.schemas import Body, Wire
from letta_ade.llm.messages import ImagePart, Part, TextPart

MessageType = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
]
_APPROVAL_FIELDS = ("approvals", "approve", "approval_request_id", "tool_returns")


class MessageInput(Body):
    """A message of a request. Without a type it is an approval if it has the fields of one."""

    type: str | None = None
    role: Literal["user", "system", "assistant"] = "user"
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    approvals: list[dict[str, Any]] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    tool_returns: list[dict[str, Any]] | None = None

    def as_input(self) -> InputMessage:
        """The message for a run. Raises Invalid for an approval, since none is waiting, and for bad content."""
        if self.type in ("approval", "tool_return") or any(
            getattr(self, name) is not None for name in _APPROVAL_FIELDS
        ):
            raise Invalid("No tool call of this agent is waiting for an approval or a result.")
        if self.content is None:
            raise Unprocessable("A message needs content.")
        return InputMessage(
            role=self.role,
            content=parts_from(self.content),
            otid=self.otid,
            name=self.name,
            sender_id=self.sender_id,
            group_id=self.group_id,
        )


class MessageOptions(Body):
    """What is asked for beside the messages; the same for every route that starts a run."""

    messages: list[MessageInput] | None = None
    input: str | list[dict[str, Any]] | None = None
    max_steps: int = Field(default=50, ge=1)
    streaming: bool = False
    stream_tokens: bool = False
    include_pings: bool = True
    background: bool = False
    override_model: str | None = None
    override_system: str | None = None
    include_return_message_types: list[MessageType] | None = None
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"
    include_compaction_messages: bool = False
    client_tools: list[dict[str, Any]] | None = None
    client_skills: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> MessageOptions:
        if (self.messages is None) == (self.input is None):
            raise ValueError("exactly one of 'input' and 'messages' must be given")
        return self

    def check_streaming(self) -> None:
        """Raise Unprocessable for flags of a stream without one."""
        for name, is_set in (
            ("stream_tokens", self.stream_tokens),
            ("background", self.background),
            ("include_pings", not self.include_pings),
        ):
            if is_set and not self.streaming:
                raise Unprocessable(f"{name!r} means something only with streaming: true.")

    def run_request(self, agent_id: str, *, run_type: str, wait_seconds: float) -> RunRequest:
        """The request of a run. Raises Invalid, Unprocessable or Unsupported."""
        if self.client_tools:
            raise Unsupported("Tools that the client runs are not supported by this server.")
        if self.messages is not None:
            messages = tuple(message.as_input() for message in self.messages)
        else:
            assert self.input is not None, "the validator lets one of the two through"
            messages = (InputMessage(role="user", content=parts_from(self.input)),)
        return RunRequest(
            agent_id=agent_id,
            messages=messages,
            max_steps=self.max_steps,
            override_model=self.override_model,
            override_system=self.override_system,
            background=self.background,
            run_type=run_type,
            wait_seconds=wait_seconds,
            request_config={
                "use_assistant_message": self.use_assistant_message,
                "assistant_message_tool_name": self.assistant_message_tool_name,
                "assistant_message_tool_kwarg": self.assistant_message_tool_kwarg,
                "include_return_message_types": self.include_return_message_types,
                # A reader that comes back gets the stream in the form in which it was ordered.
                "stream_tokens": self.stream_tokens,
            },
        )


class CancelRuns(Body):
    """Which runs to cancel; all that go on when none is named."""

    run_ids: list[str] | None = None


class ResumeStream(Body):
    """Where a reader of a background run goes on. Null is as good as absent: the SDK's types allow it."""

    starting_after: int | None = Field(default=None, ge=0)
    include_pings: bool | None = None
    # Accepted and without effect: nothing is polled, and the path names the run.
    poll_interval: float | None = None
    batch_size: int | None = None
    run_id: str | None = None
    otid: str | None = None
    agent_id: str | None = None


class StopReason(Wire):
    message_type: Literal["stop_reason"] = "stop_reason"
    stop_reason: str


class UsageStatistics(Wire):
    """Tokens of a run. Null: the provider did not report it."""

    message_type: Literal["usage_statistics"] = "usage_statistics"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    step_count: int = 0
    run_ids: list[str] | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    context_tokens: int | None = None


class LettaResponse(Wire):
    """What a run said and did, the input left out."""

    messages: list[dict[str, Any]]
    stop_reason: StopReason
    usage: UsageStatistics
    logprobs: dict[str, Any] | None = None


class MessageQuery(Schema):
    """Which messages of an agent are wanted."""

    before: str | None = None
    after: str | None = None
    limit: int | None = Field(default=None, ge=1, description=f"Stored messages; at most {MOST_ROWS}.")
    order: Order | None = None
    order_by: Literal["created_at"] | None = None
    group_id: str | None = None
    conversation_id: str | None = None
    include_err: bool | None = None
    include_return_message_types: list[MessageType] | None = None
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"

    def page(self) -> MessagePage:
        return MessagePage(
            limit=self.limit or 100, order=self.order, after=self.after or None, before=self.before or None
        )

    def filters(self) -> MessageFilters:
        return MessageFilters(
            conversation_id=self.conversation_id or None,
            group_id=self.group_id,
            shows_errors=bool(self.include_err),
        )


def parts_from(content: str | list[dict[str, Any]]) -> tuple[Part, ...]:
    """The parts of a message's content. Raises Unprocessable for a part that is none, Invalid for an image by address."""
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(_part_from(data) for data in content)


def _part_from(data: dict[str, Any]) -> Part:
    match data:
        case {"type": "text", "text": str(text)} | {"text": str(text)}:
            return TextPart(text=text)
        case {"type": "image", "source": {"type": "base64", "media_type": str(), "data": str()} as source}:
            return ImagePart(source=source)
        case {"type": "image", "source": {"type": kind}}:
            raise Invalid(
                f"Send images as base64; an image source of type {kind!r} cannot be fetched by this server."
            )
        case _:
            raise Unprocessable(
                "A part of a message is {'type': 'text', 'text': …} or {'type': 'image', 'source': …}."
            )
