"""The tools that the server itself provides. Filled while Django starts (`AppConfig.ready`), read afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tools.context import ToolContext


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinTool:
    """A tool of ours.

    It works in two halves. `prepare` may use the network (an embedding, say) and runs before the step's transaction; or `wait`, which
    is asynchronous, waits for something of this server and is cancelled with the run. `run` is synchronous, touches nothing but the
    database, and runs inside that transaction, so that what a tool wrote and the message that tells of it are stored together or
    not at all. `run` returns any JSON value; ToolError is a message for the model.
    """

    name: str
    tool_type: str
    description: str
    #: JSON schema of the arguments (type object).
    parameters: dict[str, Any]
    run: Callable[[ToolContext, dict[str, Any], Any], Any]
    prepare: Callable[[ToolContext, dict[str, Any]], Any] | None = None
    wait: Callable[[ToolContext, dict[str, Any]], Awaitable[Any]] | None = None
    enable_parallel_execution: bool = False
    #: False: the return is never cut to `return_char_limit` (spec/agent-loop.md §4).
    is_return_cut: bool = True

    @property
    def json_schema(self) -> dict[str, Any]:
        """The schema as the wire has it."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


class ToolError(Exception):
    """Something that the model did wrong or must know; its text is the tool's return."""


_tools: dict[str, BuiltinTool] = {}


def register(tool: BuiltinTool) -> None:
    """Add a tool; the same object may come twice, another one of the same name may not."""
    known = _tools.get(tool.name)
    assert known is None or known == tool, f"two built-in tools are named {tool.name!r}"
    _tools[tool.name] = tool


def get_builtin(name: str) -> BuiltinTool | None:
    """The tool of that name, or None."""
    return _tools.get(name)


def list_builtins() -> Iterable[BuiltinTool]:
    """All of them, in the order of registration."""
    return _tools.values()
