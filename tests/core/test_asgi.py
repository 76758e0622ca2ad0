"""The lean handler of the API, spoken to in ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from letta_ade.core.asgi import ApiHandler, LiveResponse

# The handler's threads look after their database connections around each call.
pytestmark = pytest.mark.django_db(transaction=True)

closed = asyncio.Event()


def show(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"path": request.path_info, "body": request.body.decode()})


async def show_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"is_async": True})


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug")


async def stream(request: HttpRequest) -> LiveResponse:
    async def body() -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: 1\n\n"
            if "endless" in request.GET:
                await asyncio.Event().wait()
            yield b"data: 2\n\n"
        finally:
            closed.set()

    return LiveResponse(body(), content_type="text/event-stream")


def stream_of_django(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse([b"lost"])


urlpatterns = [
    path("v1/things/", show),
    path("v1/thing", show),
    path("v1/async", show_async),
    path("v1/fail", fail),
    path("v1/stream", stream),
    path("v1/stream-of-django", stream_of_django),
]


class Client:
    """Sends one request and keeps what comes back."""

    def __init__(
        self, target: str, *, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        path_part, _, query = target.partition("?")
        pairs = {"host": "localhost", **(headers or {})}
        self.scope = {
            "type": "http",
            "method": method,
            "path": path_part,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        self._body = [body[index : index + 1000] for index in range(0, len(body), 1000)] or [b""]
        self.leave = asyncio.Event()
        self.messages: list[MutableMapping[str, Any]] = []
        self.first_chunk = asyncio.Event()
        #: A client that does not read: sending waits for it.
        self.is_stalled = False

    async def receive(self) -> dict[str, Any]:
        if self._body:
            chunk = self._body.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._body)}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.messages.append(message)
        if message.get("body"):
            self.first_chunk.set()
            if self.is_stalled:
                await asyncio.Event().wait()

    async def run(self) -> Client:
        await ApiHandler(__name__)(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@pytest.mark.parametrize("target", ["/v1/things/", "/v1/things", "/v1/thing", "/v1/thing/"])
async def test_both_slash_forms_are_the_same_address(target: str) -> None:
    answer = await Client(target, method="POST", body=b"x" * 2500).run()
    assert answer.status == 200
    assert len(answer.json["body"]) == 2500


async def test_an_asynchronous_view_is_awaited() -> None:
    assert (await Client("/v1/async").run()).json == {"is_async": True}


async def test_an_unknown_route_is_a_json_404() -> None:
    answer = await Client("/v1/nothing").run()
    assert answer.status == 404
    assert "/v1/nothing" in answer.json["detail"]


async def test_a_fault_of_ours_is_a_json_500_that_a_post_must_not_repeat() -> None:
    answer = await Client("/v1/fail", method="POST").run()
    assert (answer.status, answer.json) == (500, {"detail": "An unknown error occurred"})
    assert answer.headers["x-should-retry"] == "false"


@override_settings(MAX_BODY_BYTES=1500)
async def test_a_body_over_the_limit_is_413() -> None:
    answer = await Client("/v1/things/", method="POST", body=b"x" * 2000).run()
    assert answer.status == 413


async def test_a_stream_is_sent_chunk_by_chunk() -> None:
    answer = await Client("/v1/stream").run()
    assert [message.get("body") for message in answer.messages[1:]] == [b"data: 1\n\n", b"data: 2\n\n", b""]


async def test_a_stream_ends_when_the_client_leaves() -> None:
    closed.clear()
    client = Client("/v1/stream?endless=1")
    running = asyncio.create_task(client.run())
    await client.first_chunk.wait()
    client.leave.set()
    await running
    assert closed.is_set()


async def test_a_stream_is_closed_when_a_client_leaves_that_did_not_read() -> None:
    closed.clear()
    client = Client("/v1/stream")
    client.is_stalled = True
    running = asyncio.create_task(client.run())
    await client.first_chunk.wait()
    client.leave.set()
    await running
    assert closed.is_set()


async def test_a_stream_of_djangos_kind_is_a_fault_and_not_an_empty_answer() -> None:
    assert (await Client("/v1/stream-of-django").run()).status == 500


@override_settings(ACCEPTABLE_ORIGINS=["https://app.example"])
async def test_a_listed_origin_may_read_the_answer_and_ask_beforehand() -> None:
    headers = {"origin": "https://app.example", "access-control-request-headers": "authorization"}
    preflight = await Client("/v1/thing", method="OPTIONS", headers=headers).run()
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    answer = await Client("/v1/thing", headers=headers).run()
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    other = await Client("/v1/thing", headers={"origin": "https://evil.example"}).run()
    assert "access-control-allow-origin" not in other.headers
