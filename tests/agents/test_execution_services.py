"""Runs against the database: what is stored when, who may write, and what is left after trouble."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from django.utils import timezone

from agents import streams
from agents.models import Agent, ContextEntry, Message, ProviderTrace, Run, RunEvent, RunLease, Step
from agents.runtime.events import BlockChanged, Event, RunEnded, StepStored, TextDelta
from agents.runtime.ports import RunEnd
from agents.services import execution, journal, leases, opening
from agents.services.agents import AgentDraft, create_agent
from agents.services.opening import StartedRun
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.core import threads
from letta_ade.core.errors import Invalid, NotFound
from letta_ade.llm.errors import ModelRateLimited
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import ScriptedModel, error, gate, hang, installed, text, tool_call
from memory.models import Block, BlockVersion
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller, make_workspace

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]
R = TypeVar("R")


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        name="Ada",
        model=model.handle,
        blocks=(
            BlockDraft(label="human", value="Nothing yet."),
            BlockDraft(label="persona", value="I am Ada."),
        ),
    )
    return create_agent(caller=make_caller(), draft=draft)


async def db(fn: Callable[[], R]) -> R:
    return await threads.run(fn)


def request(agent: Agent, words: str = "Hello", **fields: Any) -> RunRequest:
    message = InputMessage(role="user", content=(TextPart(text=words),), otid=fields.pop("otid", None))
    return RunRequest(agent_id=agent.id, messages=(message,), **fields)


async def start(agent: Agent, words: str = "Hello", **fields: Any) -> StartedRun:
    caller = await db(make_caller)
    return await execution.start_run(caller=caller, request=request(agent, words, **fields))


async def finish(run_id: str) -> list[Event]:
    events = [event async for _, event in streams.follow(run_id)]
    assert isinstance(events[-1], RunEnded)
    return events


async def ask(agent: Agent, words: str = "Hello", **fields: Any) -> list[Event]:
    return await finish((await start(agent, words, **fields)).run_id)


async def test_a_turn_is_stored_in_order_and_in_context(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Good morning"))
    await ask(agent, "Hello")
    rows = await db(lambda: list(Message.objects.filter(agent=agent).order_by("created_at", "id")))
    assert [row.role for row in rows] == ["system", "user", "assistant"]
    assert rows[2].content[0]["text"] == "Good morning"
    entries = await db(
        lambda: list(ContextEntry.objects.order_by("position").values_list("message_id", "position"))
    )
    assert entries == [(row.id, index) for index, row in enumerate(rows)]


async def test_the_run_and_its_step_tell_what_happened(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi"))
    started = await start(agent)
    await finish(started.run_id)
    run = await db(lambda: Run.objects.get(id=started.run_id))
    step = await db(lambda: Step.objects.get(run=run))
    assert (run.status, run.stop_reason, step.status, step.number) == ("completed", "end_turn", "success", 1)
    assert run.completed_at is not None
    assert step.total_tokens == step.prompt_tokens + step.completion_tokens > 0
    assert not await db(RunLease.objects.exists)


async def test_the_request_is_kept_exactly_as_it_was_sent(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi"))
    await ask(agent)
    trace = await db(ProviderTrace.objects.get)
    assert json.loads(trace.request_text) == model.payloads[0]
    assert trace.request_hash == hashlib.sha256(trace.request_text.encode()).hexdigest()


async def test_a_memory_edit_is_a_version_that_names_its_run_and_message(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(tool_call("memory_insert", label="human", new_string="Name: Ada"), text("Noted"))
    events = await ask(agent)
    block = await db(lambda: Block.objects.get(agents=agent, label="human"))
    version = await db(lambda: BlockVersion.objects.get(block=block, number=block.version))
    assistant = await db(lambda: Message.objects.filter(role="assistant").order_by("created_at").first())
    assert block.value == "Nothing yet.\nName: Ada"
    assert (version.actor_kind, version.actor_id, version.tool_name) == ("agent", agent.id, "memory_insert")
    assert assistant is not None
    assert version.message_id == assistant.id
    [change] = [event for event in events if isinstance(event, BlockChanged)]
    assert (change.from_version, change.to_version, change.added, change.removed) == (1, 2, 1, 0)


async def test_a_block_that_a_tool_makes_is_attached_and_can_be_edited_in_the_same_run(
    agent: Agent, model: ScriptedModel
) -> None:
    from tools.models import Tool

    def attach() -> None:
        for name in ("memory_rethink", "memory_insert"):
            tool = Tool.objects.get(workspace_id=agent.workspace_id, name=name)
            agent.tool_links.get_or_create(tool=tool, defaults={"position": 50})

    await db(attach)
    model.add(
        tool_call("memory_rethink", label="plans", new_memory="Tea at four"),
        tool_call("memory_insert", label="plans", new_string="Cake too"),
        text("Noted"),
    )
    events = await ask(agent)
    block = await db(lambda: Block.objects.get(agents=agent, label="plans"))
    assert block.value == "Tea at four\nCake too"
    assert [event.to_version for event in events if isinstance(event, BlockChanged)] == [1, 2]


async def test_a_long_return_is_cut_to_the_limit_of_its_tool(agent: Agent, model: ScriptedModel) -> None:
    from tools.models import Tool

    await db(lambda: Tool.objects.filter(name="memory_insert").update(return_char_limit=20))
    model.add(tool_call("memory_insert", label="human", new_string="x" * 500), text("ok"))
    await ask(agent)
    tool = await db(lambda: Message.objects.get(role="tool"))
    assert len(tool.tool_returns[0]["text"]) < 300


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("conversation_search", {"query": "heron"}),
        ("conversation_search_date", {"start_date": "2020-01-01", "end_date": "2099-01-01"}),
        ("archival_memory_search", {"query": "heron"}),
    ],
)
async def test_what_a_search_finds_is_never_cut(
    agent: Agent, model: ScriptedModel, name: str, arguments: dict[str, str]
) -> None:
    from tests.support.factories import make_archive, make_passage
    from tools.models import Tool

    def attach() -> None:
        make_passage(archive=make_archive(agent=agent), text="A heron stands in the water. " * 20)
        tool = Tool.objects.get(workspace_id=agent.workspace_id, name=name)
        agent.tool_links.get_or_create(tool=tool, defaults={"position": 50})
        Tool.objects.filter(name=name).update(return_char_limit=20)

    await db(attach)
    model.add(text("ok"), tool_call(name, **arguments), text("ok"))
    await ask(agent, "A heron stands in the water. " * 20)
    await ask(agent)
    tool = await db(lambda: Message.objects.get(role="tool"))
    found = json.loads(tool.tool_returns[0]["text"])
    assert "heron" in json.dumps(found)


async def test_searches_do_not_find_the_notes_of_the_loop(model: ScriptedModel) -> None:
    def make() -> Agent:
        draft = AgentDraft(model=model.handle, agent_type="memgpt_agent", initial_messages=())
        return create_agent(caller=make_caller(), draft=draft)

    agent = await db(make)
    model.add(
        tool_call("conversation_search", query="tea", request_heartbeat=True),
        tool_call("send_message", message="Nothing."),
    )
    await ask(agent, "Hello")
    users = await db(lambda: list(Message.objects.filter(agent=agent, role="user").order_by("created_at")))
    assert [row.text for row in users] == ["Hello", ""]
    assert "heartbeat" in users[1].content[0]["text"]


async def test_what_was_said_to_a_run_that_ends_before_its_first_step_is_kept(
    agent: Agent, model: ScriptedModel
) -> None:
    opened = await db(lambda: opening.open_run(make_caller(), request(agent, "Wait")))
    assert not isinstance(opened, StartedRun)
    end = RunEnd(status="cancelled", stop_reason="cancelled")
    await journal.DatabaseJournal(opened.open_run).end_run(end)
    kept = await db(lambda: Message.objects.get(role="user"))
    assert (kept.text, kept.is_err, bool(kept.step_id)) == ("Wait", True, False)
    assert not await db(lambda: ContextEntry.objects.filter(message=kept).exists())
    # A second end, of a process that has lost its lease, stores nothing more.
    await journal.DatabaseJournal(opened.open_run).end_run(end)
    assert await db(lambda: Message.objects.filter(role="user").count()) == 1


async def test_memory_stays_as_it_was_when_its_step_cannot_be_stored(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(journal, "insert_messages", fail)
    model.add(tool_call("memory_insert", label="human", new_string="Name: Ada"))
    events = await ask(agent)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "failed"
    assert (await db(lambda: Block.objects.get(agents=agent, label="human"))).value == "Nothing yet."


async def test_the_next_request_brings_the_new_memory_and_an_idle_one_the_same_text(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(
        tool_call("memory_insert", label="human", new_string="Likes tea"), text("a"), text("b"), text("c")
    )
    await ask(agent)
    await ask(agent)
    await ask(agent)
    systems = [payload["messages"][0] for payload in model.payloads]
    assert "Likes tea" not in json.dumps(systems[1])
    assert "Likes tea" in json.dumps(systems[2])
    assert systems[2] == systems[3]
    before, after = model.payloads[2]["messages"], model.payloads[3]["messages"]
    assert after[: len(before)] == before


async def test_a_second_message_while_one_runs_is_refused_with_the_runs_id(
    agent: Agent, model: ScriptedModel
) -> None:
    release = asyncio.Event()
    model.add([gate(release), text("first")], text("second"))
    first = await start(agent)
    with pytest.raises(leases.RunBusy) as busy:
        await start(agent, "Again")
    assert busy.value.data["run_id"] == first.run_id
    release.set()
    await finish(first.run_id)
    assert await db(lambda: Run.objects.count()) == 1


async def test_a_caller_that_would_rather_wait_waits(agent: Agent, model: ScriptedModel) -> None:
    release = asyncio.Event()
    model.add([gate(release), text("first")], text("second"))
    first = await start(agent)
    waiting = asyncio.create_task(start(agent, "Again", wait_seconds=20))
    release.set()
    await finish(first.run_id)
    await finish((await waiting).run_id)
    texts = await db(
        lambda: [
            row.content[0]["text"] for row in Message.objects.filter(role="assistant").order_by("created_at")
        ]
    )
    assert texts == ["first", "second"]


async def test_twenty_requests_at_once_give_one_run_and_nineteen_conflicts(
    agent: Agent, model: ScriptedModel
) -> None:
    release = asyncio.Event()
    model.add([gate(release), text("once")])
    results = await asyncio.gather(*(start(agent, str(n)) for n in range(20)), return_exceptions=True)
    started = [each for each in results if isinstance(each, StartedRun)]
    assert len(started) == 1
    assert all(isinstance(each, leases.RunBusy) for each in results if each is not started[0])
    release.set()
    await finish(started[0].run_id)
    assert await db(lambda: Message.objects.filter(role="user").count()) == 1


async def test_the_same_request_again_gets_the_first_run(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("once"))
    first = await start(agent, otid="otid-1")
    await finish(first.run_id)
    again = await start(agent, otid="otid-1")
    assert again.is_repeat
    assert again.run_id == first.run_id


async def test_a_failed_request_is_kept_out_of_context(agent: Agent, model: ScriptedModel) -> None:
    model.add(
        error(ModelRateLimited("slow down", detail="429")),
        error(ModelRateLimited("slow down")),
        error(ModelRateLimited("slow down")),
    )
    events = await ask(agent)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].error is not None
    assert events[-1].error["error_type"] == "llm_rate_limit"
    user = await db(lambda: Message.objects.get(role="user"))
    assert user.is_err
    assert not await db(lambda: ContextEntry.objects.filter(message=user).exists())
    model.add(text("fine"))
    await ask(agent, "And now?")
    assert [message["role"] for message in model.payloads[-1]["messages"]] == ["system", "user"]


async def test_a_cancelled_run_keeps_what_was_said_and_frees_the_conversation(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add([text("Once upon a"), hang()], text("ok"))
    started = await start(agent)
    said = ""
    async for _, event in streams.follow(started.run_id):
        if isinstance(event, TextDelta):
            said += event.text
        if said.endswith("a"):
            break
    caller = await db(make_caller)
    assert await execution.cancel_runs(caller=caller, agent_id=agent.id) == {started.run_id: "cancelled"}
    stored = await db(lambda: Message.objects.get(role="assistant"))
    assert stored.content[0]["text"] == said
    assert (await db(lambda: Run.objects.get(id=started.run_id))).status == "cancelled"
    await ask(agent, "go on")


async def test_a_request_that_is_dropped_while_its_run_opens_leaves_a_run_that_goes_on(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("still here"))
    caller = await db(make_caller)
    asking = asyncio.create_task(execution.start_run(caller=caller, request=request(agent)))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    while (run := await db(Run.objects.first)) is None:
        pass
    assert isinstance((await finish(run.id))[-1], RunEnded)
    assert await db(lambda: Message.objects.filter(role="assistant").count()) == 1


async def test_only_runs_that_go_on_keep_their_lease(agent: Agent, model: ScriptedModel) -> None:
    caller = await db(make_caller)
    opened = await threads.run(opening.open_run, caller, request(agent))
    assert not isinstance(opened, StartedRun)
    before = await db(RunLease.objects.get)
    assert await threads.run(leases.renew_leases, []) == {}
    assert (await db(RunLease.objects.get)).expires_at == before.expires_at
    run_id = opened.open_run.run.id
    assert await threads.run(leases.renew_leases, [run_id]) == {run_id: False}
    assert (await db(RunLease.objects.get)).expires_at > before.expires_at


async def test_cancelling_a_finished_run_changes_nothing_and_an_idle_agent_has_nothing_to_cancel(
    agent: Agent, model: ScriptedModel
) -> None:
    from letta_ade.core.errors import Conflict

    model.add(text("done"))
    started = await start(agent)
    await finish(started.run_id)
    caller = await db(make_caller)
    result = await execution.cancel_runs(caller=caller, agent_id=agent.id, run_ids=[started.run_id])
    assert result == {started.run_id: "cancelled"}
    assert (await db(lambda: Run.objects.get(id=started.run_id))).status == "completed"
    with pytest.raises(Conflict):
        await execution.cancel_runs(caller=caller, agent_id=agent.id)


async def test_a_process_that_lost_its_lease_cannot_write(agent: Agent, model: ScriptedModel) -> None:
    release = asyncio.Event()
    model.add([gate(release), text("too late")])
    started = await start(agent)
    past = timezone.now() - timedelta(seconds=1)
    taken = {"epoch": 7, "owner": "elsewhere:1:x", "expires_at": past}
    await db(lambda: RunLease.objects.filter(run_id=started.run_id).update(**taken))
    release.set()
    # Whoever took it tells how it ends; here it dies as well.
    assert await threads.run(leases.reap_abandoned_runs) == [started.run_id]
    ends = [event for event in await finish(started.run_id) if isinstance(event, RunEnded)]
    assert [end.status for end in ends] == ["failed"]
    assert not await db(lambda: Message.objects.filter(role="assistant").exists())


async def test_a_run_whose_process_died_is_failed_with_a_reason_and_the_next_message_works(
    agent: Agent, model: ScriptedModel
) -> None:
    caller = await db(make_caller)
    opened = await threads.run(opening.open_run, caller, request(agent))
    assert not isinstance(opened, StartedRun)
    dead = opened.open_run.run.id
    past = timezone.now() - timedelta(seconds=1)
    await db(lambda: RunLease.objects.filter(run_id=dead).update(owner="elsewhere:1:x", expires_at=past))
    model.add(text("back again"))
    await ask(agent)
    run = await db(lambda: Run.objects.get(id=dead))
    assert (run.status, run.stop_reason) == ("failed", "error")
    assert "ended before the run did" in run.metadata["error"]["message"]
    assert isinstance((await finish(dead))[-1], RunEnded)


async def test_what_was_sent_survives_a_process_that_dies_in_the_first_step(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(hang())
    started = await start(agent, "Do not lose me")
    await anext(streams.follow(started.run_id))
    await streams.flush()
    past = timezone.now() - timedelta(seconds=1)
    await db(lambda: RunLease.objects.update(owner="elsewhere:1:x", expires_at=past))
    assert await threads.run(leases.reap_abandoned_runs) == [started.run_id]
    row = await db(lambda: Message.objects.get(role="user"))
    assert row.content[0]["text"] == "Do not lose me"
    assert row.is_err
    await execution.stop_all("lease_lost")


async def test_the_reaper_ends_runs_of_dead_processes_of_this_machine_at_once(
    agent: Agent, model: ScriptedModel
) -> None:
    caller = await db(make_caller)
    opened = await threads.run(opening.open_run, caller, request(agent))
    assert not isinstance(opened, StartedRun)
    run_id = opened.open_run.run.id
    assert await threads.run(leases.reap_abandoned_runs) == []
    host = leases.OWNER.rsplit(":", 2)[0]
    # No process has this number: it is over the kernel's limit.
    await db(lambda: RunLease.objects.update(owner=f"{host}:4194305:gone"))
    assert await threads.run(leases.reap_abandoned_runs) == [run_id]
    assert (await db(lambda: Run.objects.get(id=run_id))).status == "failed"


async def test_a_reader_that_comes_back_gets_the_rest_once(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("one two three four five"))
    started = await start(agent)
    first: list[int] = []
    async for seq, _ in streams.follow(started.run_id):
        first.append(seq)
        if len(first) == 4:
            break
    rest = [seq async for seq, _ in streams.follow(started.run_id, after=first[-1])]
    assert [*first, *rest] == list(range(1, len(first) + len(rest) + 1))


async def test_the_table_tells_the_same_as_the_ring(agent: Agent, model: ScriptedModel) -> None:
    model.add(tool_call("memory_insert", label="human", new_string="x"), text("a null \0 inside"))
    started = await start(agent)
    live = await finish(started.run_id)
    await streams.flush()
    rows = await db(lambda: list(RunEvent.objects.filter(run_id=started.run_id).values_list("seq", "type")))
    assert rows == [(seq, type(event).__name__) for seq, event in enumerate(live, 1)]
    streams._hub().streams.clear()
    stored = [event async for _, event in streams.follow(started.run_id)]
    assert len(stored) == len(live)
    assert stored[-1] == live[-1]


async def test_a_reader_that_pauses_gets_more_at_once(agent: Agent, model: ScriptedModel) -> None:
    model.add(text(" ".join(str(n) for n in range(50))))
    started = await start(agent)
    batches = [batch async for batch in streams.follow_batches(started.run_id, pause_seconds=0.05)]
    seqs = [seq for batch in batches for seq, _ in batch]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(batches) < len(seqs) / 2


async def test_a_late_reader_of_a_long_run_reads_on_from_the_table(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "RING_SIZE", 5)
    model.add(text(" ".join(str(n) for n in range(50))))
    started = await start(agent)
    await finish(started.run_id)
    seqs = [seq async for seq, _ in streams.follow(started.run_id)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) > 50


@pytest.mark.parametrize(("words", "message"), [("", "content"), ("x" * 200_000, "tokens")])
async def test_a_message_that_cannot_be_sent_is_refused_before_anything_is_stored(
    agent: Agent, words: str, message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        await start(agent, words)
    assert not await db(Run.objects.exists)


async def test_another_workspaces_agent_is_not_found(agent: Agent) -> None:
    stranger = await db(lambda: make_caller(workspace=make_workspace()))
    with pytest.raises(NotFound):
        await execution.start_run(caller=stranger, request=request(agent))


async def test_a_step_is_told_with_its_messages_and_its_input_apart(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Hi"))
    [stored] = [event for event in await ask(agent) if isinstance(event, StepStored)]
    assert [message["role"] for message in stored.messages] == ["user", "assistant"]
    assert stored.input_ids == [stored.messages[0]["id"]]


async def test_a_turn_takes_few_queries(agent: Agent, model: ScriptedModel) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    caller = await db(make_caller)

    def opened_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            opening.open_run(caller, request(agent))
        return len([query for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))])

    assert await db(opened_queries) <= 17
