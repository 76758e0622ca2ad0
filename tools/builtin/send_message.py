"""The built-in tool with which a heartbeat agent speaks to the person; the loop shows its argument as the answer."""

from __future__ import annotations

from typing import Any

from tools import registry
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool

NAME = "send_message"
SENT = "Sent message successfully."


def send_message(context: ToolContext, arguments: dict[str, Any], _: Any) -> str:
    return SENT


def register() -> None:
    """Put it into the registry."""
    registry.register(
        BuiltinTool(
            name=NAME,
            tool_type=ToolType.LETTA_CORE,
            description="Say something to the person in the conversation.",
            parameters={
                "type": "object",
                "properties": {"message": {"type": "string", "description": "What you say."}},
                "required": ["message"],
            },
            run=send_message,
        )
    )
