"""Tools over REST, and those of an agent."""

from __future__ import annotations

from typing import Any

import pytest

from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import make_agent, make_tool, make_workspace

pytestmark = pytest.mark.django_db

FIELDS = """
id name description tool_type source_type source_code json_schema args_json_schema tags return_char_limit pip_requirements
npm_requirements default_requires_approval enable_parallel_execution metadata_ project_id created_by_id last_updated_by_id
"""


@pytest.fixture
def api() -> Api:
    return Api()


def by_name(api: Api, name: str) -> Any:
    (tool,) = api.get("/v1/tools/", name=name).json()
    return tool


def test_a_built_in_tool_has_every_field_and_no_source(api: Api) -> None:
    tool = by_name(api, "memory_insert")
    assert set(tool) == set(FIELDS.split())
    assert tool == api.get(f"/v1/tools/{tool['id']}").json()
    assert tool["source_code"] is None
    assert tool["tool_type"] == "letta_sleeptime_core"
    assert tool["json_schema"]["name"] == "memory_insert"
    assert tool["json_schema"]["parameters"]["properties"]["label"]


def test_filters_may_be_repeated_or_separated_by_commas(api: Api) -> None:
    make_tool(name="mine")

    def names(**query: Any) -> set[str]:
        found = {tool["name"] for tool in api.get("/v1/tools/", **query).json()}
        assert api.get("/v1/tools/count", **query).json() == len(found)
        return found

    assert names(names="memory_insert,memory_replace") == {"memory_insert", "memory_replace"}
    assert names(names=["memory_insert", "memory_replace"]) == {"memory_insert", "memory_replace"}
    assert names(tool_types="custom") == {"mine"}
    assert "mine" not in names(exclude_tool_types="custom")
    assert "mine" not in names(return_only_letta_tools="true")
    assert names(search="REPL") >= {"memory_replace"}
    assert api.get("/v1/tools/", tool_types="nonsense").status_code == 400


def test_unknown_malformed_and_foreign_ids(api: Api) -> None:
    foreign = make_tool(workspace=make_workspace())
    assert api.get(f"/v1/tools/{new_id('tool')}").status_code == 404
    assert api.get(f"/v1/tools/{foreign.id}").status_code == 404
    assert api.get("/v1/tools/tool-1").status_code == 422


def test_attaching_a_tool_answers_null_and_the_agent_to_an_old_sdk(api: Api) -> None:
    agent, tool = make_agent(), make_tool()
    url = f"/v1/agents/{agent.id}/tools"
    for _ in range(2):
        answer = api.patch(f"{url}/attach/{tool.id}")
        assert (answer.status_code, answer.json()) == (200, None)
    assert [each["id"] for each in api.get(url).json()] == [tool.id]
    old = Api(**{"User-Agent": "letta-client/0.1.324"})
    assert old.patch(f"{url}/detach/{tool.id}").json()["tools"] == []
    assert api.patch(f"{url}/detach/{tool.id}").json() is None
    assert api.patch(f"{url}/detach/{new_id('tool')}").status_code == 404


def test_a_tool_that_wants_approval_brings_its_rule(api: Api) -> None:
    agent, tool = make_agent(), make_tool(default_requires_approval=True)
    api.patch(f"/v1/agents/{agent.id}/tools/attach/{tool.id}")
    rules = api.get(f"/v1/agents/{agent.id}").json()["tool_rules"]
    assert [(rule["type"], rule["tool_name"]) for rule in rules] == [("requires_approval", tool.name)]


def test_the_tools_of_an_agent_come_ten_at_once(api: Api) -> None:
    agent = make_agent()
    for _ in range(12):
        make_tool(agent=agent)
    url = f"/v1/agents/{agent.id}/tools"
    first = api.get(url).json()
    assert len(first) == 10
    assert len(api.get(url, after=first[-1]["id"]).json()) == 2
