"""What somebody asks of an agent, as a value: it may wait in the queue before it becomes a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from letta_ade.accounts.auth import Caller
from letta_ade.llm.messages import Part, part_from_data, part_to_data


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
class AnswersInput:
    """The answers to the calls that wait. Either `items`, or the older form with one decision for one request."""

    #: As on the wire: {"type": "approval", tool_call_id, approve, reason} or {"type": "tool", tool_call_id, tool_return, status, …}.
    items: tuple[dict[str, Any], ...] = ()
    #: Older form: the decision, its reason, and the id of the request or of its only call.
    approve: bool | None = None
    reason: str | None = None
    request_id: str | None = None
    otid: str | None = None
    group_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool:
    """A tool that the client runs."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What somebody asks of an agent."""

    agent_id: str
    messages: tuple[InputMessage, ...]
    #: Come before the messages: calls that wait are answered first.
    answers: AnswersInput | None = None
    #: Instead of messages and answers: the id of a failed run whose own are in the context. Its turn goes on where it broke off.
    goes_on_after: str | None = None
    #: None or "default": the agent's default conversation.
    conversation_id: str | None = None
    max_steps: int | None = None
    override_model: str | None = None
    #: Replaces the whole system message for this request only.
    override_system: str | None = None
    client_tools: tuple[ClientTool, ...] = ()
    #: Skills that the client offers, as text for the system message.
    skills_text: str = ""
    #: Log probabilities of the last reply, with so many alternatives for each token.
    return_logprobs: bool = False
    top_logprobs: int | None = None
    #: Worked on by a job: outlives this process, and its stream can be read again.
    background: bool = False
    run_type: str = "send_message"
    request_config: dict[str, Any] = field(default_factory=dict)
    #: What the run remembers beside its type and its model.
    metadata: dict[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    #: Wait this long for a run that is going on, instead of a conflict.
    wait_seconds: float = 0
    #: Of the request as it was sent; empty: it has none.
    fingerprint: str = ""
    #: The client says that it has sent it before.
    is_retry: bool = False

    @property
    def otids(self) -> list[str]:
        """The otids that the client gave."""
        given = [self.answers.otid] if self.answers else []
        return [otid for otid in (*given, *(message.otid for message in self.messages)) if otid]

    @property
    def item_count(self) -> int:
        """Messages and answers together."""
        return len(self.messages) + (self.answers is not None)

    def to_data(self, caller: Caller) -> dict[str, Any]:
        """The request and who makes it, as JSON for the row of a run that waits."""
        data = {each.name: getattr(self, each.name) for each in fields(self) if each.name in _KEPT}
        messages = [
            {**asdict(message), "content": [part_to_data(part) for part in message.content]}
            for message in self.messages
        ]
        return {
            **data,
            "messages": messages,
            "answers": asdict(self.answers) if self.answers else None,
            "client_tools": [asdict(tool) for tool in self.client_tools],
            "caller": asdict(caller),
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> tuple[RunRequest, Caller]:
        """What `to_data` wrote."""
        answers = data["answers"]
        request = cls(
            # A request that an older version of this server queued has fewer of them.
            **{name: data[name] for name in _KEPT if name in data},
            messages=tuple(
                InputMessage(**{**message, "content": tuple(map(part_from_data, message["content"]))})
                for message in data["messages"]
            ),
            answers=AnswersInput(**{**answers, "items": tuple(answers["items"])}) if answers else None,
            client_tools=tuple(ClientTool(**tool) for tool in data["client_tools"]),
            background=True,
        )
        return request, Caller(**data["caller"])


_KEPT = (
    "agent_id",
    "conversation_id",
    "max_steps",
    "override_model",
    "override_system",
    "skills_text",
    "return_logprobs",
    "top_logprobs",
)


def texts_of(answers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What the client's tools returned, as the model reads it, by tool call id."""
    return {
        item["tool_call_id"]: _return_text(item["tool_return"]) for item in answers if item["type"] == "tool"
    }


def _return_text(value: str | list[dict[str, Any]]) -> str:
    if isinstance(value, str):
        return value
    texts = [part["text"] for part in value if part.get("type") == "text"]
    images = sum(part.get("type") == "image" for part in value)
    if images:
        texts.append(f"[{images} image{'s' if images > 1 else ''} left out]")
    return "\n".join(texts)
