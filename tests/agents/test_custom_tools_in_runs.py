"""Tools that users wrote, called by agents: arguments, secrets, their client, their end with the run, and what the model reads."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connection

from agents.models import Agent, Message, Run
from agents.runtime.events import BlockChanged
from agents.services import execution
from agents.services.agents import AgentDraft, create_agent
from letta_ade.llm.testing import ScriptedModel, installed, text, tool_call
from memory.models import Block, BlockVersion
from memory.services.blocks import BlockDraft
from tests.support.factories import make_agent, make_block, make_caller, make_tool
from tests.support.sending import db, finish, send, start
from tools.sandbox import current

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("ended_runs", "sandbox"),
    pytest.mark.xdist_group("custom-tools"),
]

WEATHER = '''
def get_weather(location: str) -> str:
    """Get current weather for a location."""
    return f"Weather in {location}: 72°F, sunny"
'''
UPDATE_MEMORY = '''
def update_memory(label: str, content: str) -> str:
    """Update a memory block."""
    import os
    # `client` is pre-injected, no initialization needed
    client.agents.blocks.update(
        agent_id=os.getenv("LETTA_AGENT_ID"),
        block_label=label,
        value=content
    )
    return "Memory updated"
'''


@pytest.fixture(scope="module")
def sandbox_of_module() -> Iterator[None]:
    yield
    current.shut_down_sandbox()


@pytest.fixture
def sandbox(sandbox_of_module: None) -> None:
    if current.isolation_now().state not in {"full", "partial"}:
        pytest.skip("no sandbox on this machine")


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        model=model.handle,
        blocks=(BlockDraft(label="human", value="Name: Ada"),),
        secrets={"API_KEY": "sk-12345"},
        include_base_tools=False,
        include_base_tool_rules=False,
    )
    return create_agent(caller=make_caller(), draft=draft)


def give(agent: Agent, source: str, *arguments: str, **fields: Any) -> str:
    """Attach a tool of this source, whose parameters are all texts; its name."""
    name = source.split("def ", 1)[1].split("(", 1)[0]
    parameters = {
        "type": "object",
        "properties": {each: {"type": "string"} for each in arguments},
        "required": list(arguments),
    }
    schema = {"name": name, "description": "A tool.", "parameters": parameters}
    make_tool(agent=agent, name=name, source_code=textwrap.dedent(source), json_schema=schema, **fields)
    return name


async def returned(agent: Agent) -> list[dict[str, Any]]:
    rows = await db(lambda: list(Message.objects.filter(agent=agent, role="tool").order_by("created_at")))
    return [each for row in rows for each in row.tool_returns]


async def test_an_agent_calls_a_tool_and_reads_its_return(agent: Agent, model: ScriptedModel) -> None:
    await db(lambda: give(agent, WEATHER, "location"))
    model.add(tool_call("get_weather", location="Oslo"), text("Sunny"))
    assert (await send(agent, "Weather?")).stop_reason == "end_turn"
    [row] = await returned(agent)
    assert (row["status"], row["text"]) == ("success", "Weather in Oslo: 72°F, sunny")
    assert "Weather in Oslo" in json.dumps(model.payloads[1], ensure_ascii=False)


async def test_a_tool_reads_its_secrets_and_nobody_else_does(
    agent: Agent, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    source = """
    def call_service():
        import os
        print("with", os.getenv("API_KEY"))
        return [len(os.getenv("API_KEY")), os.getenv("API_KEY")]
    """
    await db(lambda: give(agent, source))
    model.add(tool_call("call_service"), text("Done"))
    await send(agent, "Go")
    [row] = await returned(agent)
    assert row["text"] == '[8, "[secret API_KEY]"]'
    assert row["stdout"] == ["with [secret API_KEY]\n"]
    assert "sk-12345" not in caplog.text
    assert "sk-12345" not in json.dumps(model.payloads)


async def test_the_client_updates_the_memory_of_its_agent(agent: Agent, model: ScriptedModel) -> None:
    await db(lambda: give(agent, UPDATE_MEMORY, "label", "content"))
    model.add(tool_call("update_memory", label="human", content="Name: Grace"), text("Done"))
    await send(agent, "I am Grace")
    [row] = await returned(agent)
    assert row["text"] == "Memory updated", row
    version = await db(lambda: BlockVersion.objects.latest("number"))
    assert (version.value, version.actor_id) == ("Name: Grace", agent.id)


async def test_the_client_reaches_no_other_agent(agent: Agent, model: ScriptedModel) -> None:
    other = await db(make_agent)
    block = await db(lambda: make_block(label="private", value="theirs"))
    source = """
    def snoop(agent_id: str, block_id: str, own_id: str):
        found = []
        attempts = [
            lambda: client.agents.retrieve(agent_id),
            lambda: client.agents.update(agent_id, name="mine"),
            lambda: client.agents.delete(agent_id),
            lambda: client.agents.messages.list(agent_id),
            lambda: client.agents.messages.create(agent_id, messages=[{"role": "user", "content": "hi"}]),
            lambda: client.agents.list(),
            lambda: client.agents.create(name="new"),
            lambda: client.blocks.retrieve(block_id),
            lambda: client.blocks.update(block_id, value="mine"),
            lambda: client.blocks.list(),
            lambda: client.agents.blocks.attach(block_id, agent_id=own_id),
            lambda: client.agents.update(own_id, block_ids=[block_id]),
            lambda: client.agents.delete(own_id),
            lambda: client.tools.list(),
            lambda: client.get(f"/v1/agents/{own_id}/../{agent_id}", cast_to=object),
            lambda: client.get(f"/v1//agents/{agent_id}", cast_to=object),
            lambda: client.get(f"/v1/agents/{own_id}%2F..%2F{agent_id}", cast_to=object),
            lambda: client.get("/", cast_to=object),
        ]
        for attempt in attempts:
            try:
                answer = attempt()
                found.append(repr(list(answer) if hasattr(answer, "__iter__") and not isinstance(answer, str) else answer)[:80])
            except Exception as error:
                found.append(getattr(error, "status_code", repr(error)))
        return found
    """
    await db(lambda: give(agent, source, "agent_id", "block_id", "own_id"))
    model.add(tool_call("snoop", agent_id=other.id, block_id=block.id, own_id=agent.id), text("Done"))
    await send(agent, "Go")
    [row] = await returned(agent)
    assert set(json.loads(row["text"])) == {403}, row["text"]
    kept = await db(lambda: (Agent.objects.get(id=other.id).name, Block.objects.get(id=block.id).value))
    assert kept == (other.name, "theirs")


async def test_a_scope_of_the_workspace_opens_it(agent: Agent, model: ScriptedModel, settings: Any) -> None:
    settings.TOOL_CLIENT_SCOPE = "workspace"
    other = await db(lambda: make_agent(name="Grace"))
    source = "def look(agent_id: str):\n    return client.agents.retrieve(agent_id).name\n"
    await db(lambda: give(agent, source, "agent_id"))
    model.add(tool_call("look", agent_id=other.id), text("Done"))
    await send(agent, "Go")
    assert (await returned(agent))[0]["text"] == "Grace"


async def test_a_client_that_the_tool_makes_itself_gets_through_too(
    agent: Agent, model: ScriptedModel
) -> None:
    source = """
    def who():
        import os
        from letta_client import Letta
        mine = Letta(api_key=os.getenv("LETTA_API_KEY"))
        return mine.agents.retrieve(os.getenv("LETTA_AGENT_ID")).id
    """
    await db(lambda: give(agent, source))
    model.add(tool_call("who"), text("Done"))
    await send(agent, "Go")
    assert (await returned(agent))[0]["text"] == agent.id


async def test_agent_state_that_a_tool_changes_is_written_back(agent: Agent, model: ScriptedModel) -> None:
    source = """
    def note(agent_state: "AgentState", words: str):
        block = agent_state.memory.get_block("human")
        agent_state.memory.update_block_value("human", block.value + "\\n" + words)
        return agent_state.name
    """
    await db(lambda: give(agent, source, "words"))
    model.add(tool_call("note", words="Likes tea"), text("Done"))
    told = await send(agent, "I like tea")
    [row] = await returned(agent)
    assert row["text"] == agent.name
    block = await db(lambda: Block.objects.get(label="human"))
    assert block.value == "Name: Ada\nLikes tea"
    assert [event.label for event in told.events if isinstance(event, BlockChanged)] == ["human"]


async def test_a_tool_that_raises_is_a_return_with_the_lines_of_its_source(
    agent: Agent, model: ScriptedModel
) -> None:
    await db(lambda: give(agent, "def fails():\n    print('begun')\n    return {}['key']\n"))
    model.add(tool_call("fails"), text("Sorry"))
    assert (await send(agent, "Go")).stop_reason == "end_turn"
    [row] = await returned(agent)
    assert row["status"] == "error"
    assert (
        row["text"] == "Error executing function fails: KeyError: 'key'\nline 3, in fails: return {}['key']"
    )
    assert row["stdout"] == ["begun\n"]
    assert row["stderr"][0].startswith(
        'Traceback (most recent call last):\n  File "tool.py", line 3, in fails'
    )


async def test_a_missing_argument_is_told_before_anything_runs(agent: Agent, model: ScriptedModel) -> None:
    await db(lambda: give(agent, WEATHER, "location"))
    model.add(tool_call("get_weather"), text("Where?"))
    await send(agent, "Weather?")
    [row] = await returned(agent)
    assert row["status"] == "error"
    assert "location" in row["text"]


async def test_a_long_return_is_cut_at_the_limit_of_its_tool(agent: Agent, model: ScriptedModel) -> None:
    await db(lambda: give(agent, "def long():\n    return 'x' * 3000\n", return_char_limit=100))
    model.add(tool_call("long"), text("Done"))
    await send(agent, "Go")
    text_read = (await returned(agent))[0]["text"]
    assert text_read.startswith("x" * 100 + "…")
    assert "3000" in text_read


async def test_the_limits_of_a_tool_are_its_own(agent: Agent, model: ScriptedModel) -> None:
    source = "def slow():\n    while True:\n        pass\n"
    await db(lambda: give(agent, source, metadata={"sandbox": {"seconds": 0.3}}))
    model.add(tool_call("slow"), text("Done"))
    await send(agent, "Go")
    assert "timed out after 0.3 seconds" in (await returned(agent))[0]["text"]


async def test_parallel_tools_run_at_the_same_time(agent: Agent, model: ScriptedModel) -> None:
    """Each writes its name where the other looks for it: the agent's memory. One after the other, the first would wait in vain."""
    source = """
    def {name}():
        import os
        own = os.getenv("LETTA_AGENT_ID")
        value = client.agents.blocks.retrieve("human", agent_id=own).value
        client.agents.blocks.update("human", agent_id=own, value=value + " {name}")
        for _ in range(400):
            if "{other}" in client.agents.blocks.retrieve("human", agent_id=own).value:
                return "met"
        return "alone"
    """
    for name, other in (("one", "two"), ("two", "one")):
        code = source.format(name=name, other=other)
        await db(partial(give, agent, code, enable_parallel_execution=True))
    model.add([tool_call("one"), tool_call("two")], text("Done"))
    await send(agent, "Go")
    assert "met" in [row["text"] for row in await returned(agent)]


