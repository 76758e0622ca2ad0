"""What goes into a call and what comes out of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.sandboxes import QUICK, asked
from tools.sandbox.port import Limits


async def test_a_function_gets_its_arguments_and_gives_its_return(sandbox):
    source = """
    import math

    def helper(x):
        return math.sqrt(x)

    def f(numbers: List[float], label: Optional[str] = None) -> dict:
        print("working")
        return {"roots": [helper(each) for each in numbers], "label": label}
    """
    result = await sandbox.run(asked(source, arguments={"numbers": [4, 9], "label": "ü\n'\"\\"}))
    assert result.error is None
    assert result.value == {"roots": [2.0, 3.0], "label": "ü\n'\"\\"}
    assert (result.stdout, result.stderr) == ("working\n", "")


async def test_an_async_function_is_awaited(sandbox):
    source = """
    import asyncio

    async def f():
        await asyncio.sleep(0)
        return await asyncio.gather(one(), one())

    async def one():
        return 1
    """
    assert (await sandbox.run(asked(source))).value == [1, 1]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("None", None),
        ("(1, 2)", [1, 2]),
        ("{3}", [3]),
        ("{1: 'a'}", {"1": "a"}),
        ("object.__name__", "object"),
        ("complex(1, 2)", "(1+2j)"),
        ("float('nan')", "nan"),
        ("b'bytes'", "b'bytes'"),
        ("datetime.date(2026, 1, 2)", "2026-01-02"),
        ("Colour.RED", "red"),
        ("Point(1, [Colour.RED])", {"x": 1, "inner": ["red"]}),
        ("True", True),
        ("10 ** 30", 10**30),
    ],
)
async def test_a_return_becomes_json(sandbox, expression, value):
    source = f"""
    import datetime, enum
    from dataclasses import dataclass

    class Colour(enum.Enum):
        RED = "red"

    @dataclass
    class Point:
        x: int
        inner: list

    def f():
        return {expression}
    """
    result = await sandbox.run(asked(source))
    assert result.error is None
    assert result.value == value


async def test_pydantic_models_cross_both_ways(sandbox):
    source = """
    from pydantic import BaseModel

    class Item(BaseModel):
        name: str
        count: int = 1

    def f(item: Item, more: list[Item]):
        return [item, *more, isinstance(item, Item)]
    """
    result = await sandbox.run(
        asked(source, arguments={"item": {"name": "a"}, "more": [{"name": "b", "count": 2}]})
    )
    assert result.value == [{"name": "a", "count": 1}, {"name": "b", "count": 2}, True]


async def test_classes_that_stand_only_in_the_schema_are_there(sandbox):
    schema = {
        "title": "BookArgs",
        "type": "object",
        "properties": {"order": {"$ref": "#/$defs/Order"}, "note": {"type": "string"}},
        "required": ["order"],
        "$defs": {
            "Item": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "Order": {
                "type": "object",
                "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/Item"}}},
                "required": ["items"],
            },
        },
    }
    source = """
    def f(order: Order, note: str = "-"):
        return [type(order).__name__, order.items[0].name, note]
    """
    arguments = {"order": {"items": [{"name": "tea"}]}}
    result = await sandbox.run(asked(source, arguments=arguments, args_json_schema=schema))
    assert result.value == ["Order", "tea", "-"]


async def test_an_exception_names_the_lines_of_the_source(sandbox):
    source = "def g():\n    return 1 / 0\n\ndef f():\n    return g()\n"
    result = await sandbox.run(asked(source))
    assert result.error is not None
    assert (result.error.kind, result.error.name, result.error.message) == (
        "exception",
        "ZeroDivisionError",
        "division by zero",
    )
    assert result.error.where == ("line 2, in g: return 1 / 0", "line 5, in f: return g()")
    assert result.stderr.startswith('Traceback (most recent call last):\n  File "tool.py", line 5, in f')
    assert "sandbox" not in result.stderr


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("def f(:\n    pass", "syntax", "line 1"),
        ("def g():\n    pass", "syntax", "no function 'f'"),
        ("f = 3", "syntax", "no function 'f'"),
        ("def f():\n    import sys\n    sys.exit(3)", "exception", "3"),
        ("def f():\n    import os\n    os._exit(0)", "killed", "exit code 0"),
        (
            "def f():\n    import os, signal\n    os.kill(os.getpid(), signal.SIGSEGV)\n    os._exit(9)",
            "killed",
            "before it returned",
        ),
        ("raise KeyError('at the top')", "exception", "at the top"),
        ("def f():\n    a = []\n    a.append(a)\n    return a", "exception", "holds itself"),
        (
            "def f():\n    a = []\n    for _ in range(500):\n        a = [a]\n    return a",
            "exception",
            "nested deeper",
        ),
        (
            "class E(Exception):\n    def __str__(self):\n        raise ValueError\ndef f():\n    raise E",
            "exception",
            "cannot be read",
        ),
        ("def f(missing):\n    return 1", "exception", "missing"),
        ("def f():\n    return 'x' * 5_000_000", "output", "larger than"),
        ("\0", "syntax", "null"),
    ],
)
async def test_what_goes_wrong_is_said(sandbox, source, kind, words):
    result = await sandbox.run(asked(source))
    assert result.status == "error"
    assert result.error is not None
    assert result.error.kind == kind, result
    assert words in result.error.message


async def test_a_call_that_takes_too_long_ends_with_what_it_had_printed(sandbox):
    source = "def f():\n    print('begun')\n    while True:\n        pass\n"
    result = await sandbox.run(asked(source, limits=Limits(seconds=0.3)))
    assert result.error is not None
    assert (result.error.kind, result.error.message) == ("timeout", "the tool timed out after 0.3 seconds.")
    assert result.stdout == "begun\n"
    assert result.duration_ms < 3000


async def test_output_is_cut_and_the_call_goes_on(sandbox):
    source = "def f():\n    for _ in range(3000):\n        print('x' * 99)\n    return 'done'\n"
    result = await sandbox.run(asked(source, limits=Limits(seconds=10, output_bytes=1000)))
    assert result.value == "done"
    assert (len(result.stdout), result.is_stdout_cut, result.is_stderr_cut) == (1000, True, False)


async def test_the_environment_is_what_was_given_and_nothing_else(sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-server")
    source = "import os\ndef f():\n    return dict(os.environ)\n"
    result = await sandbox.run(
        asked(
            source,
            environment={"MODE": "quick", "BOTH": "low"},
            secrets={"BOTH": "on", "TOKEN": "t"},
            agent_id="agent-1",
            tool_id="tool-1",
        )
    )
    found = result.value
    assert {
        "MODE": "quick",
        "BOTH": "on",
        "TOKEN": "t",
        "LETTA_AGENT_ID": "agent-1",
        "LETTA_TOOL_ID": "tool-1",
    }.items() <= found.items()
    assert "sk-server" not in json.dumps(found)
    assert set(found) - {"MODE", "BOTH", "TOKEN", "LETTA_AGENT_ID", "LETTA_TOOL_ID"} == {
        "PATH",
        "LANG",
        "TZ",
        "HOME",
        "TMPDIR",
        "TERM",
        "NO_COLOR",
        "PYTHONWARNINGS",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
    }


async def test_secrets_are_covered_in_all_that_comes_back(sandbox):
    source = """
    import os, sys

    def f():
        print("key", os.environ["KEY"])
        sys.stderr.write(os.environ["KEY"])
        return {"sent": f"Bearer {os.environ['KEY']}", os.environ["KEY"]: [os.environ["SHORT"]]}
    """
    result = await sandbox.run(asked(source, secrets={"KEY": "sk-12345", "SHORT": "1"}))
    assert result.value == {"sent": "Bearer [secret KEY]", "[secret KEY]": ["1"]}
    assert (result.stdout, result.stderr) == ("key [secret KEY]\n", "[secret KEY]")


async def test_a_secret_in_an_exception_is_covered_too(sandbox):
    source = "import os\ndef f():\n    raise ValueError(os.environ['KEY'])\n"
    result = await sandbox.run(asked(source, secrets={"KEY": "sk-12345"}))
    assert result.error is not None
    assert "sk-12345" not in f"{result}"
    assert result.error.message == "[secret KEY]"


async def test_a_call_that_is_cancelled_is_over_when_it_says_so(sandbox, tmp_path):
    source = "def f():\n    while True:\n        pass\n"
    call = asyncio.create_task(sandbox.run(asked(source)))
    done, _ = await asyncio.wait([call], timeout=0.3)
    assert not done
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 5)


async def test_calls_run_beside_each_other(sandbox):
    """Each waits for a byte that none of the others sends: they end when their time does, all at once."""
    source = "import threading\ndef f():\n    threading.Event().wait()\n"
    calls = [sandbox.run(asked(source, limits=Limits(seconds=0.5))) for _ in range(4)]
    async with asyncio.timeout(6):
        results = await asyncio.gather(*calls)
    assert [result.error.kind for result in results] == ["timeout"] * 4


async def test_agent_state_is_there_for_who_declares_it_and_changes_are_told(sandbox):
    state = {
        "id": "agent-1",
        "name": "Ada",
        "memory": {"blocks": [{"label": "human", "value": "x"}, {"label": "persona", "value": "y"}]},
    }
    source = """
    def f(agent_state: "AgentState", agent_id, words: str):
        block = agent_state.memory.get_block("human")
        agent_state.memory.update_block_value("human", block.value + words)
        return [agent_state.name, agent_id]
    """
    result = await sandbox.run(asked(source, arguments={"words": "!"}, agent_state=state, agent_id="agent-1"))
    assert result.value == ["Ada", "agent-1"]
    assert result.changed_blocks == {"human": "x!"}


async def test_a_script_gives_the_value_of_its_last_expression(sandbox):
    result = await sandbox.run(asked("import math\nx = math.floor(2.5)\nprint('hi')\nx + 1", None))
    assert (result.value, result.stdout) == ("3", "hi\n")
    assert (await sandbox.run(asked("x = 1", None))).value is None


async def test_limits_are_told_to_the_kernel(sandbox):
    source = """
    from resource import *

    def f():
        return [getrlimit(each)[0] for each in (RLIMIT_CPU, RLIMIT_AS, RLIMIT_NOFILE, RLIMIT_CORE)]
    """
    result = await sandbox.run(asked(source, limits=QUICK))
    assert result.value == [10, 512 * 1024**2, 256, 0]


async def test_a_client_there_is_none_without_a_door(sandbox):
    assert (await sandbox.run(asked("def f():\n    return client is None\n"))).value is True
