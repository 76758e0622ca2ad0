"""The sandbox at E2B: each call gets a machine of theirs, which ends with it. Needs the extra `e2b` and a key.

The tool's `client` does not lead back from there to this server: it is None, unless the agent's secrets hold a LETTA_API_KEY.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import httpx
from django.conf import settings

from tools.sandbox import answers, place
from tools.sandbox.jobs import environment_of, job_of
from tools.sandbox.masking import Mask
from tools.sandbox.port import ErrorKind, Isolation, SandboxError, SandboxRequest, SandboxResult
from tools.sandbox.requirements import check_requirement

if TYPE_CHECKING:
    from e2b import AsyncSandbox

#: Where our files are there.
_FOLDER = "/tmp/ade"
_BEGIN = (
    "import sys, types\n"
    "for name in ('tools', 'tools.sandbox', 'tools.sandbox.inside'):\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    module.__path__ = [sys.argv[1] + '/inside']\n"
    "from tools.sandbox.inside.remote import main\n"
    "main(sys.argv[1] + '/job.json', sys.argv[1] + '/answer.json')\n"
)
#: Tasks that end machines whose calls are over. Somebody must hold them.
_endings: set[asyncio.Task[None]] = set()
#: For making the machine, sending files and ending it, beside the call's own time.
_SPARE_SECONDS = 60


class E2bSandbox:
    """Runs calls at E2B."""

    async def run(self, request: SandboxRequest) -> SandboxResult:
        try:
            from e2b import AsyncSandbox, AuthenticationException, SandboxException
        except ImportError:
            return _failed("unavailable", "NoSandbox", "E2B needs its package: pip install 'letta-ade[e2b]'.")
        if request.language != "python":
            return _failed(
                "unavailable", "NoSandbox", f"{request.language} is not run at E2B, only Python is."
            )
        machine = None
        try:
            machine = await self._make(
                AsyncSandbox.create(
                    template=settings.E2B_TEMPLATE or None,
                    timeout=int(request.limits.seconds) + _SPARE_SECONDS + _install_seconds(request),
                    allow_internet_access=request.network or bool(request.requirements),
                    **_connection(),
                )
            )
            return await _call(machine, request)
        except (SandboxException, AuthenticationException, httpx.HTTPError, OSError) as error:
            text = Mask(request.secrets).text(str(error))
            return _failed("unavailable", "NoSandbox", f"E2B: {text or type(error).__name__}")
        finally:
            if machine is not None:
                # Also when we are cancelled: a machine costs until it ends.
                await asyncio.shield(asyncio.ensure_future(_end(machine)))

    async def close(self) -> None:
        """Nothing outlives its call."""

    async def _make(self, making: Coroutine[Any, Any, AsyncSandbox]) -> AsyncSandbox:
        """The machine. Cancelled while it is made, it is ended as soon as it is there."""
        task = asyncio.create_task(making)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            ending = asyncio.create_task(_end_when_made(task))
            _endings.add(ending)
            ending.add_done_callback(_endings.discard)
            raise


def isolation() -> Isolation:
    """What stands between a tool and this server: another machine."""
    elsewhere = "is not run at E2B"
    return Isolation(
        state="full",
        summary="Tools run at E2B, each call on a machine of its own.",
        active=("E2B",),
        has_network=True,
        languages={"python": None, "javascript": elsewhere, "typescript": elsewhere},
    )


async def _call(machine: AsyncSandbox, request: SandboxRequest) -> SandboxResult:
    from e2b import CommandExitException, TimeoutException

    environment = environment_of(request, proxy_port=None)
    files = {f"inside/{path.name}": path.read_text("utf-8") for path in place.INSIDE.glob("*.py")}
    files["job.json"] = json.dumps(job_of(request, environment))
    await machine.files.write_files(
        [{"path": f"{_FOLDER}/{name}", "data": data} for name, data in files.items()]
    )
    log = await _install(machine, request)
    if log is not None and log.problem:
        return _failed("requirements", "RequirementsFailed", log.problem, log.text)
    stdout, stderr = _Cut(request.limits.output_bytes), _Cut(request.limits.output_bytes)
    head: dict[str, Any] = {"reason": "", "exit": 0, "cpu_seconds": 0.0}
    began = time.monotonic()
    try:
        await machine.commands.run(
            f"cd {_FOLDER} && exec python3 -c {shlex.quote(_BEGIN)} {_FOLDER}",
            on_stdout=stdout.add,
            on_stderr=stderr.add,
            timeout=request.limits.seconds,
            retain_output=False,
        )
    except TimeoutException:
        head["reason"] = "timeout"
    except CommandExitException as error:
        head["exit"] = error.exit_code
    head["ms"] = (time.monotonic() - began) * 1000
    said = b"" if head["reason"] else await _answer(machine)
    head |= {"cut": [stdout.is_cut, stderr.is_cut], "sizes": [len(said), len(stdout.data)]}
    body = said + bytes(stdout.data) + bytes(stderr.data)
    result = answers.result_of(head, body, limits=request.limits, mask=Mask(request.secrets))
    return answers.with_log(result, log.text if log is not None else None)


class _Log:
    def __init__(self, text: str, problem: str | None = None) -> None:
        self.text, self.problem = text, problem


async def _install(machine: AsyncSandbox, request: SandboxRequest) -> _Log | None:
    from e2b import CommandExitException

    if not request.requirements:
        return None
    lines = []
    try:
        for each in request.requirements:
            check_requirement(each)
            lines.append(each.name if each.version is None else f"{each.name}=={each.version}")
    except ValueError as error:
        return _Log("", str(error))
    command = f"python3 -m pip install --no-input -- {shlex.join(lines)} 2>&1"
    try:
        done = await machine.commands.run(command, timeout=settings.REQUIREMENTS_SECONDS)
    except CommandExitException as error:
        end = "\n".join(error.stdout.rstrip().splitlines()[-15:])
        return _Log(error.stdout, f"{', '.join(lines)}: installing failed:\n{end}")
    return _Log(done.stdout)


async def _answer(machine: AsyncSandbox) -> bytes:
    from e2b import NotFoundException

    try:
        return bytes(await machine.files.read(f"{_FOLDER}/answer.json", format="bytes"))
    except NotFoundException:
        return b""


async def _end_when_made(task: asyncio.Task[AsyncSandbox]) -> None:
    from e2b import AuthenticationException, SandboxException

    try:
        machine = await task
    except (SandboxException, AuthenticationException, httpx.HTTPError, OSError):
        return  # it was not made, and nobody waits for it any more
    await _end(machine)


async def _end(machine: AsyncSandbox) -> None:
    from e2b import SandboxException

    try:
        await machine.kill()
    except SandboxException:
        pass  # it ends by itself when its time is over


class _Cut:
    """What a command prints, up to a limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.data = bytearray()
        self.is_cut = False

    def add(self, text: str) -> None:
        """Take more."""
        part = text.encode(errors="replace")
        room = self._most - len(self.data)
        self.data += part[:room]
        self.is_cut = self.is_cut or len(part) > room


def _install_seconds(request: SandboxRequest) -> int:
    return settings.REQUIREMENTS_SECONDS if request.requirements else 0


def _connection() -> dict[str, Any]:
    given = {
        "api_key": settings.E2B_API_KEY,
        "domain": settings.E2B_DOMAIN,
        "api_url": settings.E2B_API_URL,
        "sandbox_url": settings.E2B_SANDBOX_URL,
    }
    return {name: value for name, value in given.items() if value}


def _failed(kind: ErrorKind, name: str, message: str, log: str | None = None) -> SandboxResult:
    error = SandboxError(kind=kind, name=name, message=message)
    return SandboxResult(status="error", error=error, install_log=log)
