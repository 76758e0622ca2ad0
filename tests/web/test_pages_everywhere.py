"""What holds for every page: strict policy, own files only, names for controls, text as text, a fixed number of queries."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, ProviderTrace
from agents.services.agent_versions import record_version
from letta_ade.llm.models import Provider
from memory.services.blocks import BlockChanges, BlockDraft, create_block, update_block
from memory.services.proposal_decisions import reject_proposal
from tests.support.factories import (
    make_agent,
    make_block,
    make_caller,
    make_conversation,
    make_message,
    make_run,
    make_step,
)
from tests.support.proposals import make_proposal
from tests.web.pages import Page
from tools.models import Tool
from tools.services.tool_writes import ToolChanges, ToolDraft, create_tool, update_tool
from tools.services.tools import ensure_builtin_tools

MARKUP = "<script>alert(1)</script><b onmouseover=alert(2)>&amp;"


@pytest.fixture
def furnished(browser: Client) -> dict[str, str]:
    """A workspace in which everything that people write holds markup; and the addresses of its pages."""
    caller = make_caller()
    ensure_builtin_tools(caller.workspace_id)
    block = create_block(
        caller=caller, draft=BlockDraft(label=MARKUP, value=MARKUP, description=MARKUP, limit=500)
    )
    update_block(caller=caller, block_id=block.id, changes=BlockChanges(value=f"{MARKUP}\nmore"))
    agent = make_agent(name=MARKUP, description=MARKUP, tags=[MARKUP], model=MARKUP, system=MARKUP)
    make_block(agent=agent, label=MARKUP, value=MARKUP)
    agent.block_links.create(block=block, position=7)
    record_version(caller, agent)
    Agent.objects.filter(id=agent.id).update(system=f"{MARKUP}\nmore")
    agent.refresh_from_db()
    record_version(caller, agent)
    run = make_run(conversation=make_conversation(agent=agent), status="failed", stop_reason=MARKUP)
    step = make_step(run=run, model_handle=MARKUP, prompt_tokens=10)
    make_message(conversation=run.conversation, run=run, step=step, role="assistant", text=MARKUP)
    sent = json.dumps({"messages": [{"role": "user", "content": MARKUP}], "tools": [{"name": MARKUP}]})
    ProviderTrace.objects.create(
        workspace=run.workspace, run=run, step=step, request_text=sent, request_hash=MARKUP[:60]
    )
    tool = Tool.objects.filter(workspace_id=caller.workspace_id, name="memory_insert").get()
    source = f'def act(x: int):\n    """{MARKUP}\n\n    Args:\n        x: {MARKUP}\n    """\n'
    own = create_tool(caller=caller, draft=ToolDraft(source_code=source, tags=(MARKUP,)))
    own.agent_links.create(agent=agent, position=0)
    changed = {"source_code": source.replace("x: int", "x: str")}
    update_tool(caller=caller, tool_id=own.id, changes=ToolChanges(values=changed))
    provider = Provider.objects.create(
        workspace_id=caller.workspace_id,
        name=MARKUP,
        provider_type="vllm",
        base_url="http://127.0.0.1:9",
        last_asked=timezone.now(),
        last_error=MARKUP,
    )
    make_agent(name=MARKUP, model=f"{MARKUP}/{MARKUP}")
    proposal = make_proposal(agent=agent, value=MARKUP, label=MARKUP, excerpt=MARKUP, tool_name=MARKUP)
    rejected = make_proposal(agent=agent, value=MARKUP, label=MARKUP)
    reject_proposal(caller=caller, proposal_id=rejected.id, reason=MARKUP)
    return {
        "home": "/",
        "agents": "/agents/",
        "filtered": f"/agents/?q={MARKUP}&tag={MARKUP}&model={MARKUP}".replace("&amp;", "%26amp;"),
        "peek": f"/agents/?peek={agent.id}",
        "new agent": "/agents/new/",
        "delete agent": f"/agents/{agent.id}/delete/",
        "versions of agent": f"/agents/{agent.id}/versions/",
        "version of agent": f"/agents/{agent.id}/versions/1/",
        "search": f"/search/?q={MARKUP}".replace("&amp;", "%26amp;"),
        "inbox": f"/inbox/?agent={MARKUP}&open={MARKUP}&kind=approval",
        "runs": f"/runs/?agent={MARKUP}&stop={MARKUP}".replace("&amp;", "%26amp;"),
        "run peek": f"/runs/?peek={run.id}",
        "run": f"/runs/{run.id}/",
        "run tree": f"/runs/{run.id}/?view=tree&side=context&at={step.id}",
        "context": f"/agents/{agent.id}/steps/{step.id}/context/",
        "context json": f"/agents/{agent.id}/steps/{step.id}/context/?view=json",
        "difference": f"/agents/{agent.id}/steps/{step.id}/context/?with={step.id}",
        "next context": f"/agents/{agent.id}/context/next/",
        "proposal beside the inbox": f"/inbox/?open={proposal.id}",
        "proposal": f"/proposals/{proposal.id}/",
        "rejected proposal": f"/proposals/{rejected.id}/",
        "proposals of block": f"/blocks/{proposal.block_id}/proposals/",
        "policy of block": f"/blocks/{proposal.block_id}/policy/",
        "blocks": "/blocks/",
        "new block": "/blocks/new/",
        "block": f"/blocks/{block.id}/",
        "version": f"/blocks/{block.id}/versions/2/",
        "value": f"/blocks/{block.id}/versions/1/?show=value",
        "compare": f"/blocks/{block.id}/compare/1/2/",
        "take out": f"/blocks/{block.id}/revert/?actor={caller.id}",
        "written": f"/agents/written/{block.id}/2/",
        "delete block": f"/blocks/{block.id}/delete/",
        "tools": "/tools/",
        "tool": f"/tools/{tool.id}/",
        "new tool": "/tools/new/",
        "own tool": f"/tools/{own.id}/",
        "version of tool": f"/tools/{own.id}/versions/2/",
        "delete tool": f"/tools/{own.id}/delete/",
        "account": "/settings/account/",
        "keys": "/settings/keys/",
        "providers": "/settings/providers/",
        "new provider": "/settings/providers/new/?provider_type=bedrock",
        "provider": f"/settings/providers/{provider.id}/",
        "models of a provider": f"/settings/providers/{provider.id}/models/",
        "delete provider": f"/settings/providers/{provider.id}/delete/",
        "about": "/settings/about/",
        "sign in": "/login/",
        "missing": "/nothing/here/",
    }


PAGES = (
    "home", "agents", "filtered", "peek", "new agent", "delete agent", "versions of agent", "version of agent",
    "search", "inbox", "runs", "run peek", "run", "run tree", "context", "context json", "difference",
    "next context", "blocks", "new block", "block", "version", "value", "compare", "take out", "delete block",
    "tools", "tool", "new tool", "own tool", "version of tool", "delete tool", "account",
    "keys", "providers", "new provider", "provider", "models of a provider", "delete provider", "about",
    "sign in", "missing",
)  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_a_page_keeps_the_rules_of_all_pages(browser: Client, furnished: dict[str, str], name: str) -> None:
    response = browser.get(furnished[name])
    assert response.status_code == (404 if name == "missing" else 200)
    html = response.content.decode()
    page = Page(html)
    _check_policy(response.headers["Content-Security-Policy"])
    _check_nothing_inline(page)
    _check_own_files(page)
    _check_outline(page)
    _check_controls(page)
    assert "<script>alert" not in html
    assert "onmouseover=alert(2)>" not in html
    assert "no-cache" in response.headers["Cache-Control"]


def _check_policy(policy: str) -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert "*" not in policy


def _check_nothing_inline(page: Page) -> None:
    for element in page.elements:
        assert "style" not in element.attributes, f"{element.tag} has a style"
        handlers = [name for name in element.attributes if name.startswith("on")]
        assert not handlers, f"{element.tag} has {handlers}"
        if element.tag == "script":
            assert element.attributes.get("src"), "an inline script"
        assert element.tag != "style"


def _check_own_files(page: Page) -> None:
    for address in page.addresses():
        assert address.startswith(settings.STATIC_URL), f"{address} is not ours"
        path, _, mark = address.removeprefix(settings.STATIC_URL).split("#")[0].partition("?")
        assert finders.find(path), f"{path} does not exist"
        assert mark.startswith("v="), f"{address} would be kept after an upgrade"


def _check_outline(page: Page) -> None:
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert page.all("html")[0].attributes["lang"] == "en"
    assert page.all("title")[0].text.endswith("Letta ADE")
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids)), (
        f"ids are there twice: {sorted(each for each in ids if ids.count(each) > 1)}"
    )
    for element in page.elements:
        if element.tag in {"nav", "aside"} and "hidden" not in element.attributes:
            assert {"aria-label", "aria-labelledby"} & element.attributes.keys(), (
                f"a {element.tag} without a name"
            )


def _check_controls(page: Page) -> None:
    labelled = {element.attributes.get("for") for element in page.all("label")}
    for element in page.elements:
        attributes = element.attributes
        if element.tag in {"input", "select", "textarea"} and attributes.get("type") != "hidden":
            is_named = (
                attributes.get("aria-label") or attributes.get("id") in labelled or "label" in element.parents
            )
            assert is_named, f"{element.tag} {attributes} has no label"
        if element.tag in {"button", "a"}:
            assert element.text.strip() or attributes.get("aria-label"), (
                f"{element.tag} {attributes} has no name"
            )
        for reference in attributes.get("aria-describedby", "").split():
            page.by_id(reference)


def test_every_post_form_carries_its_token(browser: Client, furnished: dict[str, str]) -> None:
    for name in (
        "new agent", "delete agent", "new block", "block", "delete block", "new tool", "own tool", "delete tool",
        "keys", "new provider", "provider",
        "delete provider", "sign in",
    ):  # fmt: skip
        html = browser.get(furnished[name]).content.decode()
        assert html.count('method="post"') == html.count('name="csrfmiddlewaretoken"'), name


#: Queries of a page on this data. A number may only go down.
QUERIES = {
    "home": 11,
    "agents": 8,
    "peek": 17,
    "new agent": 8,
    "run peek": 15,
    "run": 20,
    "context": 14,
    "blocks": 5,
    "block": 9,
    "version": 8,
    "compare": 8,
    "take out": 6,
    "tools": 3,
    "tool": 2,
    "own tool": 4,
    "version of tool": 5,
    "account": 1,
    "keys": 3,
    "providers": 5,
    "provider": 3,
    "models of a provider": 4,
    "about": 2,
}


@pytest.mark.parametrize(("name", "most"), QUERIES.items())
def test_a_page_asks_the_database_no_more_than_before(
    browser: Client, furnished: dict[str, str], name: str, most: int
) -> None:
    with CaptureQueriesContext(connection) as asked:
        browser.get(furnished[name])
    assert len(asked) <= most, "\n".join(query["sql"][:160] for query in asked)


def test_more_rows_need_no_more_queries(browser: Client, furnished: dict[str, str]) -> None:
    def count(address: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            browser.get(address)
        return len(asked)

    before = [count(furnished[name]) for name in ("agents", "blocks", "home")]
    for _ in range(12):
        agent = make_agent()
        make_block(agent=agent)
        make_step(run=make_run(conversation=make_conversation(agent=agent)))
    assert [count(furnished[name]) for name in ("agents", "blocks", "home")] == before


def _templates() -> Iterator[Path]:
    yield from Path(settings.ASSETS_DIR, "templates").rglob("*.html")


def test_every_icon_of_a_template_is_in_the_sprite() -> None:
    sprite = Path(settings.ASSETS_DIR, "static/vendor/icons.svg").read_text()
    known = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    for template in _templates():
        text = template.read_text()
        used = set(re.findall(r'{% icon "([^"]+)"', text)) | set(
            re.findall(r"icons\.svg' %}#([a-z0-9-]+)\"", text)
        )
        assert used <= known, f"{template.name}: {used - known}"


def test_no_template_has_an_inline_style_or_script() -> None:
    for template in _templates():
        text = template.read_text()
        assert not re.search(r"\sstyle=", text), template
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), template
        assert not re.search(r"\s(hx-on[:=]|on[a-z]+=)", text), template


def test_the_vendored_files_are_what_is_pinned() -> None:
    remake = runpy.run_path(str(Path(settings.ASSETS_DIR, "static/vendor/remake.py")))
    wrong = {name: found for name, (wanted, found) in remake["hashes"]().items() if found != wanted}
    assert not wrong


def test_our_own_classes_are_not_tablers() -> None:
    """From Tabler only these are restyled; a class of its that we used by accident would look like it (design.md)."""
    restyled = {
        "btn", "btn-primary", "btn-sm", "form-control", "form-select", "form-check-input", "small",
    }  # fmt: skip
    tabler = set(
        re.findall(
            r"\.([a-zA-Z][\w-]*)", Path(settings.ASSETS_DIR, "static/vendor/tabler.min.css").read_text()
        )
    )
    for name in ("ade.css", "pages.css"):
        ours = set(
            re.findall(r"\.([a-zA-Z][\w-]*)", Path(settings.ASSETS_DIR, "static/css", name).read_text())
        )
        assert ours & tabler <= restyled, f"{name}: {sorted((ours & tabler) - restyled)}"


def test_static_files_are_sent_whole_and_kept_when_they_are_stamped(browser: Client) -> None:
    stamped = browser.get("/static/css/tokens.css?v=1")
    assert (stamped.status_code, stamped.streaming) == (200, False)
    assert stamped.headers["Content-Type"].startswith("text/css")
    assert "immutable" in stamped.headers["Cache-Control"]
    plain = browser.get("/static/js/behaviors/notices.js")
    assert plain.headers["Cache-Control"] == "no-cache"
    again = browser.get(
        "/static/js/behaviors/notices.js",
        headers={"If-None-Match": plain.headers["ETag"]}
        if "ETag" in plain.headers
        else {"If-Modified-Since": plain.headers["Last-Modified"]},
    )
    assert (again.status_code, again.content) == (304, b"")
    assert browser.get("/static/nothing.css").status_code == 404
