"""A request as the process that carries it out reads it, here or elsewhere."""

from __future__ import annotations

from typing import Any

from tools.sandbox.port import SandboxRequest

#: What every call finds in its environment; PATH and LANG are all that it has of a machine.
_BASE_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONWARNINGS": "ignore",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "NO_COLOR": "1",
    "TERM": "dumb",
}
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")


def job_of(request: SandboxRequest, environment: dict[str, str]) -> dict[str, Any]:
    """What `inside/call.py` needs of the request to run it without a door and with the interpreter's own packages."""
    return {
        "language": request.language,
        "source": request.source,
        "function": request.function,
        "filename": "tool.py" if request.function is not None else "script.py",
        "arguments": dict(request.arguments),
        "schema": request.args_json_schema,
        "agent_id": request.agent_id,
        "agent_state": request.agent_state,
        "environment": environment,
        "packages": [],
        "environments": [],
        "has_door": False,
        "has_own_key": "LETTA_API_KEY" in {**request.environment, **request.secrets},
        "limits": {name: getattr(request.limits, name) for name in request.limits.__slots__},
    }


def environment_of(request: SandboxRequest, *, proxy_port: int | None) -> dict[str, str]:
    """The environment of the call, from the lowest to the highest (spec/tools.md §6.1)."""
    own = {
        "LETTA_AGENT_ID": request.agent_id,
        "LETTA_TOOL_ID": request.tool_id,
        "LETTA_PROJECT_ID": request.project_id,
        "PROJECT_ID": request.project_id,
    }
    proxy = {}
    if proxy_port is not None:
        proxy = dict.fromkeys(_PROXY_VARIABLES, f"http://127.0.0.1:{proxy_port}") | {
            "NODE_USE_ENV_PROXY": "1"
        }
    named = {name: value for name, value in own.items() if value is not None}
    # A name with "=" or a null in either cannot be in an environment at all.
    fit = {
        name: value
        for name, value in {**request.environment, **request.secrets}.items()
        if name and "=" not in name and "\0" not in name and "\0" not in value
    }
    return {**_BASE_ENVIRONMENT, **proxy, **fit, **named}
