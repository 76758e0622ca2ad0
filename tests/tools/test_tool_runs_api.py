"""Running a source that is not stored: what reaches the sandbox, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client.types import ToolReturnMessage

from letta_ade.core import threads
from tests.support.api import asgi_client
from tests.support.factories import local_workspace
from tests.support.fake_sandbox import FakeSandbox
from tests.support.strict import validate
from tools.models import Tool
from tools.sandbox.port import Requirement, SandboxError, SandboxResult
from tools.services import tool_runs

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = '''
def roll(sides: int, times: int = 1) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
        times: How often.
    """
    return "4"
'''


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> FakeSandbox:
    local_workspace()
    fake = FakeSandbox()
    monkeypatch.setattr(tool_runs, "sandbox", lambda: fake)
    return fake


async def run(**body: Any) -> Any:
    async with asgi_client() as client:
        return await client.post("/tools/run", json={"source_code": SOURCE, **body})


async def test_the_source_reaches_the_sandbox_and_its_return_comes_back(sandbox: FakeSandbox) -> None:
    sandbox.result = SandboxResult(status="success", value={"eyes": 4}, stdout="rolling\n")
    answer = await run(
        args={"sides": "6", "unknown": 1},
        env_vars={"KEY": "k", "GONE": None},
        pip_requirements=[{"name": "httpx", "version": "0.28.1"}],
    )
    body = answer.json()
    assert answer.status_code == 200, body
    validate(ToolReturnMessage, body)
    assert (body["id"], body["name"], body["status"]) == ("null", "roll", "success")
    assert (body["tool_return"], body["stdout"], body["stderr"]) == ('{"eyes": 4}', ["rolling\n"], [])
    assert body["tool_returns"] == [
        {
            "tool_return": '{"eyes": 4}',
            "status": "success",
            "tool_call_id": "null",
            "stdout": ["rolling\n"],
            "stderr": [],
            "type": "tool",
        }
    ]
    (request,) = sandbox.requests
    assert (request.source, request.function, request.language) == (SOURCE, "roll", "python")
    assert request.arguments == {"sides": 6}
    assert request.environment == {"KEY": "k"}
    assert request.requirements == (Requirement(name="httpx", version="0.28.1"),)
    assert (request.agent_id, request.tool_id, request.secrets) == (None, None, {})
    assert not await threads.run(Tool.objects.filter(name="roll").exists)


async def test_a_failing_tool_is_an_answer_with_its_error(sandbox: FakeSandbox) -> None:
    error = SandboxError(kind="exception", name="ValueError", message="no sides")
    sandbox.result = SandboxResult(status="error", error=error, stderr="Traceback…")
    answer = await run(args={"sides": 0})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "error")
    assert body["tool_return"] == "Error executing function roll: ValueError: no sides"
    assert body["stderr"] == ["Traceback…"]
    error = SandboxError(kind="timeout", name="TimeoutError", message="it took longer than 180 s")
    sandbox.result = SandboxResult(status="error", error=error)
    assert (await run(args={"sides": 0})).json()["stderr"] == ["TimeoutError: it took longer than 180 s"]


async def test_a_call_without_its_arguments_is_not_run(sandbox: FakeSandbox) -> None:
    body = (await run()).json()
    assert body["status"] == "error"
    assert "missing required argument 'sides'" in body["tool_return"]
    assert sandbox.requests == []


async def test_typescript_runs_without_a_schema_of_its_own(sandbox: FakeSandbox) -> None:
    source = "export function act(n: number) { return n }"
    body = {"source_code": source, "source_type": "typescript", "npm_requirements": [{"name": "zod"}]}
    assert (await run(**body, args={"n": "2"})).json()["tool_return"] == "done"
    (request,) = sandbox.requests
    assert (request.language, request.function, request.arguments) == ("typescript", "act", {"n": 2.0})
    assert request.requirements == (Requirement(name="zod"),)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"source_code": "def roll(:"}, 400, "line 1: The source does not parse"),
        ({"source_code": "x = 1"}, 400, "has no function"),
        ({"name": "throw"}, 400, "is named 'roll', not 'throw'"),
        ({"source_type": "cobol"}, 422, "python or typescript"),
        ({"pip_requirements": [{"name": "a b"}]}, 422, "is not the name of a package"),
        ({"args": []}, 422, "args"),
        ({"source_code": None}, 422, "source_code"),
    ],
)
async def test_what_is_no_tool_is_told(
    sandbox: FakeSandbox, body: dict[str, Any], status: int, message: str
) -> None:
    answer = await run(**body)
    assert answer.status_code == status
    assert message in answer.json()["detail"]
    assert sandbox.requests == []


async def test_images_come_back_as_parts(sandbox: FakeSandbox) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}
    parts = [{"type": "text", "text": "The plot:"}, {"type": "image", "source": source}]
    sandbox.result = SandboxResult(status="success", value=parts)
    body = (await run(args={"sides": 6})).json()
    validate(ToolReturnMessage, body)
    assert body["tool_returns"][0]["tool_return"] == parts
    assert body["tool_return"].startswith("The plot:\n[image/png, 1 KB")
