"""The process that keeps one call: it makes its place, starts it, counts what it uses, and leaves nothing of it behind."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tools.sandbox.inside import call, frames, kernel, namespaces, removal
from tools.sandbox.inside.confine import Powers
from tools.sandbox.inside.watch import Watch

#: How often the memory, the files and the processes of a call are counted.
_LOOK_SECONDS = 0.2
#: What a return may have around the JSON that counts.
_SPARE_BYTES = 64 * 1024
_CHUNK = 64 * 1024
_MOST_FILES = 20_000


@dataclass(slots=True)
class _Pipe:
    """What comes out of one end of the call, up to a limit."""

    end: int
    most: int
    data: bytearray = field(default_factory=bytearray)
    is_cut: bool = False
    is_open: bool = True

    def read(self) -> bool:
        """Take what is there, and say whether there was something; what is beyond the limit is dropped."""
        try:
            part = os.read(self.end, _CHUNK)
        except BlockingIOError:
            return False
        if not part:
            self.is_open = False
            return False
        room = self.most - len(self.data)
        self.data += part[:room]
        self.is_cut = self.is_cut or len(part) > room
        return True


def keep(control: socket.socket, door: int | None, powers: Powers, watch: Watch, tmp_base: str) -> NoReturn:
    """Carry out the call that `control` tells of, answer there, and end."""
    try:
        control.setblocking(True)
        job, _ = frames.read(control.recv)
        answer = _Keeper(job, control, door, powers, watch, tmp_base).keep()
    except EOFError:
        os._exit(0)  # the server has thought better of it
    except BaseException as error:
        answer = frames.pack(
            {"reason": "setup", "detail": f"{type(error).__name__}: {error}", "sizes": [0, 0]}
        )
    try:
        control.sendall(answer)
    except OSError:
        pass  # the server has gone
    os._exit(0)


class _Keeper:
    def __init__(
        self,
        job: dict[str, Any],
        control: socket.socket,
        door: int | None,
        powers: Powers,
        watch: Watch,
        tmp_base: str,
    ) -> None:
        self._job, self._control, self._door = job, control, door
        self._powers, self._watch = powers, watch
        self._tmp = namespaces.TMP
        self._tmp_base = tmp_base
        self._limits: dict[str, Any] = job["limits"]
        self._reason = ""

    def keep(self) -> bytes:
        """The answer, as a message for the server."""
        os.setsid()
        self._make_place()
        output, stdout, stderr = (os.pipe() for _ in range(3))
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            ends = {0: os.open(os.devnull, os.O_RDONLY), 1: stdout[1], 2: stderr[1], call.RESULT: output[1]}
            if self._door is not None:
                ends[call.DOOR] = self._door
            call.become(self._job, self._powers, tmp=self._tmp, ends=ends)
        for _, end in (output, stdout, stderr):
            os.close(end)
        if self._door is not None:
            os.close(self._door)
        most = self._limits["output_bytes"]
        pipes = [
            _Pipe(output[0], self._limits["return_bytes"] + _SPARE_BYTES),
            _Pipe(stdout[0], most),
            _Pipe(stderr[0], most),
        ]
        for pipe in pipes:
            os.set_blocking(pipe.end, False)
        status = self._wait(pid, pipes, began + self._limits["seconds"])
        took = time.monotonic() - began
        self._clean_up()
        return self._answer(pipes, status, took)

    def _make_place(self) -> None:
        size = self._limits["tmp_bytes"]
        if self._powers.private_root:
            user = self._job["user"] if self._powers.user_drop else os.geteuid()
            group = self._job["user"] if self._powers.user_drop else os.getegid()
            namespaces.make_tmp(size=size, user=user, group=group)
        else:
            self._tmp = f"{self._tmp_base}/{self._job['name']}"
            os.mkdir(self._tmp, 0o700)
            if self._powers.user_drop:
                os.chown(self._tmp, self._job["user"], self._job["user"])
        if self._powers.pid_namespace:
            kernel.unshare(kernel.CLONE_NEWPID)
        elif kernel.IS_LINUX:
            kernel.adopt_orphans()

    def _wait(self, pid: int, pipes: list[_Pipe], deadline: float) -> int:
        """Until the call has ended or has to: the status of its process. Afterwards none of its processes lives."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        by_end = {pipe.end: pipe for pipe in pipes}
        for end in by_end:
            poll.register(end, select.POLLIN)
        if hasattr(os, "pidfd_open"):
            poll.register(os.pidfd_open(pid), select.POLLIN)
        look_at = time.monotonic() + _LOOK_SECONDS
        status = None
        while status is None and not self._reason:
            now = time.monotonic()
            if now >= look_at:
                self._look(pid)
                look_at = now + _LOOK_SECONDS
            # Its end is heard by a descriptor of it, or where there is none, by the last pipe that it closes.
            pause = min(deadline, look_at) - now if any(pipe.is_open for pipe in pipes) else 0.002
            for end, _ in poll.poll(max(pause, 0.001) * 1000):
                if end == self._control.fileno():
                    self._end("cancelled")
                elif end in by_end:
                    by_end[end].read()
                    if not by_end[end].is_open:
                        poll.unregister(end)
            if pipes[0].is_cut:
                self._end("return")
            if time.monotonic() >= deadline:
                self._end("timeout")
            found, ended = os.waitpid(pid, os.WNOHANG)
            status = ended if found else None
        if status is None:
            os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        if not self._powers.pid_namespace:
            self._kill_all(pid)
        for pipe in pipes:
            while pipe.read():
                pass  # nobody lives who could add to it
        return status

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason

    def _look(self, pid: int) -> None:
        pids = [pid, *self._watch.descendants(pid)]
        if self._watch.resident_bytes(pids) > self._limits["memory_bytes"]:
            self._end("memory")
        elif len(pids) > self._limits["processes"]:
            self._end("processes")
        elif not self._powers.private_root and _folder_bytes(self._tmp) > self._limits["tmp_bytes"]:
            self._end("disk")

    def _kill_all(self, pid: int) -> None:
        """Kill what the call has left behind, also what has left its session. Without /proc: what is of its account or group."""
        if self._powers.user_drop and (killer := os.fork()) == 0:
            os.setresuid(self._job["user"], self._job["user"], self._job["user"])
            try:
                os.kill(-1, signal.SIGKILL)
            except OSError:
                pass  # nobody is left
            os._exit(0)
        elif self._powers.user_drop:
            os.waitpid(killer, 0)
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass  # nobody is left
        for number in (signal.SIGSTOP, signal.SIGKILL):
            # Whoever forks while we count is found in the next round, and stopped.
            while pids := self._living():
                for each in pids:
                    _signal(each, number)
                if number == signal.SIGSTOP and self._living() == pids:
                    break
        while _reaped():
            pass

    def _living(self) -> list[int]:
        while _reaped():
            pass
        return self._watch.descendants(os.getpid())

    def _clean_up(self) -> None:
        if not self._powers.private_root:
            removal.remove(self._tmp)

    def _answer(self, pipes: list[_Pipe], status: int, took: float) -> bytes:
        head = {
            "reason": self._reason,
            "exit": os.waitstatus_to_exitcode(status),
            "ms": round(took * 1000, 3),
            "cut": [pipes[1].is_cut, pipes[2].is_cut],
            "sizes": [len(pipes[0].data), len(pipes[1].data)],
            "cpu_seconds": round(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]), 3),
        }
        return frames.pack(head, bytes(pipes[0].data) + bytes(pipes[1].data) + bytes(pipes[2].data))


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass  # it has ended, or it is a thread's entry of one that has


def _folder_bytes(path: str) -> int:
    """What the files of a folder take; more than any limit when they are too many to count."""
    total = count = 0
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > _MOST_FILES:
                        return 1 << 62
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue  # it was removed meanwhile, or closed to us
    return total
