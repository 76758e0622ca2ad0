"""What a keeper says about a call, as a result. Nothing that came out of the call is believed to be well-formed."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from typing import Any, cast, get_args

from tools.sandbox.masking import Mask
from tools.sandbox.port import ErrorKind, Limits, SandboxError, SandboxResult

_MOST_NAME_CHARACTERS = 200
#: How the kernel ends who has used its processor time, of which a little may not have been counted by then.
_CPU_SIGNALS = (signal.SIGKILL, signal.SIGXCPU)
_UNCOUNTED = 0.5
_KINDS = frozenset(get_args(ErrorKind))
#: Lists and objects in one another; the call refuses more itself, unless it is not our code that answers.
_MOST_LEVELS = 200
_HALVES = re.compile("[\ud800-\udfff]")


def result_of(head: dict[str, Any], body: bytes, *, limits: Limits, mask: Mask) -> SandboxResult:
    """The result, with the values of secrets covered in all of it."""
    if head["reason"] == "setup":
        return _error("unavailable", "NoSandbox", f"the sandbox could not be set up: {head['detail']}")
    size, stdout_size = head["sizes"]
    said, stdout, stderr = body[:size], body[size : size + stdout_size], body[size + stdout_size :]
    is_stdout_cut, is_stderr_cut = head["cut"]
    value, error, changed = _read(head, said, limits)
    return SandboxResult(
        status="error" if error is not None else "success",
        value=mask.value(value) if error is None else None,
        stdout=mask.text(stdout.decode(errors="replace"), is_cut=is_stdout_cut),
        stderr=mask.text(stderr.decode(errors="replace"), is_cut=is_stderr_cut),
        is_stdout_cut=is_stdout_cut,
        is_stderr_cut=is_stderr_cut,
        duration_ms=head["ms"],
        error=_masked(error, mask) if error is not None else None,
        changed_blocks=mask.value(changed),
    )


def with_log(result: SandboxResult, log: str | None) -> SandboxResult:
    """The result with what installing said."""
    return replace(result, install_log=log)


def _read(
    head: dict[str, Any], said: bytes, limits: Limits
) -> tuple[Any, SandboxError | None, dict[str, str]]:
    if error := _limit_passed(head, limits):
        return None, error, {}
    try:
        told = _whole(json.loads(said), said)
        if "setup" in told:
            return (
                None,
                _problem("unavailable", "NoSandbox", f"the sandbox could not be set up: {told['setup']}"),
                {},
            )
        if "error" in told:
            kind, name, message, *where = map(str, told["error"])
            known = cast(ErrorKind, kind) if kind in _KINDS else "exception"
            problem = _problem(known, name[:_MOST_NAME_CHARACTERS], message)
            return None, replace(problem, where=tuple(each[:_MOST_NAME_CHARACTERS] for each in where[:3])), {}
        changed = {str(label): str(value) for label, value in told["changed_blocks"].items()}
        if len(told["value"]) > limits.return_bytes:
            return None, _too_large(limits), {}
        value = _whole(json.loads(told["value"]), told["value"].encode())
        return value, None, changed
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None, _without_return(head, limits), {}


def _whole(value: Any, source: bytes) -> Any:
    """The value, of texts that every encoding has: half of a character becomes the sign for one that is unknown.

    Raises ValueError for what is nested too deep. `source`: the JSON that it was; most need no look at the value then.
    """
    if source.count(b"[") + source.count(b"{") > _MOST_LEVELS:
        _check_levels(value)
    return _without_halves(value) if b"\\ud" in source.lower() else value


def _check_levels(value: Any) -> None:
    level, levels = [value], 0
    while level := [
        each
        for outer in level
        if isinstance(outer, (list, dict))
        for each in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        levels += 1
        if levels > _MOST_LEVELS:
            raise ValueError("nested too deep")


def _without_halves(value: Any) -> Any:
    match value:
        case str():
            return _HALVES.sub("\ufffd", value)
        case list():
            return [_without_halves(each) for each in value]
        case dict():
            return {_without_halves(key): _without_halves(each) for key, each in value.items()}
        case _:
            return value


def _limit_passed(head: dict[str, Any], limits: Limits) -> SandboxError | None:
    match head["reason"]:
        case "timeout":
            return _problem("timeout", "Timeout", f"the tool timed out after {limits.seconds:g} seconds.")
        case "memory":
            return _out_of_memory(limits)
        case "disk":
            text = f"the tool wrote more than {limits.tmp_bytes // 1024**2} MB to its files."
            return _problem("files", "FilesTooLarge", text)
        case "processes":
            return _problem(
                "processes", "TooManyProcesses", f"the tool had more than {limits.processes} processes."
            )
        case "return":
            return _too_large(limits)
        case "cancelled":
            return _problem("killed", "Cancelled", "the call was cancelled.")
        case _:
            return None


def _without_return(head: dict[str, Any], limits: Limits) -> SandboxError:
    code = head["exit"]
    if -code in _CPU_SIGNALS and head["cpu_seconds"] > limits.cpu_seconds - _UNCOUNTED:
        return _problem(
            "timeout", "Timeout", f"the tool used its {limits.cpu_seconds} seconds of processor time."
        )
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return _problem("killed", "ProcessEnded", f"the tool's process {how} before it returned a value.")


def _too_large(limits: Limits) -> SandboxError:
    return _problem(
        "output", "ReturnTooLarge", f"the return is larger than {limits.return_bytes} bytes; return less."
    )


def _out_of_memory(limits: Limits) -> SandboxError:
    text = f"the tool used more memory than the {limits.memory_bytes // 1024**2} MB that it may."
    return _problem("memory", "MemoryError", text)


def _problem(kind: ErrorKind, name: str, message: str) -> SandboxError:
    return SandboxError(kind=kind, name=name, message=message)


def _masked(error: SandboxError, mask: Mask) -> SandboxError:
    return SandboxError(
        kind=error.kind,
        name=mask.text(error.name),
        message=mask.text(error.message),
        where=tuple(mask.text(each) for each in error.where),
    )


def _error(kind: ErrorKind, name: str, message: str) -> SandboxResult:
    return SandboxResult(status="error", error=_problem(kind, name, message))
