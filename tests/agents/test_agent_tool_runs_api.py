"""Running a tool of an agent by hand."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client.types.agents import ToolExecutionResult

from agents.models import Agent, Message
from letta_ade.core import threads
from letta_ade.core.crypto import encrypt
from letta_ade.core.ids import new_id
from letta_ade.core.threads import run as in_thread
from memory.models import BlockVersion
from tests.support.api import asgi_client
from tests.support.factories import make_agent, make_block, make_caller, make_conversation, make_tool
from tests.support.fake_sandbox import FakeSandbox
from tests.support.strict import validate
from tools.models import Tool
from tools.sandbox.port import SandboxError, SandboxResult
from tools.services import tool_runs
from tools.services.tools import ensure_builtin_tools

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = "def note(text: str, agent_state): return text\n"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> FakeSandbox:
    fake = FakeSandbox()
    monkeypatch.setattr(tool_runs, "sandbox", lambda: fake)
    return fake


@pytest.fixture
def agent() -> Agent:
    agent = make_agent()
    make_conversation(agent=agent)
    make_block(agent=agent, label="human", value="Ada")
    agent.secrets.create(key="API_KEY", value_encrypted=encrypt("sk-1"))
    schema = {
        "name": "note",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    }
    make_tool(agent=agent, name="note", source_code=SOURCE, json_schema=schema)
    ensure_builtin_tools(make_caller().workspace_id)
    agent.tool_links.create(tool=Tool.objects.get(name="memory_replace"), position=1)
    return agent


async def run(agent_id: str, name: str, **args: Any) -> Any:
    async with asgi_client() as client:
        return await client.post(f"/agents/{agent_id}/tools/{name}/run", json={"args": args})


async def test_a_tool_of_a_user_runs_with_the_agents_secrets(agent: Agent, sandbox: FakeSandbox) -> None:
    sandbox.result = SandboxResult(status="success", value=[1, 2], stdout="hm\n")
    answer = await run(agent.id, "note", text="hello", more=1)
    assert answer.status_code == 200, answer.json()
    validate(ToolExecutionResult, answer.json())
    assert answer.json() == {
        "status": "success",
        "func_return": [1, 2],
        "agent_state": None,
        "stdout": ["hm\n"],
        "stderr": [],
        "sandbox_config_fingerprint": None,
    }
    (request,) = sandbox.requests
    assert request.arguments == {"text": "hello"}
    assert request.secrets == {"API_KEY": "sk-1"}
    assert request.agent_id == agent.id
    assert request.tool_id is not None
    state: Any = request.agent_state
    assert [block["value"] for block in state["memory"]["blocks"]] == ["Ada"]
    assert not await threads.run(Message.objects.filter(agent=agent).exists)


async def test_blocks_that_the_tool_changed_are_written(agent: Agent, sandbox: FakeSandbox) -> None:
    sandbox.result = SandboxResult(status="success", changed_blocks={"human": "Grace", "gone": "x"})
    assert (await run(agent.id, "note", text="x")).json()["status"] == "success"
    version = await threads.run(BlockVersion.objects.order_by("-number").first)
    assert version is not None
    assert (version.value, version.actor_id, version.run_id) == ("Grace", agent.id, None)


async def test_a_failing_tool_is_an_answer(agent: Agent, sandbox: FakeSandbox) -> None:
    error = SandboxError(kind="exception", name="ValueError", message="no")
    sandbox.result = SandboxResult(status="error", error=error, stderr="Traceback…")
    answer = await run(agent.id, "note", text="x")
    assert (answer.status_code, answer.json()["status"], answer.json()["func_return"]) == (200, "error", None)
    assert answer.json()["stderr"] == ["Traceback…"]
    missing = (await run(agent.id, "note")).json()
    assert missing["status"] == "error"
    assert "missing required argument 'text'" in missing["stderr"][0]


async def test_a_tool_of_the_server_runs_on_the_agents_memory(agent: Agent) -> None:
    answer = await run(agent.id, "memory_replace", label="human", old_string="Ada", new_string="Grace")
    assert answer.json()["status"] == "success", answer.json()
    version = await threads.run(BlockVersion.objects.order_by("-number").first)
    assert version is not None
    assert (version.value, version.tool_name, version.run_id) == ("Grace", "memory_replace", None)
    failed = (await run(agent.id, "memory_replace", label="human", old_string="Bo", new_string="")).json()
    assert (failed["status"], failed["func_return"]) == ("error", None)
    assert failed["stderr"]


async def test_what_the_agent_has_not_is_not_found(agent: Agent, sandbox: FakeSandbox) -> None:
    await in_thread(make_tool, name="elsewhere", source_code=SOURCE)
    assert (await run(agent.id, "elsewhere")).status_code == 404
    assert (await run(agent.id, "nothing")).status_code == 404
    assert (await run(new_id("agent"), "note")).status_code == 404
    assert (await run("agent-1", "note")).status_code == 422
    assert sandbox.requests == []
