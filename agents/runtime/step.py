"""One reply decided: which calls run, which are refused or wait, and whether the loop goes on (spec/agent-loop.md §4, §6).

Decisions only; the loop carries them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.runtime.arguments import BadArguments, check_prefilled, parse_arguments, wants_heartbeat
from agents.runtime.ports import CallOutcome, PlannedCall
from agents.runtime.snapshot import PendingTurn, Snapshot
from agents.runtime.tool_rules import Allowance, PastCall
from letta_ade.llm.messages import ReasoningPart, Reply, TextPart, ToolCall
from tools.coercion import MissingArguments, check_arguments

#: Notes that the model reads when a run goes on without a person having said anything.
MUST_CALL = "You may not stop yet: call {names} first."
ASKED_TO_GO_ON = "You asked to go on with request_heartbeat. Go on."
RULE_GOES_ON = "A tool rule lets you go on after {name}. Go on."
CALL_DID_NOT_RUN = "Your call of {name} was not run; its return says why. Go on."

_DENIED = "The call was denied: a person read it and did not approve it."
_AT_THE_CLIENT = "The call was not run: this tool now runs at the client. Call it again if you still need it."
_MOST_ERROR_CHARACTERS = 1000


class BadToolRule(Exception):
    """A rule sets arguments that its tool does not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What a reply leads to. `stop_reason` None: the loop goes on."""

    calls: tuple[PlannedCall, ...] = ()
    stop_reason: str | None = None
    heartbeat: str | None = None
    #: Results that need no execution, such as the client's.
    outcomes: tuple[CallOutcome, ...] = ()


def plan_step(
    snapshot: Snapshot, reply: Reply, allowance: Allowance, history: Sequence[PastCall]
) -> StepPlan:
    """What to do with a reply."""
    if not reply.tool_calls:
        return _plan_words(snapshot, reply, history)
    waiting = snapshot.waiting_names
    planned = tuple(
        PlannedCall(call=call, is_waiting=True)
        if call.name in waiting and call.name in allowance.names
        else plan_call(snapshot, call, allowance, history)
        for call in reply.tool_calls
    )
    if any(each.is_waiting for each in planned):
        return StepPlan(calls=planned, stop_reason="requires_approval")
    return _decide(snapshot, planned, history)


def plan_answers(snapshot: Snapshot, pending: PendingTurn, history: Sequence[PastCall]) -> StepPlan:
    """What to do with the calls of a turn that waited, now that they are answered. They are allowed as they were then."""
    allowance = snapshot.rules.allowance(snapshot.tool_names, history)
    planned: list[PlannedCall] = []
    outcomes: list[CallOutcome] = []
    goes_on = False
    for call in pending.calls:
        answer = pending.answers.get(call.id)
        if answer is None or (answer.is_approved and answer.returned is None):
            planned.append(plan_call(snapshot, call, allowance, history))
            continue
        goes_on = True
        if answer.returned is not None:
            planned.append(PlannedCall(call=call))
            outcomes.append(answer.returned)
        else:
            reason = f" Reason: {answer.reason}" if answer.reason else ""
            planned.append(PlannedCall(call=call, refusal=_DENIED + reason))
    plan = _decide(snapshot, tuple(planned), history)
    if goes_on and plan.stop_reason in ("tool_rule", "end_turn"):
        return StepPlan(calls=plan.calls, outcomes=tuple(outcomes))
    return StepPlan(
        calls=plan.calls, stop_reason=plan.stop_reason, heartbeat=plan.heartbeat, outcomes=tuple(outcomes)
    )


def plan_call(
    snapshot: Snapshot, call: ToolCall, allowance: Allowance, history: Sequence[PastCall]
) -> PlannedCall:
    """One call: with the arguments that it runs with, or with the reason why it does not."""
    if call.name not in allowance.names:
        return PlannedCall(call=call, refusal=snapshot.rules.why_not(call.name, allowance.names, history))
    tool = next(tool for tool in snapshot.tools if tool.spec.name == call.name)
    if tool.is_client:
        # It was the server's when it was called, or somebody agreed to what only the client can do.
        return PlannedCall(call=call, refusal=_AT_THE_CLIENT)
    parameters = tool.spec.parameters
    try:
        arguments = parse_arguments(call.arguments, known=frozenset(parameters.get("properties") or ()))
    except BadArguments as error:
        return PlannedCall(call=call, refusal=_failure(call, error))
    prefilled = snapshot.rules.prefilled(call.name, history)
    if problem := check_prefilled(prefilled, parameters):
        return PlannedCall(call=call, refusal=_failure(call, BadToolRule(problem)), has_bad_rule=True)
    arguments |= prefilled
    try:
        check_arguments(parameters, arguments)
    except MissingArguments as error:
        # Found here and not by the tool: a call that did not run ends nothing, whatever rule its tool has.
        return PlannedCall(call=call, refusal=_failure(call, error))
    return PlannedCall(call=call, arguments=arguments)


def _failure(call: ToolCall, error: Exception) -> str:
    """The return of a call that cannot be made; clients know its beginning."""
    return f"Error executing function {call.name}: {type(error).__name__}: {error}"[:_MOST_ERROR_CHARACTERS]


def refused_outcome(planned: PlannedCall) -> CallOutcome:
    """The return of a call that is not executed."""
    assert planned.refusal is not None, "only refused calls come here"
    return CallOutcome(
        tool_call_id=planned.call.id,
        name=planned.call.name,
        text=planned.refusal,
        is_error=True,
        was_run=False,
    )


def _plan_words(snapshot: Snapshot, reply: Reply, history: Sequence[PastCall]) -> StepPlan:
    """A reply without a call."""
    # A refusal with words is an answer; without words it is none.
    if reply.finish_reason == "refusal" and not _has_words(reply):
        return StepPlan(stop_reason="invalid_llm_response")
    if missing := snapshot.rules.missing_before_exit(snapshot.tool_names, history):
        return StepPlan(heartbeat=MUST_CALL.format(names=", ".join(missing)))
    if reply.finish_reason == "length":
        return StepPlan(stop_reason="max_tokens_exceeded")
    # An agent of the heartbeat loop without tools has no other way to say something.
    if snapshot.loop == "heartbeat" and snapshot.tools:
        return StepPlan(stop_reason="no_tool_call")
    return StepPlan(stop_reason="end_turn")


def _has_words(reply: Reply) -> bool:
    """Whether something was said; in the heartbeat loop what is said is read as a thought."""
    return any(
        (isinstance(part, TextPart) and part.text)
        or (isinstance(part, ReasoningPart) and not part.is_native and part.reasoning)
        for part in reply.parts
    )


def _decide(snapshot: Snapshot, planned: tuple[PlannedCall, ...], history: Sequence[PastCall]) -> StepPlan:
    """Whether the loop goes on after these calls."""
    if any(each.has_bad_rule for each in planned):
        return StepPlan(calls=planned, stop_reason="invalid_tool_call")
    executed = [PastCall(name=each.call.name, result="") for each in planned if each.refusal is None]
    if any(snapshot.rules.ends_run(call.name) for call in executed):
        stop_reason = "tool_rule"
    elif snapshot.loop == "direct":
        return StepPlan(calls=planned)
    elif heartbeat := _heartbeat(snapshot, planned):
        return StepPlan(calls=planned, heartbeat=heartbeat)
    else:
        stop_reason = "end_turn"
    if missing := snapshot.rules.missing_before_exit(snapshot.tool_names, [*history, *executed]):
        return StepPlan(calls=planned, heartbeat=MUST_CALL.format(names=", ".join(missing)))
    return StepPlan(calls=planned, stop_reason=stop_reason)


def _heartbeat(snapshot: Snapshot, planned: tuple[PlannedCall, ...]) -> str | None:
    """Why the heartbeat loop goes on, as a note for the model; None when it does not."""
    for each in planned:
        if each.refusal is not None:
            return CALL_DID_NOT_RUN.format(name=each.call.name)
        if wants_heartbeat(each.call.arguments):
            return ASKED_TO_GO_ON
        if snapshot.rules.goes_on_after(each.call.name):
            return RULE_GOES_ON.format(name=each.call.name)
    return None
