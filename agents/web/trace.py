"""A run as rows: its steps, and in each the model call, the tool calls and what it waited for, with where each lies in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict

from agents.models import Run, Step
from agents.models.step import StepStatus
from agents.services.run_costs import PriceList, RunTotals, totals_of
from agents.services.run_timing import Span, unix_ns
from agents.web.live_trace import LiveTrace
from agents.web.transcript import CallItem, RunItem, StepItem
from letta_ade.llm.environment import split_handle

Kind = Literal["run", "step", "model", "tool", "memory", "bad", "wait", "compaction"]

#: A pause before the attempt that counts that is longer than this was an earlier attempt, and not our own work.
_ATTEMPT_NS = 50_000_000
_ICONS: Mapping[Kind, str] = {
    "run": "activity",
    "step": "circle-dot",
    "model": "sparkles",
    "tool": "tool",
    "memory": "stack-2",
    "bad": "refresh",
    "wait": "clock",
    "compaction": "fold",
}
_TICKS = 4
#: Of the whole, so that what took no time can be seen.
_LEAST_WIDTH = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a model call took and gave; None where the provider reported nothing."""

    sent: int
    said: int
    cached: int | None = None
    written: int | None = None
    reasoning: int | None = None
    ttft_ms: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """One row. `x`, `width` and `mark` are percent of the whole; without a beginning that anybody knows there is no bar."""

    #: Names the row in the address.
    key: str
    depth: int
    kind: Kind
    name: str
    is_mono: bool = False
    #: How it ended, when not well, or what it does now.
    words: str = ""
    is_bad: bool = False
    #: It goes on.
    is_open: bool = False
    took_ms: float | None = None
    x: float | None = None
    width: float = 0
    #: When the first token came.
    mark: float | None = None
    figures: Figures | None = None
    #: The element of the transcript that it stands for.
    anchor: str = ""
    #: The step that it belongs to, for the exact context.
    step_id: str = ""
    compaction_id: str = ""

    @property
    def icon(self) -> str:
        return _ICONS[self.kind]

    @property
    def indents(self) -> range:
        return range(self.depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The rows of a run in order, and the scale above them."""

    lines: tuple[TraceLine, ...]
    totals: RunTotals
    #: Milliseconds at each rule of the scale.
    ticks: tuple[float, ...]
    is_live: bool

    def find(self, key: str) -> TraceLine:
        """The row of this key, or else the run's own."""
        return next((line for line in self.lines if line.key == key), self.lines[0])


class _Times(TypedDict, total=False):
    is_open: bool
    took_ms: float | None
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSource:
    """What a trace is made of."""

    run: Run
    steps: Sequence[Step]
    spans: Sequence[Span]
    #: As the transcript shows the run.
    item: RunItem
    prices: PriceList
    now: datetime
    #: Of a run that goes on.
    live: LiveTrace | None = None
    #: By step, why its model was asked again, as far as events still tell.
    retries: Mapping[str, Sequence[str]] = field(default_factory=dict)


def build_trace(source: TraceSource) -> Trace:
    """The trace of a run."""
    return _Builder(source).build()


@dataclass(slots=True)
class _Builder:
    source: TraceSource
    _items: dict[str, StepItem] = field(default_factory=dict)
    _calls: dict[tuple[str, str], CallItem] = field(default_factory=dict)
    _children: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    _start_ns: int = 0
    _whole_ns: int = 1

    def build(self) -> Trace:
        source = self.source
        self._items = {step.id: step for step in source.item.steps}
        for step in source.item.steps:
            self._calls |= {
                (step.id, item.tool_call_id): item for item in step.items if isinstance(item, CallItem)
            }
        for span in source.spans:
            self._children[span.parent_id or ""].append(span)
        root = source.spans[0]
        self._start_ns = root.start_ns
        now_ns = unix_ns(source.now)
        self._whole_ns = max(1, root.duration_ns if root.duration_ns is not None else now_ns - root.start_ns)
        totals = totals_of(source.steps, source.prices)
        lines = [self._run_line(root, totals), *self._inside_run(root)]
        return Trace(
            lines=tuple(lines),
            totals=totals,
            ticks=tuple(self._whole_ns / 1e6 * place / _TICKS for place in range(_TICKS)),
            is_live=not source.run.has_ended,
        )

    def _run_line(self, root: Span, totals: RunTotals) -> TraceLine:
        run = self.source.run
        return TraceLine(
            key="run",
            depth=0,
            kind="run",
            name="run",
            words=root.error or "",
            is_bad=root.error is not None,
            anchor=run.id,
            figures=Figures(
                sent=totals.prompt_tokens,
                said=totals.completion_tokens,
                cached=totals.cached_input_tokens,
                ttft_ms=run.ttft_ns / 1e6 if run.ttft_ns is not None else None,
                cost=totals.cost,
            )
            if totals.total_tokens
            else None,
            **self._times(root.start_ns, root.duration_ns),
        )

    def _inside_run(self, root: Span) -> Iterator[TraceLine]:
        steps = {step.id: step for step in self.source.steps}
        for span in self._children[root.id]:
            if span.name == "agent_step":
                yield from self._step_lines(span, steps[span.attributes["step_id"]])
            elif span.name == "tool_execution":
                yield self._tool_line(span, 1)
            elif span.name == "compaction":
                yield self._compaction_line(span)
            else:
                yield self._wait_line(span, 1, "waited for a worker", "")
        live = self.source.live
        if live is not None and live.is_compacting:
            began = live.compacting_since
            yield TraceLine(
                key="compacting",
                depth=1,
                kind="compaction",
                name="compacts the context",
                **(self._times(unix_ns(began), None) if began else _Times(is_open=True)),
            )
        if live is not None and live.step_id is None:
            # Calls of an earlier run, which somebody has just answered.
            yield from self._live_calls(live, 1)

    def _step_lines(self, span: Span, step: Step) -> Iterator[TraceLine]:
        item = self._items.get(step.id)
        is_pending = step.status == StepStatus.PENDING
        is_bad = step.status == StepStatus.FAILED
        yield TraceLine(
            key=step.id,
            depth=1,
            kind="step",
            name=f"step {item.number if item is not None else step.number}",
            words=_ended(step),
            is_bad=is_bad,
            anchor=step.id,
            step_id=step.id,
            figures=self._figures(step) if step.total_tokens else None,
            **self._times(
                span.start_ns, span.duration_ns, is_open=is_pending and not self.source.run.has_ended
            ),
        )
        yield from self._attempts(step)
        answer_waits = []
        has_model = False
        for child in self._children[span.id]:
            if child.name == "llm_request":
                has_model = True
                yield self._model_line(child, step)
            elif child.name == "tool_execution":
                yield self._tool_line(child, 2)
            else:
                answer_waits.append(child)
        live = self.source.live
        if live is not None and live.step_id == step.id:
            if not has_model:
                yield self._live_model(span, step, live)
            yield from self._live_calls(live, 2)
        for wait in answer_waits:
            name = "waits for an answer" if wait.duration_ns is None else "waited for an answer"
            yield self._wait_line(wait, 2, name, step.id)

    def _attempts(self, step: Step) -> Iterator[TraceLine]:
        """Model calls of the step that failed for a passing reason, before the one that counts."""
        reasons = self.source.retries.get(step.id, ())
        began = unix_ns(step.started_at)
        until = step.llm_request_start_ns
        if until is None or until - began < _ATTEMPT_NS:
            if not reasons:
                return
            until = began
        yield TraceLine(
            key=f"{step.id}.attempts",
            depth=2,
            kind="bad",
            name="earlier attempts" if not reasons else f"earlier attempts: {reasons[-1]}",
            is_bad=True,
            anchor=step.id,
            step_id=step.id,
            **self._times(began, until - began),
        )

    def _model_line(self, span: Span, step: Step) -> TraceLine:
        mark = None
        if step.ttft_ns is not None:
            mark = self._place(span.start_ns + step.ttft_ns)
        is_bad = step.status == StepStatus.FAILED
        return TraceLine(
            key=f"{step.id}.model",
            depth=2,
            kind="bad" if is_bad else "model",
            name=split_handle(step.model_handle)[1],
            is_mono=True,
            words=_message(step) if is_bad else "",
            is_bad=is_bad,
            mark=mark,
            figures=self._figures(step) if step.total_tokens else None,
            anchor=self._first_item(step.id),
            step_id=step.id,
            **self._times(span.start_ns, span.duration_ns),
        )

    def _live_model(self, span: Span, step: Step, live: LiveTrace) -> TraceLine:
        began = next((call.began for call in live.calls if call.began is not None), None)
        duration = unix_ns(began) - span.start_ns if began is not None else None
        words = "" if live.calls else "writes" if live.has_spoken else "thinks"
        return TraceLine(
            key=f"{step.id}.model",
            depth=2,
            kind="model",
            name=split_handle(step.model_handle)[1],
            is_mono=True,
            words=words,
            anchor=self._first_item(step.id),
            step_id=step.id,
            **self._times(span.start_ns, duration, is_open=not live.calls),
        )

    def _live_calls(self, live: LiveTrace, depth: int) -> Iterator[TraceLine]:
        for call in live.calls:
            item = self._calls.get((call.step_id, call.tool_call_id))
            times = self._times(unix_ns(call.began), None) if call.began else _Times(is_open=True)
            yield TraceLine(
                key=item.id if item is not None else call.tool_call_id,
                depth=depth,
                kind="tool",
                name=call.name,
                is_mono=True,
                words="runs",
                anchor=item.id if item is not None else call.step_id,
                step_id=call.step_id,
                **times,
            )

    def _tool_line(self, span: Span, depth: int) -> TraceLine:
        step_id = span.attributes["step_id"] or ""
        item = self._calls.get((step_id, span.attributes["tool_call_id"]))
        changes = item.changes if item is not None else ()
        written = ", ".join(f"{change.label} v{change.to_version}" for change in changes)
        name = span.attributes["tool_name"]
        return TraceLine(
            key=item.id if item is not None else span.id,
            depth=depth,
            kind="bad" if span.error is not None else "memory" if changes else "tool",
            name=f"{name} → {written}" if written else name,
            is_mono=True,
            words=span.error or "",
            is_bad=span.error is not None,
            anchor=item.id if item is not None else step_id,
            step_id=step_id,
            **self._times(span.start_ns, span.duration_ns),
        )

    def _wait_line(self, span: Span, depth: int, name: str, step_id: str) -> TraceLine:
        return TraceLine(
            key=span.id,
            depth=depth,
            kind="wait",
            name=name,
            anchor=step_id or self.source.run.id,
            step_id=step_id,
            **self._times(span.start_ns, span.duration_ns),
        )

    def _compaction_line(self, span: Span) -> TraceLine:
        told = span.attributes
        figures = Figures(sent=told["prompt_tokens"], said=told["completion_tokens"])
        return TraceLine(
            key=told["compaction_id"],
            depth=1,
            kind="compaction",
            name=f"compacted the context, {told['tokens_before']:,} → {told['tokens_after']:,} tokens",
            anchor=told["compaction_id"],
            compaction_id=told["compaction_id"],
            step_id=told["step_id"] or "",
            figures=figures if figures.sent else None,
            **self._times(span.start_ns, span.duration_ns),
        )

    def _figures(self, step: Step) -> Figures:
        return Figures(
            sent=step.prompt_tokens,
            said=step.completion_tokens,
            cached=step.cached_input_tokens,
            written=step.cache_write_tokens,
            reasoning=step.reasoning_tokens,
            ttft_ms=step.ttft_ns / 1e6 if step.ttft_ns is not None else None,
            cost=self.source.prices.cost_of(step),
        )

    def _first_item(self, step_id: str) -> str:
        item = self._items.get(step_id)
        return item.items[0].id if item is not None and item.items else step_id

    def _times(self, start_ns: int, duration_ns: int | None, *, is_open: bool = True) -> _Times:
        """Where a span lies; one without a length goes on, or `is_open` False: nobody knows how long it took."""
        now_ns = unix_ns(self.source.now)
        goes_on = duration_ns is None and is_open
        length = duration_ns if duration_ns is not None else max(0, now_ns - start_ns) if goes_on else None
        x = self._place(start_ns)
        end = self._place(start_ns + (length or 0))
        return {
            "is_open": goes_on,
            "took_ms": length / 1e6 if length is not None else None,
            "x": min(x, 100 - _LEAST_WIDTH),
            "width": round(max(_LEAST_WIDTH, end - x), 2),
        }

    def _place(self, at_ns: int) -> float:
        """Percent of the whole; what lies outside the run's own time is at its border."""
        return round(min(100.0, max(0.0, (at_ns - self._start_ns) * 100 / self._whole_ns)), 2)


def _ended(step: Step) -> str:
    match step.status:
        case StepStatus.FAILED:
            return _message(step)
        case StepStatus.CANCELLED:
            return "stopped"
        case _:
            return ""


def _message(step: Step) -> str:
    told = step.error_data or {}
    return str(told.get("message") or step.error_type or "failed")
