"""What the SDK reads of runs and steps: each answer of the real server is held against the SDK's own types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import letta_client
import pytest
from letta_client import Letta
from letta_client.types import AgentState, ProviderTrace, Step
from letta_client.types.agents import ApprovalRequestMessage, LettaResponse, Run
from letta_client.types.runs import TraceRetrieveResponse, UsageRetrieveResponse
from letta_client.types.steps import MessageListResponse, MetricRetrieveResponse

from letta_ade.core.ids import new_id
from tests.support.fake_openai import FakeOpenAI, frame
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer
from tests.support.strict import validate

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NOTE = FakeCall(name="memory_insert", arguments='{"label": "human", "new_string": "Likes tea."}', id="call_1")
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 9,
    "total_tokens": 109,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


@pytest.fixture
def raw(server: RunningServer) -> Callable[..., Any]:
    """Reads JSON as it goes over the wire."""

    def read(path: str, **query: Any) -> Any:
        return httpx.get(f"{server.url}/v1{path}", params=query, timeout=30).raise_for_status().json()

    return read


@pytest.fixture
def run_id(client: Letta, agent: Any, provider: FakeOpenAI) -> str:
    """A run of two steps: a note is taken, then something is said."""
    provider.replies += [FakeReply(calls=(NOTE,), usage=USAGE), FakeReply(text="Noted.", usage=USAGE)]
    answer = client.agents.messages.create(agent.id, input="I like tea.")
    [run_id] = {message.run_id for message in answer.messages}
    assert run_id is not None
    return run_id


def test_a_run_is_found_and_measured(client: Letta, agent: Any, run_id: str, raw: Any) -> None:
    run = client.runs.retrieve(run_id)
    assert (run.status, run.stop_reason) == ("completed", "end_turn")
    assert run.ttft_ns is not None
    assert run.total_duration_ns is not None
    assert 0 < run.ttft_ns < run.total_duration_ns
    listed = client.runs.list(
        agent_id=agent.id,
        statuses=["completed"],
        stop_reason="end_turn",
        conversation_id="default",
        background=False,
    )
    assert [each.id for each in listed] == [run_id]
    assert list(client.runs.list(active=True, agent_id=agent.id)) == []
    validate(list[Run], raw("/runs/", agent_id=agent.id))
    usage = client.runs.usage.retrieve(run_id)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (200, 18, 218)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 128
    validate(UsageRetrieveResponse, raw(f"/runs/{run_id}/usage"))
    metrics = raw(f"/runs/{run_id}/metrics")
    [tool] = client.tools.list(name="memory_insert")
    assert (metrics["num_steps"], metrics["tools_used"]) == (2, [tool.id])


def test_the_trace_of_a_run_is_a_tree_of_what_it_did(client: Letta, run_id: str, raw: Any) -> None:
    spans: list[dict[str, Any]] = client.runs.trace.retrieve(run_id)
    validate(TraceRetrieveResponse, raw(f"/runs/{run_id}/trace"))
    assert [span["SpanName"] for span in spans] == [
        "run",
        "agent_step",
        "llm_request",
        "time_to_first_token",
        "tool_execution",
        "agent_step",
        "llm_request",
        "time_to_first_token",
    ]
    ids = {span["SpanId"] for span in spans}
    assert all(span["ParentSpanId"] in ids for span in spans[1:])
    assert len(client.runs.trace.retrieve(run_id, limit=3)) == 3


def test_steps_are_found_looked_into_and_judged(client: Letta, agent: Any, run_id: str, raw: Any) -> None:
    steps = list(client.runs.steps.list(run_id, order="asc"))
    assert [each.id for each in client.steps.list(agent_id=agent.id, order="asc")] == [s.id for s in steps]
    validate(list[Step], raw("/steps/", agent_id=agent.id))
    validate(list[Step], raw(f"/runs/{run_id}/steps"))
    first = client.steps.retrieve(steps[0].id)
    validate(Step, raw(f"/steps/{first.id}"))
    assert first.prompt_tokens_details == {
        "cached_tokens": 64,
        "cache_read_tokens": 64,
        "cache_creation_tokens": None,
    }
    assert first.completion_tokens_details == {"reasoning_tokens": 4}
    assert [message.role for message in first.messages or ()] == ["user", "assistant", "tool"]
    metrics = client.steps.metrics.retrieve(first.id)
    validate(MetricRetrieveResponse, raw(f"/steps/{first.id}/metrics"))
    assert metrics.step_ns is not None
    assert metrics.step_ns >= (metrics.llm_request_ns or 0) + (metrics.tool_execution_ns or 0) > 0
    said = [message.message_type for message in client.steps.messages.list(first.id)]
    assert said == ["user_message", "tool_call_message", "tool_return_message"]
    validate(list[MessageListResponse], raw(f"/steps/{first.id}/messages"))
    judged = client.steps.feedback.create(first.id, feedback="positive", tags=["good"])
    assert (judged.feedback, judged.tags) == ("positive", ["good"])
    assert [each.id for each in client.steps.list(feedback="positive", tags=["good"])] == [first.id]
    assert first.trace_id is not None
    assert {each.id for each in client.steps.list(trace_ids=[first.trace_id])} == {s.id for s in steps}
    assert client.steps.feedback.create(first.id, feedback=None).feedback is None
    assert list(client.steps.list(has_feedback=True)) == []


def test_what_was_sent_to_the_model_can_be_read(
    client: Letta, run_id: str, provider: FakeOpenAI, raw: Any
) -> None:
    *_, last = client.runs.steps.list(run_id, order="asc")
    trace: Any = client.steps.trace.retrieve(last.id)
    assert trace.request_json == provider.received[-1].body
    [choice] = trace.response_json["choices"]
    assert choice["message"]["content"] == "Noted."
    validate(ProviderTrace, raw(f"/steps/{last.id}/trace"), extra={"user_id"})
    assert raw(f"/telemetry/{last.id}")["id"] == trace.id


def test_a_failed_call_is_a_step_with_its_error(
    client: Letta, agent: Any, provider: FakeOpenAI, raw: Any
) -> None:
    provider.replies.append(FakeReply(status=429, error="slow down"))
    with pytest.raises(letta_client.RateLimitError):
        client.agents.messages.create(agent.id, input="Hi")
    [step] = client.steps.list(agent_id=agent.id)
    assert (step.status, step.error_type, step.stop_reason) == ("failed", "llm_rate_limit", "llm_api_error")
    validate(Step, raw(f"/steps/{step.id}"))
    trace = client.steps.trace.retrieve(step.id)
    assert trace is not None
    assert "error" in trace.response_json
    assert client.agents.retrieve(agent.id).last_stop_reason == "llm_api_error"


def test_log_probabilities_of_openai_reach_the_caller_and_the_trace(
    client: Letta, agent: Any, provider: FakeOpenAI, server: RunningServer
) -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    told = {"delta": {"content": "Hi"}, "index": 0, "logprobs": {"content": [token], "refusal": None}}
    frames = (
        frame({"id": "c-1", "model": "gpt-4o-mini", "choices": [told]}),
        frame({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        b"data: [DONE]\n\n",
    )
    provider.replies.append(FakeReply(frames=frames))
    asked = {"input": "Hi", "return_logprobs": True, "top_logprobs": 1}
    answer = httpx.post(f"{server.url}/v1/agents/{agent.id}/messages", json=asked, timeout=30).json()
    validate(LettaResponse, answer)
    assert answer["logprobs"]["content"] == [token]
    sent = provider.received[-1].body
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 1)
    provider.replies.append(FakeReply(frames=frames))
    for chunk in client.agents.messages.create(agent.id, input="Hi", streaming=True, return_logprobs=True):
        assert "logprobs" not in chunk.model_dump()
    [last, *_] = client.steps.list(agent_id=agent.id)
    trace: Any = client.steps.trace.retrieve(last.id)
    [choice] = trace.response_json["choices"]
    assert choice["logprobs"]["content"] == [token]
    with pytest.raises(letta_client.UnprocessableEntityError):
        client.agents.messages.create(agent.id, input="Hi", top_logprobs=1)


def test_an_agent_tells_what_it_waits_for(client: Letta, agent: Any, provider: FakeOpenAI, raw: Any) -> None:
    client.agents.tools.update_approval("memory_insert", agent_id=agent.id, body_requires_approval=True)
    provider.replies.append(FakeReply(calls=(NOTE,)))
    answer = client.agents.messages.create(agent.id, input="I like tea.")
    assert answer.stop_reason.stop_reason == "requires_approval"
    found: AgentState = client.agents.retrieve(agent.id, include=["agent.pending_approval"])
    assert found.pending_approval is not None
    assert found.pending_approval.id == answer.messages[-1].id
    told = raw("/agents/", include="agent.pending_approval")
    validate(ApprovalRequestMessage, told[0]["pending_approval"])
    provider.replies.append(FakeReply(text="Noted."))
    approval: Any = {"type": "approval", "tool_call_id": NOTE.id, "approve": True}
    client.agents.messages.create(agent.id, messages=[{"type": "approval", "approvals": [approval]}])
    found = client.agents.retrieve(agent.id, include=["agent.pending_approval"])
    assert found.pending_approval is None


def test_a_gateways_log_id_is_on_every_step_of_the_run(
    client: Letta, agent: Any, provider: FakeOpenAI
) -> None:
    provider.replies.append(FakeReply(text="Hi"))
    client.agents.messages.create(agent.id, input="Hi", extra_headers={"x-api-request-log-id": "log-7"})
    [step] = client.steps.list(agent_id=agent.id)
    assert step.request_id == "log-7"


def test_a_run_is_deleted_and_what_was_said_stays(
    client: Letta, agent: Any, run_id: str, server: RunningServer
) -> None:
    before = [message.id for message in client.agents.messages.list(agent.id)]
    assert httpx.delete(f"{server.url}/v1/runs/{run_id}").json() is None
    with pytest.raises(letta_client.NotFoundError):
        client.runs.retrieve(run_id)
    after = list(client.agents.messages.list(agent.id))
    assert [message.id for message in after] == before
    assert {message.run_id for message in after} == {None}


def test_what_does_not_exist_is_not_found_and_what_is_no_id_is_refused(client: Letta) -> None:
    asked: tuple[Callable[[str], object], ...] = (
        client.steps.retrieve,
        client.steps.metrics.retrieve,
        client.steps.trace.retrieve,
        client.steps.feedback.create,
        lambda step_id: list(client.steps.messages.list(step_id)),
    )
    for ask in asked:
        with pytest.raises(letta_client.NotFoundError):
            ask(new_id("step"))
        with pytest.raises(letta_client.UnprocessableEntityError):
            ask("step-1")
