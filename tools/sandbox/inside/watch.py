"""The processes of a call, seen from outside: who they are and what memory they hold."""

from __future__ import annotations

import os

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Watch:
    """Reads the server's /proc through a descriptor; the sandbox itself has none."""

    def __init__(self, proc: int | None) -> None:
        self._proc = proc

    def descendants(self, pid: int) -> list[int]:
        """All processes below this one, also those that were adopted. Empty where the kernel does not tell."""
        found: list[int] = []
        waiting = [pid]
        while waiting:
            parent = waiting.pop()
            for thread in self._threads(parent):
                children = [int(each) for each in self._read(f"{parent}/task/{thread}/children").split()]
                found += children
                waiting += children
        return found

    def resident_bytes(self, pids: list[int]) -> int:
        """The memory that these processes hold; what they share is counted for each."""
        total = 0
        for pid in pids:
            fields = self._read(f"{pid}/statm").split()
            # Resident without what is shared with the zygote or a file.
            total += (int(fields[1]) - int(fields[2])) * _PAGE if len(fields) > 2 else 0
        return total

    def _threads(self, pid: int) -> list[str]:
        if self._proc is None:
            return []
        try:
            folder = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return []
        try:
            return os.listdir(folder)
        except OSError:
            return []
        finally:
            os.close(folder)

    def _read(self, path: str) -> bytes:
        if self._proc is None:
            return b""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return b""
        try:
            return os.read(file, 65536)
        except OSError:
            return b""
        finally:
            os.close(file)
