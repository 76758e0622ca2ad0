"""Background memory on the workbench: switched on and off, how often it works, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from agents.models import Agent, Group
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation
from letta_ade.llm.testing import ScriptedModel, installed
from tests.support.factories import make_agent, make_caller, make_run, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def client() -> Client:
    return Client(HTTP_HOST="localhost")


def make(model: ScriptedModel, **fields: object) -> Agent:
    return create_agent(caller=make_caller(), draft=AgentDraft(name="Ada", model=model.handle, **fields))  # type: ignore[arg-type]  # any field of the draft


def change(client: Client, agent: Agent, **fields: str) -> tuple[int, str]:
    answer = client.post(f"/agents/{agent.id}/background/", fields, HTTP_HX_REQUEST="true")
    return answer.status_code, answer.content.decode()


def test_it_is_switched_on_and_off(client: Client, model: ScriptedModel) -> None:
    agent = make(model)
    assert "Switch on" in client.get(f"/agents/{agent.id}/").content.decode()
    status, html = change(client, agent, switch="on")
    partner = Agent.objects.get(groups__manager_agent=agent)
    assert status == 200
    assert (f'href="/agents/{partner.id}/"' in html, "Has not worked yet." in html) == (True, True)
    assert 'value="5"' in html
    status, html = change(client, agent, switch="off")
    assert (status, "Switch on" in html) == (200, True)
    assert list(Agent.objects.all()) == [agent]


def test_the_number_of_turns_is_changed_and_bad_ones_are_refused(
    client: Client, model: ScriptedModel
) -> None:
    agent = make(model, enable_sleeptime=True)
    assert 'value="2"' in change(client, agent, frequency="2")[1]
    for bad in ("0", "", "two", "-1", "10001", "²"):
        status, html = change(client, agent, frequency=bad)
        assert (status, 'role="alert"' in html) == (422, True), bad
    assert Group.objects.get().sleeptime_agent_frequency == 2


def test_who_has_no_background_any_more_is_told(client: Client, model: ScriptedModel) -> None:
    status, html = change(client, make(model), frequency="2")
    assert (status, "switched off meanwhile" in html) == (422, True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "completed", "stop_reason": "tool_rule"}, "Done"),
        ({"status": "failed", "stop_reason": "llm_api_error"}, "Failed: llm api error"),
        ({"status": "cancelled", "stop_reason": "cancelled"}, "Stopped"),
        ({"status": "running", "stop_reason": None}, "Running"),
        ({"status": "created", "stop_reason": None}, "Queued"),
        ({"status": "completed", "stop_reason": "requires_approval"}, "Waiting for an answer"),
    ],
)
def test_the_last_run_is_shown(
    client: Client, model: ScriptedModel, fields: dict[str, str | None], words: str
) -> None:
    agent = make(model, enable_sleeptime=True)
    partner = Agent.objects.get(groups__manager_agent=agent)
    make_run(conversation=get_default_conversation(partner), total_duration_ns=2_000_000_000, **fields)
    html = client.get(f"/agents/{agent.id}/").content.decode()
    assert f">{words}</span>" in html


def test_the_background_agent_names_whose_memory_it_keeps(client: Client, model: ScriptedModel) -> None:
    agent = make(model, enable_sleeptime=True)
    partner = Agent.objects.get(groups__manager_agent=agent)
    html = client.get(f"/agents/{partner.id}/").content.decode()
    assert f'Keeps the memory of <a href="/agents/{agent.id}/">Ada</a>' in html
    assert 'name="switch"' not in html


def test_a_voice_agent_cannot_be_without_its_background(client: Client, model: ScriptedModel) -> None:
    agent = make(model, agent_type="voice_convo_agent", enable_sleeptime=True)
    assert 'name="switch"' not in client.get(f"/agents/{agent.id}/").content.decode()
    assert change(client, agent, switch="off")[0] == 422
    assert Group.objects.filter(manager_agent=agent).exists()


def test_an_agent_of_another_workspace_is_not_there(client: Client) -> None:
    stranger = make_agent(workspace=make_workspace())
    assert change(client, stranger, switch="on")[0] == 404
    assert client.get(f"/agents/{stranger.id}/background/").status_code == 405