async def test_a_cancelled_run_kills_the_call(agent: Agent, model: ScriptedModel) -> None:
    source = """
    def waits():
        import os, time
        client.agents.blocks.update("human", agent_id=os.getenv("LETTA_AGENT_ID"), value="has begun")
        time.sleep(120)
    """
    await db(lambda: give(agent, source))
    model.add(tool_call("waits"))
    run_id = await start(agent, "Go")
    watching = finish(run_id)
    while (await db(lambda: Block.objects.get(label="human"))).value != "has begun":
        pass
    await execution.cancel_runs(caller=await db(make_caller), agent_id=agent.id, run_ids=[run_id])
    ended = await watching
    assert ended.stop_reason == "cancelled"
    assert (await db(lambda: Run.objects.get(id=run_id))).status == "cancelled"


async def test_run_code_gives_the_value_of_the_last_expression_and_no_secret(
    model: ScriptedModel,
) -> None:
    draft = AgentDraft(
        model=model.handle,
        tool_names=("run_code",),
        secrets={"API_KEY": "sk-12345"},
        include_base_tools=False,
    )
    agent = await db(lambda: create_agent(caller=make_caller(), draft=draft))
    code = "import os\nprint(os.getenv('API_KEY'), client)\nsum(range(10))"
    model.add(
        [
            tool_call("run_code", code=code, language="python"),
            tool_call("run_code", code="1/0", language="python"),
        ],
        tool_call("run_code", code="1", language="r"),
        text("45"),
    )
    await send(agent, "Sum?")
    first, second, third = await returned(agent)
    assert json.loads(first["text"]) == {
        "results": ["45"],
        "logs": {"stdout": ["None None\n"], "stderr": []},
    }
    assert json.loads(second["text"])["error"]["name"] == "ZeroDivisionError"
    assert (third["status"], "not 'r'" in third["text"]) == ("error", True)


