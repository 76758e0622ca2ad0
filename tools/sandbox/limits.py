"""The limits of this server, and what a single tool may ask for within them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from tools.sandbox.port import Limits

#: Key of a tool's `metadata` under which it says what it needs.
METADATA_KEY = "sandbox"
_MB = 1024**2


def default_limits() -> Limits:
    """What a call may use that asks for nothing."""
    return Limits(
        seconds=float(settings.TOOL_TIMEOUT_SECONDS),
        cpu_seconds=settings.TOOL_TIMEOUT_SECONDS,
        memory_bytes=settings.SANDBOX_MEMORY_MB * _MB,
        file_bytes=settings.SANDBOX_TMP_MB * _MB,
        tmp_bytes=settings.SANDBOX_TMP_MB * _MB,
        output_bytes=settings.SANDBOX_OUTPUT_KB * 1024,
        processes=settings.SANDBOX_PROCESSES,
    )


def limits_of(metadata: Mapping[str, Any]) -> Limits:
    """The limits of a tool: `{"sandbox": {"seconds": 10, "memory_mb": 256, "processes": 1}}` lowers those of the server.

    Nothing raises them, and what is not a number above zero counts for nothing.
    """
    most = default_limits()
    asked = metadata.get(METADATA_KEY)
    wishes: Mapping[str, Any] = asked if isinstance(asked, Mapping) else {}
    seconds = min(most.seconds, _number(wishes.get("seconds"), most.seconds))
    return Limits(
        seconds=seconds,
        cpu_seconds=max(1, round(seconds)),
        memory_bytes=int(min(most.memory_bytes, _number(wishes.get("memory_mb"), most.memory_bytes) * _MB)),
        file_bytes=most.file_bytes,
        tmp_bytes=int(min(most.tmp_bytes, _number(wishes.get("tmp_mb"), most.tmp_bytes) * _MB)),
        output_bytes=most.output_bytes,
        processes=int(min(most.processes, _number(wishes.get("processes"), most.processes))),
    )


def wants_network(metadata: Mapping[str, Any]) -> bool:
    """Whether calls of the tool get the network: `{"sandbox": {"network": true}}`, unless the server says always or never."""
    match settings.SANDBOX_NETWORK:
        case "always":
            return True
        case "never":
            return False
        case _:
            asked = metadata.get(METADATA_KEY)
            return isinstance(asked, Mapping) and asked.get("network") is True


def _number(value: Any, default: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return default
    return value
