"""Two who write the same tool at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connections

from letta_ade.core.errors import Conflict
from tests.support.factories import make_agent, make_caller
from tools.models import Tool, ToolVersion
from tools.services.tool_writes import ToolChanges, ToolDraft, create_tool, update_tool, upsert_tool

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = 'def act():\n    "Act."\n    return {}\n'
WRITERS = 6


def at_once(write) -> list:
    """What each of several threads gets that all begin together."""
    start = Barrier(WRITERS)

    def run(number: int):
        try:
            start.wait()
            return write(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run, range(WRITERS)))


def test_upserts_of_one_name_make_one_tool_and_a_version_each():
    caller = make_caller()
    made = at_once(
        lambda number: upsert_tool(caller=caller, draft=ToolDraft(source_code=SOURCE.format(number)))
    )
    assert len({tool.id for tool in made}) == 1
    numbers = ToolVersion.objects.filter(tool=made[0]).values_list("number", flat=True)
    assert list(numbers) == list(range(1, WRITERS + 1))


def test_of_changes_to_one_version_one_is_made():
    caller = make_caller()
    tool = create_tool(caller=caller, draft=ToolDraft(source_code=SOURCE))

    def change(number: int) -> bool:
        try:
            changes = ToolChanges(values={"tags": [str(number)]})
            update_tool(caller=caller, tool_id=tool.id, changes=changes, base_version=1)
        except Conflict:
            return False
        return True

    assert at_once(change).count(True) == 1
    assert ToolVersion.objects.filter(tool=tool).count() == 2


def test_a_rename_reaches_the_rules_of_all_agents_while_they_change():
    caller = make_caller()
    tool = create_tool(caller=caller, draft=ToolDraft(source_code=SOURCE))
    agents = [make_agent(tool_rules=[{"type": "exit_loop", "tool_name": "act"}]) for _ in range(3)]
    for agent in agents:
        agent.tool_links.create(tool=tool, position=0)

    def rename(number: int) -> None:
        name = f"act_{number}"
        values = {
            "source_code": SOURCE.replace("act", name),
            "json_schema": {**tool.json_schema, "name": name},
        }
        update_tool(caller=caller, tool_id=tool.id, changes=ToolChanges(values=values))

    at_once(rename)
    name = Tool.objects.get(id=tool.id).name
    for agent in agents:
        agent.refresh_from_db()
        assert [rule["tool_name"] for rule in agent.tool_rules] == [name]
