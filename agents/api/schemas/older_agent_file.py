"""Agent files of before 2025-07 (one agent, its parts inside it), turned into those of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from letta_ade.core.errors import Invalid

#: Names of fields then and now.
_RENAMED = {"metadata_": "metadata", "tool_exec_environment_variables": "secrets"}
_COPIED = (
    "name",
    "agent_type",
    "system",
    "description",
    "llm_config",
    "embedding_config",
    "message_buffer_autoclear",
    "tool_rules",
)


def is_older_file(plain: Mapping[str, Any]) -> bool:
    """Whether this is one: it has the memory of one agent at its top."""
    return "agents" not in plain and "core_memory" in plain


def today(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The same agent as a file of today. Raises Invalid where a part is not what it should be."""
    try:
        return _today(plain)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Invalid(f"This agent file of the older format cannot be read: {error!r}") from error


def _today(plain: Mapping[str, Any]) -> dict[str, Any]:
    blocks = [_named(each, f"block-{at}") for at, each in enumerate(plain["core_memory"])]
    tools = [_named(each, f"tool-{at}") for at, each in enumerate(plain.get("tools") or ())]
    messages = [_message(each, f"message-{at}") for at, each in enumerate(plain.get("messages") or ())]
    indices = plain.get("in_context_message_indices")
    in_context = range(len(messages)) if indices is None else indices
    agent = {name: plain[name] for name in _COPIED if plain.get(name) is not None}
    return {
        "agents": [
            {
                **agent,
                "id": "agent-0",
                "metadata": plain.get("metadata_") or {},
                "tags": [_tag(each) for each in plain.get("tags") or ()],
                "secrets": {each["key"]: "" for each in plain.get("tool_exec_environment_variables") or ()},
                "block_ids": [each["id"] for each in blocks],
                "tool_ids": [each["id"] for each in tools],
                "messages": messages,
                "in_context_message_ids": [messages[int(at)]["id"] for at in in_context],
            }
        ],
        "blocks": blocks,
        "tools": tools,
    }


def _named(part: Mapping[str, Any], file_id: str) -> dict[str, Any]:
    renamed = {_RENAMED.get(name, name): value for name, value in part.items()}
    return {**renamed, "id": file_id}


def _message(message: Mapping[str, Any], file_id: str) -> dict[str, Any]:
    content = message.get("content")
    if content is None and isinstance(message.get("text"), str):
        content = message["text"]
    return {**message, "id": file_id, "content": content}


def _tag(tag: Any) -> str:
    return str(tag["tag"]) if isinstance(tag, Mapping) else str(tag)
