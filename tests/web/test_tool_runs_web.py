"""Running what stands in a tool's editor: what reaches the sandbox, what is told meanwhile, and how it is stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from django.http import StreamingHttpResponse
from pytest_django import Settings

from letta_ade.core import threads
from tests.support.clients import LocalClient
from tests.support.factories import local_workspace, make_caller
from tests.support.fake_sandbox import FakeSandbox
from tools.models import Tool
from tools.sandbox.port import Isolation, Requirement, SandboxError, SandboxRequest, SandboxResult
from tools.services import tool_runs
from tools.services.tool_writes import ToolDraft, create_tool
from tools.web import tool_runs as tools_web_runs

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = '''def roll(sides: int, times: int = 1) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
        times: How often.
    """
    return "4"
'''


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> FakeSandbox:
    local_workspace()
    fake = FakeSandbox()
    monkeypatch.setattr(tool_runs, "sandbox", lambda: fake)
    return fake


@pytest.fixture
def client() -> LocalClient:
    return LocalClient()


def typed(**fields: str) -> dict[str, str]:
    return {
        "source_code": SOURCE.replace("\n", "\r\n"),
        "source_type": "python",
        "schema_mode": "source",
        "return_char_limit": "not a number, and no matter for a run",
        "run.arg.sides": "6",
    } | {
        name.replace("run__arg__", "run.arg.").replace("run__", "run."): value
        for name, value in fields.items()
    }


async def told(answer: Any) -> list[dict[str, Any]]:
    assert answer["Content-Type"] == "application/x-ndjson", answer.content
    parts = [part async for part in cast(AsyncIterator[bytes], answer.streaming_content)]
    return [json.loads(line) for line in b"".join(parts).splitlines() if line]


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def stored() -> Tool:
    tool = create_tool(caller=make_caller(), draft=ToolDraft(source_code=SOURCE))
    tool.metadata = {"sandbox": {"seconds": 5}}
    tool.save()
    return tool


async def test_the_text_of_the_editor_runs_before_it_is_saved(
    sandbox: FakeSandbox, client: LocalClient
) -> None:
    tool = await threads.run(stored)
    sandbox.result = SandboxResult(
        status="success", value={"eyes": [4]}, stdout="rolling <b>\n", duration_ms=12.0
    )
    changed = SOURCE.replace('"4"', '"5"')
    body = typed(source_code=changed, run__env="KEY=k", requirements="httpx==0.28.1")
    lines = await told(await client.post(f"/tools/{tool.id}/run/", body))
    (request,) = sandbox.requests
    assert (request.source, request.function, dict(request.arguments)) == (changed, "roll", {"sides": 6})
    assert dict(request.environment) == {"KEY": "k"}
    assert request.requirements == (Requirement(name="httpx", version="0.28.1"),)
    assert (request.tool_id, request.limits.seconds) == (tool.id, 5)
    assert (request.api, request.secrets) == (None, {})
    (done,) = lines
    assert (done["arguments"], done["state"], done["ms"]) == ({"sides": 6}, "ok", 12)
    assert "&quot;eyes&quot;: [" in done["html"]
    assert "rolling &lt;b&gt;" in done["html"]
    assert await threads.run(lambda: Tool.objects.get(id=tool.id).source_code) == SOURCE


async def test_a_new_tool_runs_and_is_not_stored(sandbox: FakeSandbox, client: LocalClient) -> None:
    lines = await told(await client.post("/tools/run/", typed()))
    assert lines[-1]["state"] == "ok"
    assert not await threads.run(Tool.objects.filter(tool_type="custom").exists)


async def test_a_tool_that_fails_says_where(sandbox: FakeSandbox, client: LocalClient) -> None:
    error = SandboxError(
        kind="exception", name="ValueError", message="no <die>", where=("line 3, in roll: x",)
    )
    sandbox.result = SandboxResult(status="error", error=error, stderr="Traceback …", duration_ms=3.0)
    (done,) = await told(await client.post("/tools/run/", typed()))
    assert done["state"] == "bad"
    for text in ("ValueError", "no &lt;die&gt;", "line 3, in roll: x", "Traceback …"):
        assert text in done["html"]


async def test_half_a_character_does_not_break_the_answer(sandbox: FakeSandbox, client: LocalClient) -> None:
    sandbox.result = SandboxResult(status="success", value="\ud800 and \0", stdout="\udcff")
    (done,) = await told(await client.post("/tools/run/", typed()))
    assert done["state"] == "ok"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run__arg__sides": ""}, "It is required."),
        ({"run__arg__sides": "six"}, "A whole number is wanted."),
        ({"run__shown": "json", "run__json": "{", "run__mode": "json"}, "This is not JSON: line 1"),
        ({"run__env": "nonsense"}, "Line 1 is not NAME=value."),
        ({"source_code": "def f(:"}, "The source does not parse"),
        ({"source_code": ""}, "A tool needs a source."),
        ({"source_code": "def f(x: int):\n    pass"}, "has no docstring"),
        ({"schema_mode": "json", "json_schema": "nonsense"}, "This is not JSON"),
        ({"schema_mode": "sideways"}, "Select a valid choice"),
        ({"source_type": "cobol"}, "Select a valid choice"),
    ],
)
async def test_what_cannot_run_is_told_and_nothing_runs(
    sandbox: FakeSandbox, client: LocalClient, fields: dict[str, str], message: str
) -> None:
    answer = await client.post("/tools/run/", typed(**fields))
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert sandbox.requests == []


async def test_packages_with_impossible_names_are_told(sandbox: FakeSandbox, client: LocalClient) -> None:
    (done,) = await told(await client.post("/tools/run/", typed(requirements="--index-url=x")))
    assert done["state"] == "bad"
    assert "Did not run" in done["html"]
    assert sandbox.requests == []


async def test_what_installing_says_is_told_while_it_says_it(
    sandbox: FakeSandbox, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = asyncio.Event()

    async def install(request: SandboxRequest) -> SandboxResult:
        assert request.on_install is not None
        await asyncio.to_thread(request.on_install, "Resolved 1 package\n")
        await seen.wait()
        return SandboxResult(status="success", value="done", install_log="Resolved 1 package\n")

    monkeypatch.setattr(sandbox, "run", install)
    answer = cast(StreamingHttpResponse, await client.post("/tools/run/", typed(requirements="httpx")))
    parts = aiter(cast(AsyncIterator[bytes], answer.streaming_content))
    assert json.loads(await anext(parts)) == {"log": "Resolved 1 package\n"}
    seen.set()
    last = [json.loads(part) async for part in parts if part.strip()][-1]
    assert "What installing said" in last["html"]


async def test_to_go_away_ends_the_call(
    sandbox: FakeSandbox, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def wait(request: SandboxRequest) -> SandboxResult:
        assert request.on_install is not None
        request.on_install("begun")
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("unreachable")

    monkeypatch.setattr(sandbox, "run", wait)
    answer = cast(StreamingHttpResponse, await client.post("/tools/run/", typed()))
    parts: Any = answer.streaming_content
    await anext(parts)
    # What Django's handler does when the browser has gone.
    reading = asyncio.create_task(anext(parts))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert ended.is_set()


async def test_the_form_follows_the_source_and_leaves_alone_what_fits_it_still(
    sandbox: FakeSandbox, client: LocalClient
) -> None:
    first = await client.post("/tools/arguments/", typed())
    mark = first.content.decode().split('name="run.mark"')[1].split('value="')[1].split('"')[0]
    same = await client.post("/tools/derive/", typed(run__mark=mark))
    assert "run-arguments" not in text_of(same)
    other = SOURCE.replace("times: int = 1", 'how: str = "loud"').replace("times: How", "how: How")
    changed = text_of(await client.post("/tools/derive/", typed(run__mark=mark, source_code=other)))
    assert 'hx-swap-oob="true"' in changed
    assert 'name="run.arg.how"' in changed
    assert 'value="6"' in changed
    broken = text_of(await client.post("/tools/derive/", typed(run__mark=mark, source_code="def")))
    assert "run-arguments" not in broken


async def test_who_may_only_read_runs_nothing(sandbox: FakeSandbox, sign_in: Any) -> None:
    from django.test import Client

    viewer: Client = await threads.run(sign_in, "viewer")
    tool = await threads.run(stored)
    for address in ("/tools/run/", f"/tools/{tool.id}/run/", "/tools/arguments/"):
        answer = await threads.run(viewer.post, address, typed())
        assert answer.status_code == 403
    page = await threads.run(viewer.get, f"/tools/{tool.id}/")
    assert "data-run=" not in page.content.decode()
    assert sandbox.requests == []


async def test_tools_of_others_and_of_the_server_do_not_run_here(
    sandbox: FakeSandbox, client: LocalClient
) -> None:
    assert (await client.post("/tools/tool-unknown/run/", typed())).status_code == 404
    await client.get("/tools/")
    builtin = await threads.run(Tool.objects.get, name="send_message")
    answer = await client.post(f"/tools/{builtin.id}/run/", typed())
    assert answer.status_code == 405
    assert sandbox.requests == []


async def test_a_run_without_a_sandbox_says_so(
    sandbox: FakeSandbox, client: LocalClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALLOW_UNSANDBOXED = True

    async def unsafe() -> Isolation:
        return Isolation(state="unsafe", summary="Nothing is between.")

    monkeypatch.setattr(tools_web_runs, "isolation", unsafe)
    (done,) = await told(await client.post("/tools/run/", typed()))
    assert "It ran without a sandbox." in done["html"]
    assert "Nothing is between." in done["html"]
    page = await client.get("/tools/new/")
    assert "only as far as this machine confines tools" in text_of(page)
