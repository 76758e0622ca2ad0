"""Calls of the Linux kernel that Python's `os` does not have. Standard library only: this runs inside the sandbox's own interpreter."""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAPSET = {"x86_64": 126, "aarch64": 91}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

MACHINE = os.uname().machine if sys.platform != "win32" else ""
IS_LINUX = sys.platform == "linux" and MACHINE in _CAPSET

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None


def system_call(number: int, *arguments: object) -> int:
    """What the kernel answers. Raises OSError."""
    assert _libc is not None, "asked for on Linux only"
    # Without a type ctypes passes an int of 32 bits, and the kernel reads 64.
    values = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *values))


def unshare(flags: int) -> None:
    """Move this process (and, for pids, its children) into new namespaces. Raises OSError."""
    assert _libc is not None, "asked for on Linux only"
    _checked(_libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Raises OSError."""
    assert _libc is not None, "asked for on Linux only"
    texts = [text.encode() if text is not None else None for text in (source, target, kind, data)]
    if _libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def unmount_lazily(target: str) -> None:
    """Raises OSError."""
    assert _libc is not None, "asked for on Linux only"
    _checked(_libc.umount2(target.encode(), 2))


def pivot_root(new: str, old: str) -> None:
    """Raises OSError."""
    system_call(_PIVOT_ROOT[MACHINE], ctypes.c_char_p(new.encode()), ctypes.c_char_p(old.encode()))


def die_with_parent() -> None:
    """This process is killed when the one that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def adopt_orphans() -> None:
    """Descendants whose parent has ended become children of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """No program that is executed from here on gets more rights than its caller has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability, for this process and all that it executes."""
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:
            break  # this kernel has no capability of that number, or we may not: then there is none to drop
    try:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError:
        pass  # Linux before 4.3 has none
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    system_call(_CAPSET[MACHINE], ctypes.byref(header), ctypes.byref(nothing))


def install_filter(program: ctypes.Structure) -> None:
    """Put a seccomp filter (`struct sock_fprog`) over this process. Raises OSError."""
    assert _libc is not None, "asked for on Linux only"
    _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _prctl(option: int, *arguments: int) -> None:
    assert _libc is not None, "asked for on Linux only"
    padded = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *padded))


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
