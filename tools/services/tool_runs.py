"""Running a tool without an agent's turn (spec/tools.md §7): nothing of it is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.errors import Invalid
from tools.coercion import MissingArguments
from tools.custom import CallScope, CustomTool, error_text_of, outputs_of, request_for
from tools.models import Tool
from tools.returned import returned_text
from tools.sandbox.current import sandbox
from tools.sandbox.port import SandboxError, SandboxResult
from tools.services.tool_schemas import derived_schema
from tools.services.tool_writes import ToolDraft, drafted_tool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """How a run of a tool went."""

    tool_name: str
    is_error: bool
    #: None for an error.
    value: Any
    #: What a model would have read.
    text: str
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    #: Label -> value of the memory blocks that the tool changed on its `agent_state`.
    changed_blocks: Mapping[str, str] = field(default_factory=dict)
    #: Why there is no value; None when there is one.
    error: SandboxError | None = None
    #: Of the call, without waiting for packages.
    duration_ms: float = 0.0
    #: What installing the packages said; None without packages.
    install_log: str | None = None


async def run_source(
    *,
    caller: Caller,
    draft: ToolDraft,
    arguments: dict[str, Any],
    environment: Mapping[str, str],
    name: str | None = None,
    stored: Tool | None = None,
    on_install: Callable[[str], None] | None = None,
) -> ToolRun:
    """Run the tool that the draft describes; a tool that fails is a run too. With `name` the tool must be named so.

    `stored`: the tool whose text is being changed; its limits hold. `on_install` hears what installing packages says, on any thread.

    Raises SchemaError, Invalid or Unprocessable for what is no tool. Where there is no sandbox the run says so.
    """
    caller.check("edit")
    tool = await threads.run(_drafted, caller, draft)
    if name is not None and name != tool.name:
        raise Invalid(f"The tool of this source is named {tool.name!r}, not {name!r}.")
    custom = CustomTool.of(tool)
    if stored is not None:
        custom = replace(custom, metadata=stored.metadata, tool_id=stored.id)
    return await _run(custom, arguments, CallScope(environment=environment), on_install)


async def run_custom(tool: Tool, arguments: dict[str, Any], scope: CallScope) -> ToolRun:
    """Run a tool of a user in the sandbox, or say why it did not run. To cancel, cancel this."""
    return await _run(CustomTool.of(tool), arguments, scope, None)


async def _run(
    tool: CustomTool,
    arguments: dict[str, Any],
    scope: CallScope,
    on_install: Callable[[str], None] | None,
) -> ToolRun:
    try:
        request = replace(request_for(tool, arguments, scope), on_install=on_install)
    except MissingArguments as error:
        return _failed(tool.name, SandboxError(kind="exception", name="MissingArguments", message=str(error)))
    return _run_of(tool.name, await sandbox().run(request))


def _drafted(caller: Caller, draft: ToolDraft) -> Tool:
    if draft.source_type == "typescript" and draft.json_schema is None:
        schema = derived_schema(source=draft.source_code, source_type=draft.source_type)
        draft = ToolDraft(
            source_code=draft.source_code,
            source_type=draft.source_type,
            json_schema=schema,
            npm_requirements=draft.npm_requirements,
        )
    return drafted_tool(caller=caller, draft=draft)


def _run_of(tool_name: str, result: SandboxResult) -> ToolRun:
    stdout, stderr = outputs_of(result)
    if result.error is not None:
        failed = _failed(tool_name, result.error, stdout=stdout, stderr=stderr)
        return replace(failed, duration_ms=result.duration_ms, install_log=result.install_log)
    return ToolRun(
        tool_name=tool_name,
        is_error=False,
        value=result.value,
        text=returned_text(result.value),
        stdout=stdout,
        stderr=stderr,
        changed_blocks=result.changed_blocks,
        duration_ms=result.duration_ms,
        install_log=result.install_log,
    )


def _failed(
    tool_name: str, error: SandboxError, *, stdout: tuple[str, ...] = (), stderr: tuple[str, ...] = ()
) -> ToolRun:
    return ToolRun(
        tool_name=tool_name,
        is_error=True,
        value=None,
        text=error_text_of(tool_name, error),
        error=error,
        stdout=stdout,
        # Where the tool said nothing itself, the reason would be nowhere.
        stderr=stderr or (f"{error.name}: {error.message}",),
    )
