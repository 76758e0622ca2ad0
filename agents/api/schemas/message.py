"""Requests and answers that carry messages (spec/agent-loop.md §3, spec/streaming.md §1)."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Schema
from pydantic import Field, ValidationError, model_validator

from agents.api.schemas.message_input import MessageInput, parts_from
from agents.api.spoken import answer_tool_asked
from agents.runtime.skills import Skill, render_skills
from agents.runtime.spoken import AnswerTool
from agents.services.messages import MessageFilters, MessagePage
from agents.services.run_requests import ClientTool, InputMessage, RunRequest
from letta_ade.core.errors import Unprocessable, Unsupported
from letta_ade.core.pagination import MOST_ROWS, Order
from letta_ade.core.schemas import Body, Wire

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


class ClientToolInput(Body):
    """A tool that the client runs."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None

    def as_tool(self) -> ClientTool:
        parameters = self.parameters or {}
        return ClientTool(
            name=self.name,
            description=self.description or "",
            parameters={"type": "object", "properties": {}, **parameters},
        )


class ClientSkillInput(Body):
    """A skill that the client has, as a file."""

    name: str
    description: str
    location: str


class MessageOptions(Body):
    """What is asked for beside the messages; the same for every route that starts a run."""

    messages: list[MessageInput] | None = None
    input: str | list[dict[str, Any]] | None = None
    max_steps: int | None = Field(default=None, ge=1)
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
    client_tools: list[ClientToolInput] | None = None
    client_skills: list[ClientSkillInput] | None = None
    #: Of the last model call. The wire has a place for them in a plain answer only.
    return_logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    return_token_ids: bool = False
    #: Accepted and without effect, as in V1.
    enable_thinking: str | bool | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> MessageOptions:
        if (self.messages is None) == (self.input is None):
            raise ValueError("exactly one of 'input' and 'messages' must be given")
        if self.messages is not None and not self.messages:
            raise ValueError("'messages' must hold at least one message")
        names = [tool.name for tool in self.client_tools or ()]
        if len(set(names)) != len(names):
            raise ValueError("two of the client_tools have the same name")
        if self.top_logprobs is not None and not self.return_logprobs:
            raise ValueError("'top_logprobs' needs return_logprobs: true")
        return self

    def answer_tool(self) -> AnswerTool | None:
        """The tool whose calls are wanted as what they say."""
        return answer_tool_asked(dict(self))

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
        if self.return_token_ids:
            raise Unsupported("Token ids need SGLang's own endpoint, which this server does not use.")
        given = self.messages or []
        answers = given[0].as_answers() if given and given[0].is_answer else None
        messages = [message.as_input() for message in (given[1:] if answers else given)]
        if self.input is not None:
            messages = [InputMessage(role="user", content=parts_from(self.input))]
        return RunRequest(
            agent_id=agent_id,
            messages=tuple(messages),
            answers=answers,
            max_steps=self.max_steps,
            override_model=self.override_model,
            override_system=self.override_system,
            client_tools=tuple(tool.as_tool() for tool in self.client_tools or ()),
            skills_text=render_skills(
                Skill(name=each.name, description=each.description, location=each.location)
                for each in self.client_skills or ()
            ),
            return_logprobs=self.return_logprobs,
            top_logprobs=self.top_logprobs,
            background=self.background,
            run_type=run_type,
            wait_seconds=wait_seconds,
            request_config={
                "use_assistant_message": self.use_assistant_message,
                "assistant_message_tool_name": self.assistant_message_tool_name,
                "assistant_message_tool_kwarg": self.assistant_message_tool_kwarg,
                "include_return_message_types": self.include_return_message_types,
                "include_compaction_messages": self.include_compaction_messages,
                # A reader that comes back gets the stream in the form in which it was ordered.
                "stream_tokens": self.stream_tokens,
            },
        )


class AsyncMessageOptions(MessageOptions):
    """The same for a run that is only told of: it goes on in the background, and its end may be told to an address."""

    callback_url: str | None = None


class ConversationMessageOptions(MessageOptions):
    """The same for a conversation, which streams unless told otherwise."""

    streaming: bool = True
    #: Whose default conversation is meant, where the path says `default`.
    agent_id: str | None = None


class AppendMessages(Body):
    """Messages that are added without a run."""

    messages: list[MessageInput] = Field(min_length=1)
    agent_id: str | None = None


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


class TokenAlternative(Wire):
    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None


class TokenLogprob(TokenAlternative):
    """A token of a reply, and what could have stood in its place."""

    top_logprobs: list[TokenAlternative] = []


class Logprobs(Wire):
    """How probable the tokens of a reply were to its model. Null: the provider told nothing of them."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None

    @classmethod
    def of(cls, told: dict[str, Any] | None) -> Logprobs | None:
        """Those of a reply (`Reply.logprobs`); None where there are none, or none that can be read."""
        try:
            return None if told is None else cls.model_validate(told)
        except ValidationError:
            # What a run has said must not be lost for the sake of a figure that a server writes its own way.
            return None


class LettaResponse(Wire):
    """What a run said and did, the input left out."""

    messages: list[dict[str, Any]]
    stop_reason: StopReason
    usage: UsageStatistics
    logprobs: Logprobs | None = None
    #: Of token ids, which this server does not give (`return_token_ids`).
    turns: None = None


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
    #: Summaries as what they are, and not as a user's messages. Ours.
    include_compaction_messages: bool = False

    def tells_compactions(self) -> bool:
        return self.include_compaction_messages or "summary_message" in (
            self.include_return_message_types or ()
        )

    def answer_tool(self) -> AnswerTool | None:
        """The tool whose calls are wanted as what they say."""
        return answer_tool_asked(dict(self))

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
