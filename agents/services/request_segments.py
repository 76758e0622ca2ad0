"""A request by segments: what of the window its instructions, blocks, tools, summary and messages take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from agents.runtime.compaction import read_summary
from agents.runtime.system_sections import split_blocks, split_system
from letta_ade.llm.request_reading import SentMessage, SentRequest, read_request
from letta_ade.llm.tokens import estimate_text

SegmentName = Literal["system", "tools", "blocks", "summary", "messages"]
SEGMENTS: tuple[SegmentName, ...] = get_args(SegmentName)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPart:
    """A piece of a segment: a section of the system message, a block, a tool, the summary, a message."""

    #: The section, the label, the name of the tool, or the role.
    title: str
    text: str
    #: Estimated.
    tokens: int
    #: What a block says, without its tags.
    value: str | None = None
    #: Names of the tools that a message calls.
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    name: SegmentName
    parts: tuple[RequestPart, ...]

    @property
    def tokens(self) -> int:
        """Estimated."""
        return sum(part.tokens for part in self.parts)

    @property
    def text(self) -> str:
        """All of it, as it is compared with another step's."""
        return "\n\n".join(f"{part.title}\n{part.text}" for part in self.parts)


def segments_of(request: SentRequest) -> tuple[Segment, ...]:
    """The segments, always all of them and in the order of the legend."""
    system = split_system(request.system)
    sections = [
        ("Instructions", system.instructions),
        ("Tool rules", system.rules),
        ("Memory metadata", system.metadata),
    ]
    messages = list(request.messages)
    summary = [messages.pop(0)] if messages and _is_summary(messages[0]) else []
    parts: Mapping[SegmentName, Sequence[RequestPart]] = {
        "system": [_part(title, text) for title, text in sections if text],
        "tools": [_part(tool.name, tool.text) for tool in request.tools],
        "blocks": [
            RequestPart(
                title=block.label, text=block.text, tokens=estimate_text(block.text), value=block.value
            )
            for block in split_blocks(system.blocks)
        ],
        "summary": [_part("Summary", read_summary(each.text)[0]) for each in summary],
        "messages": [
            RequestPart(title=each.role, text=each.text, tokens=estimate_text(each.text), calls=each.calls)
            for each in messages
        ],
    }
    return tuple(Segment(name=name, parts=tuple(parts[name])) for name in SEGMENTS)


def measure_request(request_text: str) -> dict[str, int]:
    """Estimated tokens of each segment of the JSON text that is sent."""
    return {segment.name: segment.tokens for segment in segments_of(read_request(json.loads(request_text)))}


def _part(title: str, text: str) -> RequestPart:
    return RequestPart(title=title, text=text, tokens=estimate_text(text))


def _is_summary(message: SentMessage) -> bool:
    """A compaction writes its figures into the message that stands for what it took out."""
    return message.role == "user" and read_summary(message.text)[1] is not None
