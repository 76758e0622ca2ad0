"""What the page of a run is given: the run, its trace, the row that is looked at, and what is known when it hangs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.utils import timezone

from agents.models import Compaction, ProviderTrace, Run, RunEvent, Step
from agents.runtime.events import event_from_data
from agents.services.run_costs import PriceList
from agents.services.run_doctor import RunHealth, examine
from agents.services.run_timing import spans_of
from agents.services.runs import get_run_for, public_error
from agents.web import run_rows
from agents.web.code_pieces import code_pieces
from agents.web.live_trace import LiveTrace
from agents.web.trace import Trace, TraceLine, TraceSource, build_trace
from agents.web.transcript import CallItem, Fault, RunItem, TextItem, fault_from
from agents.web.transcript_rows import author_names, run_items
from agents.web.workbench_page import Bench, line_of
from letta_ade.accounts.auth import Caller

View = Literal["timeline", "tree"]
VIEWS: tuple[View, ...] = ("timeline", "tree")
#: A pause before the model call longer than this had a reason that an event tells.
_ATTEMPT_NS = 50_000_000
_MOST_INPUTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What a run was asked and what came of it, shortened; an error never is."""

    inputs: tuple[str, ...]
    answer: str
    answer_anchor: str
    fault: Fault | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDetail:
    """One model call in figures, with the whole error."""

    step: Step
    cost: float | None
    request_id: str | None
    trace_id: str | None
    error: dict[str, Any] | None
    changes: tuple[Any, ...]

    @property
    def error_rest(self) -> str:
        """What the provider said beside the message."""
        detail = (self.error or {}).get("detail")
        return "" if detail is None else str(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as its page shows it."""

    caller: Caller
    run: Run
    item: RunItem
    trace: Trace
    state: run_rows.RunState
    who: str
    steps: Sequence[Step]

    @property
    def bench(self) -> Bench:
        return Bench(caller=self.caller, agent=self.run.agent, conversation=self.run.conversation)


def load_view(*, caller: Caller, run_id: str, live: LiveTrace | None = None) -> RunView:
    """The run as it is now. `live`: its events as far as they have been followed. Raises NotFound."""
    caller.check("read")
    run = get_run_for(caller=caller, run_id=run_id)
    steps = list(run.steps.order_by("number"))
    if not run.has_ended and live is None:
        live = _fold(run)
    item = run_items(run.agent, [run])[0]
    trace = build_trace(
        TraceSource(
            run=run,
            steps=steps,
            spans=spans_of(run, steps),
            item=item,
            prices=PriceList(run.workspace_id),
            now=timezone.now(),
            live=None if run.has_ended else live,
            retries=live.retries if live is not None else _retries(run, steps),
        )
    )
    names = author_names({run.created_by_id} if run.created_by_id else set())
    return RunView(
        caller=caller,
        run=run,
        item=item,
        trace=trace,
        state=run_rows.state_of(run),
        who=names.get(run.created_by_id or "", ""),
        steps=steps,
    )


def _fold(run: Run) -> LiveTrace:
    live = LiveTrace()
    # The words are many, and only the first of a step is of use here.
    rows = RunEvent.objects.filter(run=run).exclude(type__in=["ToolCallDelta"]).order_by("seq")
    live.apply_all([event_from_data(*row) for row in rows.values_list("type", "data")])
    return live


def _retries(run: Run, steps: Sequence[Step]) -> dict[str, list[str]]:
    """Why models were asked again; events are read only when something tells that one was."""
    found: dict[str, list[str]] = defaultdict(list)
    if not any(_has_gap(step) for step in steps):
        return found
    rows = RunEvent.objects.filter(run=run, type="CallRetried").order_by("seq")
    for data in rows.values_list("data", flat=True):
        found[data["step_id"]].append(data["reason"])
    return found


def _has_gap(step: Step) -> bool:
    began_ns = int(step.started_at.timestamp() * 1e9)
    return step.llm_request_start_ns is None or step.llm_request_start_ns - began_ns > _ATTEMPT_NS


def page_context(view: RunView, *, key: str, shape: str) -> dict[str, Any]:
    """Everything but the transcript's own parts."""
    return {
        **view.bench.base,
        "view": view,
        "run": view.item,
        "row": view.run,
        "line": line_of(view.run),
        "ends": _ends(view),
        **trace_context(view, key=key, shape=shape),
    }


def trace_context(view: RunView, *, key: str, shape: str) -> dict[str, Any]:
    """The rows, and the one that is looked at."""
    return {
        "view": view,
        "trace": view.trace,
        "shape": shape if shape in VIEWS else VIEWS[0],
        "at": view.trace.find(key),
        **_detail(view, view.trace.find(key)),
    }


def _ends(view: RunView) -> Ends:
    texts = [item for step in view.item.steps for item in step.items if isinstance(item, TextItem)]
    last = texts[-1] if texts and not view.item.is_live else None
    inputs = [said.text for said in view.item.inputs if said.text]
    return Ends(
        inputs=tuple(inputs[:_MOST_INPUTS]),
        answer=last.text if last is not None else "",
        answer_anchor=last.id if last is not None else "",
        fault=fault_from(public_error(view.run.metadata.get("error"))),
    )


def _detail(view: RunView, line: TraceLine) -> dict[str, Any]:
    """What is told below the rows about the one that is looked at."""
    if line.kind == "run":
        return {"detail": "run", "health": _health(view)}
    if line.kind == "compaction":
        compaction = Compaction.objects.filter(id=line.compaction_id).first()
        return {"detail": "compaction" if compaction else "wait", "compaction": compaction}
    call = _call_of(view.item, line)
    if call is not None:
        return {
            "detail": "call",
            "call": call,
            "arguments": code_pieces(call.arguments),
            "result": code_pieces(call.result or ""),
        }
    step = next((each for each in view.steps if each.id == line.step_id), None)
    if line.kind == "wait" or step is None:
        return {"detail": "wait", "health": _health(view)}
    return {"detail": "step", "step_detail": _step_detail(view, step)}


def _health(view: RunView) -> RunHealth:
    return examine(caller=view.caller, run=view.run)


def _call_of(item: RunItem, line: TraceLine) -> CallItem | None:
    calls = (call for step in item.steps for call in step.items if isinstance(call, CallItem))
    return next((call for call in calls if call.id == line.key), None)


def _step_detail(view: RunView, step: Step) -> StepDetail:
    traced = (
        ProviderTrace.objects.filter(step=step, call_type="agent_step")
        .only("id", "provider_request_id")
        .first()
    )
    shown = next((each for each in view.item.steps if each.id == step.id), None)
    items = shown.items if shown is not None else ()
    return StepDetail(
        step=step,
        cost=PriceList(step.workspace_id).cost_of(step),
        request_id=traced.provider_request_id if traced is not None else None,
        trace_id=traced.id if traced is not None else None,
        error=public_error(step.error_data),
        changes=tuple(change for item in items if isinstance(item, CallItem) for change in item.changes),
    )
