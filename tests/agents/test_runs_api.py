"""Runs over REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from letta_client.types.agents import Run as ClientRun
from letta_client.types.runs import TraceRetrieveResponse, UsageRetrieveResponse
from pytest_django import DjangoAssertNumQueries

from agents.models import Message, ProviderTrace, Run, RunEvent, Step
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import (
    local_workspace,
    make_agent,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_tool,
    make_workspace,
)
from tests.support.strict import validate

pytestmark = pytest.mark.django_db

FIELDS = """
id agent_id conversation_id status stop_reason background created_at completed_at metadata request_config callback_url
callback_sent_at callback_status_code callback_error ttft_ns total_duration_ns base_template_id
"""

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_run_has_every_field_and_keeps_our_status_to_us(api: Api) -> None:
    error = {"error_type": "llm_error", "message": "No.", "http_status": 500}
    run = make_run(status="failed", metadata={"run_type": "send_message", "error": error})
    body = api.get(f"/v1/runs/{run.id}").json()
    assert set(body) == set(FIELDS.split())
    validate(ClientRun, body)
    assert body["metadata"]["error"] == {"error_type": "llm_error", "message": "No."}


def test_unknown_malformed_and_foreign_runs(api: Api) -> None:
    foreign = make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
    for rest in ("", "/messages", "/steps", "/usage", "/metrics", "/trace"):
        assert api.get(f"/v1/runs/{foreign.id}{rest}").status_code == 404
        assert api.get(f"/v1/runs/{new_id('run')}{rest}").status_code == 404
        assert api.get(f"/v1/runs/run-1{rest}").status_code == 422


def test_runs_are_filtered(api: Api) -> None:
    one, two = make_conversation(), make_conversation()
    first = make_run(conversation=one)
    second = make_run(conversation=two, status="running", stop_reason=None, background=True)

    def found(**query: Any) -> list[str]:
        return [run["id"] for run in api.get("/v1/runs/", **query).json()]

    assert found() == [second.id, first.id]
    assert found(ascending="true") == [first.id, second.id]
    assert found(agent_id=one.agent_id) == [first.id]
    assert found(agent_ids=[one.agent_id, two.agent_id]) == [second.id, first.id]
    assert found(statuses=["completed"]) == [first.id]
    assert found(active="true") == [second.id]
    assert found(background="true") == [second.id]
    assert found(stop_reason="end_turn") == [first.id]
    assert found(conversation_id=two.id) == [second.id]
    assert found(template_family="t", project_id="p") == [second.id, first.id]


def test_the_default_conversation_can_be_named_without_its_id(api: Api) -> None:
    main = make_conversation()
    aside = make_conversation(agent=main.agent)
    run, _, elsewhere = (make_run(conversation=each) for each in (main, aside, make_conversation()))
    found = api.get("/v1/runs/", conversation_id="default").json()
    assert [each["id"] for each in found] == [elsewhere.id, run.id]
    found = api.get("/v1/runs/", conversation_id="default", agent_id=main.agent_id).json()
    assert [each["id"] for each in found] == [run.id]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"statuses": ["sleeping"]}, 422, "'created', 'running', 'completed', 'failed' or 'cancelled'"),
        ({"stop_reason": "boredom"}, 422, "'end_turn'"),
        ({"background": "perhaps"}, 422, "background"),
        ({"limit": 0}, 422, "greater than or equal to 1"),
        ({"after": "run-00000000-0000-4000-8000-000000000000"}, 404, "in this list to go on from"),
    ],
)
def test_a_bad_question_gets_its_error(api: Api, query: dict[str, Any], status: int, message: str) -> None:
    answer = api.get("/v1/runs/", **query)
    assert answer.status_code == status
    assert message in answer.json()["detail"]


def test_active_runs_are_those_that_go_on(api: Api) -> None:
    one, two = make_conversation(), make_conversation()
    make_run(conversation=one)
    queued = make_run(conversation=one, status="created", stop_reason=None, background=True)
    running = make_run(conversation=two, status="running", stop_reason=None)
    foreign = make_conversation(agent=make_agent(workspace=make_workspace()))
    make_run(conversation=foreign, status="running", stop_reason=None)

    def found(**query: Any) -> list[str]:
        body = api.get("/v1/runs/active", **query).json()
        validate(list[ClientRun], body)
        return [run["id"] for run in body]

    assert found() == [running.id, queued.id]
    assert found(agent_id=one.agent_id) == [queued.id]
    assert found(agent_ids=[two.agent_id]) == [running.id]
    assert found(background="true") == [queued.id]


def test_usage_is_the_sum_of_the_steps(api: Api) -> None:
    run = make_run()
    make_step(run=run, prompt_tokens=10, completion_tokens=2, total_tokens=12, cached_input_tokens=4)
    make_step(run=run, prompt_tokens=20, completion_tokens=3, total_tokens=23)
    usage = api.get(f"/v1/runs/{run.id}/usage").json()
    validate(UsageRetrieveResponse, usage)
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (30, 5, 35)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4
    assert usage["completion_tokens_details"] is None
    steps = api.get(f"/v1/runs/{run.id}/steps", order="asc").json()
    assert [step["prompt_tokens"] for step in steps] == [10, 20]
    assert (steps[0]["model"], steps[0]["model_handle"]) == ("assistant", "demo/assistant")


def test_messages_of_a_run_are_oldest_first_and_reversed_with_their_parts(api: Api) -> None:
    run = make_run()
    now = timezone.now()
    common: dict[str, Any] = {"conversation": run.conversation, "run": run}
    make_message(**common, text="Hi", created_at=now)
    parts = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Hello"}]
    make_message(**common, role="assistant", content=parts, created_at=now + timedelta(seconds=1))
    make_message(conversation=run.conversation, text="elsewhere")

    def found(**query: Any) -> list[str]:
        answer = api.get(f"/v1/runs/{run.id}/messages", **query)
        return [message["message_type"] for message in answer.json()]

    assert found() == ["user_message", "reasoning_message", "assistant_message"]
    assert found(order="desc") == ["assistant_message", "reasoning_message", "user_message"]


def tool_message(
    run: Run, *returned: dict[str, Any], step: Step | None = None, at: datetime = NOON
) -> Message:
    told = [{"status": "success", "text": "ok", "stdout": [], "stderr": [], **each} for each in returned]
    return make_message(
        conversation=run.conversation,
        run=run,
        step=step,
        role="tool",
        content=[],
        tool_returns=told,
        created_at=at,
    )


def answers(run: Run, step: Step, *items: dict[str, Any], at: datetime) -> Message:
    return make_message(
        conversation=run.conversation,
        run=run,
        step=step,
        role="approval",
        content=[],
        approvals=list(items),
        created_at=at,
    )


def test_the_metrics_of_a_run_count_what_this_server_ran_for_it(api: Api) -> None:
    agent = make_agent(project_id="project-7")
    run = make_run(
        conversation=make_conversation(agent=agent), created_at=NOON, completed_at=NOON + timedelta(seconds=2)
    )
    steps = [make_step(run=run), make_step(run=run, status="failed")]
    clock, weather = make_tool(name="clock"), make_tool(name="weather")
    make_tool(name="refused")
    make_tool(name="brought")
    make_tool(name="weather", workspace=make_workspace())
    tool_message(
        run,
        {"tool_call_id": "1", "name": "weather"},
        {"tool_call_id": "2", "name": "refused", "was_run": False},
        {"tool_call_id": "3", "name": "brought"},
        {"tool_call_id": "4", "name": "deleted"},
    )
    answers(run, steps[0], {"type": "tool", "tool_call_id": "3"}, at=NOON)
    later = NOON + timedelta(seconds=1)
    tool_message(
        run, {"tool_call_id": "5", "name": "clock"}, {"tool_call_id": "6", "name": "weather"}, at=later
    )
    tool_message(make_run(), {"tool_call_id": "7", "name": "refused"})
    assert api.get(f"/v1/runs/{run.id}/metrics").json() == {
        "id": run.id,
        "agent_id": agent.id,
        "run_start_ns": 1_772_366_400_000_000_000,
        "run_ns": 2_000_000_000,
        "num_steps": 2,
        "tools_used": [weather.id, clock.id],
        "project_id": "project-7",
        "template_id": None,
        "base_template_id": None,
    }


def test_a_run_that_goes_on_has_no_length_yet(api: Api) -> None:
    run = make_run(status="running", stop_reason=None)
    body = api.get(f"/v1/runs/{run.id}/metrics").json()
    assert (body["run_ns"], body["num_steps"], body["tools_used"]) == (None, 0, [])
    [span] = api.get(f"/v1/runs/{run.id}/trace").json()
    assert (span["SpanName"], span["Duration"], span["StatusCode"]) == ("run", None, "Unset")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def ns(seconds: float) -> int:
    return 1_772_366_400_000_000_000 + round(seconds * 1e9)


def timed_step(run: Run, began: float, *, llm: float, whole: float, **fields: Any) -> Step:
    values: dict[str, Any] = {
        "started_at": at(began),
        "llm_request_start_ns": ns(began + 0.1),
        "llm_request_ns": round(llm * 1e9),
        "ttft_ns": 50_000_000,
        "step_ns": round(whole * 1e9),
    }
    return make_step(run=run, **(values | fields))


def timeline(api: Api, run: Run, **query: Any) -> list[tuple[str, str, float, float | None]]:
    """Name, parent's name, beginning and length of each span, in seconds."""
    body = api.get(f"/v1/runs/{run.id}/trace", **query).json()
    validate(TraceRetrieveResponse, body)
    names = {span["SpanId"]: span["SpanName"] for span in body} | {"": ""}
    assert len(names) == len(body) + 1
    assert {span["TraceId"] for span in body} == {run.id.removeprefix("run-").replace("-", "")}
    return [
        (
            span["SpanName"],
            names[span["ParentSpanId"]],
            (datetime.fromisoformat(span["Timestamp"][:26] + "+00:00") - NOON).total_seconds(),
            None if span["Duration"] is None else span["Duration"] / 1e9,
        )
        for span in body
    ]


