"""`run_code`: a script of the model's own, in the sandbox of custom tools. It gets no secrets, no client, and no network unless all do."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from tools import registry
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError
from tools.sandbox.current import sandbox
from tools.sandbox.limits import default_limits
from tools.sandbox.port import Language, SandboxRequest, SandboxResult

_LANGUAGES: dict[str, Language] = {"python": "python", "js": "javascript", "ts": "typescript"}
_KNOWN_ELSEWHERE = ("r", "java")


async def _wait(context: ToolContext, arguments: dict[str, Any]) -> SandboxResult:
    language = _LANGUAGES.get(arguments["language"])
    if language is None:
        raise ToolError(
            f"this server runs {', '.join(map(repr, _LANGUAGES))}, not {arguments['language']!r}."
        )
    request = SandboxRequest(
        source=arguments["code"],
        function=None,
        language=language,
        agent_id=context.agent_id,
        limits=default_limits(),
        network=settings.SANDBOX_NETWORK == "always",
    )
    return await sandbox().run(request)


def _run(context: ToolContext, arguments: dict[str, Any], result: SandboxResult) -> dict[str, Any]:
    """The value of the last expression, and what was printed. Raises ToolError when there is no sandbox for it."""
    error = result.error
    if error is not None and error.kind == "unavailable":
        raise ToolError(error.message)
    told: dict[str, Any] = {
        "results": [result.value] if result.value is not None else [],
        "logs": {
            "stdout": [result.stdout] if result.stdout else [],
            "stderr": [result.stderr] if result.stderr and error is None else [],
        },
    }
    if error is not None:
        told["error"] = {"name": error.name, "value": error.message, "traceback": result.stderr}
    return told


def register() -> None:
    """Put it into the registry."""
    registry.register(
        BuiltinTool(
            name="run_code",
            tool_type=ToolType.LETTA_BUILTIN,
            description=(
                "Run a program and read what it prints and the value of its last expression. It runs in a sandbox: "
                "without files of yours, and nothing is left of it for the next call."
            ),
            parameters={
                "type": "object",
                "properties": {
                    "code": {"type": "string", "description": "The whole program."},
                    "language": {
                        "type": "string",
                        "enum": [*_LANGUAGES, *_KNOWN_ELSEWHERE],
                        "description": "In what it is written: python, js or ts. This server has no r and no java.",
                    },
                },
                "required": ["code", "language"],
            },
            run=_run,
            wait=_wait,
            enable_parallel_execution=True,
        )
    )
