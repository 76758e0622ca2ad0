"""Executing a call: its arguments, the tool, and what the model reads of the outcome."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db import OperationalError, transaction
from psycopg.errors import DeadlockDetected

from letta_ade.core import threads
from letta_ade.core.database import is_away
from letta_ade.core.errors import AdeError
from tools.builtin.block_edits import change_by_label, waiting_notice
from tools.coercion import MissingArguments, check_arguments, coerce_arguments
from tools.context import ToolContext
from tools.custom import CustomTool, call_custom, error_text, error_text_of, outputs_of
from tools.registry import ToolError, get_builtin
from tools.returned import returned_text
from tools.sandbox.port import SandboxResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """What a call returned; `value_text` is what the model reads."""

    value_text: str
    is_error: bool = False
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparationFailed:
    outcome: ToolOutcome


class BlockBusy(ToolError):
    """Two agents wanted to write each other's blocks at the same moment. Nothing was changed: call the tool again."""


class ToolNotFound(ToolError):
    """The tool is attached, but this server does not provide it."""


def prepare_call(tool_name: str, context: ToolContext, arguments: dict[str, Any]) -> Any:
    """Do what the call needs of the network; outside a transaction. Hand the result to `run_call`.

    Only a lost connection to the database is raised; then it can be called again.
    """
    tool = get_builtin(tool_name)
    if tool is None or tool.prepare is None:
        return None
    try:
        return tool.prepare(context, coerce_arguments(tool.parameters, arguments))
    except MissingArguments:
        return None  # run_call tells of it
    except Exception as error:
        if is_away(error):
            raise
        return _PreparationFailed(outcome=_failed(tool_name, error))


def is_waiting_call(tool_name: str, custom: CustomTool | None) -> bool:
    """Whether the tool waits for something outside a transaction: then `wait_call` comes before `run_call`."""
    tool = get_builtin(tool_name)
    return custom is not None if tool is None else tool.wait is not None


async def wait_call(tool_name: str, context: ToolContext, arguments: dict[str, Any]) -> Any:
    """Wait for what the call waits for; outside a transaction. Hand the result to `run_call`.

    Cancelled, whatever it waits for is told to stop.
    """
    tool = get_builtin(tool_name)
    try:
        if tool is None:
            return await _call_custom(context, arguments)
        assert tool.wait is not None, "is_waiting_call said so"
        return await tool.wait(context, coerce_arguments(tool.parameters, arguments))
    except MissingArguments:
        return None  # run_call tells of it
    except Exception as error:
        return _PreparationFailed(outcome=_failed(tool_name, error))


def run_call(tool_name: str, context: ToolContext, arguments: dict[str, Any], prepared: Any) -> ToolOutcome:
    """Run the call and say how it went. A tool's error is a return that the model reads; only a lost connection is raised.

    All of the call's writes are kept, or none: inside a transaction a savepoint sees to that, so that a failing tool does not
    spoil the step. Of a failed call nothing is left in `context.changes` and `context.block_ids` either.
    """
    if isinstance(prepared, _PreparationFailed):
        return prepared.outcome
    already, labels = len(context.changes), dict(context.block_ids)
    try:
        tool = get_builtin(tool_name)
        if tool is None and context.custom is not None:
            return _custom_outcome(context, arguments, prepared)
        if tool is None:
            raise ToolNotFound(f"tool not found: this server has no tool {tool_name!r}.")
        values = coerce_arguments(tool.parameters, arguments)
        with transaction.atomic():
            returned = tool.run(context, values, prepared)
        text = returned_text(returned)
    except Exception as error:
        if is_away(error):
            raise  # nothing that follows in this transaction could be stored
        del context.changes[already:]
        context.block_ids.clear()
        context.block_ids.update(labels)
        return _failed(tool_name, error)
    return ToolOutcome(value_text=_cut(text, context.return_char_limit) if tool.is_return_cut else text)


async def _call_custom(context: ToolContext, arguments: dict[str, Any]) -> SandboxResult:
    custom = context.custom
    assert custom is not None, "is_waiting_call said so"
    scope = await threads.insist(context.call_scope, custom, patience=settings.DATABASE_PATIENCE_SECONDS)
    return await call_custom(custom, arguments, scope)


def _custom_outcome(context: ToolContext, arguments: dict[str, Any], prepared: Any) -> ToolOutcome:
    """What the sandbox gave, when the blocks that the tool changed are written."""
    custom = context.custom
    assert custom is not None, "asked for then only"
    if prepared is None:
        # The arguments were not such that it could be called.
        check_arguments(dict(custom.parameters), arguments)
        raise ToolError("the call was not carried out; call the tool again.")
    result: SandboxResult = prepared
    stdout, stderr = outputs_of(result)
    if result.error is not None:
        text = error_text_of(context.tool_name, result.error)
        return ToolOutcome(value_text=text, is_error=True, stdout=stdout, stderr=stderr)
    text = _cut(returned_text(result.value), context.return_char_limit)
    if result.changed_blocks:
        with transaction.atomic():
            text = "\n".join([text, *_write_blocks(context, result.changed_blocks)])
    return ToolOutcome(value_text=text, stdout=stdout, stderr=stderr)


def _write_blocks(context: ToolContext, values: Mapping[str, str]) -> list[str]:
    """Write what a tool made of the blocks of its `agent_state`; what the model must know of edits that wait for approval."""
    edits = [
        change_by_label(context, label, partial(_rewritten, value), is_rewrite=True)
        for label, value in values.items()
    ]
    return [waiting_notice(edit.proposal) for edit in edits if edit.proposal is not None]


def _rewritten(value: str, old: str) -> str:
    return value


def _failed(tool_name: str, error: Exception) -> ToolOutcome:
    if isinstance(error, OperationalError) and isinstance(error.__cause__, DeadlockDetected):
        error = BlockBusy(BlockBusy.__doc__)
    name = type(error).__name__
    is_expected = isinstance(error, (ToolError, AdeError, MissingArguments))
    if not is_expected:
        logger.error("The tool %s failed.", tool_name, exc_info=error)
    stderr = f"{name}: {error}" if is_expected else "".join(traceback.format_exception(error))
    return ToolOutcome(value_text=error_text(tool_name, name, str(error)), is_error=True, stderr=(stderr,))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [The return was cut: it has {len(text)} characters, the limit is {limit}.]"
