"""The network of a call: public addresses, and those that the operator lists, through the proxy of this server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from letta_ade.core.addresses import AllowList
from tests.support.receiver import Receiver, redirect
from tests.support.sandboxes import asked
from tools.sandbox import current
from tools.sandbox.egress import Proxy
from tools.sandbox.port import Sandbox


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def open_host(settings) -> None:
    """The name localhost may be called, its address may not."""
    settings.OUTBOUND_ALLOW = AllowList.parse(["localhost"])


@pytest.fixture
def networked(sandbox: Sandbox) -> Sandbox:
    if not current.isolation_now().has_network:
        pytest.skip("this machine cannot confine a network")
    return sandbox


FETCH = """
import urllib.request, urllib.error

def f(url: str):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
    except OSError as error:
        return [0, type(error).__name__]
"""


async def test_a_tool_with_a_network_reaches_what_may_be_called(networked, receiver, open_host):
    url = receiver.url.replace("127.0.0.1", "localhost") + "/weather?city=Oslo"
    result = await networked.run(asked(FETCH, arguments={"url": url}, network=True))
    assert result.value == [200, "ok"], result
    assert receiver.paths == ["/weather"]


async def test_an_address_that_may_not_be_called_is_refused_with_the_reason(networked, receiver, open_host):
    result = await networked.run(asked(FETCH, arguments={"url": f"{receiver.url}/"}, network=True))
    assert result.value[0] == 403
    assert "loopback" in result.value[1]
    assert receiver.paths == []


async def test_a_redirect_to_a_private_address_leads_nowhere(networked, receiver, open_host):
    url = receiver.on("/out", redirect(f"{receiver.url}/inside")).replace("127.0.0.1", "localhost")
    result = await networked.run(asked(FETCH, arguments={"url": url}, network=True))
    assert result.value[0] == 403
    assert receiver.paths == ["/out"]


async def test_a_tool_without_a_network_reaches_nothing(sandbox, receiver, open_host):
    url = receiver.url.replace("127.0.0.1", "localhost")
    result = await sandbox.run(asked(FETCH, arguments={"url": url}))
    assert result.value[0] == 0
    assert receiver.paths == []


async def test_a_name_that_changes_its_meaning_is_judged_by_the_address_that_is_called(receiver):
    """DNS rebinding: the proxy looks a name up once, and connects to what it judged."""
    asked_for: list[str] = []

    def look_up(host, port):
        asked_for.append(host)
        return [ip_address("127.0.0.1" if len(asked_for) > 1 else "10.0.0.1")]

    proxy = Proxy(look_up=look_up)
    try:
        proxy.serve(None)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"CONNECT rebinding.test:80 HTTP/1.1\r\n\r\n")
        assert b" 403 " in await reader.read()
        writer.close()
        await writer.wait_closed()
        assert asked_for == ["rebinding.test"]
    finally:
        await asyncio.to_thread(proxy.close)
