"""The place of a step in its conversation: counted by the writer, kept when runs are deleted, found for the steps of old."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent, Step
from agents.services.agents import AgentDraft, create_agent
from agents.services.runs import delete_run
from agents.web.context_strip import load_strip
from agents.web.transcript_windows import load_transcript
from letta_ade.llm.testing import ScriptedModel, installed, text
from tests.support.factories import (
    make_agent,
    make_caller,
    make_conversation,
    make_message,
    make_run,
    make_step,
)
from tests.support.sending import db, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return create_agent(caller=make_caller(), draft=AgentDraft(name="tea-notes", model=model.handle))


@pytest.mark.django_db(transaction=True)
async def test_the_steps_of_a_conversation_are_counted_over_its_runs(model: ScriptedModel) -> None:
    agent = await db(
        lambda: create_agent(caller=make_caller(), draft=AgentDraft(name="notes", model=model.handle))
    )
    for words in ("One.", "Two."):
        model.add(text(words))
        await send(agent, "Go on.")
    other = await db(lambda: make_conversation(agent=agent))
    model.add(text("Three."))
    await send(agent, "Go on.", conversation_id=other.id)
    places = await db(
        lambda: list(Step.objects.order_by("created_at").values_list("conversation_id", "number", "place"))
    )
    default = places[0][0]
    assert places == [(default, 1, 1), (default, 1, 2), (other.id, 1, 1)]


def test_a_deleted_run_changes_no_number_of_the_others(agent: Agent) -> None:
    conversation = agent.conversations.get()
    runs = [make_run(conversation=conversation) for _ in range(3)]
    for run in runs:
        make_message(conversation=conversation, run=run, step=make_step(run=run), role="assistant")
    delete_run(caller=make_caller(), run_id=runs[0].id)
    shown = load_transcript(agent, conversation).runs
    assert [step.number for run in shown for step in run.steps] == [2, 3]


def test_a_step_of_which_nothing_was_counted_keeps_its_number_in_the_strip(agent: Agent) -> None:
    conversation = agent.conversations.get()
    run = make_run(conversation=conversation)
    make_step(run=run, prompt_tokens=100)
    make_step(run=run, status="failed")
    make_step(run=run, prompt_tokens=200)
    strip = load_strip(conversation, limit=1000, width=300, most=36)
    assert [bar.number for bar in strip.bars] == [1, 3]


def test_the_workbench_reads_no_run_for_a_step(
    agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    conversation = agent.conversations.get()
    make_step(run=make_run(conversation=conversation), prompt_tokens=100)
    client = Client(HTTP_HOST="localhost")
    client.get(f"/agents/{agent.id}/")
    with django_assert_num_queries(32) as queries:
        client.get(f"/agents/{agent.id}/")
    joined = [each["sql"] for each in queries if '"agents_step"' in each["sql"] and "JOIN" in each["sql"]]
    assert joined == []


def test_the_steps_of_old_get_the_place_that_they_had() -> None:
    conversations = [make_conversation(agent=make_agent()) for _ in range(2)]
    first, second = (make_run(conversation=conversations[0]) for _ in range(2))
    late = make_step(run=second)
    # Stored after a step of a later run.
    early = [make_step(run=first), make_step(run=first)]
    other = make_step(run=make_run(conversation=conversations[1]))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE agents_step ALTER place DROP NOT NULL, ALTER conversation_id DROP NOT NULL"
        )
        cursor.execute("UPDATE agents_step SET place = NULL, conversation_id = NULL")
    with connection.schema_editor() as editor:
        import_module("agents.migrations.0020_step_place_of_old").place_steps(None, editor)
    found = {step.id: (step.conversation_id, step.place) for step in Step.objects.all()}
    here, there = (each.id for each in conversations)
    assert found == {
        early[0].id: (here, 1),
        early[1].id: (here, 2),
        late.id: (here, 3),
        other.id: (there, 1),
    }
