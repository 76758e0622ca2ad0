"""The tools of a workspace."""

from __future__ import annotations

import pytest

from letta_ade.core.errors import Forbidden, Invalid, NotFound
from letta_ade.core.rows import Select
from tests.support.factories import local_workspace, make_caller, make_tool, make_workspace
from tools.models import Tool
from tools.services.tools import (
    ToolFilters,
    ensure_builtin_tools,
    get_tool_for,
    get_tools_by_ids,
    get_tools_by_names,
    list_tools,
    tool_description,
    tool_schema,
)

pytestmark = pytest.mark.django_db

BUILTINS = {
    "archival_memory_insert": "letta_core",
    "archival_memory_search": "letta_core",
    "conversation_search": "letta_core",
    "conversation_search_date": "letta_core",
    "core_memory_append": "letta_memory_core",
    "core_memory_replace": "letta_memory_core",
    "finish_rethinking_memory": "letta_voice_sleeptime_core",
    "memory": "letta_memory_core",
    "memory_apply_patch": "letta_memory_core",
    "memory_finish_edits": "letta_sleeptime_core",
    "memory_insert": "letta_sleeptime_core",
    "memory_replace": "letta_sleeptime_core",
    "memory_rethink": "letta_sleeptime_core",
    "run_code": "letta_builtin",
    "rethink_user_memory": "letta_voice_sleeptime_core",
    "search_memory": "letta_voice_sleeptime_core",
    "send_message": "letta_core",
    "send_message_to_agent_and_wait_for_reply": "letta_multi_agent_core",
    "send_message_to_agent_async": "letta_multi_agent_core",
    "send_message_to_agents_matching_tags": "letta_multi_agent_core",
    "store_memories": "letta_voice_sleeptime_core",
}


def test_a_list_has_the_builtin_tools_of_the_workspace_once():
    caller = make_caller()
    for _ in range(2):
        assert {tool.name: tool.tool_type for tool in list_tools(caller=caller)} == BUILTINS
    tool = Tool.objects.get(name="memory_insert")
    assert (tool.tags, tool.source_code) == (["letta_sleeptime_core"], None)
    other = make_caller(workspace=make_workspace())
    assert list_tools(caller=other).count() == len(BUILTINS)


def test_nothing_is_written_when_all_are_there(django_assert_num_queries):
    ensure_builtin_tools(local_workspace().id)
    caller = make_caller()
    with django_assert_num_queries(1):
        ensure_builtin_tools(caller.workspace_id)
    with django_assert_num_queries(2):
        list(list_tools(caller=caller))


def test_a_removed_builtin_tool_comes_back():
    caller = make_caller()
    list_tools(caller=caller)
    Tool.objects.filter(name="memory_insert").delete()
    assert list_tools(caller=caller, filters=ToolFilters(name="memory_insert")).exists()


def test_a_builtin_tool_has_the_schema_of_this_release():
    caller = make_caller()
    list_tools(caller=caller)
    Tool.objects.update(json_schema={"name": "edited"}, description="edited")
    tool = Tool.objects.get(name="memory_replace")
    schema = tool_schema(tool)
    assert schema["name"] == "memory_replace"
    assert schema["parameters"]["required"] == ["label", "old_string", "new_string"]
    assert tool_description(tool) == schema["description"]
    custom = make_tool(name="mine", description="Mine.")
    assert (tool_schema(custom)["name"], tool_description(custom)) == ("mine", "Mine.")


@pytest.mark.parametrize("name", BUILTINS)
def test_every_argument_of_a_builtin_tool_is_described(name):
    (tool,) = get_tools_by_names(caller=make_caller(), names=[name])
    parameters = tool_schema(tool)["parameters"]
    assert parameters["type"] == "object"
    assert set(parameters["required"]) <= set(parameters["properties"])
    assert all(each["description"] and each["type"] for each in parameters["properties"].values())


def test_lists_are_filtered():
    caller = make_caller()
    mine = make_tool(name="roll_dice")

    def names(**filters):
        return {tool.name for tool in list_tools(caller=caller, filters=ToolFilters(**filters))}

    assert names(name="roll_dice") == {"roll_dice"}
    assert names(names=("roll_dice", "memory_insert")) == {"roll_dice", "memory_insert"}
    assert names(tool_ids=(mine.id,)) == {"roll_dice"}
    assert names(search="ARCHIVAL") == {"archival_memory_insert", "archival_memory_search"}
    assert names(tool_types=("custom",)) == {"roll_dice"}
    others = (
        "custom",
        "letta_core",
        "letta_sleeptime_core",
        "letta_voice_sleeptime_core",
        "letta_multi_agent_core",
    )
    assert names(exclude_tool_types=others) == {
        "core_memory_append",
        "core_memory_replace",
        "memory",
        "memory_apply_patch",
        "run_code",
    }
    assert names(return_only_letta_tools=True) == set(BUILTINS)
    with pytest.raises(Invalid, match="'magic' is not a tool type"):
        names(tool_types=("magic",))


def test_tools_come_in_the_order_of_their_names_or_ids():
    caller = make_caller()
    mine = make_tool(name="roll_dice")
    found = get_tools_by_names(caller=caller, names=["roll_dice", "memory_insert", "roll_dice"])
    assert [tool.name for tool in found] == ["roll_dice", "memory_insert"]
    assert get_tools_by_ids(caller=caller, tool_ids=[found[1].id, mine.id]) == [found[1], mine]
    assert get_tools_by_names(caller=caller, names=[]) == []


def test_an_unknown_name_or_id_is_named():
    caller = make_caller()
    with pytest.raises(Invalid, match="There is no tool with the name 'fly', 'swim'"):
        get_tools_by_names(caller=caller, names=["memory_insert", "fly", "swim"])
    with pytest.raises(Invalid, match="There is no tool with the id 'tool-1'"):
        get_tools_by_ids(caller=caller, tool_ids=["tool-1"])


def test_the_tool_of_another_workspace_is_not_found():
    theirs = make_tool(workspace=make_workspace(), name="theirs")
    caller = make_caller()
    with pytest.raises(NotFound, match=theirs.id):
        get_tool_for(caller=caller, tool_id=theirs.id)
    with pytest.raises(Invalid):
        get_tools_by_names(caller=caller, names=["theirs"])
    with pytest.raises(Invalid):
        get_tools_by_ids(caller=caller, tool_ids=[theirs.id])
    assert not list_tools(caller=caller).filter(name="theirs").exists()
    assert get_tool_for(caller=make_caller(workspace=theirs.workspace), tool_id=theirs.id) == theirs


def test_a_custom_tool_of_a_builtin_name_stays():
    make_tool(name="memory_insert")
    assert list_tools(caller=make_caller()).get(name="memory_insert").tool_type == "custom"


def test_every_role_may_read():
    assert list_tools(caller=make_caller(role="viewer")).exists()
    with pytest.raises(Forbidden):
        make_caller(role="viewer").check("edit")


def test_rows_that_are_read_without_the_orm_keep_the_order_of_their_schema():
    properties = {"zz": {"type": "integer"}, "b": {"type": "string"}, "aaaa": {"type": "string"}}
    schema = {"name": "act", "parameters": {"type": "object", "properties": properties}}
    tool = make_tool(name="act", json_schema=schema, metadata={"a": [1]})
    select = Select(Tool, "tool")
    (found,) = select.fetch(f"SELECT {select.columns} FROM tools_tool tool WHERE id = %s", [tool.id])
    assert list(found.json_schema["parameters"]["properties"]) == ["zz", "b", "aaaa"]
    assert (found.args_json_schema, found.metadata) == (None, {"a": [1]})
