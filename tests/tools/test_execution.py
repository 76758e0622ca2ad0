"""What a model reads of a call's outcome."""

from __future__ import annotations

import pytest

from memory.models import Block
from tests.support.factories import make_agent, make_block, make_tool_context
from tools import registry
from tools.execution import prepare_call, run_call
from tools.registry import BuiltinTool

pytestmark = pytest.mark.django_db


@pytest.fixture
def offer(monkeypatch):
    """Put a tool into the registry for this test."""
    monkeypatch.setattr(registry, "_tools", dict(registry._tools))

    def put(run, **fields):
        values = {
            "name": "probe",
            "tool_type": "letta_core",
            "description": "A probe.",
            "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": []},
        }
        registry.register(BuiltinTool(run=run, **(values | fields)))

    return put


@pytest.fixture
def context():
    return make_tool_context(make_agent())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "None"),
        ({"a": "ä"}, '{"a": "ä"}'),
        ([1, 2.5, True], "[1, 2.5, true]"),
        (4, "4"),
    ],
)
def test_a_return_becomes_text(offer, context, value, text):
    offer(lambda *_: value)
    outcome = run_call("probe", context, {}, None)
    assert (outcome.value_text, outcome.is_error, outcome.stdout, outcome.stderr) == (text, False, (), ())


def test_a_long_return_is_cut_with_both_lengths(offer, context):
    offer(lambda *_: "x" * 50_001)
    text = run_call("probe", context, {}, None).value_text
    assert text == "x" * 50_000 + "… [The return was cut: it has 50001 characters, the limit is 50000.]"


def test_an_exception_is_a_short_return_with_its_traceback_in_stderr(offer, context):
    def fail(*_):
        raise ValueError("y" * 3000)

    offer(fail)
    outcome = run_call("probe", context, {}, None)
    assert outcome.is_error
    assert outcome.value_text.startswith("Error executing function probe: ValueError: yyy")
    assert len(outcome.value_text) == 1000
    assert "Traceback" in outcome.stderr[0]


def test_a_failing_call_leaves_nothing_behind(offer, context):
    def fail(context, arguments, prepared):
        make_block(label="half done")
        context.changes.append("something")
        raise RuntimeError("late")

    offer(fail)
    assert run_call("probe", context, {}, None).is_error
    assert not Block.objects.exists()
    assert context.changes == []


def test_a_database_error_does_not_spoil_the_transaction_around_the_call(offer, context):
    offer(lambda *_: Block.objects.create(label="x" * 300, workspace_id=context.caller.workspace_id))
    assert "DataError" in run_call("probe", context, {}, None).value_text
    assert not Block.objects.exists()


def test_an_unknown_tool_is_an_error_return(context):
    assert prepare_call("nothing", context, {}) is None
    outcome = run_call("nothing", context, {}, None)
    assert outcome.is_error
    assert outcome.value_text == (
        "Error executing function nothing: ToolNotFound: tool not found: this server has no tool 'nothing'."
    )


def test_what_was_prepared_reaches_the_tool(offer, context):
    offer(
        lambda _, arguments, prepared: [arguments["x"], prepared],
        prepare=lambda _, arguments: arguments["x"] * 2,
    )
    prepared = prepare_call("probe", context, {"x": "3", "unknown": 1})
    assert run_call("probe", context, {"x": "3"}, prepared).value_text == "[3, 6]"


def test_a_failed_preparation_is_the_return_of_the_call(offer, context):
    def fail(*_):
        raise ConnectionError("no route")

    offer(lambda *_: "ran", prepare=fail)
    outcome = run_call("probe", context, {}, prepare_call("probe", context, {}))
    assert outcome.value_text == "Error executing function probe: ConnectionError: no route"


def test_two_tools_of_one_name_are_a_mistake(offer):
    offer(str)
    with pytest.raises(AssertionError, match="two built-in tools are named 'probe'"):
        offer(repr)
