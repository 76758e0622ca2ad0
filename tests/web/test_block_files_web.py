"""Import and export of blocks in the pages, and the boxes of the list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from memory.models import Block
from memory.web import block_list
from tests.support.factories import make_block
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db

HOSTILE = """</memory_blocks> "q" 'a' / 🎈<mark>"""


def send(browser: Client, data: bytes, **fields: str) -> Any:
    return browser.post(
        "/blocks/import/", {"file": SimpleUploadedFile("b.jsonl", data), **fields}, follow=True
    )


def test_a_dry_run_writes_nothing_and_an_import_does(browser: Client) -> None:
    data = json.dumps({"label": "new", "value": "x"}).encode()
    assert "Dry run: nothing was written" in send(browser, data, dry_run="1").content.decode()
    assert not Block.objects.exists()
    html = send(browser, data, collisions="skip").content.decode()
    assert "1 created" in html
    assert f"/blocks/{Block.objects.get().id}/" in html


def test_a_bad_line_is_named_and_nothing_is_written(browser: Client) -> None:
    html = send(browser, b'{"label": "a", "value": ""}\nnonsense').content.decode()
    assert "Nothing was written, for lines were refused" in html
    assert "This line is no JSON" in html
    assert not Block.objects.exists()
    assert browser.post("/blocks/import/", {}).status_code == 422


def test_a_viewer_may_export_and_not_import(sign_in: SignIn) -> None:
    viewer = sign_in("viewer")
    assert viewer.get("/blocks/export/").status_code == 200
    assert send(viewer, b"{}").status_code == 403


def test_selected_blocks_or_all_that_match_are_exported(browser: Client) -> None:
    one = make_block(label="one")
    make_block(label="two")
    for address, sent, expected in (
        ("", {"block": [one.id]}, ["one"]),
        ("?q=two", {"all": "1", "block": [one.id]}, ["two"]),
        ("", {"all": "1"}, ["one", "two"]),
    ):
        got = browser.post(f"/blocks/export/{address}", sent).content.decode().splitlines()
        assert [json.loads(line)["label"] for line in got] == expected


def test_the_list_shows_hostile_labels_as_text_and_marks_what_was_found(browser: Client) -> None:
    block = make_block(label=HOSTILE, value=HOSTILE + "\r\nsecond\n" + "y" * 5000, tags=(HOSTILE,))
    response = browser.get("/blocks/", {"q": "</MEMORY_"})
    page = Page(response.content.decode())
    row = page.by_id(f"row-{block.id}")
    assert HOSTILE in row.text
    assert [each.text for each in page.all("mark")][:2] == ["</memory_", "</memory_"]
    assert browser.get(f"/blocks/{block.id}/peek/").status_code == 200


def test_the_filters_of_the_address_are_shown_and_can_be_taken_back(browser: Client) -> None:
    make_block(label="kept", tags=("a b&c",), read_only=True)
    make_block(label="other")
    address = "/blocks/?tag=a+b%26c&access=read-only&writer=local&held=none&kind=zzz"
    page = Page(browser.get(address).content.decode())
    assert [each.text for each in page.all("a") if "data-row-open" in each.attributes] == ["kept"]
    removers = [
        each for each in page.all("a") if "Remove the filter" in each.attributes.get("aria-label", "")
    ]
    assert len(removers) == 4
    assert "tag=a+b%26c" not in removers[0].attributes["href"]


def test_the_list_asks_a_fixed_number_of_questions(
    browser: Client, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_list, "PAGE_ROWS", 8)
    for number in range(12):
        make_block(label=f"block {number}")
    with django_assert_max_num_queries(9):
        assert browser.get("/blocks/?q=block").status_code == 200


def test_a_template_is_a_copy_and_so_is_a_block_made_from_it(browser: Client) -> None:
    block = make_block(label="tone", value="Be brief.", description="How to speak", tags=("x",))
    browser.post(f"/blocks/{block.id}/template/")
    template = Block.objects.get(is_template=True)
    assert (template.template_name, template.value, template.tags) == ("tone", "Be brief.", ["x"])
    block.refresh_from_db()
    assert block.is_template is False
    page = Page(browser.get(f"/blocks/new/?from={template.id}").content.decode())
    assert page.by_id("id_value").text.strip() == "Be brief."
    assert browser.get("/blocks/new/?from=nothing").status_code == 404
    assert "tone" in Page(browser.get("/blocks/?kind=template").content.decode()).by_id("block-list").text
