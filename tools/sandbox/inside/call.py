"""One call in its own, confined process: the source, the function, its return."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import io
import json
import linecache
import os
import signal
import site
import sys
import traceback
import types
import typing
from collections.abc import Callable
from typing import Any, NoReturn

from tools.sandbox.inside import client, script, values
from tools.sandbox.inside.agent_state import AgentState
from tools.sandbox.inside.arguments import InvalidArguments, through_class, typed_arguments
from tools.sandbox.inside.classes import Classes, classes_of
from tools.sandbox.inside.confine import Powers, confine

#: Where the child finds its end of things. After them nothing is open.
RESULT, DOOR = 3, 4
#: Descriptors from here on are in nobody's way.
_AWAY = 100


class _BadSource(Exception):
    """The source does not parse, or has no such function; the text says which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def become(job: dict[str, Any], powers: Powers, *, tmp: str, ends: dict[int, int]) -> NoReturn:
    """Turn this process, freshly forked, into the call. `ends`: what is to be where, number -> descriptor."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _take_over(ends)
    try:
        _settle(job, tmp)
        confine(job, powers, tmp=tmp)
        _close_others(ends)
        os.chdir(tmp)  # only now: the folder belongs to the account of the call
    except BaseException as error:
        tell(RESULT, {"setup": f"{type(error).__name__}: {error}"})
        os._exit(1)
    if job["language"] != "python":
        _become_node(job)
    tell(RESULT, answer(job))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the tool has closed it
    os._exit(0)


def _take_over(ends: dict[int, int]) -> None:
    """Put each end where the call finds it. What else is open stays for the moment: it is needed to confine this process."""
    # First out of the way of each other.
    away = {number: fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _AWAY) for number, end in ends.items()}
    for number, end in away.items():
        os.dup2(end, number)


def _close_others(ends: dict[int, int]) -> None:
    os.closerange(max(ends) + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 16) + _AWAY)


def _settle(job: dict[str, Any], tmp: str) -> None:
    os.setsid()
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.environ.update({"HOME": tmp, "TMPDIR": tmp})


def _become_node(job: dict[str, Any]) -> NoReturn:
    arguments = {key: job[key] for key in ("source", "function", "arguments", "language")}
    place = os.open("job.json", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(place, b"")
    with os.fdopen(place, "w", encoding="utf-8") as file:
        json.dump(arguments, file)
    os.execv(job["node"][0], job["node"])


def tell(end: int, told: dict[str, Any]) -> None:
    """Write the answer to this descriptor."""
    data = json.dumps(told).encode()
    try:
        while data:
            data = data[os.write(end, data) :]
    except OSError:
        pass  # whoever listened has gone, or the tool has closed it; then there is no answer


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What the call returned or raised. The traceback goes to stderr, the tool's own lines only."""
    name = job["filename"]
    try:
        _open_streams()
        returned, changed = _called(job, name)
        return {"value": values.as_json(returned), "changed_blocks": changed}
    except _BadSource as error:
        return {"error": ["syntax", error.name, str(error)]}
    except InvalidArguments as error:
        return {"error": ["exception", type(error).__name__, str(error)]}
    except MemoryError:
        return {"error": ["memory", "MemoryError", "the tool used more memory than it may."]}
    except SystemExit as error:
        if error.code in (None, 0):
            return {"value": "null", "changed_blocks": {}}
        return {"error": ["exception", "SystemExit", str(error.code)]}
    except BaseException as error:
        _show(error, name)
        return {"error": ["exception", type(error).__name__, _text_of(error), *_where(error, name)]}


def _where(error: BaseException, name: str) -> list[str]:
    """The lines of the source through which the exception came, the innermost first."""
    lines = [
        f"line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == name
    ]
    return lines[:-4:-1]


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:4000]
    except BaseException:  # the exception is the tool's own class
        return "its message cannot be read"


def _open_streams() -> None:
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.FileIO(number, "w", closefd=False),  # unbuffered, as PYTHONUNBUFFERED promises
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        for number in (1, 2)
    )


def _called(job: dict[str, Any], name: str) -> tuple[Any, dict[str, str]]:
    for folder in reversed(job["packages"]):
        sys.path.insert(0, folder)
    for folder in job["environments"]:
        # In front of all others, with what its .pth files say.
        known = list(sys.path)
        site.addsitedir(folder)
        sys.path[:] = [each for each in sys.path if each not in known] + known
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for ours in [each for each in sys.modules if each.split(".", 1)[0] == "tools"]:
        del sys.modules[ours]
    scope = module.__dict__
    scope.update({each: getattr(typing, each) for each in typing.__all__})
    scope["client"] = _client(job)
    classes = classes_of(job["schema"]) if job["schema"] else None
    if classes is not None:
        scope.update(classes.named)
    source: str = job["source"]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    sys.argv = [name]
    if job["function"] is None:
        return script.run(_compiled(source, name, script.split), scope), {}
    exec(_compiled(source, name, lambda text: compile(text, name, "exec")), scope)  # noqa: S102 (this is what a sandbox is for)
    function = scope.get(job["function"])
    if not callable(function):
        raise _BadSource("NameError", f"the source has no function {job['function']!r}.")
    return _run(function, job, scope, classes)


def _compiled(source: str, name: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        sys.stderr.write("".join(traceback.format_exception_only(error)))
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _BadSource(type(error).__name__, f"{text}{where}") from None


def _client(job: dict[str, Any]) -> Any:
    if job["has_own_key"]:
        return client.LazyClient()
    if not job["has_door"]:
        return None
    os.environ["LETTA_BASE_URL"], os.environ["LETTA_API_KEY"] = client.BASE_URL, "sandbox"
    client.lead_through(client.Door(DOOR))
    return client.LazyClient()


def _run(
    function: Callable[..., Any], job: dict[str, Any], scope: dict[str, Any], classes: Classes | None
) -> tuple[Any, dict[str, str]]:
    arguments: dict[str, Any] = dict(job["arguments"])
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # an annotation may be anything
        hints = {}
    if classes is not None:
        arguments = through_class(classes.whole, arguments)
    arguments = typed_arguments(arguments, hints)
    taken = inspect.signature(function).parameters
    state = None
    if "agent_state" in taken and job["agent_state"] is not None:
        state = AgentState(job["agent_state"])
        arguments["agent_state"] = state
    elif "agent_state" in taken and "agent_state" not in arguments:
        arguments["agent_state"] = None
    if "agent_id" in taken and "agent_id" not in arguments:
        arguments["agent_id"] = job["agent_id"]
    if "client" in taken and "client" not in arguments:
        arguments["client"] = scope["client"]
    returned = function(**arguments)
    if inspect.isawaitable(returned):
        returned = asyncio.run(_awaited(returned))
    return returned, state.changed_blocks() if state else {}


async def _awaited(waiting: Any) -> Any:
    return await waiting


def _show(error: BaseException, name: str) -> None:
    """The traceback without the frames that are ours."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != name:
        frame = frame.tb_next
    try:
        sys.stderr.write(
            "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))
        )
    except BaseException:  # the exception is the tool's own class, and stderr may be closed
        return
