"""Compactions over REST: asked for, listed, undone; and the settings of an agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from letta_client.types import AgentState
from letta_client.types.conversations import CompactionResponse

from agents.models import Agent
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, installed, text
from tests.support.api import Api
from tests.support.factories import make_agent, make_caller, make_lease, make_message, make_workspace
from tests.support.strict import validate

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    made = create_agent(caller=make_caller(), draft=AgentDraft(name="Ada", model=model.handle))
    for number in range(6):
        for role in ("user", "assistant"):
            make_message(
                conversation=get_default_conversation(made),
                role=role,
                text=f"{role} {number}",
                in_context=True,
            )
    return made


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_compaction_is_made_listed_and_undone(api: Api, agent: Agent, model: ScriptedModel) -> None:
    model.add(text("They counted."))
    body = api.post(f"/v1/agents/{agent.id}/summarize").json()
    validate(CompactionResponse, body)
    assert body["summary"] == "They counted."
    assert body["num_messages_after"] < body["num_messages_before"] == 13
    [listed] = api.get(f"/v1/agents/{agent.id}/compactions").json()
    assert (listed["trigger"], listed["model"], listed["replaced"]) == ("manual", model.handle, None)
    path = f"/v1/agents/{agent.id}/compactions/{listed['id']}"
    replaced = api.get(path).json()["replaced"]
    assert replaced[0]["content"][0]["text"] == "user 0"
    assert api.get(f"/v1/agents/{agent.id}/context").json()["summary_memory"]
    undone = api.post(f"{path}/undo")
    assert (undone.status_code, undone.json()["undone_at"] is not None) == (200, True)
    assert api.get(f"/v1/agents/{agent.id}/context").json()["num_messages"] == 13
    assert api.post(f"{path}/undo").status_code == 409


@pytest.mark.parametrize("place", ["conversation", "agent", "default"])
def test_a_conversation_is_compacted_by_any_of_its_names(
    api: Api, agent: Agent, model: ScriptedModel, place: str
) -> None:
    model.add(text("They counted."))
    names = {"conversation": get_default_conversation(agent).id, "agent": agent.id, "default": "default"}
    body = {"agent_id": agent.id, "compaction_settings": {"mode": "all"}}
    answer = api.post(f"/v1/conversations/{names[place]}/compact", body).json()
    assert answer == {"summary": "They counted.", "num_messages_before": 13, "num_messages_after": 2}


def test_the_settings_of_a_request_are_for_this_once(api: Api, agent: Agent, model: ScriptedModel) -> None:
    model.add(text("They counted to six."))
    asked = {"prompt": "Count.", "clip_chars": 4, "mode": "all"}
    body = api.post(f"/v1/agents/{agent.id}/summarize", {"compaction_settings": asked}).json()
    assert body["summary"].startswith("They\n[")
    assert model.requests[0].messages[0].text == "Count."
    agent.refresh_from_db()
    assert agent.compaction_settings is None


def test_a_summary_is_a_users_message_unless_it_is_asked_for(
    api: Api, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("They counted."))
    api.post(f"/v1/agents/{agent.id}/summarize")
    path = f"/v1/agents/{agent.id}/messages"
    [plain] = [each for each in api.get(path).json() if "system_alert" in str(each.get("content"))]
    assert plain["message_type"] == "user_message"
    listed = api.get(path, include_compaction_messages="true").json()
    [told] = [each for each in listed if each["message_type"] == "summary_message"]
    assert told["summary"] == "They counted."
    assert told["compaction_stats"]["trigger"] == "manual"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"mode": "sometimes"}, "sliding_window"),
        ({"sliding_window_percentage": 0}, "greater than 0"),
        ({"sliding_window_percentage": 1}, "less than 1"),
        ({"clip_chars": 0}, "greater than or equal to 1"),
        ({"model": "gpt-5-mini"}, "provider/model"),
        ({"prompt": ""}, "at least 1 character"),
        ({"model_settings": {"temperature": 1}}, "provider_type"),
        ({"prompt_acknowledgement": "perhaps"}, "boolean"),
    ],
)
def test_bad_settings_are_refused(api: Api, agent: Agent, settings: dict[str, Any], complaint: str) -> None:
    body = {"compaction_settings": settings}
    for answer in (
        api.patch(f"/v1/agents/{agent.id}", body),
        api.post("/v1/agents/", {"model": agent.model, **body}),
        api.post(f"/v1/agents/{agent.id}/summarize", body),
    ):
        assert answer.status_code == 422
        assert complaint in answer.content.decode()


def test_settings_are_stored_with_their_defaults(api: Api, agent: Agent) -> None:
    body = {"compaction_settings": {"mode": "all", "clip_chars": None}}
    state = api.patch(f"/v1/agents/{agent.id}", body).json()
    validate(AgentState, state, extra=set(state) - set(AgentState.model_fields))
    stored = state["compaction_settings"]
    assert (stored["mode"], stored["clip_chars"], stored["sliding_window_percentage"]) == ("all", None, 0.3)
    assert "whole conversation" in stored["prompt"]


def test_a_conversation_in_which_a_run_goes_on_is_not_compacted(api: Api, agent: Agent) -> None:
    make_lease(get_default_conversation(agent))
    answer = api.post(f"/v1/agents/{agent.id}/summarize")
    assert answer.status_code == 409
    assert answer.json()["run_id"]


def test_what_is_not_there_is_404(api: Api, agent: Agent) -> None:
    other = make_agent(workspace=make_workspace())
    assert api.post(f"/v1/agents/{other.id}/summarize").status_code == 404
    assert api.get(f"/v1/agents/{other.id}/compactions").status_code == 404
    missing = new_id("compaction")
    assert api.get(f"/v1/agents/{agent.id}/compactions/{missing}").status_code == 404
    assert api.post(f"/v1/agents/{agent.id}/compactions/{missing}/undo").status_code == 404
    unknown = new_id("conversation")
    assert api.post(f"/v1/conversations/{unknown}/compact").status_code == 404
    assert api.post("/v1/conversations/default/compact").status_code == 400