class TestTrace:
    def test_it_shows_what_took_the_time(self, api: Api) -> None:
        run = make_run(background=True, created_at=NOON, completed_at=at(9))
        first = timed_step(run, 1, llm=2, whole=4)
        timed_step(run, 6, llm=1, whole=1.5)
        began = at(3.5).isoformat()
        tool_message(
            run,
            {"tool_call_id": "1", "name": "clock", "started_at": began, "duration_ms": 500},
            {"tool_call_id": "2", "name": "refused", "was_run": False, "started_at": None, "duration_ms": 0},
            step=first,
            at=at(5),
        )
        assert timeline(api, run) == [
            ("run", "", 0, 9),
            ("waiting", "run", 0, 1),
            ("agent_step", "run", 1, 4),
            ("llm_request", "agent_step", 1.1, 2),
            ("time_to_first_token", "llm_request", 1.1, 0.05),
            ("tool_execution", "agent_step", 3.5, 0.5),
            ("agent_step", "run", 6, 1.5),
            ("llm_request", "agent_step", 6.1, 1),
            ("time_to_first_token", "llm_request", 6.1, 0.05),
        ]
        assert timeline(api, run) == timeline(api, run)
        assert [each[0] for each in timeline(api, run, limit=2)] == ["run", "waiting"]

    def test_a_wait_for_an_answer_lies_in_the_run_that_asked_and_the_call_in_the_one_that_answered(
        self, api: Api
    ) -> None:
        asked = make_run(created_at=NOON, completed_at=at(2), stop_reason="requires_approval")
        step = timed_step(asked, 0, llm=1, whole=3, stop_reason="requires_approval")
        request = {"id": "1", "name": "clock", "arguments": "{}"}
        make_message(
            conversation=asked.conversation, run=asked, step=step, role="approval", content=[], tool_calls=[request], created_at=at(2)
        )  # fmt: skip
        assert timeline(api, asked)[-1] == ("waiting", "agent_step", 2, None)
        answered = make_run(conversation=asked.conversation, created_at=at(60), completed_at=at(63))
        answers(answered, step, {"type": "approval", "tool_call_id": "1", "approve": True}, at=at(60.5))
        told = {"tool_call_id": "1", "name": "clock", "started_at": at(61).isoformat(), "duration_ms": 1000}
        tool_message(answered, told, step=step, at=at(62))
        assert timeline(api, asked) == [
            ("run", "", 0, 2),
            ("agent_step", "run", 0, 1.1),
            ("llm_request", "agent_step", 0.1, 1),
            ("time_to_first_token", "llm_request", 0.1, 0.05),
            ("waiting", "agent_step", 2, 58.5),
        ]
        assert timeline(api, answered) == [("run", "", 60, 3), ("tool_execution", "run", 61, 1)]

    def test_a_background_run_that_waits_says_so(self, api: Api) -> None:
        run = make_run(background=True, status="created", stop_reason=None, created_at=NOON)
        assert timeline(api, run) == [("run", "", 0, None), ("waiting", "run", 0, None)]

    def test_failures_are_marked_and_explained(self, api: Api) -> None:
        error = {"error_type": "llm_error", "message": "No.", "http_status": 500}
        run = make_run(
            status="failed", created_at=NOON, completed_at=at(2), metadata={"run_type": "send_message", "error": error}
        )  # fmt: skip
        step = timed_step(run, 0, llm=1, whole=1, status="failed", error_data=error)
        told = {"tool_call_id": "1", "name": "clock", "status": "error", "text": "broken", "duration_ms": 5}
        tool_message(run, told, step=step, at=at(1))
        body = api.get(f"/v1/runs/{run.id}/trace").json()
        marked = {(span["SpanName"], span["StatusMessage"]) for span in body if span["StatusCode"] == "Error"}
        assert marked == {("run", "No."), ("agent_step", "No."), ("tool_execution", "broken")}

    def test_of_what_an_older_server_stored_the_end_is_known(self, api: Api) -> None:
        run = make_run(created_at=NOON, completed_at=at(9))
        step = make_step(run=run, started_at=at(1), step_ns=3 * 10**9, llm_request_ns=10**9)
        tool_message(run, {"tool_call_id": "1", "name": "clock", "duration_ms": 500}, step=step, at=at(3))
        assert timeline(api, run) == [
            ("run", "", 0, 9),
            ("agent_step", "run", 1, 3),
            ("tool_execution", "agent_step", 2.5, 0.5),
        ]

    @pytest.mark.parametrize("limit", ["0", "-1", "many"])
    def test_a_bad_limit_is_refused(self, api: Api, limit: str) -> None:
        assert api.get(f"/v1/runs/{make_run().id}/trace", limit=limit).status_code == 422


