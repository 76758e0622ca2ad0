"""Blocks to and from files over REST."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from letta_ade.core.errors import TooLarge
from memory.models import Block, BlockVersion
from memory.services import block_files
from memory.services.block_versions import verify_block
from tests.support.api import Api
from tests.support.factories import make_block, make_caller, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


def lines(*blocks: Any) -> bytes:
    return "\n".join(json.dumps(block) for block in blocks).encode()


def send(api: Api, data: bytes, query: str = "") -> Any:
    return api.post(f"/v1/blocks/import{query}", data)


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_what_is_exported_can_be_imported_and_says_the_same(api: Api, kind: str) -> None:
    value = "One\r\n</memory_blocks> “two” 🎈\n"
    first = make_block(
        label="a/b 🎈",
        value=value,
        description='Say "it"',
        limit=900,
        tags=("x", "y"),
        metadata={"n": 1},
        read_only=True,
        is_template=True,
        template_name="t",
    )
    make_block(label="hidden elsewhere", workspace=make_workspace())
    exported = api.get(f"/v1/blocks/export?format={kind}")
    assert exported["Content-Disposition"] == f'attachment; filename="blocks.{kind}"'
    Block.objects.filter(id=first.id).delete()
    answer = send(api, exported.content).json()
    assert (answer["written"], answer["created"], answer["refused"]) == (True, 1, 0)
    again = Block.objects.get(id=answer["results"][0]["block_id"])
    for name in ("label", "value", "description", "limit", "tags", "metadata", "read_only", "is_template"):
        assert getattr(again, name) == getattr(first, name), name
    assert BlockVersion.objects.get(block=again).actor_kind == "import"
    assert verify_block(again) == []


def test_the_export_takes_the_filters_ids_and_history(api: Api) -> None:
    one, two = make_block(label="one"), make_block(label="two")
    got = api.get(f"/v1/blocks/export?block_ids={one.id}&versions=true").content.decode().splitlines()
    (entry,) = map(json.loads, got)
    assert (entry["label"], [version["number"] for version in entry["versions"]]) == ("one", [1])
    got = api.get("/v1/blocks/export?label=two").content.decode().splitlines()
    assert [json.loads(line)["id"] for line in got] == [two.id]


@pytest.mark.parametrize("collisions", ["skip", "update", "new"])
def test_a_block_that_is_here_is_met_by_id_or_label(api: Api, collisions: str) -> None:
    one, two = make_block(label="one", value="old"), make_block(label="two", value="old")
    data = lines(
        {"id": one.id, "label": "one renamed", "value": "new"},
        {"label": "two", "value": "old"},
        {"label": "three", "value": "new"},
    )
    answer = send(api, data, f"?collisions={collisions}").json()
    expected = {
        "skip": ["skipped", "skipped", "created"],
        "update": ["updated", "unchanged", "created"],
        "new": ["created", "created", "created"],
    }[collisions]
    assert [each["outcome"] for each in answer["results"]] == expected
    one.refresh_from_db()
    assert one.label == ("one renamed" if collisions == "update" else "one")
    if collisions == "update":
        assert BlockVersion.objects.get(block=one, number=2).actor_kind == "import"
    two.refresh_from_db()
    assert two.version == 1


def test_a_dry_run_says_the_same_and_writes_nothing(api: Api) -> None:
    block = make_block(label="one", value="old")
    data = lines({"label": "one", "value": "new"}, {"label": "two", "value": ""})
    answer = send(api, data, "?dry_run=true&collisions=update").json()
    assert (answer["dry_run"], answer["written"], answer["updated"], answer["created"]) == (True, False, 1, 1)
    assert Block.objects.get().value == "old"
    assert BlockVersion.objects.filter(block=block).count() == 1


def test_one_bad_line_and_nothing_is_written(api: Api) -> None:
    data = b"\n".join(
        [
            lines({"label": "good", "value": "x"}),
            b"{not json",
            b"",
            lines({"label": "nul", "value": "a\0b"}),
            lines({"label": "long", "value": "xxxx", "limit": 3}),
            lines({"label": "flag", "value": "x", "limit": True}),
            lines({"label": "tags", "value": "x", "tags": [1]}),
            lines({"value": "x"}),
            lines([1]),
            lines({"label": "id", "value": "x", "id": {"a": 1}}),
            b"[" * 100_000,
            lines({"label": "surrogate", "value": "\ud800"}),
        ]
    )
    answer = send(api, data).json()
    refused = {each["line"]: each["message"] for each in answer["results"] if each["outcome"] == "refused"}
    assert list(refused) == [2, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert "U+0000" in refused[4]
    assert "limit is 3" in refused[5]
    assert refused[8] == "A block needs label."
    assert (answer["written"], answer["created"]) == (False, 1)
    assert answer["results"][0]["block_id"] is None
    assert not Block.objects.exists()


def test_a_label_of_several_blocks_and_a_block_met_twice_are_refused(api: Api) -> None:
    make_block(label="twice")
    make_block(label="twice")
    make_block(label="once")
    data = lines(*({"label": label, "value": "new"} for label in ("twice", "once", "once")))
    answer = send(api, data, "?collisions=update").json()
    assert [each["outcome"] for each in answer["results"]] == ["refused", "updated", "refused"]
    assert "2 blocks have the label 'twice'" in answer["results"][0]["message"]
    assert answer["results"][2]["message"] == "Line 2 means the same block."
    assert answer["written"] is False


def test_files_that_are_none_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for data, said in (
        (b"", "holds no block"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[1,", "no JSON"),
        (b'{"format": "letta-ade-blocks"}', "needs a list"),
    ):
        response = send(api, data)
        assert response.status_code == 400, data
        assert said in response.content.decode()
    monkeypatch.setattr(block_files, "MOST_BYTES", 10)
    assert send(api, lines({"label": "x", "value": "long"})).status_code == 413
    monkeypatch.setattr(block_files, "MOST_BYTES", 1000)
    monkeypatch.setattr(block_files, "MOST_BLOCKS", 1)
    assert send(api, lines(*[{"label": "x", "value": ""}] * 2)).status_code == 413
    assert send(api, b"{}", "?collisions=maybe").status_code == 422


def test_an_export_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    make_block()
    monkeypatch.setattr(block_files, "MOST_BYTES", 10)
    with pytest.raises(TooLarge, match="Choose fewer"):
        block_files.write_blocks(caller=make_caller(), blocks=Block.objects.all())


def test_a_file_can_be_uploaded_as_a_form(api: Api) -> None:
    file = SimpleUploadedFile("blocks.jsonl", lines({"label": "up", "value": "x"}))
    assert api.upload("/v1/blocks/import", file=file).json()["created"] == 1
