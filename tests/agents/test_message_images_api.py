"""Images and the other parts of what a client sends: taken, fetched, or refused with the reason."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from django.test import override_settings

from agents.models import Agent, Message, Run
from agents.services.agents import AgentDraft, create_agent
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core import threads
from letta_ade.core.addresses import AllowList
from letta_ade.llm.testing import ScriptedModel, installed, text
from tests.support.api import asgi_client
from tests.support.factories import make_caller, make_workspace
from tests.support.fake_provider import Answer
from tests.support.receiver import Receiver, hanging, redirect

pytestmark = pytest.mark.django_db(transaction=True)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
IMAGES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0" + b"\0" * 24,
    "image/gif": b"GIF89a" + b"\0" * 24,
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 24,
}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return create_agent(caller=make_caller(), draft=AgentDraft(name="Ada", model=model.handle))


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client() as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with (
        override_settings(OUTBOUND_ALLOW=AllowList.parse(["127.0.0.1"]), IMAGE_SECONDS=2.0),
        Receiver() as server,
    ):
        yield server


async def send(api: httpx.AsyncClient, agent: Agent, *parts: dict[str, Any], role: str = "user"):
    message = {"role": role, "content": list(parts)}
    return await api.post(f"/agents/{agent.id}/messages", json={"messages": [message]})


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


def by_address(url: str) -> dict[str, Any]:
    return image(type="url", url=url)


async def stored(agent: Agent, role: str = "user") -> list[dict[str, Any]]:
    row = await threads.run(lambda: Message.objects.filter(agent=agent, role=role).latest("created_at"))
    return row.content


@pytest.mark.parametrize("media_type", IMAGES)
async def test_an_image_is_fetched_and_stored_as_what_it_is(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, receiver: Receiver, media_type: str
) -> None:
    model.add(text("A picture."))
    # What the server calls it counts for nothing.
    lying = Answer(headers={"content-type": "text/html"}, body=IMAGES[media_type])
    sent = await send(
        api, agent, {"type": "text", "text": "Look"}, by_address(receiver.on("/picture", lying))
    )
    assert sent.status_code == 200, sent.text
    kept = {"type": "base64", "media_type": media_type, "data": base64_of(IMAGES[media_type])}
    assert await stored(agent) == [
        {"type": "text", "text": "Look", "signature": None},
        {"type": "image", "source": kept},
    ]
    listed = (await api.get(f"/agents/{agent.id}/messages")).json()
    (said,) = (each for each in listed if each["message_type"] == "user_message")
    assert said["content"] == [{"type": "text", "text": "Look"}, {"type": "image", "source": kept}]


async def test_several_images_keep_their_places_and_one_address_is_fetched_once(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, receiver: Receiver
) -> None:
    model.add(text("Pictures."))
    first = receiver.on("/1", Answer(body=IMAGES["image/gif"]))
    second = receiver.on("/2", Answer(body=PNG))
    sent = await send(
        api,
        agent,
        by_address(second),
        image(media_type="image/jpeg", data=base64_of(IMAGES["image/jpeg"])),
        by_address(first),
        by_address(second),
        image(type="url", url=f"data:image/gif;base64,{base64_of(IMAGES['image/gif'])}", detail="low"),
    )
    assert sent.status_code == 200, sent.text
    sources = [part["source"] for part in await stored(agent)]
    assert [source["media_type"] for source in sources] == [
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/png",
        "image/gif",
    ]
    assert sources[-1]["detail"] == "low"
    assert sorted(receiver.paths) == ["/1", "/2"]


async def test_the_model_reads_the_fetched_image(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, receiver: Receiver
) -> None:
    model.add(text("A picture."))
    await send(api, agent, by_address(receiver.on("/picture", Answer(body=PNG))))
    assert base64_of(PNG) in str(model.payloads[0])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.0.0.5/x.png", "10.0.0.5 is a private address"),
        ("http://169.254.169.254/latest/meta-data/", "a link-local address"),
        ("http://localhost/x.png", "localhost leads to a loopback address"),
        ("http://2130706433/x.png", "is not an IPv4 address"),
        ("file:///etc/passwd", "is neither http nor https"),
        ("ftp://example.com/x.png", "is neither http nor https"),
        ("x.png", "is neither http nor https"),
        ("http://user:secret@example.com/", "holds a user name or a password"),
        ("data:image/png;base64,####", "is not base64"),
        ("data:image/png;base64", "holds no data"),
        ("data:text/html,<script>", "does not hold a PNG, JPEG, GIF or WebP image"),
    ],
)
async def test_an_address_that_leads_to_no_image_is_400_and_no_run(
    api: httpx.AsyncClient, agent: Agent, url: str, words: str
) -> None:
    sent = await send(api, agent, by_address(url))
    assert sent.status_code == 400
    assert words in sent.json()["detail"]
    assert "secret" not in sent.text
    assert not await threads.run(Run.objects.exists)


async def test_a_failure_is_tried_once_more(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, receiver: Receiver
) -> None:
    model.add(text("A picture."))
    url = receiver.on("/picture", Answer(status=503), Answer(body=PNG))
    assert (await send(api, agent, by_address(url))).status_code == 200
    assert receiver.paths == ["/picture", "/picture"]


@pytest.mark.parametrize(
    ("answer", "words", "times"),
    [
        (Answer(status=500), "its server answered 500", 2),
        (Answer(status=404), "its server answered 404", 1),
        (Answer(body=b"<html>"), "does not hold a PNG, JPEG, GIF or WebP image", 1),
        (Answer(body=b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "does not hold", 1),
        (Answer(body=b""), "does not hold", 1),
        (redirect("http://10.0.0.5/"), "10.0.0.5 is a private address", 1),
        (Answer(body=PNG + b"\0" * 2000), "larger than 1,000 bytes", 1),
    ],
)
async def test_what_cannot_be_had_is_400_with_the_reason(
    api: httpx.AsyncClient, agent: Agent, receiver: Receiver, answer: Answer, words: str, times: int
) -> None:
    with override_settings(MAX_IMAGE_BYTES=1000):
        sent = await send(api, agent, by_address(receiver.on("/picture", answer)))
    assert sent.status_code == 400
    assert words in sent.json()["detail"]
    assert len(receiver.received) == times
    assert not await threads.run(Run.objects.exists)


async def test_a_server_that_hangs_is_given_up(
    api: httpx.AsyncClient, agent: Agent, receiver: Receiver
) -> None:
    with override_settings(IMAGE_SECONDS=0.1):
        sent = await send(api, agent, by_address(receiver.on("/picture", hanging(PNG))))
    assert sent.status_code == 400
    assert "did not answer within 0.1 s" in sent.json()["detail"]
    assert len(receiver.received) == 2


async def test_a_request_names_only_so_many_addresses(
    api: httpx.AsyncClient, agent: Agent, receiver: Receiver
) -> None:
    parts = [by_address(f"{receiver.url}/{number}") for number in range(21)]
    sent = await send(api, agent, *parts)
    assert (sent.status_code, receiver.received) == (400, [])
    assert "a request may hold 20" in sent.json()["detail"]


async def test_nothing_is_fetched_for_who_may_not_send(
    api: httpx.AsyncClient, agent: Agent, receiver: Receiver
) -> None:
    viewer = await threads.run(lambda: create_api_key(name="v", role="viewer"))
    stranger = await threads.run(lambda: create_api_key(name="s", workspace=make_workspace()))
    for key, status in ((viewer, 403), (stranger, 404)):
        api.headers["Authorization"] = f"Bearer {key.secret}"
        sent = await send(api, agent, by_address(f"{receiver.url}/picture"))
        assert sent.status_code == status
    assert receiver.received == []


async def test_a_file_of_the_server_is_404(api: httpx.AsyncClient, agent: Agent) -> None:
    sent = await send(api, agent, image(type="letta", file_id="file-123"))
    assert sent.status_code == 404
    assert "There is no file 'file-123' on this server" in sent.json()["detail"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"media_type": "image/svg+xml", "data": base64_of(b"<svg/>")}, "image/svg+xml"),
        ({"media_type": "text/plain", "data": base64_of(b"x")}, "text/plain"),
        ({"media_type": "image/png", "data": "not base64!"}, "is not base64"),
        ({"media_type": "image/png", "data": "iVBORw0KGgo"}, "is not base64"),
        ({"media_type": "image/png", "data": ""}, "is empty"),
    ],
)
async def test_base64_that_is_no_image_is_400(
    api: httpx.AsyncClient, agent: Agent, source: dict[str, str], words: str
) -> None:
    sent = await send(api, agent, image(type="base64", **source))
    assert sent.status_code == 400
    assert words in sent.json()["detail"]


async def test_base64_may_be_broken_into_lines_and_jpg_is_jpeg(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("A picture."))
    lines = base64.encodebytes(IMAGES["image/jpeg"] * 9).decode()
    assert "\n" in lines.strip()
    assert (await send(api, agent, image(media_type="image/jpg", data=lines))).status_code == 200
    (part,) = await stored(agent)
    assert (part["source"]["media_type"], "\n" in part["source"]["data"]) == ("image/jpeg", False)


REASONING: list[dict[str, Any]] = [
    {"type": "reasoning", "reasoning": "Hm.", "signature": "s", "is_native": True},
    {"type": "redacted_reasoning", "data": "blob"},
    {"type": "omitted_reasoning", "signature": None},
    {"type": "text", "text": "Yes.", "signature": "t"},
]


async def test_reasoning_of_an_assistant_is_stored_and_shown_as_such(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Go on."))
    sent = await send(api, agent, *REASONING, role="assistant")
    assert sent.status_code == 200, sent.text
    row = await threads.run(
        lambda: Message.objects.filter(agent=agent, role="assistant").earliest("created_at")
    )
    assert row.content == REASONING
    listed = (await api.get(f"/agents/{agent.id}/messages")).json()
    assert [each["message_type"] for each in listed][1:5] == [
        "reasoning_message",
        "hidden_reasoning_message",
        "hidden_reasoning_message",
        "assistant_message",
    ]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", {"type": "reasoning", "reasoning": "Hm."}),
        ("system", {"type": "redacted_reasoning", "data": "x"}),
        ("assistant", image(media_type="image/png", data=base64_of(PNG))),
        ("system", image(media_type="image/png", data=base64_of(PNG))),
        ("assistant", {"type": "tool_call", "id": "1", "name": "x", "input": {}}),
        ("assistant", {"type": "tool_return", "tool_call_id": "1", "content": "x", "is_error": False}),
        ("assistant", {"type": "reasoning", "reasoning": 1}),
        ("assistant", {"type": "reasoning", "reasoning": "x", "signature": 1}),
        ("assistant", {"type": "redacted_reasoning"}),
        ("assistant", {"type": "summarized_reasoning", "id": "1", "summary": []}),
        ("user", {"type": "image"}),
        ("user", {"type": "image", "text": "x"}),
        ("user", image(type="url")),
        ("user", image(type="url", url=1)),
        ("user", image(type="base64", media_type="image/png")),
        ("user", image(type="telepathy", url="http://x/")),
        ("user", {"type": "text", "text": None}),
        ("user", {}),
    ],
)
async def test_a_part_that_is_none_is_422(
    api: httpx.AsyncClient, agent: Agent, role: str, part: dict[str, Any]
) -> None:
    sent = await send(api, agent, part, role=role)
    assert sent.status_code == 422, sent.text
    assert not await threads.run(Run.objects.exists)
