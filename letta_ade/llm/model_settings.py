"""What an agent's model settings say of thinking, whatever provider they are for (spec/objects.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def thinking_budget(settings: Mapping[str, Any]) -> int | None:
    """Tokens that the model may think with; None where nothing is said, 0 where thinking is switched off."""
    thinking, config = _object(settings, "thinking"), _object(settings, "thinking_config")
    if "thinking_budget" in config:
        budget = config["thinking_budget"]
        return budget if isinstance(budget, int) else None
    if thinking.get("type") != "enabled":
        return 0 if thinking.get("type") == "disabled" else None
    budget = thinking.get("budget_tokens")
    return budget if isinstance(budget, int) else None


def thinks(settings: Mapping[str, Any]) -> bool | None:
    """Whether thinking is switched on or off; None where nothing is said."""
    match _object(settings, "thinking").get("type"):
        case "enabled":
            return True
        case "disabled":
            return False
        case _:
            return None


def shows_thoughts(settings: Mapping[str, Any]) -> bool:
    """Whether Gemini is asked for its thoughts."""
    return _object(settings, "thinking_config").get("include_thoughts") is not False


def _object(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = settings.get(name)
    return value if isinstance(value, Mapping) else {}
