"""Steps over REST: what they did, what was sent to the model, what somebody thinks of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from letta_client.types import ProviderTrace, Step
from letta_client.types.steps import MessageListResponse, MetricRetrieveResponse
from pytest_django import DjangoAssertNumQueries

from agents.models import ProviderTrace as TraceRow
from agents.models import Step as StepRow
from letta_ade.accounts.models import Role
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from letta_ade.llm.models import Provider
from tests.support.api import Api
from tests.support.factories import (
    local_workspace,
    make_agent,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_workspace,
)
from tests.support.strict import validate

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUEST = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße"}], "a": 1}'


@pytest.fixture
def api() -> Api:
    return Api()


def make_trace(step: StepRow, **fields: Any) -> TraceRow:
    values = {"request_text": REQUEST, "request_hash": "0" * 64, "response_text": '{"id": "r-1"}'}
    return TraceRow.objects.create(
        workspace=step.workspace, step=step, run=step.run, created_by_id="user-1", **(values | fields)
    )


def foreign_step() -> StepRow:
    return make_step(
        run=make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
    )


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/steps/{}",
        "/v1/steps/{}/metrics",
        "/v1/steps/{}/messages",
        "/v1/steps/{}/trace",
        "/v1/telemetry/{}",
    ],
)
def test_unknown_foreign_and_malformed_steps(api: Api, path: str) -> None:
    assert api.get(path.format(foreign_step().id)).status_code == 404
    unknown = api.get(path.format(new_id("step")))
    assert unknown.status_code == 404
    assert "There is no step" in unknown.json()["detail"]
    for malformed in ("step-1", new_id("run")):
        answer = api.get(path.format(malformed))
        assert answer.status_code == 422
        assert answer.json()["examples"] == ["step-123e4567-e89b-42d3-8456-426614174000"]


class TestOneStep:
    def test_it_is_what_the_sdk_says_a_step_is(self, api: Api) -> None:
        agent = make_agent(project_id="project-7")
        run = make_run(
            conversation=make_conversation(agent=agent), request_config={"request_log_id": "req-log-9"}
        )
        step = make_step(
            run=run,
            model_handle="demo/vendor/model",
            model_endpoint="http://localhost/v1",
            context_window_limit=32_000,
            prompt_tokens=10,
            completion_tokens=4,
            total_tokens=14,
            cached_input_tokens=6,
            cache_write_tokens=0,
            reasoning_tokens=2,
            stop_reason="end_turn",
        )
        body = api.get(f"/v1/steps/{step.id}").json()
        validate(Step, body)
        assert body["model"] == "vendor/model"
        assert body["prompt_tokens_details"] == {
            "cached_tokens": 6,
            "cache_read_tokens": 6,
            "cache_creation_tokens": 0,
        }
        assert body["completion_tokens_details"] == {"reasoning_tokens": 2}
        assert (body["project_id"], body["request_id"]) == ("project-7", "req-log-9")
        assert body["trace_id"] == run.id.removeprefix("run-").replace("-", "")
        assert (body["provider_id"], body["provider_category"]) == (None, "base")

    def test_what_nobody_reported_is_null(self, api: Api) -> None:
        body = api.get(f"/v1/steps/{make_step().id}").json()
        validate(Step, body)
        for name in (
            "prompt_tokens_details",
            "completion_tokens_details",
            "cached_input_tokens",
            "request_id",
        ):
            assert body[name] is None

    def test_the_provider_of_a_workspace_is_named_also_when_it_is_gone(self, api: Api) -> None:
        provider = Provider.objects.create(
            workspace=local_workspace(), name="ours", provider_type="openai", deleted_at=NOON
        )
        Provider.objects.create(workspace=make_workspace(), name="demo", provider_type="openai")
        step = make_step(provider_name="ours", model_handle="ours/gpt-4o")
        body = api.get(f"/v1/steps/{step.id}").json()
        assert (body["provider_id"], body["provider_category"]) == (provider.id, "byok")
        assert api.get(f"/v1/steps/{step.id}/metrics").json()["provider_id"] == provider.id
        # Somebody else's provider of the same name is none of ours.
        assert api.get(f"/v1/steps/{make_step().id}").json()["provider_category"] == "base"

    def test_a_failed_one_tells_its_error_and_not_our_status(self, api: Api) -> None:
        error = {"error_type": "llm_error", "message": "No.", "http_status": 500}
        step = make_step(
            status="failed", stop_reason="llm_api_error", error_type="llm_error", error_data=error
        )
        body = api.get(f"/v1/steps/{step.id}").json()
        validate(Step, body)
        assert (body["status"], body["error_type"]) == ("failed", "llm_error")
        assert body["error_data"] == {"error_type": "llm_error", "message": "No."}

    def test_it_comes_with_its_messages_as_they_are_stored(self, api: Api) -> None:
        step = make_step()
        fields: dict[str, Any] = {"conversation": step.run.conversation, "run": step.run, "step": step}
        parts = [
            {"type": "reasoning", "reasoning": "Hm.", "signature": None, "is_native": True},
            {"type": "redacted_reasoning", "data": "x"},
            {"type": "text", "text": "One moment.", "signature": None},
        ]
        call = {"id": "call_1", "name": "tell", "arguments": '{"a": 1}'}
        returned = {
            "tool_call_id": "call_1",
            "name": "tell",
            "status": "error",
            "text": "Nö",
            "stdout": ["out"],
            "stderr": [],
            "duration_ms": 3,
        }
        answers = [
            {"type": "approval", "tool_call_id": "call_1", "approve": False, "reason": "Not now."},
            {
                "type": "tool",
                "tool_call_id": "call_2",
                "tool_return": "7",
                "status": "success",
                "stdout": None,
            },
        ]
        image = {"type": "base64", "media_type": "image/png", "data": "AA==", "detail": None}
        rows = [
            make_message(**fields, content=[{"type": "image", "source": image}], created_at=NOON),
            make_message(**fields, role="assistant", content=parts, tool_calls=[call], created_at=NOON + timedelta(1)),
            make_message(**fields, role="approval", content=[], tool_calls=[call], created_at=NOON + timedelta(2)),
            make_message(**fields, role="approval", content=[], approvals=answers, created_at=NOON + timedelta(3)),
            make_message(**fields, role="tool", content=[], tool_returns=[returned], created_at=NOON + timedelta(4)),
            make_message(**fields, is_err=True, created_at=NOON + timedelta(5)),
        ]  # fmt: skip
        body = api.get(f"/v1/steps/{step.id}").json()
        validate(Step, body)
        user, assistant, request, answer, tool, failed = body["messages"]
        assert [each["id"] for each in body["messages"]] == [row.id for row in rows]
        assert user["content"][0]["source"]["media_type"] == "image/png"
        assert assistant["tool_calls"] == [
            {"id": "call_1", "type": "function", "function": {"name": "tell", "arguments": '{"a": 1}'}}
        ]
        assert request["tool_calls"] == assistant["tool_calls"]
        assert (answer["approve"], answer["denial_reason"]) == (False, "Not now.")
        assert answer["approvals"][1]["func_response"] == "7"
        assert (tool["tool_call_id"], tool["name"]) == ("call_1", "tell")
        assert tool["tool_returns"][0] == {
            "tool_call_id": "call_1",
            "status": "error",
            "stdout": ["out"],
            "stderr": None,
            "func_response": "Nö",
        }
        envelope = json.loads(tool["content"][0]["text"])
        assert (envelope["status"], envelope["message"]) == ("Failed", "Nö")
        assert (user["is_err"], failed["is_err"]) == (None, True)

    def test_its_times(self, api: Api) -> None:
        step = make_step(
            started_at=NOON + timedelta(microseconds=123_457),
            llm_request_start_ns=1_772_366_400_123_457_111,
            llm_request_ns=7,
            tool_execution_ns=None,
            step_ns=9,
        )
        body = api.get(f"/v1/steps/{step.id}/metrics").json()
        validate(MetricRetrieveResponse, body)
        assert body["step_start_ns"] == 1_772_366_400_123_457_000
        assert body["llm_request_start_ns"] == 1_772_366_400_123_457_111
        assert (body["llm_request_ns"], body["tool_execution_ns"], body["step_ns"]) == (7, None, 9)
        assert (body["id"], body["run_id"], body["agent_id"]) == (step.id, step.run_id, step.agent_id)


class TestMessages:
    @pytest.fixture
    def step(self) -> StepRow:
        step = make_step()
        fields: dict[str, Any] = {"conversation": step.run.conversation, "run": step.run, "step": step}
        parts = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Hello"}]
        make_message(**fields, text="Hi", created_at=NOON)
        make_message(**fields, role="assistant", content=parts, created_at=NOON + timedelta(seconds=1))
        make_message(**fields, text="failed", is_err=True, created_at=NOON + timedelta(seconds=2))
        make_message(conversation=step.run.conversation, run=step.run, text="of no step")
        return step

    def test_they_are_oldest_first_and_their_parts_in_natural_order(self, api: Api, step: StepRow) -> None:
        def types(**query: Any) -> list[str]:
            body = api.get(f"/v1/steps/{step.id}/messages", **query).json()
            validate(list[MessageListResponse], body)
            return [each["message_type"] for each in body]

        assert types() == ["user_message", "reasoning_message", "assistant_message"]
        assert types(order="desc") == ["reasoning_message", "assistant_message", "user_message"]

    def test_they_can_be_paged_in_both_orders(self, api: Api, step: StepRow) -> None:
        url = f"/v1/steps/{step.id}/messages"
        for order in ("asc", "desc"):
            whole = list(dict.fromkeys(ids(api.get(url, order=order))))
            first = ids(api.get(url, order=order, limit=1))
            assert first[0] == whole[0]
            assert set(ids(api.get(url, order=order, limit=1, after=first[0]))) == {whole[1]}
            assert ids(api.get(url, order=order, after=whole[1])) == []
            assert set(ids(api.get(url, order=order, before=whole[1]))) == {whole[0]}
        assert api.get(url, after=new_id("message")).status_code == 404
        assert api.get(url, limit=0).status_code == 422


class TestTrace:
    def test_it_is_what_was_sent_and_what_came_back(self, api: Api) -> None:
        step = make_step(run=make_run(conversation=make_conversation(agent=make_agent(tags=["blue"]))))
        make_trace(step, call_type="summarization", request_text="{}")
        trace = make_trace(step, latency_ms=12)
        make_trace(step, call_type="summarization", request_text="{}")
        body = api.get(f"/v1/steps/{step.id}/trace").json()
        validate(ProviderTrace, body, extra={"user_id"})
        assert body == api.get(f"/v1/telemetry/{step.id}").json()
        assert (body["id"], body["request_json"]) == (trace.id, json.loads(REQUEST))
        # The order of the keys is part of what was sent.
        assert list(body["request_json"]) == ["model", "messages", "a"]
        assert body["response_json"] == {"id": "r-1"}
        assert (body["agent_tags"], body["latency_ms"], body["call_type"]) == (["blue"], 12, "agent_step")
        assert (body["org_id"], body["user_id"]) == (step.workspace_id, "user-1")
        assert body["llm_config"]["handle"] == "demo/assistant"

    def test_a_call_that_failed_has_its_error_where_the_reply_would_be(self, api: Api) -> None:
        step = make_step(status="failed")
        error = {"message": "No.", "http_status": 500}
        make_trace(step, response_text="", error=error)
        body = api.get(f"/v1/steps/{step.id}/trace").json()
        validate(ProviderTrace, body, extra={"user_id"})
        assert body["response_json"] == {"error": {"message": "No."}}

    def test_a_call_that_goes_on_has_no_reply_yet(self, api: Api) -> None:
        step = make_step(status="pending")
        make_trace(step, response_text="")
        assert api.get(f"/v1/steps/{step.id}/trace").json()["response_json"] == {}

    def test_it_is_null_when_nothing_was_kept(self, api: Api) -> None:
        answer = api.get(f"/v1/steps/{make_step().id}/trace")
        assert (answer.status_code, answer.json()) == (200, None)


class TestFeedback:
    def test_it_is_given_and_taken_back(self, api: Api) -> None:
        step = make_step()
        url = f"/v1/steps/{step.id}/feedback"
        body = api.patch(url, {"feedback": "positive"}).json()
        validate(Step, body)
        assert body["feedback"] == "positive"
        assert api.get(f"/v1/steps/{step.id}").json()["feedback"] == "positive"
        assert api.patch(url, {"feedback": None}).json()["feedback"] is None
        assert StepRow.objects.get(id=step.id).last_updated_by_id is not None

    def test_tags_are_added_and_leave_the_feedback_alone(self, api: Api) -> None:
        step = make_step(feedback="negative", tags=["old"])
        body = api.patch(f"/v1/steps/{step.id}/feedback", {"tags": ["rude", "old", "rude"]}).json()
        assert (body["feedback"], body["tags"]) == ("negative", ["old", "rude"])
        body = api.patch(f"/v1/steps/{step.id}/feedback", {"feedback": "positive", "tags": None}).json()
        assert (body["feedback"], body["tags"]) == ("positive", ["old", "rude"])

    @pytest.mark.parametrize(
        "body",
        [{"feedback": "meh"}, {"tags": "rude"}, {"tags": [""]}, {"tags": ["x" * 256]}, {"tags": ["\0"]}],
    )
    def test_what_is_no_feedback_is_refused(self, api: Api, body: dict[str, Any]) -> None:
        step = make_step(feedback="positive")
        assert api.patch(f"/v1/steps/{step.id}/feedback", body).status_code == 422
        step.refresh_from_db()
        assert (step.feedback, step.tags) == ("positive", [])

    def test_of_an_unknown_foreign_or_malformed_step(self, api: Api) -> None:
        for step_id, status in ((foreign_step().id, 404), (new_id("step"), 404), ("step-1", 422)):
            answer = api.patch(f"/v1/steps/{step_id}/feedback", {"feedback": "positive"})
            assert answer.status_code == status

    @pytest.mark.parametrize(
        ("role", "status"), [(Role.VIEWER, 403), (Role.REVIEWER, 200), (Role.EDITOR, 200)]
    )
    def test_it_needs_the_right_to_review(self, role: Role, status: int) -> None:
        key = create_api_key(name="key", role=role, workspace=local_workspace()).secret
        answer = Api(Authorization=f"Bearer {key}").patch(
            f"/v1/steps/{make_step().id}/feedback", {"feedback": "positive"}
        )
        assert answer.status_code == status


class TestList:
    def test_steps_are_newest_first_and_without_messages(self, api: Api) -> None:
        run = make_run()
        steps = [make_step(run=run, created_at=NOON + timedelta(minutes=minute)) for minute in range(3)]
        make_message(conversation=run.conversation, run=run, step=steps[0])
        foreign_step()
        body = api.get("/v1/steps/").json()
        validate(list[Step], body)
        assert [each["id"] for each in body] == [step.id for step in steps[::-1]]
        assert [each["messages"] for each in body] == [[], [], []]
        assert ids(api.get("/v1/steps/", order="asc")) == [step.id for step in steps]

    def test_every_step_is_seen_once_when_a_list_is_paged(self, api: Api) -> None:
        run = make_run()
        made = {make_step(run=run, created_at=NOON).id for _ in range(5)}
        for order in ("asc", "desc"):
            seen: list[str] = []
            while page := ids(
                api.get("/v1/steps/", order=order, limit=2, **({"after": seen[-1]} if seen else {}))
            ):
                seen += page
            assert (len(seen), set(seen)) == (5, made)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"model": "gpt-4o"}, {"one"}),
            ({"model": "openai/gpt-4o"}, {"one"}),
            ({"model": "meta/llama"}, {"two"}),
            ({"model": "llama"}, set()),
            ({"feedback": "positive"}, {"one"}),
            ({"feedback": "negative"}, {"two"}),
            ({"has_feedback": "true"}, {"one", "two"}),
            ({"has_feedback": "false"}, {"three"}),
            ({"tags": ["red"]}, {"one"}),
            ({"tags": ["red", "blue"]}, {"one", "two"}),
            ({"project_id": "project-7"}, {"two"}),
            ({"start_date": "2026-03-02"}, {"two", "three"}),
            ({"end_date": "2026-03-02"}, {"one", "two"}),
            ({"start_date": "2026-03-01T13:00:00+00:00", "end_date": "2026-03-02T12:00:00Z"}, {"two"}),
            ({"end_date": "2026-03-01T12:59:00+01:00"}, set()),
            ({"template_id": "t-1"}, {"one", "two", "three"}),
        ],
    )  # fmt: skip
    def test_they_are_filtered(self, api: Api, query: dict[str, Any], found: set[str]) -> None:
        rows = {
            "one": make_step(model_handle="openai/gpt-4o", provider_name="openai", feedback="positive", tags=["red"], created_at=NOON),
            "two": make_step(
                run=make_run(conversation=make_conversation(agent=make_agent(project_id="project-7"))),
                model_handle="openrouter/meta/llama", provider_name="openrouter", feedback="negative", tags=["blue", "green"],
                created_at=NOON + timedelta(days=1),
            ),
            "three": make_step(created_at=NOON + timedelta(days=2)),
        }  # fmt: skip
        assert set(ids(api.get("/v1/steps/", **query))) == {rows[name].id for name in found}

    def test_they_are_found_by_agent_and_by_trace(self, api: Api) -> None:
        one, two = make_step(), make_step()
        assert ids(api.get("/v1/steps/", agent_id=one.agent_id)) == [one.id]
        trace_id = api.get(f"/v1/steps/{two.id}").json()["trace_id"]
        assert ids(api.get("/v1/steps/", trace_ids=[trace_id, "nonsense"])) == [two.id]
        assert ids(api.get("/v1/steps/", trace_ids=["nonsense"])) == []

    @pytest.mark.parametrize(
        ("query", "status", "message"),
        [
            ({"feedback": "meh"}, 422, "'positive' or 'negative'"),
            ({"has_feedback": "perhaps"}, 422, "has_feedback"),
            ({"start_date": "yesterday"}, 400, "'yesterday' is not an ISO 8601 date"),
            ({"end_date": "2026-13-01"}, 400, "'2026-13-01' is not an ISO 8601 date"),
            ({"limit": 0}, 422, "greater than or equal to 1"),
            ({"order": "up"}, 422, "'asc' or 'desc'"),
            ({"order_by": "model"}, 422, "created_at"),
            ({"after": "step-00000000-0000-4000-8000-000000000000"}, 404, "in this list to go on from"),
        ],
    )  # fmt: skip
    def test_a_bad_question_gets_its_error(
        self, api: Api, query: dict[str, Any], status: int, message: str
    ) -> None:
        answer = api.get("/v1/steps/", **query)
        assert answer.status_code == status
        assert message in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        (lambda step: "/v1/steps/", 3),
        (lambda step: f"/v1/runs/{step.run_id}/steps", 4),
        (lambda step: f"/v1/steps/{step.id}", 4),
        (lambda step: f"/v1/steps/{step.id}/metrics", 3),
        (lambda step: f"/v1/steps/{step.id}/messages", 3),
        (lambda step: f"/v1/steps/{step.id}/trace", 3),
    ],
)
def test_a_few_queries_are_enough(
    api: Api,
    django_assert_num_queries: DjangoAssertNumQueries,
    path: Callable[[StepRow], str],
    queries: int,
) -> None:
    for _ in range(3):
        step = make_step()
        make_message(conversation=step.run.conversation, run=step.run, step=step)
    make_trace(step)
    with django_assert_num_queries(queries):
        assert api.get(path(step)).status_code == 200
