"""What changes while a run goes on: the context of the next call, the history that rules look at, the sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.runtime.ports import CallOutcome, PlannedCall
from agents.runtime.snapshot import Snapshot
from agents.runtime.tool_rules import PastCall
from letta_ade.llm.messages import ChatMessage, Part, Reply, TextPart, ToolReturn, Usage

_OPTIONAL_COUNTS = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


class Progress:
    """Begins with what the snapshot holds; each stored step is put in once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._inputs = snapshot.inputs
        self.messages: list[ChatMessage] = list(snapshot.context)
        #: Inputs that no step has stored yet.
        self.unstored: tuple[ChatMessage, ...] = snapshot.inputs
        if snapshot.pending is None:
            self.remember_inputs()
        self.history: list[PastCall] = list(snapshot.past_calls)
        #: Whether the turn has returns of calls, also of those that were refused or denied.
        self.has_returns = snapshot.pending is not None or bool(self.history)
        self.used_call_ids = {call.id for message in self.messages for call in message.tool_calls}
        self.usage: dict[str, Any] = {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "step_count": 0,
        }
        #: `Reply.logprobs` of the last call.
        self.logprobs: dict[str, Any] | None = None
        #: Steps that are stored, and the number of the last one that was begun.
        self.steps = 0
        self.last_number = 0
        if snapshot.resumed is not None:
            self.usage |= snapshot.resumed.usage
            self.steps, self.last_number = snapshot.resumed.steps, snapshot.resumed.last_number

    def count(self, reply: Reply, context_tokens: int) -> None:
        """Add a call to the sums; `context_tokens` is the size of the context after it."""
        totals, usage = self.usage, reply.usage
        self.logprobs = reply.logprobs
        totals["prompt_tokens"] += usage.prompt_tokens
        totals["completion_tokens"] += usage.completion_tokens
        totals["total_tokens"] += usage.total_tokens
        totals["step_count"] += 1
        totals["context_tokens"] = context_tokens
        for name in _OPTIONAL_COUNTS:
            if (value := getattr(usage, name)) is not None:
                totals[name] = (totals.get(name) or 0) + value

    def remember_inputs(self) -> None:
        """What the request said; after the returns of calls that it answered."""
        self.messages += self._inputs

    def remember_reply(self, parts: tuple[Part, ...], calls: Sequence[PlannedCall]) -> None:
        """What the model said and called."""
        if parts or calls:
            said = ChatMessage(role="assistant", parts=parts, tool_calls=tuple(each.call for each in calls))
            self.messages.append(said)
            self.used_call_ids.update(each.call.id for each in calls)

    def remember_returns(
        self, calls: Sequence[PlannedCall], outcomes: Mapping[str, CallOutcome]
    ) -> ChatMessage | None:
        """What the calls returned; the message that tells of it, or None without calls."""
        if not calls:
            return None
        message = ChatMessage(
            role="tool",
            tool_returns=tuple(
                ToolReturn(
                    tool_call_id=each.tool_call_id,
                    text=each.text,
                    is_error=each.is_error,
                    was_run=each.was_run,
                    stdout=each.stdout,
                    stderr=each.stderr,
                )
                for each in (outcomes[planned.call.id] for planned in calls)
            ),
        )
        self.messages.append(message)
        self.has_returns = True
        self.history += [
            PastCall(name=each.call.name, result=outcomes[each.call.id].text)
            for each in calls
            if each.refusal is None
        ]
        return message

    def remember_note(self, note: str | None) -> None:
        """A note of ours to the model."""
        if note is not None:
            self.messages.append(ChatMessage(role="user", parts=(TextPart(text=note),)))


def usage_data(usage: Usage) -> dict[str, int | None]:
    """The tokens of one call, as events carry them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        **{name: getattr(usage, name) for name in _OPTIONAL_COUNTS},
    }
