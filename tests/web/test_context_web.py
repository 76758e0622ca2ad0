"""The pages of the exact context: a step's request by parts, beside another one's, over time, and the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent, Compaction, ProviderTrace, Step
from agents.services.agents import AgentDraft, create_agent
from agents.services.request_segments import measure_request
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, installed
from memory.rendering import BlockView, render_blocks
from memory.services.blocks import BlockChanges, BlockDraft, update_block
from tests.support.factories import make_agent, make_caller, make_run, make_step, make_workspace
from tests.web.pages import Page

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> Iterator[Agent]:
    with installed(model := ScriptedModel()):
        draft = AgentDraft(
            name="desk", model=model.handle, blocks=(BlockDraft(label="human", value="Likes tea."),)
        )
        yield create_agent(caller=make_caller(), draft=draft)


def payload(*words: str, block: str = "Likes tea.", instructions: str = "Be kind.") -> dict[str, Any]:
    """A request: the system message with a block, one tool, and these words of a user."""
    blocks = render_blocks(
        [BlockView(label="human", value=block, description="", limit=100, read_only=False)]
    )
    tool = {"type": "function", "function": {"name": "look_up", "description": "Finds.", "parameters": {}}}
    said = [{"role": "user", "content": each} for each in words]
    system = {"role": "system", "content": f"{instructions}\n\n{blocks}"}
    return {"model": "m", "messages": [system, *said], "tools": [tool]}


def sent(agent: Agent, request: dict[str, Any], **fields: Any) -> Step:
    """A step of the agent's default conversation in which this was sent."""
    conversation = agent.conversations.get(is_default=True)
    text = json.dumps(request)
    values: dict[str, Any] = {
        "prompt_tokens": 1000,
        "segments": measure_request(text),
        "context_window_limit": 4000,
    }
    step = make_step(run=make_run(conversation=conversation), **(values | fields))
    ProviderTrace.objects.create(
        workspace=agent.workspace,
        step=step,
        run=step.run,
        request_text=text,
        request_hash=hashlib.sha256(text.encode()).hexdigest(),
    )
    return step


def address(step: Step, query: str = "") -> str:
    return f"/agents/{step.agent_id}/steps/{step.id}/context/{query}"


def words_of(response: Any) -> str:
    return " ".join(Page(response.content.decode()).by_id("main").text.split())


