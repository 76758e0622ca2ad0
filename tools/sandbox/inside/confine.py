"""What a process gives up before it runs a line of a stranger's."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import Any

from tools.sandbox.inside import kernel, landlock, seccomp
from tools.sandbox.inside.namespaces import DEVICES

#: Processes that are not the call's, but count for its user: the zygote, and the keepers of other calls.
_SPARE_PROCESSES = 192


@dataclass(frozen=True, slots=True)
class Powers:
    """What the system gives the zygote to confine with. Found out once, when it starts."""

    #: Landlock's version, 0 without.
    landlock: int
    seccomp: bool
    #: The zygote lives in namespaces with a file system of its own.
    private_root: bool
    pid_namespace: bool
    #: Calls run as accounts of their own.
    user_drop: bool
    #: Processes that the user of the calls had already; they count against its limit.
    other_processes: int = 0

    @property
    def keeps_signals_in(self) -> bool:
        """Whether a call cannot signal processes outside, without a filter for it."""
        return self.pid_namespace or self.user_drop or self.landlock >= landlock.SCOPE_VERSION


def confine(job: dict[str, Any], powers: Powers, *, tmp: str) -> None:
    """Confine this process for good. Raises OSError; then nothing of the job may run."""
    _limit(job["limits"], powers, is_python=job["language"] == "python")
    if not kernel.IS_LINUX:
        return
    kernel.forbid_new_privileges()
    if powers.user_drop:
        os.setgroups([])
        os.setresgid(job["user"], job["user"], job["user"])
        os.setresuid(job["user"], job["user"], job["user"])
    else:
        kernel.drop_capabilities()
    # A change of user forgets it.
    kernel.die_with_parent()
    if powers.landlock:
        landlock.confine(
            level=powers.landlock,
            readable=job["readable"],
            writable=[tmp],
            devices=DEVICES,
            port=job["proxy_port"],
        )
    if powers.seccomp:
        seccomp.confine(
            has_network=job["proxy_port"] is not None,
            only_pid=None if powers.keeps_signals_in else os.getpid(),
        )


def _limit(limits: dict[str, Any], powers: Powers, *, is_python: bool) -> None:
    processes = limits["processes"]
    if not powers.user_drop:
        processes += _SPARE_PROCESSES + powers.other_processes
    cpu = limits["cpu_seconds"]
    wanted = [
        (resource.RLIMIT_CORE, 0, 0),
        # Both the same: the first process of a namespace does not hear the signal of the lower one.
        (resource.RLIMIT_CPU, cpu, cpu),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"]),
        (resource.RLIMIT_NPROC, processes, processes),
    ]
    if is_python:
        # Node reserves far more address space than it uses: there the keeper counts what it holds.
        wanted.append((resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]))
    for which, soft, hard in wanted:
        most = resource.getrlimit(which)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(which, (soft, hard))
