"""Calls of tools that users wrote: from the row and the arguments to the sandbox, and from its result to what a model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.coercion import coerce_arguments
from tools.models import Tool
from tools.sandbox.current import sandbox
from tools.sandbox.limits import limits_of, wants_network
from tools.sandbox.port import ApiDoor, Language, Requirement, SandboxError, SandboxRequest, SandboxResult

_LANGUAGES: Mapping[str, Language] = {
    "python": "python",
    "typescript": "typescript",
    "javascript": "javascript",
}
_MOST_ERROR_CHARACTERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTool:
    """What is needed of a tool to call it; also of one that is stored nowhere."""

    name: str
    source: str
    language: Language = "python"
    #: JSON schema of the arguments (type object).
    parameters: Mapping[str, Any] = field(default_factory=dict)
    args_json_schema: Mapping[str, Any] | None = None
    requirements: tuple[Requirement, ...] = ()
    #: The row's; under "sandbox" it says what it needs (`sandbox/limits.py`).
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tool_id: str | None = None

    @classmethod
    def of(cls, tool: Tool) -> CustomTool:
        """The tool of a row."""
        language = _LANGUAGES.get(tool.source_type, "python")
        packages = tool.pip_requirements if language == "python" else tool.npm_requirements
        return cls(
            name=tool.name,
            source=tool.source_code or "",
            language=language,
            parameters=tool.json_schema.get("parameters") or {},
            args_json_schema=tool.args_json_schema,
            requirements=requirements_of(packages or []),
            metadata=tool.metadata,
            tool_id=None if tool._state.adding else tool.id,
        )

    @property
    def wants_agent_state(self) -> bool:
        """Whether the source speaks of `agent_state`, which is then worth loading."""
        return "agent_state" in self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class CallScope:
    """For whom a call is made, and what it gets of them."""

    agent_id: str | None = None
    project_id: str | None = None
    #: Of the call itself, below the agent's secrets.
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    agent_state: Mapping[str, Any] | None = None
    #: For the tool's `client`; None: it has none.
    api: ApiDoor | None = None


def requirements_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Requirement, ...]:
    """The requirements that a row holds as `[{"name", "version"?}]`."""
    return tuple(Requirement(name=str(row["name"]), version=row.get("version") or None) for row in rows)


def has_source(tool: Tool) -> bool:
    """Whether the tool is called in the sandbox."""
    return not tool.is_builtin and bool(tool.source_code)


async def call_custom(tool: CustomTool, arguments: dict[str, Any], scope: CallScope) -> SandboxResult:
    """Call the tool in the sandbox. Raises MissingArguments; to cancel, cancel this."""
    return await sandbox().run(request_for(tool, arguments, scope))


def request_for(tool: CustomTool, arguments: dict[str, Any], scope: CallScope) -> SandboxRequest:
    """The call as the sandbox takes it. Raises MissingArguments."""
    given = coerce_arguments(dict(tool.parameters), arguments)
    return SandboxRequest(
        source=tool.source,
        function=tool.name,
        arguments=given,
        language=tool.language,
        args_json_schema=tool.args_json_schema,
        requirements=tool.requirements,
        environment=scope.environment,
        secrets=scope.secrets,
        agent_id=scope.agent_id,
        tool_id=tool.tool_id,
        project_id=scope.project_id,
        agent_state=scope.agent_state,
        limits=limits_of(tool.metadata),
        network=wants_network(tool.metadata),
        api=scope.api,
    )


def error_text(tool_name: str, exception_name: str, message: str, where: Sequence[str] = ()) -> str:
    """The return of a failed call; clients know its beginning. `where`: lines of the source, the last one first to go."""
    text = f"Error executing function {tool_name}: {exception_name}: {message}"[:_MOST_ERROR_CHARACTERS]
    for line in where:
        if len(text) + len(line) + 1 > _MOST_ERROR_CHARACTERS:
            break
        text = f"{text}\n{line}"
    return text


def error_text_of(tool_name: str, error: SandboxError) -> str:
    """The same for what the sandbox says."""
    return error_text(tool_name, error.name, error.message, error.where)


def outputs_of(result: SandboxResult) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """stdout and stderr as the wire has them: at most one text each, with a note where it was cut."""
    return _output(result.stdout, result.is_stdout_cut), _output(result.stderr, result.is_stderr_cut)


def _output(text: str, is_cut: bool) -> tuple[str, ...]:
    if is_cut:
        return (f"{text}\n[The rest was dropped: the output is too long.]",)
    return (text,) if text else ()
