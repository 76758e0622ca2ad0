"""What runs cost: the tokens of their steps at the prices that are known now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Sum
from django.db.models.functions import Coalesce

from agents.models import Step
from letta_ade.llm import catalog
from letta_ade.llm.prices import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTotals:
    """The steps of a run, counted."""

    step_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: None: no provider reported them.
    cached_input_tokens: int | None = None
    #: US dollars; None where the price of a model that it used is not known.
    cost: float | None = None

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class PriceList:
    """The prices of one workspace's models, each looked up once."""

    def __init__(self, workspace_id: str) -> None:
        self._workspace_id = workspace_id
        self._known: dict[str, Price | None] = {}

    def price_of(self, handle: str) -> Price | None:
        """None when it is not known."""
        if handle not in self._known:
            self._known[handle] = catalog.known_price(handle, workspace_id=self._workspace_id)
        return self._known[handle]

    def cost_of(self, step: Step) -> float | None:
        """US dollars for the step's model call; None when they are not known."""
        price = self.price_of(step.model_handle)
        if price is None:
            return None
        return price.cost(
            prompt_tokens=step.prompt_tokens,
            completion_tokens=step.completion_tokens,
            cached_tokens=step.cached_input_tokens or 0,
            written_tokens=step.cache_write_tokens or 0,
        )


def totals_of(steps: Iterable[Step], prices: PriceList) -> RunTotals:
    """The totals of the steps of one run."""
    return _sum(
        [
            RunTotals(
                step_count=1,
                prompt_tokens=step.prompt_tokens,
                completion_tokens=step.completion_tokens,
                cached_input_tokens=step.cached_input_tokens,
                cost=prices.cost_of(step),
            )
            for step in steps
        ]
    )


def totals_by_run(run_ids: Sequence[str], *, workspace_id: str) -> dict[str, RunTotals]:
    """The totals of these runs; one without a step is left out. One query."""
    prices = PriceList(workspace_id)
    by_run: dict[str, list[RunTotals]] = {}
    counted = (
        Step.objects.filter(run_id__in=run_ids)
        .order_by()
        .values("run_id", "model_handle")
        .annotate(
            step_count=Count("id"),
            prompt=Sum("prompt_tokens"),
            completion=Sum("completion_tokens"),
            cached=Sum("cached_input_tokens"),
            written=Coalesce(Sum("cache_write_tokens"), 0),
            longest=Max("prompt_tokens"),
        )
    )
    for line in counted:
        by_run.setdefault(line["run_id"], []).append(_of_model(line, prices.price_of(line["model_handle"])))
    return {run_id: _sum(parts) for run_id, parts in by_run.items()}


def _of_model(line: Mapping[str, Any], price: Price | None) -> RunTotals:
    is_too_long = price is not None and price.most_prompt is not None and line["longest"] > price.most_prompt
    cost = None
    if price is not None and not is_too_long:
        cost = Price(sent=price.sent, said=price.said, cached=price.cached, written=price.written).cost(
            prompt_tokens=line["prompt"],
            completion_tokens=line["completion"],
            cached_tokens=line["cached"] or 0,
            written_tokens=line["written"],
        )
    return RunTotals(
        step_count=line["step_count"],
        prompt_tokens=line["prompt"],
        completion_tokens=line["completion"],
        cached_input_tokens=line["cached"],
        cost=cost,
    )


def _sum(parts: Sequence[RunTotals]) -> RunTotals:
    cached = [part.cached_input_tokens for part in parts if part.cached_input_tokens is not None]
    # A part that the model never counted costs nothing.
    costs = [part.cost for part in parts if part.total_tokens]
    known = [cost for cost in costs if cost is not None]
    return RunTotals(
        step_count=sum(part.step_count for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        cached_input_tokens=sum(cached) if cached else None,
        cost=sum(known) if known and len(known) == len(costs) else None,
    )
