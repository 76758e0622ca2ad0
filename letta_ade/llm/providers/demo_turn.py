"""The turn that the demonstration has to answer, as its request tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from letta_ade.llm.providers.demo_memory import Block, blocks_in
from letta_ade.llm.providers.demo_transcript import (
    asked_to_summarise,
    is_asked_to_summarise_itself,
    said_by_user,
)

_FINAL_TOOL = "send_message"
#: Only those who keep the memory of others have it.
_KEEPING_ENDS = "memory_finish_edits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A call of this turn and what came back; `text` is None while nothing has."""

    name: str
    arguments: dict[str, Any]
    text: str | None = None
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    #: What the person wrote since the last answer.
    text: str
    blocks: dict[str, Block]
    #: Parameter schemas of the tools that may be called now, by name.
    tools: dict[str, dict[str, Any]]
    done: tuple[Done, ...] = ()
    choice: str = "auto"
    chosen_tool: str | None = None
    may_call_several: bool = False
    #: A conversation that is to be summarised; there is nothing else to do then.
    to_summarise: str | None = None
    #: The text was overheard: nobody waits for an answer to it.
    keeps_memory: bool = False

    @property
    def answers_by_tool(self) -> bool:
        """Older agents answer through `send_message`, and must call a tool each time."""
        return _FINAL_TOOL in self.tools and (self.choice == "required" or self.chosen_tool == _FINAL_TOOL)


def read_turn(payload: Mapping[str, Any]) -> Turn:
    """The last turn of the request that `scripting.request_data` wrote."""
    messages: list[Mapping[str, Any]] = payload["messages"]
    current = messages[_start_of_turn(messages) :]
    choice = payload.get("tool_choice") or {}
    system = "\n".join(_text(message) for message in messages if message["role"] == "system")
    tools = {tool["name"]: tool["parameters"] for tool in payload.get("tools") or ()}
    text = "\n".join(_said(current))
    keeps_memory = _KEEPING_ENDS in tools and _KEEPING_ENDS in text
    return Turn(
        text=said_by_user(text) if keeps_memory else text,
        keeps_memory=keeps_memory,
        to_summarise=_to_summarise(messages, text),
        blocks=blocks_in(system),
        tools=tools,
        done=tuple(_calls(current)),
        choice=choice.get("mode", "auto"),
        chosen_tool=choice.get("name"),
        may_call_several=bool(payload.get("parallel_tool_calls")),
    )


def _start_of_turn(messages: Sequence[Mapping[str, Any]]) -> int:
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message["role"] != "assistant":
            continue
        calls = message.get("tool_calls") or ()
        if not calls or any(call["name"] == _FINAL_TOOL for call in calls):
            return at + 1
    return 0


def _to_summarise(messages: Sequence[Mapping[str, Any]], text: str) -> str | None:
    if is_asked_to_summarise_itself(text):
        said = ((message["role"], _text(message)) for message in messages[:-1])
        return "\n".join(
            f"{role}: {words}" for role, words in said if role in ("user", "assistant") and words
        )
    return asked_to_summarise(text)


def _text(message: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in message.get("parts") or () if part["type"] == "text")


def _said(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        text = _text(message)
        # The server's own notes (heartbeats, log-ins) are JSON objects with a type.
        if message["role"] == "user" and text.strip() and "type" not in (_json_object(text) or {}):
            yield text


def _calls(messages: Sequence[Mapping[str, Any]]) -> Iterator[Done]:
    returns = {
        back["tool_call_id"]: back for message in messages for back in message.get("tool_returns") or ()
    }
    for message in messages:
        for call in message.get("tool_calls") or ():
            back = returns.get(call["id"])
            yield Done(
                name=call["name"],
                arguments=_json_object(call["arguments"]) or {},
                text=None if back is None else _unwrapped(back["text"]),
                is_error=back is not None and (back["is_error"] or _is_failed(back["text"])),
            )


def _unwrapped(text: str) -> str:
    """The message in the envelope that tool returns are stored in, if there is one."""
    envelope = _json_object(text)
    if envelope is None or not {"status", "message"} <= envelope.keys():
        return text
    message = envelope["message"]
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)


def _is_failed(text: str) -> bool:
    envelope = _json_object(text)
    return envelope is not None and envelope.get("status") in ("Failed", "error") and "message" in envelope


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
