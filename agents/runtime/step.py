"""One reply decided: which calls run, which are refused, and whether the loop goes on (spec/agent-loop.md §4).

Decisions only; the loop carries them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.runtime.arguments import BadArguments, check_prefilled, parse_arguments
from agents.runtime.ports import CallOutcome, PlannedCall
from agents.runtime.snapshot import Snapshot
from agents.runtime.tool_rules import Allowance, PastCall
from letta_ade.llm.messages import Reply, ToolCall

HEARTBEAT = "You may not stop yet: call {names} first."

APPROVAL_REFUSAL = (
    "Tool {name!r} needs a person's approval, and this server cannot ask for it yet. It was not run. "
    "Tell the user that it needs approval."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What a reply leads to. `stop_reason` None: the loop goes on."""

    calls: tuple[PlannedCall, ...] = ()
    stop_reason: str | None = None
    heartbeat: str | None = None
    #: False: there is nothing to store.
    has_message: bool = True


def plan_step(
    snapshot: Snapshot, reply: Reply, allowance: Allowance, history: Sequence[PastCall]
) -> StepPlan:
    """What to do with a reply of the direct loop."""
    if reply.tool_calls:
        return _plan_calls(snapshot, reply, allowance, history)
    missing = snapshot.rules.missing_before_exit(snapshot.tool_names, history)
    heartbeat = HEARTBEAT.format(names=", ".join(missing)) if missing else None
    has_message = bool(reply.parts)
    if heartbeat:
        return StepPlan(heartbeat=heartbeat, has_message=has_message)
    stop = "max_tokens_exceeded" if reply.finish_reason == "length" and has_message else "end_turn"
    return StepPlan(stop_reason=stop, has_message=has_message)


def _plan_calls(
    snapshot: Snapshot, reply: Reply, allowance: Allowance, history: Sequence[PastCall]
) -> StepPlan:
    planned, has_bad_prefill, ends = [], False, False
    for call in reply.tool_calls:
        one = _plan_call(snapshot, call, allowance, history)
        planned.append(one.planned)
        has_bad_prefill = has_bad_prefill or one.has_bad_prefill
        ends = ends or (one.planned.refusal is None and snapshot.rules.ends_run(call.name))
    if has_bad_prefill:
        return StepPlan(calls=tuple(planned), stop_reason="invalid_tool_call")
    if not ends:
        return StepPlan(calls=tuple(planned))
    executed = [PastCall(name=each.call.name, result="") for each in planned if each.refusal is None]
    missing = snapshot.rules.missing_before_exit(snapshot.tool_names, [*history, *executed])
    if missing:
        return StepPlan(calls=tuple(planned), heartbeat=HEARTBEAT.format(names=", ".join(missing)))
    return StepPlan(calls=tuple(planned), stop_reason="tool_rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnePlan:
    planned: PlannedCall
    has_bad_prefill: bool = False


def _plan_call(
    snapshot: Snapshot, call: ToolCall, allowance: Allowance, history: Sequence[PastCall]
) -> _OnePlan:
    if call.name not in allowance.names:
        return _OnePlan(
            planned=PlannedCall(call=call, refusal=snapshot.rules.why_not(call.name, allowance.names))
        )
    if snapshot.rules.needs_approval(call.name):
        return _OnePlan(planned=PlannedCall(call=call, refusal=APPROVAL_REFUSAL.format(name=call.name)))
    parameters = next(tool.spec.parameters for tool in snapshot.tools if tool.spec.name == call.name)
    try:
        arguments = parse_arguments(call.arguments, known=frozenset(parameters.get("properties") or ()))
    except BadArguments as error:
        text = f"Error executing function {call.name}: {error}"
        return _OnePlan(planned=PlannedCall(call=call, refusal=text))
    prefilled = snapshot.rules.prefilled(call.name, history)
    if problem := check_prefilled(prefilled, parameters):
        text = f"Error executing function {call.name}: a tool rule is wrong: {problem}."
        return _OnePlan(planned=PlannedCall(call=call, refusal=text), has_bad_prefill=True)
    return _OnePlan(planned=PlannedCall(call=call, arguments={**arguments, **prefilled}))


def refused_outcome(planned: PlannedCall) -> CallOutcome:
    """The return of a call that is not executed."""
    assert planned.refusal is not None, "only refused calls come here"
    return CallOutcome(
        tool_call_id=planned.call.id, name=planned.call.name, text=planned.refusal, is_error=True
    )
