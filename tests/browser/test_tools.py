"""Writing a tool in the browser: its schema beside it, errors on their lines, saving."""

from __future__ import annotations

import re

import pytest
from letta_client import Letta
from playwright.sync_api import Locator, Page, expect

from tools.models import Tool, ToolVersion

SOURCE = '''def roll(sides: int, times: int = 1) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
        times: How often.
    """
    return "4"
'''


@pytest.fixture
def editor(page: Page) -> Page:
    """The page of a new tool, with an empty editor that has the focus."""
    page.goto("/tools/")
    page.get_by_role("link", name="New tool").click()
    _source_of(page).click()
    _write(page, "")
    return page


def test_a_tool_is_written_and_its_schema_is_seen_beside_it(editor: Page) -> None:
    schema = editor.locator("#tool-schema")
    _write(editor, SOURCE.replace('"""Roll', '"Roll'))
    expect(schema).to_contain_text(re.compile(r"Line \d+\. The source does not parse"))
    expect(editor.locator(".cm-lint-marker-error")).to_have_count(1)
    _write(editor, SOURCE)
    expect(schema).to_contain_text("How many sides it has.")
    expect(schema.locator(".chip", has_text="required")).to_have_count(1)
    expect(editor.locator(".cm-lint-marker-error")).to_have_count(0)
    expect(editor.get_by_text("Not saved")).to_be_visible()
    editor.get_by_role("checkbox", name="Ask a person before each call").check()
    editor.get_by_role("textbox", name="Tags").fill("dice")
    editor.get_by_role("button", name="Create tool").click()
    expect(editor).to_have_url(re.compile(r"/tools/tool-[0-9a-f-]+/$"))
    tool = Tool.objects.get(tool_type="custom")
    assert (tool.name, tool.source_code, tool.tags) == ("roll", SOURCE, ["dice"])
    assert tool.default_requires_approval is True


def test_keys_that_are_typed_in_the_editor_stay_there_and_save(page: Page, sdk: Letta) -> None:
    tool = sdk.tools.create(source_code=SOURCE)
    page.goto(f"/tools/{tool.id}/")
    _source_of(page).click()
    page.keyboard.press("ControlOrMeta+End")
    # `g` and `b` would go to the blocks anywhere else.
    page.keyboard.type("# gb")
    expect(page.get_by_text("Not saved")).to_be_visible()
    assert page.url.endswith(f"/tools/{tool.id}/")
    page.keyboard.press("ControlOrMeta+s")
    expect(page.get_by_role("link", name="v2")).to_be_visible()
    assert (Tool.objects.get(id=tool.id).source_code or "").endswith("# gb")


def test_a_version_is_put_back(page: Page, sdk: Letta) -> None:
    tool = sdk.tools.create(source_code=SOURCE)
    sdk.tools.update(tool.id, source_code=SOURCE.replace('"4"', '"6"'))
    page.goto(f"/tools/{tool.id}/")
    page.get_by_role("link", name="History").click()
    page.locator("#versions").get_by_role("link", name="v1").click()
    page.get_by_role("button", name="Restore v1").click()
    expect(page.get_by_role("link", name="v3")).to_be_visible()
    assert Tool.objects.get(id=tool.id).source_code == SOURCE
    assert ToolVersion.objects.get(tool_id=tool.id, number=3).restored_from == 1


def test_the_list_filters_while_one_types_and_by_kind(page: Page, sdk: Letta) -> None:
    sdk.tools.create(source_code=SOURCE)
    page.goto("/tools/")
    page.get_by_label("Filter tools").press_sequentially("rol")
    expect(page.locator("#tool-count")).to_have_text("1")
    expect(page.get_by_role("link", name="Custom 1")).to_be_visible()
    page.get_by_role("link", name="Built in 0").click()
    expect(page.get_by_text("Nothing matches “rol”")).to_be_visible()


def _source_of(page: Page) -> Locator:
    """The editor; until its script has run there is a plain field."""
    return page.locator(".cm-content[aria-label=Source]")


def _write(page: Page, text: str) -> None:
    """Replace everything. Chromium styles what is typed over a selection of several lines, and the policy forbids that: empty it first."""
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)
