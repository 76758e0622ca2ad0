"""Running tools, on the wire (spec/tools.md §6.4, §7)."""

from __future__ import annotations

from typing import Any, Literal

from django.utils import timezone
from ninja import Field

from letta_ade.core.schemas import Body, Wire
from tools.api.schemas.tool_write import Requirement
from tools.returned import image_parts
from tools.services.tool_runs import ToolRun
from tools.services.tool_writes import ToolDraft

#: What stands for the ids of a message that is stored nowhere.
_NO_ID = "null"


class RunSource(Body):
    """A source to run; nothing of it is stored."""

    source_code: str
    args: dict[str, Any] = Field(default_factory=dict)
    env_vars: dict[str, str | None] | None = None
    #: Of the tool; its schema's when it is left out.
    name: str | None = None
    source_type: str | None = None
    args_json_schema: dict[str, Any] | None = None
    json_schema: dict[str, Any] | None = None
    pip_requirements: list[Requirement] | None = None
    npm_requirements: list[Requirement] | None = None

    def draft(self) -> ToolDraft:
        """The tool that is to run."""
        values = self.model_dump(
            include={"json_schema", "args_json_schema", "pip_requirements", "npm_requirements"}
        )
        return ToolDraft(source_code=self.source_code, source_type=self.source_type or "python", **values)

    def environment(self) -> dict[str, str]:
        """The variables that have a value."""
        return {name: value for name, value in (self.env_vars or {}).items() if value is not None}


class RunAttached(Body):
    """The arguments of a tool that an agent has."""

    args: dict[str, Any] = Field(default_factory=dict)


class RunReturn(Wire):
    """One return of a tool."""

    #: Parts where there are images among them.
    tool_return: str | list[dict[str, Any]]
    status: Literal["success", "error"]
    tool_call_id: str
    stdout: list[str]
    stderr: list[str]
    type: Literal["tool"] = "tool"


class RunMessage(Wire):
    """The outcome as the message that it would have been."""

    id: str = _NO_ID
    message_type: Literal["tool_return_message"] = "tool_return_message"
    date: Any
    name: str
    status: Literal["success", "error"]
    tool_return: str
    tool_call_id: str = _NO_ID
    stdout: list[str]
    stderr: list[str]
    tool_returns: list[RunReturn]

    @classmethod
    def of(cls, run: ToolRun) -> RunMessage:
        """The message of a run."""
        status: Literal["success", "error"] = "error" if run.is_error else "success"
        stdout, stderr = list(run.stdout), list(run.stderr)
        parts = [dict(part) for part in image_parts(run.value)]
        only = RunReturn(
            tool_return=parts or run.text, status=status, tool_call_id=_NO_ID, stdout=stdout, stderr=stderr
        )
        return cls(
            date=timezone.now(),
            name=run.tool_name,
            status=status,
            tool_return=run.text,
            stdout=stdout,
            stderr=stderr,
            tool_returns=[only],
        )


class ToolExecutionResult(Wire):
    """How a tool of an agent went."""

    status: Literal["success", "error"]
    func_return: Any
    agent_state: None = None
    stdout: list[str]
    stderr: list[str]
    sandbox_config_fingerprint: str | None = None

    @classmethod
    def of(cls, run: ToolRun) -> ToolExecutionResult:
        """The result of a run."""
        return cls(
            status="error" if run.is_error else "success",
            func_return=run.value,
            stdout=list(run.stdout),
            stderr=list(run.stderr),
        )
