"""Agent files with the SDK: an agent leaves one server as a file and comes back as a copy."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from letta_client import AsyncLetta, BadRequestError, Letta

from tests.support.server import RunningServer


def test_an_agent_is_exported_and_imported(client: Letta, agent: Any) -> None:
    client.agents.messages.create(agent.id, input="Remember the tea.")
    file = json.loads(client.agents.export_file(agent.id))
    assert file["agents"][0]["name"] == agent.name
    told = client.agents.import_file(file=("ada.af", io.BytesIO(json.dumps(file).encode())), name="Grace")
    copy = client.agents.retrieve(told.agent_ids[0])
    assert copy.name == "Grace"
    before = [m.message_type for m in client.agents.messages.list(agent.id, order="asc")]
    assert [m.message_type for m in client.agents.messages.list(copy.id, order="asc")] == before
    answer = client.agents.messages.create(copy.id, input="And now?")
    assert answer.stop_reason.stop_reason == "end_turn"


def test_a_bad_file_is_a_bad_request(client: Letta) -> None:
    with pytest.raises(BadRequestError, match="not JSON"):
        client.agents.import_file(file=("bad.af", io.BytesIO(b"{")))


async def test_the_asynchronous_client_does_the_same(server: RunningServer, agent: Any) -> None:
    async with AsyncLetta(base_url=server.url) as client:
        data = (await client.agents.export_file(agent.id, scrub_messages=True)).encode()
        told = await client.agents.import_file(file=("a.af", io.BytesIO(data)), append_copy_suffix=False)
        copy = await client.agents.retrieve(told.agent_ids[0])
        assert copy.name == agent.name
