"""A websocket that is open when its caller loses the right to be here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import override_settings

from agents.services.agents import AgentDraft, create_agent
from agents.web.routing import websocket_urlpatterns
from letta_ade.accounts.models import Member, User
from letta_ade.accounts.services.api_keys import CreatedApiKey, create_api_key, revoke_api_key
from letta_ade.accounts.services.users import create_user, reset_password
from letta_ade.core import threads
from tests.support.factories import local_workspace, make_caller
from tests.web.pages import FAST_HASHER, PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

UNAUTHENTICATED, FORBIDDEN = 4401, 4403


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    with override_settings(REQUIRE_LOGIN=True, PASSWORD_HASHERS=[FAST_HASHER], ACCESS_CHECK_SECONDS=0.02):
        yield


def person() -> str:
    """The Cookie header of somebody who has signed in."""
    user = create_user(email="ines@example.org", password=PASSWORD, workspace=local_workspace())
    session = SessionStore()
    session[SESSION_KEY] = user.pk
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return f"ade_session={session.session_key}"


def workbench() -> str:
    agent = create_agent(caller=make_caller(), draft=AgentDraft(name="Ada", model="demo/assistant"))
    return f"/ws/agents/{agent.id}/"


async def code_of_the_end(path: str, meanwhile: Callable[[], Any], **headers: str) -> int:
    """Open the socket, let it be, then do something; with what code it is closed."""
    pairs = [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()]
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), path, headers=pairs)
    await socket.connect()
    # Looked at a few times meanwhile, and let be.
    while not await socket.receive_nothing(timeout=0.15):
        assert (await socket.receive_output())["type"] == "websocket.send"
    await threads.run(meanwhile)
    while (message := await socket.receive_output(timeout=10))["type"] != "websocket.close":
        pass
    await socket.disconnect()
    return int(message["code"])


CHANGES: dict[str, tuple[Callable[[], Any], int]] = {
    "signs out": (Session.objects.all().delete, UNAUTHENTICATED),
    "gets another password": (
        lambda: reset_password(email="ines@example.org", new="four other words"), UNAUTHENTICATED
    ),
    "is switched off": (lambda: User.objects.update(is_active=False), UNAUTHENTICATED),
    "leaves the workspace": (lambda: Member.objects.all().delete(), FORBIDDEN),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
async def test_it_is_closed_when_its_person(what: str) -> None:
    change, code = CHANGES[what]
    cookie = await threads.run(person)
    assert await code_of_the_end("/ws/lists/", change, cookie=cookie) == code


async def test_a_workbench_is_closed_too() -> None:
    path, cookie = await threads.run(workbench), await threads.run(person)
    assert await code_of_the_end(path, Session.objects.all().delete, cookie=cookie) == UNAUTHENTICATED


async def test_it_is_closed_when_its_key_is_revoked() -> None:
    created: CreatedApiKey = await threads.run(lambda: create_api_key(name="x", workspace=local_workspace()))
    code = await code_of_the_end(
        "/ws/lists/", lambda: revoke_api_key(key=created.row), authorization=f"Bearer {created.secret}"
    )
    assert code == UNAUTHENTICATED
