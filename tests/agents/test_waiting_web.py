"""Calls that wait, images and failed runs on the workbench, without its script: what the pages show, and what they refuse."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient

from agents.models import Agent, Message, Run
from agents.services.agents import AgentDraft, create_agent
from agents.services.run_requests import InputMessage
from agents.web.image_parts import MOST_IMAGES
from letta_ade.accounts.models import Role
from letta_ade.accounts.services.users import create_user
from letta_ade.core.ids import new_id
from letta_ade.llm.errors import ModelConnection
from letta_ade.llm.messages import ImagePart, TextPart
from letta_ade.llm.testing import ScriptedModel, error, installed, text, tool_call
from tests.support.approvals import SHELL, asked, block_of, insert, make_careful_agent, set_messages
from tests.support.clients import LocalClient
from tests.support.factories import make_agent, make_caller, make_conversation, make_message, make_workspace
from tests.support.sending import db, finish, send, start
from tests.support.workers import run_queue_worker

pytestmark = pytest.mark.django_db(transaction=True)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
IMAGE = ImagePart(
    source={"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def client() -> AsyncClient:
    return LocalClient()


@pytest.fixture
async def careful(model: ScriptedModel) -> Agent:
    return await db(lambda: make_careful_agent(model))


@pytest.fixture
async def plain(model: ScriptedModel) -> Agent:
    return await db(
        lambda: create_agent(caller=make_caller(), draft=AgentDraft(name="plain", model=model.handle))
    )


async def page_of(client: AsyncClient, agent: Agent) -> str:
    return (await client.get(f"/agents/{agent.id}/")).content.decode()


async def answer(client: AsyncClient, agent: Agent, request_id: str, **fields: Any) -> Any:
    return await client.post(f"/agents/{agent.id}/answers/", {"request_id": request_id, **fields})


async def request_id_of(agent: Agent) -> str:
    def find() -> str:
        return Message.objects.exclude(tool_calls=[]).get(agent=agent, role="approval").id

    return await db(find)


async def test_an_answer_of_the_page_is_the_one_of_the_api(
    client: AsyncClient, careful: Agent, model: ScriptedModel
) -> None:
    await asked(careful, model)
    assert "Approve memory_insert?" in await page_of(client, careful)
    model.add(text("Noted."))
    request_id = await request_id_of(careful)
    given = await answer(client, careful, request_id, all="approve", otid="one")
    assert given.status_code == 200
    assert (await finish(given.json()["run_id"])).stop_reason == "end_turn"
    stored = await db(lambda: Message.objects.get(agent=careful, approvals__isnull=False))
    assert stored.approvals == [{"type": "approval", "tool_call_id": "c1", "approve": True, "reason": None}]
    assert "Likes tea." in await block_of(careful)
    page = await page_of(client, careful)
    assert "Approve memory_insert?" not in page
    assert "approved" in page
    again = await answer(client, careful, request_id, all="approve", otid="one")
    assert (again.status_code, again.json()) == (200, given.json())


async def test_whoever_answers_second_is_told_who_was_first(
    client: AsyncClient, careful: Agent, model: ScriptedModel
) -> None:
    await asked(careful, model)
    model.add(text("Then not."))
    request_id = await request_id_of(careful)
    given = await answer(client, careful, request_id, all="deny", reason="Wrong.", otid="one")
    await finish(given.json()["run_id"])
    late = await answer(client, careful, request_id, all="approve", otid="two")
    assert late.status_code == 409
    assert late.json()["message"] == "Answered already: You denied it (Wrong.). Your answer was not used."
    unknown = await answer(client, careful, new_id("message"), all="approve")
    assert unknown.status_code == 409
    assert "Likes tea." not in await block_of(careful)


async def test_calls_without_an_answer_are_named_and_nothing_is_sent(
    client: AsyncClient, careful: Agent, model: ScriptedModel
) -> None:
    await asked(careful, model, insert(call_id="c1"), insert("Likes rain.", call_id="c2"))
    request_id = await request_id_of(careful)
    half = await answer(client, careful, request_id, **{"verdict-0": "approve", "verdict-1": "perhaps"})
    assert half.status_code == 400
    assert half.json()["message"].endswith("Without an answer: memory_insert.")
    assert await db(lambda: Run.objects.filter(agent=careful).count()) == 1


async def test_a_viewer_sees_the_card_and_has_no_way_to_answer(
    client: AsyncClient, careful: Agent, model: ScriptedModel, settings: Any
) -> None:
    await asked(careful, model)
    settings.REQUIRE_LOGIN = True
    viewer = await db(
        lambda: create_user(email="vera@example.org", password="a long enough password", role=Role.VIEWER)
    )
    await client.aforce_login(viewer)
    page = await page_of(client, careful)
    assert "Approve memory_insert?" in page
    assert "A viewer does not answer. An editor or the owner of the workspace may." in page
    assert 'value="approve"' not in page
    refused = await answer(client, careful, await request_id_of(careful), all="approve")
    assert refused.status_code == 403


async def test_a_return_given_by_hand_keeps_the_clients_tools(
    client: AsyncClient, careful: Agent, model: ScriptedModel
) -> None:
    await asked(careful, model, tool_call("shell", call_id="c1", command="ls"), client_tools=(SHELL,))
    assert "Waiting for a client to run shell" in await page_of(client, careful)
    model.add(text("One file."))
    given = await answer(
        client, careful, await request_id_of(careful), **{"verdict-0": "return", "return-0": "a.txt"}
    )
    await finish(given.json()["run_id"])
    assert "shell" in [tool.name for tool in model.requests[-1].tools]
    assert "gave the return of" in await page_of(client, careful)


async def test_a_cancelled_request_is_told_as_that(
    client: AsyncClient, careful: Agent, model: ScriptedModel
) -> None:
    await asked(careful, model)
    assert (await client.post(f"/agents/{careful.id}/stop/")).status_code == 200
    page = await page_of(client, careful)
    assert "Approve memory_insert?" not in page
    assert "cancelled the request" in page
    assert 'data-phase="cancelled"' in page


async def test_a_request_that_left_the_context_waits_no_more(
    client: AsyncClient, careful: Agent, model: ScriptedModel
) -> None:
    await asked(careful, model)
    assert 'value="memory_insert" aria-pressed="true"' in await page_of(client, careful)
    await set_messages(careful)
    page = await page_of(client, careful)
    assert "Approve memory_insert?" not in page
    assert 'data-phase="completed"' in page


async def test_a_failed_run_goes_on_where_it_broke_off_and_says_nothing_twice(
    client: AsyncClient, model: ScriptedModel, settings: Any
) -> None:
    settings.LLM_RETRIES = 0
    agent = await db(lambda: make_careful_agent(model, tool_rules=()))
    model.add(insert(call_id="c1"), error(ModelConnection("Nobody answers.", detail="connection refused")))
    failed = await send(agent, "I like tea.")
    page = await page_of(client, agent)
    assert "connection refused" in page
    assert "status 500" in page
    model.add(text("Noted."))
    again = await client.post(f"/agents/{agent.id}/runs/{failed.run_id}/again/")
    await finish(again.json()["run_id"])
    assert str(model.payloads[-1]["messages"]).count("I like tea.") == 1
    late = await client.post(f"/agents/{agent.id}/runs/{failed.run_id}/again/")
    assert late.status_code == 409
    assert "The conversation has gone on since that run failed." in late.json()["message"]


async def test_two_people_who_try_again_get_one_run(
    client: AsyncClient, plain: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.LLM_RETRIES = 0
    model.add(error(ModelConnection("Nobody answers.")))
    failed = await send(plain, "Hello")
    model.add(text("Here."))
    place = f"/agents/{plain.id}/runs/{failed.run_id}/again/"
    first = (await client.post(place)).json()["run_id"]
    await finish(first)
    assert (await client.post(place)).json()["run_id"] == first


async def test_a_queued_run_is_seen_with_what_it_was_asked(
    client: AsyncClient, plain: Agent, model: ScriptedModel
) -> None:
    run_id = await start(plain, "In the background, please.", background=True)
    page = await page_of(client, plain)
    assert "In the background, please." in page
    assert "waits for a worker" in page
    assert f'data-run="{run_id}" data-phase="queued" data-busy' in page
    model.add(text("Done."))
    async with run_queue_worker():
        await finish(run_id)
    assert 'data-phase="completed"' in await page_of(client, plain)


async def test_an_image_is_served_from_here_and_to_its_workspace_only(
    client: AsyncClient, plain: Agent, model: ScriptedModel
) -> None:
    model.add(text("Red."))
    message = InputMessage(role="user", content=(TextPart(text="Look."), IMAGE))
    await send(plain, message)
    stored = await db(lambda: Message.objects.get(agent=plain, role="user"))
    place = f"/agents/{plain.id}/messages/{stored.id}/images/"
    page = await page_of(client, plain)
    assert f'src="{place}1/?run={stored.run_id}" alt="Image sent by You"' in page
    image = await client.get(f"{place}1/")
    assert (image.content, image["Content-Type"]) == (PNG, "image/png")
    for wrong in (f"{place}0/", f"{place}2/", place.replace(stored.id, new_id("message")) + "1/"):
        assert (await client.get(wrong)).status_code == 404
    other = await db(_foreign_image)
    assert (await client.get(f"/agents/{other.agent_id}/messages/{other.id}/images/1/")).status_code == 404
    assert (await client.get(f"/agents/{plain.id}/messages/{other.id}/images/1/")).status_code == 404


def _foreign_image() -> Message:
    conversation = make_conversation(agent=make_agent(workspace=make_workspace()))
    part = {"type": "image", "source": IMAGE.source}
    return make_message(conversation=conversation, content=[part])


async def test_only_so_many_images_of_such_a_size_and_kind_are_taken(
    client: AsyncClient, plain: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.MAX_IMAGE_BYTES = 100

    async def refusal(*files: tuple[str, bytes]) -> str:
        images = [SimpleUploadedFile(name, data) for name, data in files]
        sent = await client.post(f"/agents/{plain.id}/messages/", {"text": "Look.", "images": images})
        assert sent.status_code == 400
        return str(sent.json()["message"])

    assert await refusal(("a.png", PNG + b"x" * 100)) == "a.png is larger than 0 MB."
    assert await refusal(("a.svg", b"<svg/>")) == "a.svg is no PNG, JPEG, GIF or WebP image."
    many = [(f"{number}.png", PNG) for number in range(MOST_IMAGES + 1)]
    assert (await refusal(*many)).startswith(f"A message takes {MOST_IMAGES} images")
    assert await db(lambda: Run.objects.count()) == 0


async def test_whether_a_tool_asks_is_switched_where_the_tools_are_listed(
    client: AsyncClient, plain: Agent
) -> None:
    async def switch(**fields: str) -> str:
        answer = await client.post(f"/agents/{plain.id}/tools/", fields)
        assert answer.status_code == (422 if "nothing" in fields.values() else 200)
        return answer.content.decode()

    async def asking() -> list[str]:
        rules = (await db(lambda: Agent.objects.get(id=plain.id))).tool_rules
        return [rule["tool_name"] for rule in rules if rule["type"] == "requires_approval"]

    assert 'value="memory_insert" aria-pressed="true"' in await switch(ask="memory_insert")
    assert await asking() == ["memory_insert"]
    assert 'value="memory_insert" aria-pressed="false"' in await switch(trust="memory_insert")
    assert await asking() == []
    assert "The agent has no tool" in await switch(ask="nothing")