async def test_without_isolation_nothing_runs(agent: Agent, model: ScriptedModel, settings: Any) -> None:
    settings.SANDBOX_WITHOUT = frozenset({"seccomp"})
    current.shut_down_sandbox()
    try:
        await db(lambda: give(agent, WEATHER, "location"))
        model.add(tool_call("get_weather", location="Oslo"), text("No"))
        await send(agent, "Weather?")
        [row] = await returned(agent)
        assert row["status"] == "error"
        assert "ADE_ALLOW_UNSANDBOXED=1" in row["text"]
    finally:
        current.shut_down_sandbox()


async def test_half_a_character_that_a_tool_returns_or_raises_does_not_end_the_run(
    agent: Agent, model: ScriptedModel
) -> None:
    source = r"""
    def odd(how: str):
        print("\ud800")
        if how == "raise":
            raise ValueError("a\0b\ud800")
        return {"k\udc00": "a\0b\ud800"}
    """
    await db(lambda: give(agent, source, "how"))
    for how, status in (("return", "success"), ("raise", "error")):
        model.add(tool_call("odd", how=how), text("Done"))
        assert (await send(agent, "Go")).stop_reason == "end_turn"
        row = (await returned(agent))[-1]
        assert row["status"] == status
        assert "\ufffd" in row["text"]