class TestAStep:
    def test_its_request_is_shown_by_segments_with_the_providers_count(
        self, browser: Client, agent: Agent
    ) -> None:
        words = words_of(browser.get(address(sent(agent, payload("Hello", "Again")))))
        assert "1,000tokens sent, counted by the provider" in words
        for each in ("Be kind.", "look_up", "human", "Hello", "Again"):
            assert each in words

    def test_the_shares_add_up_to_the_count(self, browser: Client, agent: Agent) -> None:
        page = Page(browser.get(address(sent(agent, payload("Hello")))).content.decode())
        legend = [each.text for each in page.all("li") if "seg-" not in each.attributes.get("class", "")]
        figures = [int("".join(filter(str.isdigit, text))) for text in legend if any(map(str.isdigit, text))]
        assert sum(figures) == pytest.approx(1000, abs=3)

    def test_a_request_that_nobody_touched_is_identical_to_what_was_sent(
        self, browser: Client, agent: Agent
    ) -> None:
        step = sent(agent, payload("Hello"))
        html = browser.get(address(step)).content.decode()
        assert "Identical to what was sent" in html
        assert step.traces.get().request_hash in html

    def test_a_request_that_was_changed_behind_our_back_is_told_from_its_hash(
        self, browser: Client, agent: Agent
    ) -> None:
        step = sent(agent, payload("Hello"))
        ProviderTrace.objects.filter(step=step).update(request_text=json.dumps(payload("Bye")))
        html = browser.get(address(step)).content.decode()
        assert "Identical to what was sent" not in html
        assert "was changed after it was sent" in html

    def test_a_block_is_shown_with_the_version_that_was_sent(self, browser: Client, agent: Agent) -> None:
        step = sent(agent, payload("Hello"))
        block = agent.blocks.get(label="human")
        update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="Likes coffee."))
        html = browser.get(address(step)).content.decode()
        assert f"/blocks/{block.id}/versions/1/" in html
        assert "v2 is current" in html

    def test_a_step_that_was_not_counted_says_that_it_is_an_estimate(
        self, browser: Client, agent: Agent
    ) -> None:
        words = words_of(browser.get(address(sent(agent, payload("Hello"), prompt_tokens=0))))
        assert "an estimate: the provider counted nothing" in words

    def test_the_json_is_what_was_sent(self, browser: Client, agent: Agent) -> None:
        request = payload("Hello <b>")
        page = Page(browser.get(address(sent(agent, request), "?view=json")).content.decode())
        assert json.loads(page.by_id("request-json").text) == request

    def test_neighbours_and_the_run_are_linked(self, browser: Client, agent: Agent) -> None:
        steps = [sent(agent, payload("Hello")) for _ in range(3)]
        html = browser.get(address(steps[1])).content.decode()
        assert address(steps[0]) in html
        assert address(steps[2]) in html
        assert f"/runs/{steps[1].run_id}/?at={steps[1].id}" in html

    def test_the_parts_alone_are_for_the_pane_of_a_run(self, browser: Client, agent: Agent) -> None:
        page = Page(browser.get(address(sent(agent, payload("Hello")), "parts/")).content.decode())
        assert page.elements[0].attributes["id"] == "step-context"

    def test_what_is_not_this_agents_is_not_found(self, browser: Client, agent: Agent) -> None:
        step = sent(agent, payload("Hello"))
        other = make_agent()
        foreign = make_step(run=make_run())
        assert browser.get(f"/agents/{other.id}/steps/{step.id}/context/").status_code == 404
        assert browser.get(f"/agents/{agent.id}/steps/{foreign.id}/context/").status_code == 404
        assert browser.get(f"/agents/{agent.id}/steps/{new_id('step')}/context/").status_code == 404

    def test_another_workspaces_step_is_not_found(self, browser: Client) -> None:
        foreign = make_agent(workspace=make_workspace())
        assert browser.get(f"/agents/{foreign.id}/steps/{new_id('step')}/context/").status_code == 404

    def test_a_step_of_which_no_request_was_kept_is_not_found(self, browser: Client, agent: Agent) -> None:
        step = make_step(run=make_run(conversation=agent.conversations.get()))
        assert browser.get(address(step)).status_code == 404

    def test_the_page_needs_a_fixed_number_of_queries(
        self, browser: Client, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        steps = [sent(agent, payload("Hello")) for _ in range(6)]
        with django_assert_num_queries(17):
            browser.get(address(steps[4]))


class TestADifference:
    def test_what_came_and_went_is_shown_by_segments(self, browser: Client, agent: Agent) -> None:
        before = sent(agent, payload("Hello"))
        after = sent(agent, payload("Hello", "Again", block="Likes coffee."), prompt_tokens=1200)
        page = Page(browser.get(address(after, f"?with={before.id}")).content.decode())
        words = " ".join(page.by_id("main").text.split())
        rows = [each for each in page.all("div") if "data-op" in each.attributes]
        changed = {
            (each.attributes["data-op"], each.text.split("removed")[-1].split("added")[-1].strip())
            for each in rows
        }
        assert ("del", "Likes tea.") in changed
        assert ("add", "Likes coffee.") in changed
        assert ("add", "Again") in changed
        assert "+200 tokens" in words
        assert "prefix changed before the messages" in words

    def test_a_context_that_only_grew_keeps_its_prefix(self, browser: Client, agent: Agent) -> None:
        sent(agent, payload("Hello"))
        after = sent(agent, payload("Hello", "Again"))
        words = words_of(browser.get(address(after)))
        assert "prefix unchanged to message 1" in words
        assert "nothing evicted" in words

    def test_any_two_steps_can_be_compared(self, browser: Client, agent: Agent) -> None:
        first, _, third = (sent(agent, payload(str(number))) for number in range(3))
        assert "Step 1 to 3" in words_of(browser.get(address(third, f"?with={first.id}")))

    def test_with_an_unknown_step_there_is_none(self, browser: Client, agent: Agent) -> None:
        assert (
            browser.get(address(sent(agent, payload("Hello")), f"?with={new_id('step')}")).status_code == 404
        )


class TestOverTime:
    def test_the_strip_of_the_workbench_stacks_segments_and_leads_to_the_exact_request(
        self, browser: Client, agent: Agent
    ) -> None:
        steps = [sent(agent, payload("Hello")), sent(agent, payload("Hello", "Again"))]
        page = Page(browser.get(f"/agents/{agent.id}/").content.decode())
        columns = [
            each.attributes["href"] for each in page.all("a") if each.attributes.get("class") == "ctx-col"
        ]
        assert columns == [address(step) for step in steps]
        pieces = [
            each.attributes
            for each in page.all("rect")
            if "ctx-seg" in each.attributes.get("class", "")
            and "y" in each.attributes
            and each.attributes["y"] != "0"
        ]
        assert {each["class"].split()[-1] for each in pieces} == {
            "seg-system",
            "seg-tools",
            "seg-blocks",
            "seg-messages",
        }

    def test_a_step_that_nobody_measured_is_one_bar(self, browser: Client, agent: Agent) -> None:
        for _ in range(2):
            sent(agent, payload("Hello"), segments=None)
        assert browser.get(f"/agents/{agent.id}/").content.decode().count('class="ctx-whole"') == 2

    def test_a_compaction_is_marked_and_its_eviction_told(self, browser: Client, agent: Agent) -> None:
        conversation = agent.conversations.get()
        first = sent(agent, payload("Hello"))
        compaction = Compaction.objects.create(
            workspace=agent.workspace, agent=agent, conversation=conversation, summary="They said hello.", trigger="manual",
            mode="partial", tokens_before=1000, tokens_after=400, messages_before=9, messages_after=3, context_window=4000,
        )  # fmt: skip
        after = sent(agent, payload("Again"), prompt_tokens=500)
        strip = browser.get(f"/agents/{agent.id}/").content.decode()
        assert f"{address(after)}#{compaction.id}" in strip
        assert "600 tokens evicted" in strip
        words = words_of(browser.get(address(after)))
        assert "Compacted before this step" in words
        assert "They said hello." in words
        assert "They said hello." not in words_of(browser.get(address(first)))


class TestTheNextRequest:
    def test_it_is_shown_and_nothing_is_stored(self, browser: Client, agent: Agent) -> None:
        words = words_of(browser.get(f"/agents/{agent.id}/context/next/"))
        assert "nothing is sent" in words
        assert "human" in words
        assert not Step.objects.exists()

    def test_its_json_is_a_whole_request(self, browser: Client, agent: Agent) -> None:
        page = Page(browser.get(f"/agents/{agent.id}/context/next/?view=json").content.decode())
        assert json.loads(page.by_id("request-json").text)["messages"][0]["role"] == "system"

    def test_a_model_that_cannot_be_had_is_named(self, browser: Client, agent: Agent) -> None:
        Agent.objects.filter(id=agent.id).update(model="nobody/model")
        words = words_of(browser.get(f"/agents/{agent.id}/context/next/"))
        assert "The request cannot be made." in words
        assert "nobody" in words

    def test_of_an_unknown_agent_there_is_none(self, browser: Client) -> None:
        assert browser.get(f"/agents/{new_id('agent')}/context/next/").status_code == 404
