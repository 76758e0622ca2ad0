"""A server that is open to more than its own machine lets nobody in who has not signed in: every page, route and websocket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver

from agents.web.routing import websocket_urlpatterns
from letta_ade import urls
from letta_ade.accounts.services.users import create_user
from letta_ade.api import api
from letta_ade.core.ids import PREFIXES
from tests.support.api import asgi_client
from tests.support.factories import local_workspace
from tests.web.pages import FAST_HASHER, PASSWORD

UUID = "123e4567-e89b-42d3-8456-426614174000"
#: What makes a server closed, and the headers of a caller that finds it so.
CLOSED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "another address": ({"HOST": "0.0.0.0"}, {}),
    "another address by its name": ({"HOST": "192.168.1.5"}, {"host": "ade.lan:8283"}),
    "another name": ({"EXTRA_HOSTS": ["ade.example.org"]}, {"host": "ade.example.org"}),
    "another name, called as localhost": ({"EXTRA_HOSTS": ["ade.example.org"]}, {}),
    "asked for": ({"REQUIRE_LOGIN": True}, {}),
    "a trusted proxy": ({"TRUST_PROXY": True}, {}),
    "x-forwarded-for": ({}, {"x-forwarded-for": "127.0.0.1"}),
    "x-forwarded-proto": ({}, {"x-forwarded-proto": "https"}),
    "forwarded": ({}, {"forwarded": "for=127.0.0.1"}),
    "x-real-ip": ({}, {"x-real-ip": "127.0.0.1"}),
    "via": ({}, {"via": "1.1 proxy"}),
}


@contextmanager
def closed(how: str) -> Iterator[dict[str, str]]:
    """A server that is closed this way; the headers of a caller."""
    changed, headers = CLOSED[how]
    with override_settings(**changed):
        yield {"host": "localhost:8283", **headers}


def page_addresses() -> list[str]:
    """An address of every page, from the URL configuration itself."""

    def walk(patterns: list[URLPattern | URLResolver], head: str) -> Iterator[str]:
        for each in patterns:
            path = head + re.sub(r"<(?:\w+:)?\w+>", "x", str(each.pattern))
            if isinstance(each, URLResolver):
                yield from walk(each.url_patterns, path)
            else:
                yield f"/{path}"

    return sorted(set(walk(urls.urlpatterns, "")))


def operations() -> list[tuple[str, str]]:
    """Every operation of the API with an address, from its own description."""

    def fill(name: str) -> str:
        kind = name.removesuffix("_id")
        return f"{PREFIXES[kind]}-{UUID}" if kind in PREFIXES else "x"

    paths: Mapping[str, Mapping[str, Any]] = api.get_openapi_schema(path_prefix="/")["paths"]
    return [
        (method.upper(), re.sub(r"{(\w+)}", lambda found: fill(found[1]), path))
        for path, methods in paths.items()
        for method in methods
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("how", CLOSED)
def test_every_page_sends_a_stranger_to_the_login_page(how: str) -> None:
    local_workspace()
    addresses = page_addresses()
    assert {"/", "/agents/", "/settings/account/", "/agents/x/"} <= set(addresses)
    with closed(how) as headers:
        client = Client(headers=headers)
        for address in addresses:
            if address == "/login/":
                assert client.get(address).status_code == 200
                continue
            for method in ("get", "post", "put", "delete"):
                answer = getattr(client, method)(address)
                assert answer.status_code == 302, f"{method} {address}"
                assert answer.headers["Location"].startswith("/login/?next="), f"{method} {address}"
        assert client.get("/nothing/here/").status_code == 302
        asked = client.get("/agents/", headers={"HX-Request": "true"})
        assert (asked.status_code, asked.content) == (401, b"")
        assert client.get("/static/css/tokens.css").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("how", CLOSED)
def test_who_has_signed_in_gets_in(how: str) -> None:
    local_workspace()
    with closed(how) as headers, override_settings(PASSWORD_HASHERS=[FAST_HASHER]):
        create_user(email="ines@example.org", password=PASSWORD)
        client = Client(headers=headers)
        client.post("/login/", {"email": "ines@example.org", "password": PASSWORD})
        assert client.get("/agents/").status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", CLOSED)
async def test_every_route_of_the_api_asks_for_a_key(how: str) -> None:
    with closed(how) as headers:
        async with asgi_client(**headers) as client:
            for method, path in operations():
                answer = await client.request(method, path, json={})
                if path in ("/health/", "/ready/"):
                    assert answer.status_code == 200
                    continue
                assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"}), (
                    f"{method} {path}"
                )
                # Neither does a bearer help that is no key of ours.
                answer = await client.request(
                    method, path, json={}, headers={"Authorization": "Bearer sk-proj-1"}
                )
                assert answer.status_code == 401, f"{method} {path}"
            described = await client.get("http://localhost/openapi.json", headers=headers)
            assert described.status_code == 401


@pytest.mark.django_db(transaction=True)
async def test_the_description_of_the_api_is_there_for_who_may_call_it() -> None:
    async with asgi_client() as client:
        assert (await client.get("http://localhost/openapi.json")).json()["info"]["title"] == "Letta API"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", CLOSED)
async def test_every_websocket_is_closed_before_it_says_anything(how: str) -> None:
    assert settings.URL_PREFIX == ""
    paths = [re.sub(r"<str:\w+>", "x", str(each.pattern)) for each in websocket_urlpatterns]
    assert len(paths) >= 2
    with closed(how) as headers:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        for path in paths:
            communicator = WebsocketCommunicator(URLRouter(websocket_urlpatterns), f"/{path}", headers=pairs)
            await communicator.connect()
            assert await communicator.receive_output() == {
                "type": "websocket.close",
                "code": 4401,
            }
            await communicator.disconnect()
