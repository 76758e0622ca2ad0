"""Making, changing and deleting tools over REST."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import AgentTool, AgentVersion
from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import make_agent, make_tool, make_workspace
from tools.models import Tool, ToolVersion

pytestmark = pytest.mark.django_db

SOURCE = '''
def roll(sides: int, times: int = 1) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
        times: How often.
    """
    return "4"
'''
SCHEMA = {
    "name": "roll",
    "description": "Roll a die.",
    "parameters": {
        "type": "object",
        "properties": {
            "sides": {"type": "integer", "description": "How many sides it has."},
            "times": {"type": "integer", "description": "How often."},
        },
        "required": ["sides"],
    },
}
EMPTY = {"type": "object", "properties": {}, "required": []}


@pytest.fixture
def api() -> Api:
    return Api()


def create(api: Api, **fields: Any) -> Any:
    answer = api.post("/v1/tools/", {"source_code": SOURCE, **fields})
    assert answer.status_code == 200, answer.json()
    return answer.json()


def detail(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.json()
    text: str = answer.json()["detail"]
    return text


def test_a_tool_is_made_from_its_source(api: Api) -> None:
    tool = create(api, tags=["dice"], pip_requirements=[{"name": "numpy"}], default_requires_approval=True)
    assert tool == api.get(f"/v1/tools/{tool['id']}").json()
    assert (tool["name"], tool["description"]) == ("roll", "Roll a die.")
    assert tool["json_schema"] == SCHEMA
    assert list(tool["json_schema"]["parameters"]["properties"]) == ["sides", "times"]
    assert (tool["tool_type"], tool["source_type"], tool["tags"]) == ("custom", "python", ["dice"])
    assert tool["return_char_limit"] == 50_000
    assert tool["pip_requirements"] == [{"name": "numpy", "version": None}]
    assert tool["default_requires_approval"] is True
    assert tool["enable_parallel_execution"] is False


def test_a_schema_that_is_given_wins_over_the_source(api: Api) -> None:
    given = {"name": "throw", "description": "Throw.", "parameters": EMPTY}
    tool = create(api, json_schema=given, description="Mine.")
    assert (tool["name"], tool["description"], tool["json_schema"]) == ("throw", "Mine.", given)


def test_arguments_may_come_as_a_schema_of_their_own(api: Api) -> None:
    arguments = {"title": "Args", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    tool = create(api, source_code="def act(a): pass\n", args_json_schema=arguments)
    assert tool["json_schema"]["parameters"]["properties"] == {"a": {"type": "string", "description": ""}}
    assert tool["args_json_schema"] == arguments


def test_the_order_of_the_signature_is_kept(api: Api) -> None:
    source = 'def act(zz: int, b: int, aaaa: int):\n    """Act.\n\n    Args:\n        zz: Z.\n        b: B.\n        aaaa: A.\n    """\n'
    tool = create(api, source_code=source)
    for found in (
        api.get(f"/v1/tools/{tool['id']}").json(),
        api.get(f"/v1/tools/{tool['id']}/versions/1").json(),
    ):
        assert list(found["json_schema"]) == ["name", "description", "parameters"]
        assert list(found["json_schema"]["parameters"]["properties"]) == ["zz", "b", "aaaa"]


def test_create_and_upsert_overwrite_the_tool_of_the_same_name(api: Api) -> None:
    first = create(api, tags=["dice"], return_char_limit=10, description="Old.")
    for send in (api.post, api.put):
        second = send("/v1/tools/", {"source_code": SOURCE.replace("a die", "dice")}).json()
        assert second["id"] == first["id"]
        assert second["description"] == second["json_schema"]["description"] == "Roll dice."
        assert (second["tags"], second["return_char_limit"]) == (["dice"], 50_000)
    assert Tool.objects.filter(name="roll").count() == 1
    assert ToolVersion.objects.filter(tool_id=first["id"]).count() == 2  # the third write changed nothing


def test_the_tools_of_the_server_and_of_others_are_not_overwritten(api: Api) -> None:
    for name in ("memory_insert", "remote"):
        make_tool(name="remote", tool_type="external_mcp") if name == "remote" else None
        answer = api.put("/v1/tools/", {"source_code": SOURCE.replace("def roll", f"def {name}")})
        assert f"{name!r} is a tool of " in detail(answer, 409)
        assert answer["x-should-retry"] == "false"
    assert not Tool.objects.filter(name="memory_insert", tool_type="custom").exists()
    theirs = make_tool(workspace=make_workspace(), name="roll")
    assert create(api)["id"] != theirs.id


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"source_code": "def roll(:"}, 400, "INVALID_ARGUMENT: line 1: The source does not parse"),
        ({"source_code": "\n\ndef roll(x): pass"}, 400, "line 3: The function 'roll' has no docstring"),
        ({"source_code": "x = 1"}, 400, "The source has no function"),
        ({"source_code": "def roll(:", "json_schema": SCHEMA}, 400, "line 1: The source does not parse"),
        ({"source_code": SOURCE.replace("def roll", f"def {'r' * 49}")}, 400, "at most 48 characters"),
        ({"source_code": SOURCE.replace("def roll", "def würfle")}, 400, "letters, digits, _ and - only"),
        ({"json_schema": {"description": "No name."}}, 400, "needs a name"),
        ({"json_schema": {"name": 3}}, 400, "needs a name"),
        ({"json_schema": {"name": "roll", "parameters": []}}, 400, "`parameters` must be"),
        (
            {"json_schema": {"name": "roll", "parameters": {"properties": {"x": 1}}}},
            400,
            "an object of schemas",
        ),
        ({"json_schema": {"name": "roll", "parameters": {"required": 1}}}, 400, "a list of names"),
        ({"args_json_schema": {"properties": {"x": {}}}}, 400, "'x' has no type"),
        ({"source_type": "typescript"}, 422, "needs a json_schema"),
        ({"source_type": "cobol"}, 422, "python or typescript"),
        ({"return_char_limit": 0}, 422, "between 1 and 1,000,000"),
        ({"return_char_limit": 1_000_001}, 422, "between 1 and 1,000,000"),
        ({"pip_requirements": [{"name": ""}]}, 422, "'' is not the name of a package"),
        ({"pip_requirements": [{"name": "x; rm -rf /"}]}, 422, "is not the name of a package"),
        ({"pip_requirements": [{"name": "x", "version": "1 --index-url y"}]}, 422, "is not a version of x"),
        ({"npm_requirements": [{"name": "../x"}]}, 422, "is not the name of a package"),
        ({"npm_requirements": [{"name": "@a/b", "version": "git+ssh://x"}]}, 422, "is not a version of @a/b"),
        ({"pip_requirements": [{"name": "x"}] * 101}, 422, "at most 100"),
        ({"tags": [""]}, 422, "A tag has between"),
        ({"tags": "dice"}, 422, "list"),
        ({"source_code": None}, 422, "source_code"),
        ({"json_schema": []}, 422, "json_schema"),
    ],
)
def test_bad_input_is_told(api: Api, body: dict[str, Any], status: int, message: str) -> None:
    for send in (api.post, api.put):
        assert message in detail(send("/v1/tools/", {"source_code": SOURCE, **body}), status)
    assert not Tool.objects.filter(tool_type="custom").exists()


def test_a_change_of_the_source_alone_leaves_the_schema_and_is_seen(api: Api) -> None:
    tool = create(api)
    url = f"/v1/tools/{tool['id']}"
    assert api.get(f"{url}/schema-check").json() == {
        "is_current": True,
        "differences": [],
        "derived_schema": SCHEMA,
        "error": None,
        "error_line": None,
        "ignored_parameters": [],
    }
    changed = api.patch(url, {"source_code": SOURCE.replace("times: int = 1", "times: str, *rest")}).json()
    assert changed["json_schema"] == SCHEMA
    check = api.get(f"{url}/schema-check").json()
    assert check["is_current"] is False
    assert check["differences"] == [
        "The argument 'times' has another type in the source.",
        "The argument 'times' is required in the source only.",
    ]
    assert check["ignored_parameters"] == ["*rest"]
    api.patch(url, {"source_code": "def roll(x): pass"})
    check = api.get(f"{url}/schema-check").json()
    assert (check["is_current"], check["derived_schema"], check["error_line"]) == (False, None, 1)
    assert "has no docstring" in check["error"]


def test_a_new_schema_renames_the_tool_and_the_rules_follow(api: Api) -> None:
    tool = create(api)
    rules = [
        {"type": "run_first", "tool_name": "roll"},
        {"type": "constrain_child_tools", "tool_name": "other", "children": ["roll", "more"]},
    ]
    agent = make_agent(tool_rules=[])
    api.patch(f"/v1/agents/{agent.id}/tools/attach/{tool['id']}")
    api.patch(f"/v1/agents/{agent.id}", {"tool_rules": rules})
    source = SOURCE.replace("def roll", "def throw")
    body = {"source_code": source, "json_schema": SCHEMA | {"name": "throw", "description": "Throw."}}
    answer = api.patch(f"/v1/tools/{tool['id']}", body).json()
    assert (answer["id"], answer["name"], answer["description"]) == (tool["id"], "throw", "Throw.")
    found = api.get(f"/v1/agents/{agent.id}").json()["tool_rules"]
    assert [(rule["tool_name"], rule.get("children")) for rule in found] == [
        ("throw", None),
        ("other", ["throw", "more"]),
    ]
    version = AgentVersion.objects.filter(agent=agent).order_by("-number")[0]
    assert [each["name"] for each in version.data["tools"]] == ["throw"]
    usage = api.get(f"/v1/tools/{tool['id']}/usage").json()
    assert usage == {
        "agent_count": 1,
        "agents": [{"id": agent.id, "name": agent.name}],
        "rules": [
            {"agent_id": agent.id, "type": "run_first", "role": "tool"},
            {"agent_id": agent.id, "type": "constrain_child_tools", "role": "child"},
        ],
    }


def test_arguments_can_be_changed_by_a_schema_of_their_own(api: Api) -> None:
    tool = create(api)
    arguments = {"properties": {"n": {"type": "integer", "description": "How many."}}}
    changed = api.patch(f"/v1/tools/{tool['id']}", {"args_json_schema": arguments}).json()
    assert changed["name"] == "roll"
    assert changed["json_schema"]["parameters"] == {**EMPTY, "properties": arguments["properties"]}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"json_schema": SCHEMA, "args_json_schema": {"properties": {}}}, 400, "not both"),
        ({"source_code": "def throw(): pass"}, 400, "no `def roll`; it has throw"),
        ({"source_code": "x = 1"}, 400, "no `def roll`; it has none"),
        ({"source_code": "def roll(:"}, 400, "line 1: "),
        ({"json_schema": SCHEMA | {"name": "throw"}}, 400, "no `def throw`; it has roll"),
        ({"source_type": "typescript", "source_code": SOURCE}, 400, "no `function roll`; it has none"),
        (
            {"json_schema": SCHEMA | {"name": "taken"}, "source_code": "def taken(): pass"},
            400,
            "'roll' cannot be renamed",
        ),
        (
            {"json_schema": SCHEMA | {"name": "memory"}, "source_code": "def memory(): pass"},
            400,
            "cannot be renamed",
        ),
        ({"source_type": "cobol"}, 422, "python or typescript"),
        ({"return_char_limit": -1}, 422, "between 1 and"),
        ({"base_version": 7}, 409, "is at version 1"),
    ],
)
def test_a_change_that_cannot_be_is_told_and_changes_nothing(
    api: Api, body: dict[str, Any], status: int, message: str
) -> None:
    make_tool(name="taken")
    tool = create(api)
    assert message in detail(api.patch(f"/v1/tools/{tool['id']}", body), status)
    assert api.get(f"/v1/tools/{tool['id']}").json() == tool
    assert ToolVersion.objects.filter(tool_id=tool["id"]).count() == 1


def test_a_null_changes_nothing_but_what_may_be_empty(api: Api) -> None:
    tool = create(api, tags=["dice"], default_requires_approval=True, pip_requirements=[{"name": "x"}])
    changed = api.patch(
        f"/v1/tools/{tool['id']}", dict.fromkeys(("source_code", "tags", "description"))
    ).json()
    assert changed == tool
    body: dict[str, Any] = {
        "default_requires_approval": None,
        "pip_requirements": None,
        "metadata_": {"a": 1},
        "tags": [],
    }
    changed = api.patch(f"/v1/tools/{tool['id']}", body).json()
    assert (changed["default_requires_approval"], changed["pip_requirements"]) == (None, None)
    assert (changed["metadata_"], changed["tags"]) == ({"a": 1}, [])


def test_a_tool_of_the_server_keeps_its_code_and_takes_what_is_the_users(api: Api) -> None:
    (tool,) = api.get("/v1/tools/", name="memory_insert").json()
    url = f"/v1/tools/{tool['id']}"
    fixed: list[dict[str, Any]] = [
        {"source_code": SOURCE},
        {"json_schema": SCHEMA},
        {"args_json_schema": {"properties": {}}},
        {"description": "Mine."},
    ]
    for body in fixed:
        assert "is not yours to change" in detail(api.patch(url, body), 405)
    assert "belongs to the server" in detail(api.delete(url), 405)
    changed = api.patch(
        url, {"tags": ["mine"], "return_char_limit": 9, "default_requires_approval": True}
    ).json()
    assert changed == tool | {
        "tags": ["mine"],
        "return_char_limit": 9,
        "default_requires_approval": True,
        "last_updated_by_id": changed["last_updated_by_id"],
    }
    assert "not from a source" in detail(api.get(f"{url}/schema-check"), 400)


def test_a_deleted_tool_leaves_agents_and_rules(api: Api) -> None:
    tool, agent = create(api), make_agent(tool_rules=[])
    api.patch(f"/v1/agents/{agent.id}/tools/attach/{tool['id']}")
    rules = [
        {"type": "exit_loop", "tool_name": "roll"},
        {"type": "constrain_child_tools", "tool_name": "a", "children": ["roll"]},
        {"type": "parent_last_tool", "tool_name": "b", "children": ["roll", "c"]},
        {
            "type": "conditional",
            "tool_name": "d",
            "child_output_mapping": {"1": "roll", "2": "c"},
            "default_child": "roll",
        },
        {"type": "conditional", "tool_name": "e", "child_output_mapping": {"1": "roll"}},
    ]
    api.patch(f"/v1/agents/{agent.id}", {"tool_rules": rules})
    answer = api.delete(f"/v1/tools/{tool['id']}")
    assert (answer.status_code, answer.json()) == (200, None)
    assert not AgentTool.objects.filter(agent=agent).exists()
    left = api.get(f"/v1/agents/{agent.id}").json()["tool_rules"]
    assert [(rule["tool_name"], rule.get("children"), rule.get("child_output_mapping")) for rule in left] == [
        ("b", ["c"], None),
        ("d", None, {"2": "c"}),
    ]
    assert left[1]["default_child"] is None
    assert api.delete(f"/v1/tools/{tool['id']}").status_code == 404


def test_versions_are_kept_compared_and_put_back(api: Api) -> None:
    tool = create(api)
    url = f"/v1/tools/{tool['id']}"
    api.patch(url, {"source_code": SOURCE.replace('"4"', '"6"'), "tags": ["new"]})
    api.patch(url, {"metadata_": {"no": "version"}})
    newest, oldest = api.get(f"{url}/versions").json()
    assert (newest["version"], oldest["version"]) == (2, 1)
    assert (oldest["source_code"], oldest["tags"], oldest["actor_name"]) == (SOURCE, [], "You")
    assert api.get(f"{url}/versions", limit=1, after=newest["id"]).json() == [oldest]
    assert api.get(f"{url}/versions/1").json() == oldest
    diff = api.get(f"{url}/versions/diff", old=1, new=2).json()
    changed = [(row["op"], row["text"]) for row in diff["source_lines"] if row["op"] in ("add", "del")]
    assert changed == [("del", '    return "4"'), ("add", '    return "6"')]
    assert diff["schema_lines"] == []
    assert diff["fields"] == {"tags": {"old": [], "new": ["new"]}}
    restored = api.post(f"{url}/versions/1/restore").json()
    assert (restored["source_code"], restored["tags"]) == (SOURCE, [])
    assert api.get(f"{url}/versions/3").json()["restored_from"] == 1


def test_versions_that_are_not_there_are_told(api: Api) -> None:
    tool = create(api)
    url = f"/v1/tools/{tool['id']}/versions"
    for answer in (api.get(f"{url}/9"), api.post(f"{url}/9/restore"), api.get(f"{url}/diff", old=1, new=9)):
        assert "has no version 9; the newest is 1" in detail(answer, 404)
    assert api.get(f"{url}/x").status_code == 422
    (builtin,) = api.get("/v1/tools/", name="memory").json()
    assert api.get(f"/v1/tools/{builtin['id']}/versions").json() == []
    assert api.post(f"/v1/tools/{builtin['id']}/versions/1/restore").status_code == 405


def test_a_tool_without_versions_keeps_what_it_was(api: Api) -> None:
    tool = make_tool(name="roll", source_code="def roll(): pass")
    api.patch(f"/v1/tools/{tool.id}", {"tags": ["new"]})
    newest, oldest = api.get(f"/v1/tools/{tool.id}/versions").json()
    assert (oldest["actor_kind"], oldest["tags"], newest["tags"]) == ("unknown", [], ["new"])


@pytest.mark.parametrize("path", ["", "/usage", "/versions", "/versions/1", "/schema-check"])
def test_the_tool_of_another_workspace_is_not_found(api: Api, path: str) -> None:
    theirs = make_tool(workspace=make_workspace(), source_code=SOURCE)
    assert api.get(f"/v1/tools/{theirs.id}{path}").status_code == 404
    assert api.get(f"/v1/tools/{new_id('tool')}{path}").status_code == 404
    if not path:
        assert api.patch(f"/v1/tools/{theirs.id}", {"tags": []}).status_code == 404
        assert api.delete(f"/v1/tools/{theirs.id}").status_code == 404


def test_a_schema_is_derived_without_storing_anything(api: Api) -> None:
    assert api.post("/v1/tools/generate-schema", {"code": SOURCE}).json() == SCHEMA
    typescript = "/** Act. */\nexport function act(n: number) {}"
    body = {"code": typescript, "source_type": "typescript"}
    derived = api.post("/v1/tools/generate-schema", body).json()
    assert (derived["name"], derived["parameters"]["required"]) == ("act", ["n"])
    answer = api.post("/v1/tools/generate-schema", {"code": "def roll(:"})
    assert detail(answer, 400).startswith("INVALID_ARGUMENT: line 1: ")
    assert api.post("/v1/tools/generate-schema", {"code": "x", "source_type": "sql"}).status_code == 422
    assert api.post("/v1/tools/generate-schema", {}).status_code == 422
    assert not Tool.objects.filter(name="roll").exists()


def test_base_tools_are_added_once(api: Api) -> None:
    first, second = api.post("/v1/tools/add-base-tools").json(), api.post("/v1/tools/add-base-tools").json()
    assert first == second
    assert {"memory_insert", "send_message"} <= {tool["name"] for tool in first}


def test_tools_are_searched_by_their_words(api: Api) -> None:
    create(api, tags=["casino"])
    other = SOURCE.replace("def roll", "def weather_now").replace("Roll a die.", "Tell the forecast.")
    create(api, source_code=other)

    def names(**body: Any) -> list[str]:
        answer = api.post("/v1/tools/search", {"tool_types": ["custom"], **body})
        assert answer.status_code == 200, answer.json()
        return [hit["tool"]["name"] for hit in answer.json()]

    assert names(query="forecasts") == ["weather_now"]
    assert names(query="weather now") == ["weather_now"]
    assert names(query="weath") == ["weather_now"]
    assert names(query="casino", search_mode="fts") == ["roll"]
    assert names(query="submarine") == []
    assert names(tags=["casino"]) == ["roll"]
    assert names() == ["weather_now", "roll"]
    assert names(limit=1) == ["weather_now"]
    (hit,) = api.post("/v1/tools/search", {"query": "forecast"}).json()
    assert (hit["fts_rank"], hit["vector_rank"]) == (1, None)
    assert hit["combined_score"] == pytest.approx(0.5 / 61)
    assert "Tell the forecast." in hit["embedded_text"]
    assert api.post("/v1/tools/search", {"search_mode": "magic"}).status_code == 422
    assert api.post("/v1/tools/search", {"limit": 101}).status_code == 422
    assert api.post("/v1/tools/search", {"tool_types": ["magic"]}).status_code == 400


def test_who_asks_is_told_who_has_a_tool_before_it_is_overwritten(api: Api) -> None:
    tool = create(api)
    free = api.post("/v1/tools/", {"source_code": SOURCE, "if_exists": "error"})
    assert free.status_code == 409
    assert f"{tool['id']}); no agent has it." in free.json()["detail"]
    for name in ("desk", "till"):
        make_agent(name=name).tool_links.create(tool_id=tool["id"], position=0)
    taken = api.put("/v1/tools/", {"source_code": SOURCE + "# 2", "if_exists": "error"})
    assert taken.status_code == 409
    assert "2 agents have it: desk, till." in taken.json()["detail"]
    assert api.get(f"/v1/tools/{tool['id']}").json()["source_code"] == SOURCE
    assert api.post("/v1/tools/", {"source_code": SOURCE, "if_exists": "perhaps"}).status_code == 422
    other = SOURCE.replace("def roll", "def throw")
    assert api.post("/v1/tools/", {"source_code": other, "if_exists": "error"}).json()["name"] == "throw"
    # What clients do that know nothing of it.
    assert api.post("/v1/tools/", {"source_code": SOURCE}).json()["id"] == tool["id"]
