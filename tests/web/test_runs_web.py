"""The pages of runs: list, filters, paging, peek, the page of one, and stopping it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.models import Compaction, Message, ProviderTrace, Run, RunEvent, Step
from agents.web import runs as run_pages
from letta_ade.core.ids import new_id
from tests.support.factories import (
    make_agent,
    make_conversation,
    make_lease,
    make_message,
    make_run,
    make_step,
    make_workspace,
)
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db


def asked(words: str, **fields: Any) -> Run:
    """A run that these words started."""
    run = make_run(**fields)
    make_message(conversation=run.conversation, run=run, role="user", text=words)
    return run


def titles_in(response: Any) -> list[str]:
    page = Page(response.content.decode())
    return [each.text.strip() for each in page.all("a") if "data-row-open" in each.attributes]


class TestTheList:
    def test_an_empty_workspace_says_how_to_begin(self, browser: Client) -> None:
        html = browser.get("/runs/").content.decode()
        assert "No runs yet" in html
        assert "demo/assistant" in html

    def test_it_holds_the_workspaces_runs_newest_first(self, browser: Client) -> None:
        asked("First")
        asked("Second")
        asked("Theirs", conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
        assert titles_in(browser.get("/runs/")) == ["Second", "First"]

    def test_a_row_says_what_the_run_is_and_costs(self, browser: Client) -> None:
        agent = make_agent(name="returns-desk")
        run = asked(
            "Where is it?",
            conversation=make_conversation(agent=agent),
            status="failed",
            stop_reason="llm_api_error",
            total_duration_ns=2_500_000_000,
            ttft_ns=120_000_000,
        )
        make_step(run=run, prompt_tokens=1500, completion_tokens=30, total_tokens=1530)
        page = Page(browser.get("/runs/").content.decode())
        [row] = [" ".join(each.text.split()) for each in page.all("tr") if "data-row" in each.attributes]
        for words in (
            "Where is it?",
            "returns-desk",
            "failed, llm api error",
            "1.5k",
            "$0",
            "120 ms",
            "2.5 s",
        ):
            assert words in row

    def test_the_cost_of_a_model_that_nobody_knows_is_unknown(self, browser: Client) -> None:
        step = make_step(run=asked("Hello"), model_handle="nobody/model", prompt_tokens=10, total_tokens=10)
        assert "unknown" in browser.get("/runs/").content.decode()
        step.delete()
        assert "unknown" not in browser.get("/runs/").content.decode()

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("status=failed", ["bad"]),
            ("errors=1", ["bad"]),
            ("stop=max_steps", ["long"]),
            ("tokens=5000", ["long"]),
            ("tokens=5,000", ["long"]),
            ("time=24h", ["good", "bad"]),
            ("time=7d", ["good", "bad", "long"]),
            ("agent={agent}", ["bad"]),
            ("errors=1&stop=max_steps", []),
            ("last=1", ["good", "bad", "long", "old"]),
            # What means nothing asks nothing: an old address still opens.
            ("status=odd&stop=odd&time=odd&tokens=many&from=odd&to=odd", ["good", "bad", "long", "old"]),
        ],
    )
    def test_filters_are_in_the_address(self, browser: Client, query: str, expected: list[str]) -> None:
        now = timezone.now()
        old, long = asked("old"), asked("long", stop_reason="max_steps", total_tokens=5000)
        bad = asked("bad", status="failed", stop_reason="error", total_tokens=4999)
        asked("good", total_tokens=10)
        Run.objects.filter(id=old.id).update(created_at=now - timedelta(days=40))
        Run.objects.filter(id=long.id).update(created_at=now - timedelta(days=3))
        assert titles_in(browser.get(f"/runs/?{query.format(agent=bad.agent_id)}")) == expected

    def test_days_bound_the_time_and_the_last_one_is_included(self, browser: Client) -> None:
        run = asked("noon")
        Run.objects.filter(id=run.id).update(created_at="2026-03-01T12:00:00Z")
        assert titles_in(browser.get("/runs/?from=2026-03-01&to=2026-03-01")) == ["noon"]
        assert titles_in(browser.get("/runs/?from=2026-03-02")) == []
        assert titles_in(browser.get("/runs/?to=2026-02-28")) == []

    def test_a_filter_that_finds_nothing_can_be_removed(self, browser: Client) -> None:
        asked("Hello")
        html = browser.get("/runs/?errors=1&tokens=9").content.decode()
        assert "No run matches" in html
        assert "Remove 2 filters" in html

    def test_pages_go_on_from_a_cursor_and_keep_the_filters(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_pages, "PAGE_ROWS", 2)
        for words in "abcde":
            asked(words, status="failed")
        seen, address = [], "/runs/?errors=1"
        while address:
            response = browser.get(address)
            seen.append(titles_in(response))
            links = [
                each
                for each in Page(response.content.decode()).all("a")
                if each.attributes.get("rel") == "next"
            ]
            address = links[0].attributes["href"] if links else ""
            assert not address or "errors=1" in address
        assert seen == [["e", "d"], ["c", "b"], ["a"]]

    def test_an_unknown_cursor_is_not_found(self, browser: Client) -> None:
        asked("Hello")
        assert browser.get(f"/runs/?after={new_id('run')}").status_code == 404

    def test_many_are_counted_only_so_far(self, browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run_pages, "MOST_COUNTED", 2)
        for words in "abc":
            asked(words)
        assert Page(browser.get("/runs/").content.decode()).by_id("run-count").text == "2+"

    def test_htmx_gets_the_list_alone_with_its_count(self, browser: Client) -> None:
        asked("Hello")
        response = browser.get("/runs/", headers={"HX-Request": "true", "HX-Target": "run-list"})
        page = Page(response.content.decode())
        assert page.elements[0].attributes["id"] == "run-list"
        assert page.by_id("run-count").text == "1"

    def test_a_run_that_no_words_started_says_what_it_is(self, browser: Client) -> None:
        make_run(metadata={"run_type": "sleeptime"})
        make_run()
        assert "answered a tool call" in titles_in(browser.get("/runs/"))

    def test_the_words_of_a_run_that_has_stored_nothing_are_shown(self, browser: Client) -> None:
        inputs = [{"content": [{"type": "text", "text": "Wait for it"}]}]
        make_run(status="created", stop_reason=None, request={"inputs": inputs})
        assert titles_in(browser.get("/runs/")) == ["Wait for it"]

    def test_words_never_become_markup(self, browser: Client) -> None:
        asked("<script>alert(1)</script>")
        assert "<script>alert(1)" not in browser.get("/runs/").content.decode()

    def test_the_list_needs_a_fixed_number_of_queries(
        self, browser: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        agent = make_agent()
        for number in range(12):
            run = asked(f"Number {number}", conversation=make_conversation(agent=agent))
            make_step(run=run, prompt_tokens=5, total_tokens=5)
        with django_assert_num_queries(6):
            browser.get("/runs/")


class TestThePeek:
    def test_it_shows_input_outcome_and_steps(self, browser: Client) -> None:
        run = asked("Where is it?")
        step = make_step(run=run, prompt_tokens=7, total_tokens=9, completion_tokens=2)
        make_message(conversation=run.conversation, run=run, step=step, role="assistant", text="In Oslo.")
        page = Page(browser.get(f"/runs/{run.id}/peek/").content.decode())
        words = page.by_id("peek").text
        assert "Where is it?" in words
        assert "In Oslo." in words
        assert f"/runs/{run.id}/?at={step.id}" in {each.attributes.get("href") for each in page.all("a")}

    def test_it_opens_beside_the_list_by_its_address(self, browser: Client) -> None:
        run = asked("Hello")
        assert f'data-peek-of="row-{run.id}"' in browser.get(f"/runs/?peek={run.id}").content.decode()

    def test_of_a_run_that_is_gone_the_list_still_opens(self, browser: Client) -> None:
        asked("Hello")
        assert titles_in(browser.get(f"/runs/?peek={new_id('run')}")) == ["Hello"]

    def test_of_a_foreign_run_there_is_none(self, browser: Client) -> None:
        foreign = make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
        assert browser.get(f"/runs/{foreign.id}/peek/").status_code == 404


def make_trace(run: Run) -> tuple[Step, Step]:
    """Two steps: a call of a tool that failed, and the answer."""
    began = run.created_at
    first = make_step(
        run=run,
        model_handle="openai/gpt-4.1",
        started_at=began + timedelta(seconds=1),
        llm_request_start_ns=int((began + timedelta(seconds=1)).timestamp() * 1e9),
        llm_request_ns=2_000_000_000,
        ttft_ns=500_000_000,
        step_ns=3_000_000_000,
        prompt_tokens=1000,
        completion_tokens=20,
        total_tokens=1020,
        cached_input_tokens=600,
        reasoning_tokens=7,
    )
    call = {"id": "c1", "name": "look_up", "arguments": '{"order": 7}'}
    make_message(conversation=run.conversation, run=run, step=first, role="assistant", tool_calls=[call])
    returned = {
        "tool_call_id": "c1",
        "name": "look_up",
        "status": "error",
        "text": "No such order",
        "started_at": (began + timedelta(seconds=3)).isoformat(),
        "duration_ms": 800,
    }
    make_message(conversation=run.conversation, run=run, step=first, role="tool", tool_returns=[returned])
    second = make_step(
        run=run,
        started_at=began + timedelta(seconds=5),
        llm_request_start_ns=int((began + timedelta(seconds=5)).timestamp() * 1e9),
        llm_request_ns=1_000_000_000,
        step_ns=1_000_000_000,
        prompt_tokens=1100,
        completion_tokens=10,
        total_tokens=1110,
        model_handle="openai/gpt-4.1",
    )
    make_message(conversation=run.conversation, run=run, step=second, role="assistant", text="It is lost.")
    Run.objects.filter(id=run.id).update(
        completed_at=began + timedelta(seconds=10), total_duration_ns=10_000_000_000
    )
    return first, second


def lines_of(response: Any) -> dict[str, str]:
    """The rows of the trace by what they stand for in the transcript."""
    page = Page(response.content.decode())
    return {
        each.attributes["data-key"]: " ".join(each.text.split())
        for each in page.all("a")
        if "trace-row" in each.attributes.get("class", "")
    }


class TestThePage:
    def test_the_rows_are_steps_model_calls_and_tool_calls(self, browser: Client) -> None:
        run = asked("Where is it?")
        first, second = make_trace(run)
        lines = lines_of(browser.get(f"/runs/{run.id}/"))
        assert list(lines) == [
            "run", first.id, f"{first.id}.model", f"call-{first.id}-0", second.id, f"{second.id}.model",
        ]  # fmt: skip
        assert lines[f"{first.id}.model"].startswith("gpt-4.1")
        assert "2.0 s" in lines[f"{first.id}.model"]
        assert "look_upNo such order" in lines[f"call-{first.id}-0"]
        assert "800 ms" in lines[f"call-{first.id}-0"]

    def test_bars_lie_where_their_time_is(self, browser: Client) -> None:
        run = asked("Where is it?")
        make_trace(run)
        page = Page(browser.get(f"/runs/{run.id}/").content.decode())
        bars = [
            each.attributes for each in page.all("rect") if "trace-span" in each.attributes.get("class", "")
        ]
        assert [(bar["x"], bar["width"], bar["data-kind"]) for bar in bars] == [
            ("0.00%", "100.00%", "run"),
            ("10.00%", "30.00%", "step"),
            ("10.00%", "20.00%", "model"),
            ("30.00%", "8.00%", "bad"),
            ("50.00%", "10.00%", "step"),
            ("50.00%", "10.00%", "model"),
        ]
        marks = [
            each.attributes["x1"] for each in page.all("line") if each.attributes.get("class") == "trace-mark"
        ]
        assert marks == ["15.00%"]

    def test_the_tree_tells_what_was_cached_and_when_the_first_token_came(self, browser: Client) -> None:
        run = asked("Where is it?")
        first, _ = make_trace(run)
        line = lines_of(browser.get(f"/runs/{run.id}/?view=tree"))[f"{first.id}.model"]
        assert "1,00060020500 ms" in line

    def test_a_row_stands_for_an_element_of_the_transcript(self, browser: Client) -> None:
        run = asked("Where is it?")
        make_trace(run)
        page = Page(browser.get(f"/runs/{run.id}/").content.decode())
        anchors = {each.attributes["data-of"] for each in page.all("a") if "data-of" in each.attributes}
        ids = {each.attributes.get("id") for each in page.elements}
        assert anchors <= ids

    def test_the_detail_of_a_call_holds_arguments_and_error(self, browser: Client) -> None:
        run = asked("Where is it?")
        first, _ = make_trace(run)
        page = Page(browser.get(f"/runs/{run.id}/?at=call-{first.id}-0").content.decode())
        words = page.by_id("trace-detail").text
        assert '"order"' in words
        assert "No such order" in words

    def test_the_detail_of_a_step_holds_its_tokens_and_an_error_in_full(self, browser: Client) -> None:
        run = asked("Hello", status="failed", stop_reason="llm_api_error")
        said = "x" * 5000
        step = make_step(
            run=run,
            status="failed",
            error_type="llm_error",
            error_data={"message": "Refused.", "detail": said, "http_status": 502},
        )
        page = Page(browser.get(f"/runs/{run.id}/").content.decode())
        words = page.by_id("trace-detail").text  # a failed run opens at the step that failed
        assert said in words
        assert "502" not in words
        assert page.by_id(f"line-{step.id}").attributes["aria-current"] == "true"

    def test_input_and_outcome_stand_on_top(self, browser: Client) -> None:
        run = asked("Where is it?")
        make_trace(run)
        words = Page(browser.get(f"/runs/{run.id}/").content.decode()).by_id("run-ends").text
        assert "Where is it?" in words
        assert "It is lost." in words

    def test_the_error_of_the_run_is_the_outcome(self, browser: Client) -> None:
        error = {"error_type": "llm_error", "message": "No.", "detail": "rate limited", "request_id": "req_1"}
        run = asked("Hello", status="failed", stop_reason="llm_api_error", metadata={"error": error})
        words = Page(browser.get(f"/runs/{run.id}/").content.decode()).by_id("run-ends").text
        assert all(each in words for each in ("No.", "rate limited", "req_1"))

    def test_a_compaction_is_a_row_with_the_time_of_its_summariser(self, browser: Client) -> None:
        run = asked("Hello")
        compaction = Compaction.objects.create(
            workspace=run.workspace, agent=run.agent, conversation=run.conversation, run=run, summary="They spoke.",
            trigger="manual", mode="partial", tokens_before=900, tokens_after=300, messages_before=9, messages_after=3,
            context_window=1000,
        )  # fmt: skip
        ProviderTrace.objects.create(
            workspace=run.workspace, run=run, compaction=compaction, call_type="summarization", request_text="{}",
            request_hash="", latency_ms=1500,
        )  # fmt: skip
        response = browser.get(f"/runs/{run.id}/?at={compaction.id}")
        assert "compacted the context, 900 → 300 tokens" in lines_of(response)[compaction.id]
        assert "1.5 s" in lines_of(response)[compaction.id]
        assert "They spoke." in Page(response.content.decode()).by_id("trace-detail").text

    def test_earlier_attempts_are_a_row_with_the_reason(self, browser: Client) -> None:
        run = asked("Hello")
        step = make_step(run=run, llm_request_ns=10, step_ns=3_000_000_000)
        Step.objects.filter(id=step.id).update(
            llm_request_start_ns=int(step.started_at.timestamp() * 1e9) + 2_000_000_000
        )
        data = {"step_id": step.id, "message_id": "m", "attempt": 1, "reason": "overloaded"}
        RunEvent.objects.create(run=run, seq=1, type="CallRetried", data=data)
        line = lines_of(browser.get(f"/runs/{run.id}/"))[f"{step.id}.attempts"]
        assert "earlier attempts: overloaded" in line
        assert "2.0 s" in line

    def test_a_run_that_goes_on_shows_the_call_that_runs_and_who_holds_it(self, browser: Client) -> None:
        conversation = make_conversation()
        make_lease(conversation)
        run = Run.objects.get(conversation=conversation)
        step = make_step(run=run, status="pending")
        events = [
            ("RunStarted", {"run_id": run.id, "agent_id": run.agent_id, "conversation_id": conversation.id,
                            "model": "demo/assistant", "started_at": run.created_at.isoformat(), "caller_name": "You", "inputs": []}),
            ("StepStarted", {"step_id": step.id, "number": 1, "message_id": "message-1"}),
            ("ToolCallStarted", {"step_id": step.id, "message_id": "message-1", "otid": "o", "tool_call_id": "c1", "name": "look_up"}),
            ("ToolStarted", {"step_id": step.id, "tool_call_id": "c1", "name": "look_up", "arguments": "{}",
                             "started_at": timezone.now().isoformat()}),
        ]  # fmt: skip
        for seq, (kind, data) in enumerate(events, start=1):
            RunEvent.objects.create(run=run, seq=seq, type=kind, data=data)
        response = browser.get(f"/runs/{run.id}/")
        assert "look_upruns" in lines_of(response)[f"call-{step.id}-0"]
        page = Page(response.content.decode())
        words = " ".join(page.by_id("trace-detail").text.split())
        assert "another process elsewhere:1:test" in words
        assert "4 ToolStarted" in words
        assert "Cancel run" in page.by_id("run-cancel").text

    def test_the_context_can_stand_beside_the_trace(self, browser: Client) -> None:
        run = asked("Hello")
        step = make_step(run=run)
        assert "Choose a step" in browser.get(f"/runs/{run.id}/?side=context&at=run").content.decode()
        assert browser.get(f"/runs/{run.id}/?side=context&at={step.id}").status_code == 200

    def test_an_unknown_row_opens_the_run(self, browser: Client) -> None:
        run = asked("Hello")
        page = Page(browser.get(f"/runs/{run.id}/?at=nothing").content.decode())
        assert page.by_id("line-run").attributes["aria-current"] == "true"

    def test_of_an_unknown_and_a_foreign_run_there_is_none(self, browser: Client) -> None:
        foreign = make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
        assert browser.get(f"/runs/{foreign.id}/").status_code == 404
        assert browser.get(f"/runs/{new_id('run')}/").status_code == 404

    def test_the_page_needs_a_fixed_number_of_queries(
        self, browser: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        run = asked("Where is it?")
        for _ in range(4):
            make_trace(run)
        with django_assert_num_queries(15):
            browser.get(f"/runs/{run.id}/")


class TestCancelling:
    def test_who_may_only_read_cannot_cancel(self, sign_in: SignIn) -> None:
        reader = sign_in("viewer")
        conversation = make_conversation()
        make_lease(conversation)
        run = Run.objects.get(conversation=conversation)
        assert "Cancel run" not in reader.get(f"/runs/{run.id}/").content.decode()

    def test_messages_of_a_cancelled_run_stay(self, browser: Client) -> None:
        run = asked("Hello", status="cancelled", stop_reason="cancelled")
        assert "Stopped" in Page(browser.get(f"/runs/{run.id}/").content.decode()).by_id("run-ends").text
        assert Message.objects.filter(run=run).exists()