async def test_a_secret_is_in_no_row_and_no_line_of_the_log(
    agent: Agent, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    source = """
    def call_service(how: str):
        import os, sys, time
        secret = os.environ["API_KEY"]
        print("out", secret)
        print("err", secret, file=sys.stderr)
        if how == "raise":
            raise type(f"E{secret}", (Exception,), {})(secret)
        if how == "exit":
            sys.exit(secret)
        if how == "sleep":
            time.sleep(30)
        return {secret: [secret, f"a{secret}b", {"deep": secret}]}
    """
    limits = {"sandbox": {"seconds": 0.5}}
    await db(lambda: give(agent, source, "how", metadata=limits))
    for how in ("return", "raise", "exit", "sleep"):
        model.add(tool_call("call_service", how=how), text("Done"))
        await send(agent, "Go")
    texts = [row["text"] for row in await returned(agent)]
    assert all("[secret API_KEY]" in each for each in texts[:3]), texts
    assert "timed out" in texts[3]
    assert await db(lambda: rows_with("sk-12345")) == []
    assert await db(lambda: rows_with("[secret API_KEY]")) != []
    assert "sk-12345" not in caplog.text
    assert "sk-12345" not in json.dumps(model.payloads)


def rows_with(words: str) -> list[str]:
    """The tables that hold the words in any column of any row, as text or as bytes."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(
                f'SELECT count(*) FROM "{table}" t WHERE position(%s IN t::text) > 0 OR position(%s IN t::text) > 0',
                [words, words.encode().hex()],
            )
            if cursor.fetchone()[0]:
                found.append(table)
    return found
