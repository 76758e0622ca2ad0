"""The type of an agent on pages: offered in the form, and told in the workbench."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from agents.models import Agent
from agents.models.agent import AgentType
from agents.services.agent_prompts import default_system_prompt
from agents.services.agent_types import FACTS
from agents.services.agents import AgentDraft, create_agent
from tests.support.factories import make_caller
from tests.web.pages import Page

pytestmark = pytest.mark.django_db

TYPES = [str(value) for value in AgentType.values]
FIRST_TOOLS = ["conversation_search", "memory_insert", "memory_replace"]


def fields(**changes: Any) -> dict[str, Any]:
    """What a browser sends for the form as it is first shown, with line ends of its own."""
    return {
        "agent_type": "letta_v1_agent",
        "shown_type": "letta_v1_agent",
        "name": "typed",
        "description": "",
        "tags": "",
        "model": "demo/assistant",
        "embedding": "",
        "context_window_limit": "",
        "system": default_system_prompt("letta_v1_agent").replace("\n", "\r\n"),
        "tools": FIRST_TOOLS,
        "blocks-TOTAL_FORMS": "0",
        "blocks-INITIAL_FORMS": "0",
    } | changes


def shown(response: Any) -> tuple[str, str, set[str]]:
    """The type, the instructions and the tools in a form."""
    page = Page(response.content.decode())
    radios = [each for each in page.all("input") if each.attributes.get("name") == "agent_type"]
    (chosen,) = [each.attributes["value"] for each in radios if "checked" in each.attributes]
    assert page.by_id("id_shown_type").attributes["value"] == chosen
    ticked = {
        each.attributes["value"]
        for each in page.all("input")
        if each.attributes.get("name") == "tools" and "checked" in each.attributes
    }
    return chosen, page.by_id("id_system").text.replace("\r\n", "\n").strip(), ticked


def test_every_type_is_offered_with_what_it_does_and_when_to_use_it(browser: Client) -> None:
    response = browser.get("/agents/new/")
    page = Page(response.content.decode())
    choices = page.by_id("form-type")
    assert "open" not in choices.attributes
    for agent_type, facts in FACTS.items():
        for words in (agent_type.value, facts.title, facts.does, facts.fits):
            assert words in choices.text
    assert shown(response) == (
        "letta_v1_agent",
        default_system_prompt("letta_v1_agent").strip(),
        set(FIRST_TOOLS),
    )


@pytest.mark.parametrize("agent_type", TYPES)
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_another_type_brings_its_instructions_and_tools(
    browser: Client, agent_type: str, headers: dict[str, str]
) -> None:
    response = browser.post(
        "/agents/new/", fields(agent_type=agent_type, fit_type="1", description="Kept."), headers=headers
    )
    assert response.status_code == 200
    assert shown(response) == (
        agent_type,
        default_system_prompt(agent_type).strip(),
        set(FACTS[AgentType(agent_type)].tools),
    )
    html = response.content.decode()
    assert "Kept." in html
    assert "open" in Page(html).by_id("form-type").attributes
    assert ("agent_type=" in Page(html).all("pre")[0].text) == (agent_type != "letta_v1_agent")
    assert not Agent.objects.exists()


def test_what_somebody_has_written_or_ticked_is_not_replaced(browser: Client) -> None:
    response = browser.post(
        "/agents/new/",
        fields(agent_type="memgpt_agent", system="Mine.", tools=["memory_insert"], fit_type="1"),
    )
    assert shown(response) == ("memgpt_agent", "Mine.", {"memory_insert"})
    none_ticked = browser.post("/agents/new/", fields(tools=[], fit_type="1"))
    assert shown(none_ticked)[2] == set()


@pytest.mark.parametrize("agent_type", TYPES)
def test_without_script_the_agent_is_made_whole_too(browser: Client, agent_type: str) -> None:
    response = browser.post("/agents/new/", fields(agent_type=agent_type))
    # The one for voice comes with another, which keeps its memory.
    agent = Agent.objects.get(agent_type=agent_type)
    assert response.headers["Location"] == f"/agents/{agent.id}/"
    assert agent.agent_type == agent_type
    assert agent.system.strip() == default_system_prompt(agent_type).strip()
    assert set(agent.tools.values_list("name", flat=True)) == set(FACTS[AgentType(agent_type)].tools)
    assert agent.enable_sleeptime is (True if agent_type == "voice_convo_agent" else None)


def test_tools_that_somebody_unticked_stay_away(browser: Client) -> None:
    browser.post("/agents/new/", fields(tools=[]))
    assert Agent.objects.get().tools.count() == 0


@pytest.mark.parametrize("agent_type", ["nonsense", "<b>"])
def test_a_type_that_there_is_not_is_refused(browser: Client, agent_type: str) -> None:
    response = browser.post("/agents/new/", fields(agent_type=agent_type, shown_type=agent_type))
    assert response.status_code == 422
    assert "is not one of the available choices" in response.content.decode()
    assert "open" in Page(response.content.decode()).by_id("form-type").attributes
    assert not Agent.objects.exists()


@pytest.mark.parametrize("agent_type", TYPES)
def test_the_workbench_tells_the_type_in_words(browser: Client, agent_type: str) -> None:
    draft = AgentDraft(model="demo/assistant", agent_type=agent_type, enable_sleeptime=True)
    agent = create_agent(caller=make_caller(), draft=draft)
    page = Page(browser.get(f"/agents/{agent.id}/").content.decode())
    told = " ".join(page.by_id("part-identity").text.split())
    facts = FACTS[AgentType(agent_type)]
    assert f"{facts.title} {agent_type}" in told
    assert facts.does in told


def test_the_first_messages_of_a_heartbeat_agent_are_shown_as_what_they_are(browser: Client) -> None:
    draft = AgentDraft(model="demo/assistant", agent_type="memgpt_agent")
    agent = create_agent(caller=make_caller(), draft=draft)
    html = browser.get(f"/agents/{agent.id}/").content.decode()
    said, returned, login = agent.messages.exclude(role="system").order_by("created_at")
    page = Page(html)
    assert "Hello. I am ready when you are." in page.by_id(f"raw-{said.id}").text
    assert "The conversation begins." in page.by_id(f"raw-thought-{said.id}").text
    assert "somebody has come" in page.by_id(login.id).text
    assert returned.id not in html
    assert "last_login" not in html
