"""A request that waits, on the wire."""

from __future__ import annotations

from datetime import datetime

from agents.services.waiting import Waiting, WaitingCall, WaitingFilters, WaitsFor
from letta_ade.core.schemas import PageQuery, Wire


class WaitingQuery(PageQuery):
    """The parameters of the list. `waits_for`: requests with at least one call of that kind."""

    agent_id: str | None = None
    conversation_id: str | None = None
    waits_for: WaitsFor | None = None

    def filters(self) -> WaitingFilters:
        """What is asked for."""
        return WaitingFilters(
            agent_id=self.agent_id, conversation_id=self.conversation_id, waits_for=self.waits_for
        )


class WaitingCallResponse(Wire):
    """A call that waits. `waits_for`: `approval`, or `client` for what a program returns."""

    tool_call_id: str
    name: str
    arguments: str
    waits_for: WaitsFor

    @classmethod
    def of(cls, call: WaitingCall) -> WaitingCallResponse:
        return cls(
            tool_call_id=call.id,
            name=call.name,
            arguments=call.arguments,
            waits_for="client" if call.is_client else "approval",
        )


class WaitingResponse(Wire):
    """A request; its id is that of its approval_request_message."""

    id: str
    agent_id: str
    agent_name: str
    conversation_id: str
    run_id: str | None
    step_id: str | None
    created_at: datetime
    expires_at: datetime | None
    tool_calls: list[WaitingCallResponse]
    #: Names of the calls of the same reply that run after the answer.
    put_off: list[str]

    @classmethod
    def of(cls, waiting: Waiting) -> WaitingResponse:
        """The request as it is now."""
        return cls(
            id=waiting.request_id,
            agent_id=waiting.agent_id,
            agent_name=waiting.agent_name,
            conversation_id=waiting.conversation_id,
            run_id=waiting.run_id,
            step_id=waiting.step_id,
            created_at=waiting.since,
            expires_at=waiting.expires_at,
            tool_calls=[WaitingCallResponse.of(call) for call in waiting.calls],
            put_off=list(waiting.put_off),
        )