class TestDelete:
    def test_the_record_goes_and_the_messages_stay(self, api: Api) -> None:
        run = make_run()
        step = make_step(run=run)
        ProviderTrace.objects.create(
            workspace=run.workspace, step=step, run=run, request_text="{}", request_hash="0"
        )
        RunEvent.objects.create(run=run, seq=1, type="RunEnded", data={})
        message = make_message(conversation=run.conversation, run=run, step=step, in_context=True)
        kept = make_step(run=make_run(conversation=run.conversation))
        answer = api.delete(f"/v1/runs/{run.id}")
        assert (answer.status_code, answer.json()) == (200, None)
        for rest in ("", "/steps", "/messages", "/trace"):
            assert api.get(f"/v1/runs/{run.id}{rest}").status_code == 404
        assert api.get(f"/v1/steps/{step.id}").status_code == 404
        assert [each["id"] for each in api.get("/v1/steps/").json()] == [kept.id]
        assert not ProviderTrace.objects.exists()
        assert not RunEvent.objects.exists()
        [listed] = api.get(f"/v1/agents/{run.agent_id}").json()["message_ids"]
        assert listed == message.id
        assert Message.objects.filter(id=message.id, run=None, step=None).exists()
        assert api.delete(f"/v1/runs/{run.id}").status_code == 404

    @pytest.mark.parametrize("status", ["created", "running"])
    def test_a_run_that_goes_on_stays(self, api: Api, status: str) -> None:
        run = make_run(status=status, stop_reason=None)
        answer = api.delete(f"/v1/runs/{run.id}")
        assert (answer.status_code, answer.json()["run_id"]) == (409, run.id)
        assert "goes on" in answer.json()["detail"]
        assert answer["x-should-retry"] == "false"
        assert api.get(f"/v1/runs/{run.id}").status_code == 200

    def test_a_run_that_waits_for_an_answer_stays_until_it_has_one(self, api: Api) -> None:
        run = make_run(stop_reason="requires_approval")
        fields: dict[str, Any] = {"conversation": run.conversation, "run": run, "in_context": True}
        calls = [{"id": "1", "name": "clock", "arguments": "{}"}]
        make_message(**fields, role="approval", content=[], tool_calls=calls)
        answer = api.delete(f"/v1/runs/{run.id}")
        assert (answer.status_code, answer.json()["run_id"]) == (409, run.id)
        assert "waits for an answer" in answer.json()["detail"]
        make_message(**fields, role="tool", content=[], tool_returns=[])
        assert api.delete(f"/v1/runs/{run.id}").status_code == 200

    def test_of_an_unknown_foreign_or_malformed_run(self, api: Api) -> None:
        foreign = make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
        for run_id, status in ((foreign.id, 404), (new_id("run"), 404), ("run-1", 422)):
            assert api.delete(f"/v1/runs/{run_id}").status_code == status
        assert Run.objects.filter(id=foreign.id).exists()

    def test_it_needs_the_right_to_edit(self) -> None:
        key = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
        run = make_run()
        assert Api(Authorization=f"Bearer {key}").delete(f"/v1/runs/{run.id}").status_code == 403
        assert Run.objects.filter(id=run.id).exists()


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/v1/runs/", 1),
        ("/v1/runs/active", 1),
        ("/v1/runs/{}/messages", 2),
        ("/v1/runs/{}/usage", 3),
        ("/v1/runs/{}/metrics", 4),
        ("/v1/runs/{}/trace", 4),
    ],
)
def test_a_few_queries_are_enough(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries, path: str, queries: int
) -> None:
    for _ in range(3):
        run = make_run()
        for number in range(2):
            tool_message(run, {"tool_call_id": "1", "name": f"tool_{number}"}, step=make_step(run=run))
    with django_assert_num_queries(queries):
        assert api.get(path.format(run.id)).status_code == 200
