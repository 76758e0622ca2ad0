"""How a run ends: its status, its stop reason, and its error as clients read it (spec/agent-loop.md §3, spec/streaming.md §6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.runtime.cancellation import RunStopped
from letta_ade.llm.errors import InvalidReply, ModelError

#: Stop reasons that fail a run; all others complete it (spec/agent-loop.md §3).
FAILING = frozenset(
    {
        "error",
        "llm_api_error",
        "invalid_llm_response",
        "invalid_tool_call",
        "max_tokens_exceeded",
        "no_tool_call",
        "context_window_overflow_in_system_prompt",
        "insufficient_credits",
    }
)


class SystemPromptOverflow(Exception):
    """Instructions and memory alone fill the context window; sizes are tokens, `tokens` is an estimate."""

    def __init__(self, *, tokens: int, window: int) -> None:
        super().__init__(f"{tokens} of {window} tokens")
        self.tokens = tokens
        self.window = window


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    stop_reason: str
    error: dict[str, Any] | None = None


def status_of(stop_reason: str) -> str:
    """The status of a run that ends for this reason."""
    if stop_reason == "cancelled":
        return "cancelled"
    return "failed" if stop_reason in FAILING else "completed"


def stop_reason_of(failure: ModelError) -> str:
    """The stop reason of a run that a model error ends."""
    if isinstance(failure, InvalidReply):
        return "invalid_llm_response"
    return "llm_api_error"


def stopped_ending(run_id: str, stopped: RunStopped) -> Ending:
    """How a run ends that was told to stop."""
    match stopped.cause:
        case "cancelled":
            return Ending(stop_reason="cancelled")
        case "shutdown":
            message = "The server stopped while the run went on."
        case "lease_lost" | "handover":
            raise AssertionError("a run that goes on elsewhere does not end here")
    error = error_payload(run_id, "stream_task_cancelled", message, None, http_status=503)
    return Ending(stop_reason="error", error=error)


def model_error_ending(run_id: str, failure: ModelError) -> Ending:
    """How a run ends whose model failed."""
    payload = error_payload(
        run_id, failure.error_type, failure.message, failure.detail, http_status=failure.status
    )
    return Ending(stop_reason=stop_reason_of(failure), error={**payload, "request_id": failure.request_id})


def overflow_ending(run_id: str, failure: SystemPromptOverflow) -> Ending:
    """How a run ends whose system message leaves no room for a conversation."""
    reason = "context_window_overflow_in_system_prompt"
    message = (
        f"The instructions and memory blocks take about {failure.tokens:,} tokens and the agent's context window has "
        f"{failure.window:,}. Shorten them, detach a block, or give the agent a larger window."
    )
    return Ending(stop_reason=reason, error=error_payload(run_id, reason, message, None, http_status=400))


def internal_error_ending(run_id: str, failure: Exception) -> Ending:
    """How a run ends in which we failed."""
    detail = f"{type(failure).__name__}: {failure}"[:1000]
    error = error_payload(run_id, "internal_error", "The server failed while it worked on this run.", detail)
    return Ending(stop_reason="error", error=error)


def error_payload(
    run_id: str, error_type: str, message: str, detail: str | None, *, http_status: int = 500
) -> dict[str, Any]:
    """The error of a run as spec/streaming.md §6 has it, with the HTTP status of a plain answer beside it."""
    return {
        "message_type": "error_message",
        "run_id": run_id,
        "error_type": error_type,
        "message": message,
        "detail": detail,
        "seq_id": None,
        "http_status": http_status,
    }
