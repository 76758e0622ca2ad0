"""What a sandbox takes and what it gives: one protocol for the local sandbox and a remote one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Language = Literal["python", "typescript", "javascript"]

#: Why a call has no return.
#: - exception: the tool raised; `name` and `message` are the exception's.
#: - syntax: the source does not parse, or has no such function.
#: - timeout, memory, files, processes, output: a limit was passed.
#: - killed: it ended without saying anything (a signal, `os._exit`).
#: - requirements: what it needs could not be installed; `message` has the end of the log.
#: - unavailable: no sandbox here, or none for this language.
ErrorKind = Literal[
    "exception",
    "syntax",
    "timeout",
    "memory",
    "files",
    "processes",
    "output",
    "killed",
    "requirements",
    "unavailable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may use. The defaults of a server are `tools.sandbox.limits.default_limits()`."""

    #: From the first line of the source to the return, on the wall.
    seconds: float = 180.0
    #: Of processor time, of each of its processes.
    cpu_seconds: int = 180
    #: Address space of each of its processes; and what all of them hold together.
    memory_bytes: int = 2 * 1024**3
    #: The largest file it may write.
    file_bytes: int = 64 * 1024**2
    #: All files in its tmp folder together.
    tmp_bytes: int = 128 * 1024**2
    #: Of stdout and of stderr; what is beyond is dropped and the call goes on.
    output_bytes: int = 256 * 1024
    #: Of the return as JSON; a larger one is an error.
    return_bytes: int = 4 * 1024**2
    #: Processes and threads at the same time.
    processes: int = 64
    open_files: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A package that the tool needs. No version: the newest one when it is installed first."""

    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """A request that the tool's `client` makes."""

    method: str
    #: With the query: `/v1/agents/agent-…?include=…`.
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """What the API said to it."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


#: Carries a request of the tool's `client` to /v1 as the agent that made the call.
ApiDoor = Callable[[ApiRequest], Awaitable[ApiAnswer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """One call of one function, or one script."""

    source: str
    #: The function to call; None runs the source as a script (`run_code`), whose value is that of its last expression.
    function: str | None
    #: JSON values; they cross as JSON, never as source text.
    arguments: Mapping[str, Any] = field(default_factory=dict)
    language: Language = "python"
    #: As stored with the tool: its classes are there before the source runs, and the arguments go through them.
    args_json_schema: Mapping[str, Any] | None = None
    requirements: tuple[Requirement, ...] = ()
    #: Shown as they are. Kept apart from secrets only for that.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: In the environment as well, above `environment`; their values are masked in all that the call gives back.
    secrets: Mapping[str, str] = field(default_factory=dict)
    agent_id: str | None = None
    tool_id: str | None = None
    project_id: str | None = None
    #: For a function that declares `agent_state`: the agent as JSON, with `memory.blocks`.
    agent_state: Mapping[str, Any] | None = None
    limits: Limits = field(default_factory=Limits)
    #: Public addresses only, through the proxy of this server.
    network: bool = False
    #: None: the tool's `client` is None.
    api: ApiDoor | None = None
    #: Hears what installing the requirements says, as it says it; called on any thread.
    on_install: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxError:
    """Why there is no return; `name` and `message` are for the model."""

    kind: ErrorKind
    name: str
    message: str
    #: Where in the source it happened, the innermost first: "line 3, in f: return 1 / 0".
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """How a call went. A call that fails is a result too; `run` raises nothing but CancelledError."""

    status: Literal["success", "error"]
    #: A JSON value.
    value: Any = None
    stdout: str = ""
    #: With the traceback of a tool that raised, its own lines only.
    stderr: str = ""
    is_stdout_cut: bool = False
    is_stderr_cut: bool = False
    #: Of the call, without waiting for a place or for packages.
    duration_ms: float = 0.0
    error: SandboxError | None = None
    #: Label -> value of the memory blocks that the function changed on its `agent_state`.
    changed_blocks: Mapping[str, str] = field(default_factory=dict)
    #: What installing the requirements said, when it was done for this call or before it; None without requirements.
    install_log: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What stands between a tool and this server, for the settings page, `ade doctor` and the log."""

    #: off: tools written by users do not run here. unsafe: they run, with nothing between (ADE_ALLOW_UNSANDBOXED=1).
    state: Literal["full", "partial", "unsafe", "off"]
    #: One sentence.
    summary: str
    #: What is active ("Landlock 7", "seccomp", "bubblewrap", …), in a fixed order.
    active: tuple[str, ...] = ()
    #: What is not, each with its reason.
    missing: tuple[str, ...] = ()
    #: Whether a tool with `network` gets one.
    has_network: bool = False
    #: Sandboxes that can be used: language -> why not, None when it can.
    languages: Mapping[str, str | None] = field(default_factory=dict)


class Sandbox(Protocol):
    """Runs code of strangers."""

    async def run(self, request: SandboxRequest) -> SandboxResult:
        """Run it. To cancel, cancel this: every process of the call is dead before CancelledError comes out."""

    async def close(self) -> None:
        """End everything that runs and free what is held."""
