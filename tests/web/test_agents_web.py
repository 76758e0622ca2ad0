"""The agents' pages: list, filters, paging, peek, creation, deletion."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents.models import Agent, Run
from agents.web import agents as agent_pages
from agents.web.agent_rows import spark_points
from letta_ade.accounts.models import Workspace
from memory.models import Block
from tests.support.factories import (
    make_agent,
    make_block,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_tool,
    make_workspace,
)
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db


def names_in(response: Any) -> list[str]:
    page = Page(response.content.decode())
    return [each.text.strip() for each in page.all("a") if "data-row-open" in each.attributes]


def test_an_empty_workspace_says_how_to_begin(browser: Client) -> None:
    html = browser.get("/agents/").content.decode()
    assert "No agents yet" in html
    assert 'href="/agents/new/"' in html
    assert "demo/assistant" in html
    assert "http://localhost:8283" in html


def test_the_list_holds_the_workspaces_agents_and_hides_the_hidden(browser: Client) -> None:
    make_agent(name="mine")
    make_agent(name="hidden", hidden=True)
    make_agent(name="theirs", workspace=make_workspace())
    assert names_in(browser.get("/agents/")) == ["mine"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=DESK", ["billing-desk", "returns-desk"]),
        ("q=customer_notes", ["returns-desk"]),
        ("q=lookup", ["billing-desk"]),
        ("q=eu", ["returns-desk"]),
        ("tag=support", ["billing-desk", "returns-desk"]),
        ("tag=support&tag=eu", ["returns-desk"]),
        ("model=openai/gpt-4.1", ["billing-desk"]),
        ("q=100%25", []),
    ],
)
def test_filters_are_in_the_address(browser: Client, query: str, expected: list[str]) -> None:
    returns = make_agent(name="returns-desk", tags=["support", "eu"])
    make_block(agent=returns, label="customer_notes")
    billing = make_agent(name="billing-desk", tags=["support"], model="openai/gpt-4.1")
    make_tool(agent=billing, name="lookup")
    make_agent(name="other")
    assert names_in(browser.get(f"/agents/?sort=name&{query}")) == expected


def test_an_id_finds_its_agent(browser: Client) -> None:
    agent = make_agent(name="this")
    make_agent(name="that")
    assert names_in(browser.get(f"/agents/?q={agent.id}")) == ["this"]


def test_a_filter_that_finds_nothing_can_be_removed(browser: Client) -> None:
    make_agent()
    html = browser.get("/agents/?q=gaiters").content.decode()
    assert "Nothing matches “gaiters”" in html
    assert "Remove 1 filter" in html


def test_htmx_gets_the_list_alone_with_its_count(browser: Client) -> None:
    make_agent(name="one")
    response = browser.get("/agents/", headers={"HX-Request": "true", "HX-Target": "agent-list"})
    page = Page(response.content.decode())
    assert not page.all("html")
    assert page.elements[0].attributes["id"] == "agent-list"
    assert page.by_id("agent-count").text == "1"


def test_pages_go_on_from_a_cursor_and_keep_the_filters(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_pages, "PAGE_ROWS", 2)
    for name in ("a", "b", "c", "d", "e"):
        make_agent(name=name, tags=["x"])
    seen = []
    address = "/agents/?sort=name&tag=x"
    while address:
        response = browser.get(address)
        seen.append(names_in(response))
        following = [
            each for each in Page(response.content.decode()).all("a") if each.attributes.get("rel") == "next"
        ]
        address = following[0].attributes["href"] if following else ""
        assert not address or "tag=x" in address
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


def test_a_row_says_state_context_and_runs(browser: Client) -> None:
    running, failed, idle, full = (make_agent(name=name) for name in ("running", "failed", "idle", "full"))
    make_run(conversation=make_conversation(agent=running), status="running")
    make_run(conversation=make_conversation(agent=failed), status="failed")
    old = make_run(conversation=make_conversation(agent=idle), status="completed")
    Run.objects.filter(id=old.id).update(created_at=timezone.now() - timedelta(days=3))
    make_step(
        run=make_run(conversation=make_conversation(agent=full), status="completed"), prompt_tokens=31_500
    )
    make_agent(name="new")
    page = Page(browser.get("/agents/?sort=name").content.decode())
    rows = {
        row.text.split()[0]: " ".join(row.text.split())
        for row in page.all("tr")
        if "data-row" in row.attributes
    }
    assert "running" in rows["running"].replace("running", "", 1)
    assert "failed" in rows["failed"].replace("failed", "", 1)
    assert "3 d" in rows["idle"]
    assert "98 %" in rows["full"]
    assert "never run" in rows["new"]


def test_the_trend_is_drawn_from_the_runs_of_each_day() -> None:
    today = date(2026, 11, 24)
    assert spark_points({}, today=today) == ""
    points = spark_points({today: 4, today - timedelta(days=7): 2}, today=today).split()
    assert len(points) == 8
    assert (points[0], points[3], points[-1]) == ("1.0,9.5", "31.0,17.0", "71.0,2.0")


def test_a_peek_shows_blocks_runs_and_what_was_asked(browser: Client) -> None:
    agent = make_agent(name="support", description="First answers.", tags=["eu"])
    shared = make_block(agent=agent, label="policies")
    make_block(agent=make_agent(), label="other").agent_links.update(block=shared)
    run = make_run(
        conversation=make_conversation(agent=agent), status="completed", total_duration_ns=6_200_000_000
    )
    make_message(agent=agent, conversation=run.conversation, run=run, role="user", text="Where is my parcel?")
    page = Page(browser.get(f"/agents/{agent.id}/peek/").content.decode())
    text = " ".join(page.elements[0].text.split())
    for expected in (
        "First answers.",
        "eu",
        "policies",
        "2 agents",
        "Where is my parcel?",
        "6.2 s",
        agent.id,
    ):
        assert expected in text


def form_fields(**fields: Any) -> dict[str, Any]:
    """What a browser sends for the form as it is first shown."""
    return {
        "name": "returns-desk",
        "description": "",
        "tags": "",
        "model": "demo/assistant",
        "embedding": "",
        "context_window_limit": "",
        "system": "You help.\r\nBriefly.",
        "tools": ["conversation_search", "memory_insert", "memory_replace"],
        "blocks-TOTAL_FORMS": "2",
        "blocks-INITIAL_FORMS": "0",
        "blocks-0-label": "persona",
        "blocks-0-limit": "5000",
        "blocks-0-description": "Who it is.",
        "blocks-0-value": "I am\r\nbrief.",
        "blocks-1-label": "human",
        "blocks-1-limit": "5000",
        "blocks-1-description": "",
        "blocks-1-value": "",
    } | fields


def test_the_form_offers_a_model_the_memory_and_the_tools(browser: Client) -> None:
    page = Page(browser.get("/agents/new/").content.decode())
    assert "scripted demonstration, not a language model" in page.by_id("id_model").text
    assert [
        each.attributes["value"]
        for each in page.elements
        if each.attributes.get("name", "").endswith("-label")
    ] == [
        "persona",
        "human",
    ]
    boxes = {
        each.attributes["value"]: "checked" in each.attributes
        for each in page.all("input")
        if each.attributes.get("name") == "tools"
    }
    assert {name for name, is_on in boxes.items() if is_on} == {
        "conversation_search",
        "memory_insert",
        "memory_replace",
    }
    assert {"archival_memory_insert", "archival_memory_search"} <= boxes.keys()
    assert "memory" in page.by_id("id_system").text


def test_the_form_makes_the_agent_and_leads_to_it(browser: Client) -> None:
    shared = make_block(label="company_policies")
    response = browser.post(
        "/agents/new/",
        form_fields(
            tags="support, eu, support",
            description="Labels.",
            context_window_limit="9000",
            shared_blocks=[shared.id],
        ),
    )
    agent = Agent.objects.get()
    assert (response.status_code, response.headers["Location"]) == (302, f"/agents/{agent.id}/")
    assert (agent.name, agent.description, agent.tags, agent.model) == (
        "returns-desk", "Labels.", ["support", "eu"], "demo/assistant",
    )  # fmt: skip
    assert agent.system == "You help.\nBriefly."
    assert agent.context_window_limit == 9000
    assert set(agent.tools.values_list("name", flat=True)) == {
        "conversation_search", "memory_insert", "memory_replace",
    }  # fmt: skip
    assert set(agent.blocks.values_list("label", "value")) == {
        ("persona", "I am\nbrief."), ("human", ""), ("company_policies", shared.value),
    }  # fmt: skip
    assert agent.conversations.get().is_default


def test_a_name_is_made_up_when_none_is_given(browser: Client) -> None:
    browser.post("/agents/new/", form_fields(name=""))
    assert Agent.objects.get().name


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "<b>"}, "holds a character that names cannot have"),
        ({"model": "openai/gpt-99"}, "is not available now"),
        ({"model": ""}, "A model is needed."),
        ({"context_window_limit": "12"}, "At least 1,000 tokens."),
        ({"blocks-0-label": ""}, "A block needs a label."),
        ({"blocks-1-label": "persona"}, "Another block has the label persona already."),
        ({"blocks-0-limit": "3"}, "are over the limit of 3."),
        ({"tools": ["no_such_tool"]}, "no_such_tool"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_typed_is_lost(
    browser: Client, fields: dict[str, Any], expected: str
) -> None:
    typed = form_fields(description="Typed with care", **{"blocks-1-value": "kept too"}) | fields
    response = browser.post("/agents/new/", typed)
    html = response.content.decode()
    assert response.status_code == 422
    assert expected in html
    assert "Typed with care" in html
    assert "kept too" in html
    assert "Not created" in html
    assert not Agent.objects.exists()
    assert not Block.objects.exists()
    page = Page(html)
    for element in page.elements:
        for reference in element.attributes.get("aria-describedby", "").split():
            page.by_id(reference)


def test_a_clash_of_labels_with_a_shared_block_is_said(browser: Client) -> None:
    shared = make_block(label="human")
    response = browser.post("/agents/new/", form_fields(shared_blocks=[shared.id]))
    assert response.status_code == 422
    assert "human" in Page(response.content.decode()).elements[0].text
    assert not Agent.objects.exists()


def labels_of(response: Any) -> list[str]:
    page = Page(response.content.decode())
    return [
        each.attributes.get("value", "")
        for each in page.all("input")
        if each.attributes.get("name", "").startswith("blocks-")
        and each.attributes["name"].endswith("-label")
    ]


def test_a_block_is_added_without_script_and_without_complaints(browser: Client) -> None:
    response = browser.post(
        "/agents/new/", form_fields(name="typed", add_block="1", **{"blocks-0-label": ""})
    )
    html = response.content.decode()
    assert response.status_code == 200
    assert labels_of(response) == ["", "human", ""]
    assert 'value="typed"' in html
    assert "needs a label" not in html


def test_a_block_is_removed_and_the_rest_moves_up(browser: Client) -> None:
    response = browser.post("/agents/new/", form_fields(remove_block="0"))
    assert labels_of(response) == ["human"]
    assert browser.post("/agents/new/", form_fields(remove_block="99")).status_code == 200


def test_htmx_gets_the_form_alone(browser: Client) -> None:
    response = browser.post("/agents/new/", form_fields(add_block="1"), headers={"HX-Request": "true"})
    page = Page(response.content.decode())
    assert page.elements[0].attributes["id"] == "agent-form"


def test_deleting_names_what_goes_and_keeps_the_blocks(browser: Client) -> None:
    browser.post("/agents/new/", form_fields())
    agent = Agent.objects.get()
    html = browser.get(f"/agents/{agent.id}/delete/").content.decode()
    assert "1 conversation, 1 message and" in html
    assert "persona, human" in html
    assert Agent.objects.exists()
    response = browser.post(f"/agents/{agent.id}/delete/", follow=True)
    assert "Deleted returns-desk" in response.content.decode()
    assert not Agent.objects.exists()
    assert Block.objects.count() == 2


def test_the_holders_of_a_block_and_a_tool_are_fragments(browser: Client) -> None:
    agent = make_agent(name="holder")
    block, tool = make_block(agent=agent), make_tool(agent=agent)
    make_agent(name="other")
    for address in (f"/agents/of-block/{block.id}/", f"/agents/of-tool/{tool.id}/"):
        page = Page(browser.get(address).content.decode())
        assert page.elements[0].attributes["id"] == "holders"
        assert "holder" in page.elements[0].text
        assert "other" not in page.elements[0].text


def test_an_editor_may_make_agents(sign_in: SignIn) -> None:
    assert sign_in("editor").get("/agents/new/").status_code == 200
    assert Workspace.objects.count() == 1


def test_a_tool_is_attached_and_detached_where_its_holders_stand(browser: Client) -> None:
    agent, tool = make_agent(name="desk"), make_tool()
    address = f"/agents/of-tool/{tool.id}/?edit"
    assert "Attach" in browser.get(address).content.decode()
    attached = browser.post(address, {"agent_id": agent.id, "do": "attach"}).content.decode()
    assert "Detach from desk" in attached
    assert "Another agent" not in attached
    assert agent.tool_links.filter(tool=tool).exists()
    browser.post(address, {"agent_id": agent.id, "do": "detach"})
    assert not agent.tool_links.filter(tool=tool).exists()
    refused = browser.post(address, {"agent_id": "agent-unknown"}).content.decode()
    assert 'role="alert"' in refused


def test_who_may_only_read_attaches_no_tool(sign_in: SignIn) -> None:
    agent, tool = make_agent(name="desk"), make_tool()
    address = f"/agents/of-tool/{tool.id}/?edit"
    viewer = sign_in("viewer")
    assert "Attach" not in viewer.get(address).content.decode()
    assert "Your role is viewer" in viewer.post(address, {"agent_id": agent.id}).content.decode()
    assert not agent.tool_links.filter(tool=tool).exists()
