"""From step rows to steps on the wire, with few queries however many steps there are."""

from __future__ import annotations

from collections.abc import Sequence

from agents.api.schemas.step import StepMetricsResponse, StepResponse
from agents.api.schemas.stored_message import StoredMessage
from agents.models import Step
from agents.services.steps import facts_of, messages_of


def wire_steps(steps: Sequence[Step]) -> list[StepResponse]:
    """The steps of a list: without their messages."""
    facts = facts_of(steps)
    return [StepResponse.of(step, facts[step.id]) for step in steps]


def wire_step(step: Step) -> StepResponse:
    """One step, with its messages."""
    messages = [StoredMessage.of(message) for message in messages_of(step)]
    return StepResponse.of(step, facts_of([step])[step.id], messages)


def wire_metrics(step: Step) -> StepMetricsResponse:
    """The times of one step."""
    return StepMetricsResponse.of(step, facts_of([step])[step.id])
