"""Writing a tool in the browser: its schema beside it, errors on their lines, saving."""

from __future__ import annotations

import re

import pytest
from letta_client import Letta
from playwright.sync_api import Locator, Page, expect

from tests.browser.bench import expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tools.models import Tool, ToolVersion

SOURCE = '''def roll(sides: int, times: int = 1) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
        times: How often.
    """
    return "4"
'''
DICE = '''import time
from typing import Literal


def roll(sides: int, how: Literal["soft", "loud"] = "soft") -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
        how: The way it is thrown.
    """
    print("rolling")
    return f"{how} {sides} of 1 die"
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


def test_a_tool_is_run_with_its_form_and_the_last_arguments_are_kept(page: Page, sdk: Letta) -> None:
    tool = sdk.tools.create(source_code=DICE)
    page.goto(f"/tools/{tool.id}/")
    pane = page.get_by_role("region", name="Run")
    pane.get_by_role("button", name="Run", exact=False).first.click()
    expect(pane.get_by_text("It is required.")).to_be_visible()
    sides = pane.get_by_role("textbox", name=re.compile("^sides"))
    sides.fill("six")
    sides.press("Enter")
    expect(pane.get_by_text("A whole number is wanted.")).to_be_visible()
    sides.fill("6")
    pane.get_by_role("combobox", name=re.compile("^how")).select_option("loud")
    page.keyboard.press("ControlOrMeta+Enter")
    expect(pane.locator("#run-outcome")).to_contain_text("loud 6 of 1 die")
    expect(pane.locator("#run-outcome")).to_contain_text("rolling")
    expect(pane.locator(".field-error")).to_have_count(0)
    # What was typed for a run is no change of the tool.
    expect(page.get_by_text("Not saved")).to_be_hidden()
    page.reload()
    expect(sides).to_have_value("6")
    pane.locator("#run-arguments").get_by_text("JSON").click()
    expect(pane.get_by_label("Arguments, JSON")).to_have_value('{\n  "sides": 6,\n  "how": "loud"\n}')
    assert Tool.objects.get(id=tool.id).source_code == DICE


def test_a_run_is_stopped(page: Page, sdk: Letta) -> None:
    tool = sdk.tools.create(source_code=DICE.replace("print(", "time.sleep(100) or print("))
    page.goto(f"/tools/{tool.id}/")
    pane = page.get_by_role("region", name="Run")
    pane.get_by_role("textbox", name=re.compile("^sides")).fill("6")
    page.keyboard.press("ControlOrMeta+Enter")
    expect(pane.locator("#run-outcome")).to_contain_text("Running")
    pane.get_by_role("button", name="Stop").click()
    expect(pane.locator("#run-outcome")).to_contain_text("Stopped")
    expect(pane.get_by_role("button", name="Run", exact=False).first).to_be_enabled()


def test_a_tool_is_written_run_attached_and_called_by_an_agent(
    editor: Page, open_page: OpenPages, sdk: Letta
) -> None:
    agent = sdk.agents.create(name="dealer", model="demo/assistant")
    _write(editor, DICE)
    pane = editor.get_by_role("region", name="Run")
    sides = pane.get_by_role("textbox", name=re.compile("^sides"))
    expect(sides).to_be_visible()
    sides.fill("20")
    editor.keyboard.press("ControlOrMeta+Enter")
    expect(pane.locator("#run-outcome")).to_contain_text("soft 20 of 1 die")
    editor.get_by_role("button", name="Create tool").click()
    editor.get_by_role("combobox", name="Agent", exact=True).select_option("dealer")
    editor.get_by_role("button", name="Attach").click()
    expect(editor.get_by_role("button", name="Detach from dealer")).to_be_visible()
    with workbench(open_page, agent) as page:
        say(page, '/call roll {"sides": "12", "how": "loud"}')
        expect_end(page)
        call = page.locator("details.call", has_text="roll").last
        call.locator("summary").click()
        expect(call).to_contain_text("loud 12 of 1 die")


def test_on_a_phone_a_run_has_its_tab(open_page: OpenPages, sdk: Letta) -> None:
    tool = sdk.tools.create(source_code=DICE)
    with open_page(f"/tools/{tool.id}/", width=390, height=844) as page:
        pane = page.get_by_role("region", name="Run")
        expect(pane).to_be_hidden()
        page.locator(".pane-tabs").get_by_text("Run").click()
        pane.get_by_role("textbox", name=re.compile("^sides")).fill("6")
        pane.get_by_role("button", name="Run").click()
        expect(pane.locator("#run-outcome")).to_contain_text("soft 6 of 1 die")
