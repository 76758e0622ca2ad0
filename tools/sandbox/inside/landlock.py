"""Landlock: the files and ports that a process, and all that it starts, may still reach."""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
import struct
from collections.abc import Iterable

from tools.sandbox.inside import kernel

# The numbers are the same on every machine that Linux has got since 2019.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
#: Version -> the rights over files that it knows.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
NET_VERSION, SCOPE_VERSION = 4, 6


_AWAY = 100
#: Paths that `keep` has opened.
_kept: dict[str, tuple[int | None, bool]] = {}


def keep(paths: Iterable[str]) -> None:
    """Open these paths once: what forks from here on allows them without looking them up."""
    for path in paths:
        place, is_folder = _opened(path)
        if place is not None:
            # Out of the way of what a call has at the low numbers.
            low, place = place, fcntl.fcntl(place, fcntl.F_DUPFD_CLOEXEC, _AWAY)
            os.close(low)
        _kept[path] = (place, is_folder)


def version() -> int:
    """What this kernel has; 0 when it has no Landlock, or has it switched off."""
    if not kernel.IS_LINUX:
        return 0
    try:
        return kernel.system_call(_CREATE_RULESET, 0, 0, _ASK_VERSION)
    except OSError:
        return 0


def confine(
    *, level: int, readable: Iterable[str], writable: Iterable[str], devices: Iterable[str], port: int | None
) -> None:
    """Leave this process these paths, and of TCP only a connection to this port. Paths that do not exist are passed over.

    Signals to processes outside reach nobody from version 6 on. Raises OSError.
    """
    known = _FILE_RIGHTS[max(each for each in _FILE_RIGHTS if each <= level)]
    fields = [known]
    if level >= NET_VERSION:
        fields.append(_BIND_TCP | _CONNECT_TCP)
    if level >= SCOPE_VERSION:
        fields.append(_SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = kernel.system_call(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    try:
        for path in readable:
            _allow(rules, path, _READ & known)
        for path in writable:
            _allow(rules, path, known & ~(_MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _IOCTL_DEV))
        for path in devices:
            _allow(rules, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & known)
        if port is not None and level >= NET_VERSION:
            rule = struct.pack("=QQ", _CONNECT_TCP, port)
            kernel.system_call(_ADD_RULE, rules, _NET_PORT, ctypes.c_char_p(rule), 0)
        kernel.system_call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place, is_folder = _kept[path] if path in _kept else _opened(path)
    if place is None:
        return
    if not is_folder:
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, place)
    kernel.system_call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    if path not in _kept:
        os.close(place)


def _opened(path: str) -> tuple[int | None, bool]:
    """A descriptor of the path, and whether it is a folder; None where there is nothing."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None, False
    return place, stat.S_ISDIR(os.fstat(place).st_mode)
