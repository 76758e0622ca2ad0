"""What a conversation with a model is made of, the same for every provider.

The parts keep the field names of the wire (`spec/objects.md` §7.1), so that `to_data` is what the database stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool", "approval", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    text: str
    signature: str | None = None
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """An image; `source` is `{"type": "base64", "media_type", "data", "detail"?}` (URLs are fetched at the door)."""

    source: dict[str, Any]
    type: Literal["image"] = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningPart:
    """Reasoning that the model showed; `signature` lets Anthropic accept it again."""

    reasoning: str
    signature: str | None = None
    is_native: bool = True
    type: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedReasoningPart:
    data: str
    type: Literal["redacted_reasoning"] = "redacted_reasoning"


@dataclass(frozen=True, slots=True, kw_only=True)
class OmittedReasoningPart:
    """The model reasoned and the provider keeps it to itself."""

    signature: str | None = None
    type: Literal["omitted_reasoning"] = "omitted_reasoning"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarizedReasoningPart:
    """Reasoning of OpenAI's Responses API: a summary to read, and the reasoning itself, encrypted, to be sent back."""

    id: str
    #: `{"index", "text"}`, in order; empty where the model summarised nothing.
    summary: tuple[dict[str, Any], ...] = ()
    encrypted_content: str | None = None
    type: Literal["summarized_reasoning"] = "summarized_reasoning"

    @property
    def text(self) -> str:
        return summary_text(self.summary)


Part = (
    TextPart
    | ImagePart
    | ReasoningPart
    | RedactedReasoningPart
    | OmittedReasoningPart
    | SummarizedReasoningPart
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call as the model wrote it; `arguments` is its JSON text, unparsed."""

    id: str
    name: str
    arguments: str
    #: Gemini signs its calls and refuses a conversation that gives them back without.
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturn:
    """The outcome of one call; `text` is what the model reads."""

    tool_call_id: str
    text: str
    is_error: bool = False
    #: False: a rule or a person refused the call, and this says so.
    was_run: bool = True
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of the context. Only an assistant has `tool_calls`, only a tool message has `tool_returns`."""

    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_returns: tuple[ToolReturn, ...] = ()
    name: str | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model sees it; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: dict[str, Any]
    #: False for a schema that is known to be loose (of some MCP servers): it is sent as it is, whatever is asked.
    may_be_strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call; None = the provider did not report it, 0 = it reported zero.

    `prompt_tokens` counts everything the model read: for Anthropic input + cache read + cache write.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole reply. `finish_reason` is one of stop, tool_calls, length, refusal, or the provider's own word."""

    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    #: The reply as the provider sent it, joined from the stream; stored with the step.
    raw: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    #: `{"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal"}` when it was asked for and the model gives it.
    logprobs: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def part_to_data(part: Part) -> dict[str, Any]:
    """The part as JSON, the shape that the wire and the database use."""
    data = asdict(part)
    # A list, as it comes back from the database.
    return {**data, "summary": list(data["summary"])} if "summary" in data else data


def call_to_data(call: ToolCall) -> dict[str, Any]:
    """The call as JSON, as the database keeps it; a signature is there only where there is one."""
    data = {"id": call.id, "name": call.name, "arguments": call.arguments}
    return {**data, "signature": call.signature} if call.signature else data


def call_from_data(data: Mapping[str, Any]) -> ToolCall:
    """The call that `call_to_data` wrote."""
    return ToolCall(
        id=data["id"], name=data["name"], arguments=data["arguments"], signature=data.get("signature")
    )


def reasoning_text(data: Mapping[str, Any]) -> str:
    """What a stored reasoning part, plain or summarised, lets be read; empty where that is nothing."""
    return str(data.get("reasoning") or "") or summary_text(data.get("summary") or ())


def summary_text(summary: Iterable[Mapping[str, Any]]) -> str:
    """The summary of `summarized_reasoning` as one text; its paragraphs stand apart."""
    return "\n\n".join(each["text"] for each in summary if each["text"])


def part_from_data(data: dict[str, Any]) -> Part:
    """The part that `part_to_data` wrote; ValueError for an unknown type."""
    match data.get("type"):
        case "text":
            return TextPart(text=data["text"], signature=data.get("signature"))
        case "image":
            return ImagePart(source=data["source"])
        case "reasoning":
            return ReasoningPart(
                reasoning=data["reasoning"],
                signature=data.get("signature"),
                is_native=data.get("is_native", True),
            )
        case "redacted_reasoning":
            return RedactedReasoningPart(data=data["data"])
        case "omitted_reasoning":
            return OmittedReasoningPart(signature=data.get("signature"))
        case "summarized_reasoning":
            return SummarizedReasoningPart(
                id=data["id"],
                summary=tuple(data.get("summary") or ()),
                encrypted_content=data.get("encrypted_content"),
            )
        case other:
            raise ValueError(f"unknown content part type {other!r}")
