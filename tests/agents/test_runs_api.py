"""Runs over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import (
    make_agent,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_workspace,
)

pytestmark = pytest.mark.django_db

FIELDS = """
id agent_id conversation_id status stop_reason background created_at completed_at metadata request_config callback_url
callback_sent_at callback_status_code callback_error ttft_ns total_duration_ns base_template_id
"""


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_run_has_every_field_and_keeps_our_status_to_us(api: Api) -> None:
    error = {"error_type": "llm_error", "message": "No.", "http_status": 500}
    run = make_run(status="failed", metadata={"run_type": "send_message", "error": error})
    body = api.get(f"/v1/runs/{run.id}").json()
    assert set(body) == set(FIELDS.split())
    assert body["metadata"]["error"] == {"error_type": "llm_error", "message": "No."}


def test_unknown_malformed_and_foreign_runs(api: Api) -> None:
    foreign = make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
    for rest in ("", "/messages", "/steps", "/usage"):
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


def test_usage_is_the_sum_of_the_steps(api: Api) -> None:
    run = make_run()
    make_step(run=run, prompt_tokens=10, completion_tokens=2, total_tokens=12, cached_input_tokens=4)
    make_step(run=run, prompt_tokens=20, completion_tokens=3, total_tokens=23)
    usage = api.get(f"/v1/runs/{run.id}/usage").json()
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
