"""The tools' pages: list, editor, live schema, versions, deletion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.support.factories import make_agent, make_caller, make_tool, make_workspace
from tests.web.pages import Page, SignIn
from tools.models import Tool, ToolVersion
from tools.services.tool_writes import ToolChanges, ToolDraft, create_tool, update_tool
from tools.services.tools import ensure_builtin_tools

pytestmark = pytest.mark.django_db

SOURCE = '''def roll(sides: int = 6) -> str:
    """Roll a die.

    Args:
        sides: How many.
    """
    return "4"
'''


@pytest.fixture
def tool(browser: Client) -> Tool:
    return create_tool(caller=make_caller(), draft=ToolDraft(source_code=SOURCE, tags=("dice",)))


def answers(**fields: Any) -> dict[str, Any]:
    return {
        "source_code": SOURCE.replace("\n", "\r\n"),
        "source_type": "python",
        "schema_mode": "source",
        "json_schema": "",
        "tags": "",
        "requirements": "",
        "return_char_limit": "50000",
    } | fields


def names_of(response: Any) -> list[str]:
    page = Page(response.content.decode())
    return [each.text for each in page.all("a") if "data-row-open" in each.attributes]


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_the_list_has_kinds_a_search_and_who_uses_a_tool(browser: Client, tool: Tool) -> None:
    make_tool(name="remote", tool_type="external_mcp", agent=make_agent(name="desk"))
    everything = browser.get("/tools/")
    assert names_of(everything)[:3] == ["roll", "remote", "archival_memory_insert"]
    assert "desk" in text_of(everything)
    assert names_of(browser.get("/tools/?kind=custom")) == ["roll"]
    assert names_of(browser.get("/tools/?kind=mcp")) == ["remote"]
    assert "roll" not in names_of(browser.get("/tools/?kind=builtin"))
    assert names_of(browser.get("/tools/?q=rol&kind=custom")) == ["roll"]
    assert "Nothing matches" in text_of(browser.get("/tools/?q=zzz"))
    assert names_of(browser.get("/tools/?kind=nonsense")) == names_of(everything)


def test_a_list_of_many_tools_asks_no_more_than_one_of_few(browser: Client) -> None:
    ensure_builtin_tools(make_caller().workspace_id)
    with CaptureQueriesContext(connection) as few:
        browser.get("/tools/")
    for _ in range(20):
        make_tool(agent=make_agent())
    with CaptureQueriesContext(connection) as many:
        browser.get("/tools/")
    assert len(many) == len(few)


def test_the_kind_without_tools_says_so(browser: Client) -> None:
    assert "No tools of your own yet" in text_of(browser.get("/tools/?kind=custom"))
    assert "No tools of this kind" in text_of(browser.get("/tools/?kind=mcp"))


def test_a_tool_is_made_from_what_was_written(browser: Client) -> None:
    assert "def my_tool" in text_of(browser.get("/tools/new/"))
    requirements = "requests==2.32.3\r\nhttpx"
    body = answers(tags=" dice, fun ,dice", requirements=requirements, default_requires_approval="on")
    answer = browser.post("/tools/new/", body)
    tool = Tool.objects.get(tool_type="custom")
    assert answer["Location"] == f"/tools/{tool.id}/"
    assert (tool.name, tool.source_code, tool.tags) == ("roll", SOURCE, ["dice", "fun"])
    assert tool.pip_requirements == [
        {"name": "requests", "version": "2.32.3"},
        {"name": "httpx", "version": None},
    ]
    assert tool.default_requires_approval is True
    assert tool.json_schema["parameters"]["properties"]["sides"]["type"] == "integer"
    page = text_of(browser.get(f"/tools/{tool.id}/"))
    assert "Schema matches the source" in page
    assert "requests==2.32.3 httpx" in page


def test_a_typescript_tool_keeps_npm_packages(browser: Client) -> None:
    source = "/** Act. */\nexport function act(n: number) {}\n"
    body = answers(source_code=source, source_type="typescript", requirements="@types/node@22.1.0, zod")
    browser.post("/tools/new/", body)
    tool = Tool.objects.get(tool_type="custom")
    assert tool.npm_requirements == [
        {"name": "@types/node", "version": "22.1.0"},
        {"name": "zod", "version": None},
    ]
    assert "@types/node@22.1.0 zod" in text_of(browser.get(f"/tools/{tool.id}/"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source_code": ""}, "A tool needs a source."),
        ({"source_code": "def roll(:"}, "line 1: The source does not parse"),
        ({"source_code": "def roll(x): pass"}, "has no docstring"),
        ({"schema_mode": "json", "json_schema": "{"}, "This is not JSON"),
        ({"schema_mode": "json", "json_schema": "[]"}, "A schema is an object"),
        ({"schema_mode": "json", "json_schema": "{}"}, "needs a name"),
        ({"return_char_limit": "0"}, "At least 1 character."),
        ({"return_char_limit": "many"}, "A whole number is wanted."),
        ({"requirements": "x; rm -rf /"}, "is not the name of a package"),
        ({"tags": "x" * 256}, "A tag has between"),
        ({"source_code": SOURCE.replace("roll", "memory_insert")}, "is a tool of the server"),
    ],
)
def test_what_does_not_fit_is_told_and_kept(browser: Client, fields: dict[str, Any], message: str) -> None:
    answer = browser.post("/tools/new/", answers(**fields))
    assert answer.status_code == 422
    page = text_of(answer).replace("&#x27;", "'")
    assert message in page
    assert fields.get("tags", "") in page
    assert not Tool.objects.filter(tool_type="custom").exists()


def test_a_new_tool_does_not_overwrite_another(browser: Client, tool: Tool) -> None:
    answer = browser.post("/tools/new/", answers(source_code=SOURCE.replace("a die", "dice")))
    assert answer.status_code == 422
    assert f"/tools/{tool.id}/" in text_of(answer)
    tool.refresh_from_db()
    assert tool.source_code == SOURCE


def test_a_save_brings_the_schema_along(browser: Client, tool: Tool) -> None:
    source = SOURCE.replace("sides: int = 6", "sides: str")
    answer = browser.post(f"/tools/{tool.id}/", answers(source_code=source, tags="dice", base_version="1"))
    assert answer.status_code == 302
    tool.refresh_from_db()
    assert tool.json_schema["parameters"]["required"] == ["sides"]
    assert ToolVersion.objects.filter(tool=tool).count() == 2
    unchanged = browser.post(f"/tools/{tool.id}/", answers(source_code=source, tags="dice", base_version="2"))
    assert unchanged.status_code == 302
    assert ToolVersion.objects.filter(tool=tool).count() == 2


def test_a_schema_written_by_hand_stays_and_its_differences_are_told(browser: Client, tool: Tool) -> None:
    schema = tool.json_schema | {"description": "By hand."}
    body = answers(schema_mode="json", json_schema=json.dumps(schema), base_version="1")
    browser.post(f"/tools/{tool.id}/", body)
    tool.refresh_from_db()
    assert tool.json_schema == schema
    html = browser.get(f"/tools/{tool.id}/").content.decode()
    assert "Schema differs from the source" in html
    assert "The description is not the docstring" in html
    assert json.loads(Page(html).by_id("id_json_schema").text) == schema


def test_a_save_to_an_older_version_changes_nothing(browser: Client, tool: Tool) -> None:
    update_tool(caller=make_caller(), tool_id=tool.id, changes=ToolChanges(values={"tags": ["theirs"]}))
    answer = browser.post(f"/tools/{tool.id}/", answers(tags="mine", base_version="1"))
    assert answer.status_code == 422
    assert "is at version 2" in text_of(answer)
    assert "mine" in text_of(answer)
    tool.refresh_from_db()
    assert tool.tags == ["theirs"]


def test_the_schema_is_derived_while_one_writes(browser: Client, tool: Tool) -> None:
    part = browser.post("/tools/derive/", answers())
    assert part.status_code == 200
    assert Page(part.content.decode()).elements[0].attributes["id"] == "tool-schema"
    assert "Roll a die." in text_of(part)
    wrong = Page(
        browser.post("/tools/derive/", answers(source_code="\n\ndef roll(x): pass")).content.decode()
    )
    (fault,) = [each for each in wrong.elements if "data-error-line" in each.attributes]
    assert fault.attributes["data-error-line"] == "3"
    assert "has no docstring" in fault.attributes["data-error"]
    by_hand = answers(schema_mode="json", json_schema=json.dumps({"name": "roll"}))
    assert "The argument &#x27;sides&#x27; is not in the schema." in text_of(
        browser.post(f"/tools/{tool.id}/derive/", by_hand)
    )
    starred = answers(source_code=SOURCE.replace("= 6", "= 6, *more"))
    assert "*more cannot be filled by a model" in text_of(browser.post("/tools/derive/", starred))
    assert ToolVersion.objects.filter(tool=tool).count() == 1


def test_the_schema_of_the_arguments_is_used_where_there_is_one(browser: Client) -> None:
    arguments = {"properties": {"n": {"type": "integer", "description": "How many."}}}
    draft = ToolDraft(source_code="def act(n): pass\n", args_json_schema=arguments)
    tool = create_tool(caller=make_caller(), draft=draft)
    page = text_of(browser.get(f"/tools/{tool.id}/"))
    assert "Schema matches the source" in page
    assert "How many." in text_of(
        browser.post(f"/tools/{tool.id}/derive/", answers(source_code=draft.source_code))
    )


def test_a_tool_of_the_server_is_shown_without_a_form(browser: Client) -> None:
    browser.get("/tools/")
    tool = Tool.objects.get(name="memory_insert")
    page = Page(browser.get(f"/tools/{tool.id}/").content.decode())
    assert not [each for each in page.elements if each.attributes.get("name") == "source_code"]
    assert browser.post(f"/tools/{tool.id}/delete/").status_code == 405
    assert browser.get("/tools/").status_code == 200


def test_versions_are_shown_and_put_back(browser: Client, tool: Tool) -> None:
    values = {"source_code": SOURCE.replace('"4"', '"6"')}
    update_tool(caller=make_caller(), tool_id=tool.id, changes=ToolChanges(values=values))
    page = text_of(browser.get(f"/tools/{tool.id}/versions/2/"))
    assert "Changed source" in page
    assert "return &quot;6&quot;" in page
    assert "The schema is that of v1." in text_of(browser.get(f"/tools/{tool.id}/versions/2/?show=schema"))
    assert "Created" in text_of(browser.get(f"/tools/{tool.id}/versions/1/"))
    assert browser.get(f"/tools/{tool.id}/versions/9/").status_code == 404
    assert browser.get(f"/tools/{tool.id}/versions/1/restore/").status_code == 405
    assert browser.post(f"/tools/{tool.id}/versions/1/restore/")["Location"] == f"/tools/{tool.id}/"
    tool.refresh_from_db()
    assert tool.source_code == SOURCE
    assert "Restored v1" in text_of(browser.get(f"/tools/{tool.id}/versions/3/"))


def test_older_versions_come_in_parts(browser: Client, tool: Tool) -> None:
    for number in range(45):
        changes = ToolChanges(values={"tags": [str(number)]})
        update_tool(caller=make_caller(), tool_id=tool.id, changes=changes)
    page = text_of(browser.get(f"/tools/{tool.id}/versions/46/"))
    assert f"/tools/{tool.id}/versions/before/7/" in page
    more = text_of(browser.get(f"/tools/{tool.id}/versions/before/7/"))
    assert f"/tools/{tool.id}/versions/1/" in more
    assert "Older versions" not in more


def test_a_deletion_names_what_goes(browser: Client, tool: Tool) -> None:
    agent = make_agent()
    agent.tool_links.create(tool=tool, position=0)
    page = text_of(browser.get(f"/tools/{tool.id}/delete/"))
    assert "1 agent has it and loses it" in page
    assert "1 version" in page
    assert browser.post(f"/tools/{tool.id}/delete/")["Location"] == "/tools/"
    assert not Tool.objects.filter(id=tool.id).exists()


def test_the_tool_of_another_workspace_is_not_found(browser: Client) -> None:
    theirs = make_tool(workspace=make_workspace(), source_code=SOURCE)
    for path in ("", "delete/", "versions/1/", "versions/before/3/"):
        assert browser.get(f"/tools/{theirs.id}/{path}").status_code == 404
    for path in ("", "delete/", "derive/", "versions/1/restore/"):
        assert browser.post(f"/tools/{theirs.id}/{path}", answers()).status_code == 404


def test_who_may_only_read_sees_the_source_and_changes_nothing(tool: Tool, sign_in: SignIn) -> None:
    viewer = sign_in("viewer")
    page = Page(viewer.get(f"/tools/{tool.id}/").content.decode())
    assert "readonly" in page.by_id("id_source_code").attributes
    assert not [each for each in page.all("button") if each.attributes.get("form") == "tool-form"]
    for path in ("new/", "derive/", f"{tool.id}/", f"{tool.id}/delete/", f"{tool.id}/versions/1/restore/"):
        assert viewer.post(f"/tools/{path}", answers()).status_code == 403, path


def test_arguments_that_nobody_describes_are_told_beside_the_source(browser: Client) -> None:
    source = "def act(label: str, content: str):\n    'Update a memory block.'\n"
    page = text_of(browser.post("/tools/derive/", answers(source_code=source)))
    assert "A model has to guess what label, content are" in page
    assert "A model has to guess" not in text_of(browser.post("/tools/derive/", answers()))
