"""The process that every call is forked from: it holds a Python that has started, and nothing of the server's.

It is told what to be in one message, says what the system allows, and then forks a keeper for each pair of descriptors it is sent.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from typing import Any

from tools.sandbox.inside import frames, kernel, landlock, namespaces, seccomp
from tools.sandbox.inside.confine import Powers
from tools.sandbox.inside.keeper import keep
from tools.sandbox.inside.watch import Watch

_READY = b"c"


def main(descriptor: int) -> None:
    """Serve until the server closes its end."""
    control = socket.socket(fileno=descriptor)
    order, _ = frames.read(control.recv)
    watch = Watch(order["proc"])
    listener = None
    try:
        powers, listener, net = _settle(order)
    except OSError as error:
        control.sendall(
            frames.pack({"failed": f"{error.strerror or error} ({error.filename or 'namespaces'})"})
        )
        return
    told = {
        "landlock": powers.landlock,
        "seccomp": powers.seccomp,
        "private_root": powers.private_root,
        "pid_namespace": powers.pid_namespace,
        "user_drop": powers.user_drop,
        "net": net,
        "is_root": os.geteuid() == 0,
        "port": listener.getsockname()[1] if listener is not None else None,
    }
    socket.send_fds(control, [frames.pack(told)], [listener.fileno()] if listener is not None else [])
    if listener is not None:
        listener.close()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the keepers
    _serve(control, powers, watch, order["tmp_base"])
    _outlive_keepers()


def _serve(control: socket.socket, powers: Powers, watch: Watch, tmp_base: str) -> None:
    while True:
        try:
            word, ends, _, _ = socket.recv_fds(control, 1, 2)
        except InterruptedError:
            continue
        if not word:
            return
        if not ends:
            continue
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if kernel.IS_LINUX:
                kernel.die_with_parent()
            keep(socket.socket(fileno=ends[0]), ends[1] if len(ends) > 1 else None, powers, watch, tmp_base)
        for end in ends:
            os.close(end)


def _outlive_keepers() -> None:
    """Wait for the keepers: they have heard of the server's end as we have, and would die with us before they have cleared up."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _settle(order: dict[str, Any]) -> tuple[Powers, socket.socket | None, str]:
    """What the system allows, a socket for the proxy of calls with a network, and how they are kept to it."""
    has_root = order["is_wrapped"]
    if order["root"] is not None:
        readable, links = (
            tuple((first, second) for first, second in order["root"][name]) for name in ("readable", "links")
        )
        namespaces.enter(namespaces.Root(readable, links), staging=order["staging"])
        has_root = True
    level = landlock.version() if order["landlock"] else 0
    powers = Powers(
        landlock=level,
        seccomp=bool(order["seccomp"] and seccomp.is_known_machine()),
        private_root=has_root,
        pid_namespace=has_root and _works(_try_pid_namespace),
        user_drop=os.geteuid() == 0 and _works(_try_other_user, order["first_user"]),
        other_processes=order["other_processes"],
    )
    if powers.landlock:
        landlock.keep((*order["readable"], *namespaces.DEVICES))
    if powers.seccomp:
        seccomp.prepare(has_network=order["network"])
    if not order["network"]:
        return powers, None, "none"
    if has_root:
        if not order["is_wrapped"]:
            namespaces.raise_loopback()  # bubblewrap has done so
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        # The server takes connections from it: a socket belongs to the namespace in which it was made.
        return powers, listener, "namespace"
    return powers, None, "landlock" if level >= landlock.NET_VERSION else "none"


def _works(attempt: Any, *arguments: Any) -> bool:
    """Whether a child of ours can do it."""
    pid = os.fork()
    if pid == 0:
        try:
            attempt(*arguments)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _try_pid_namespace() -> None:
    kernel.unshare(kernel.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise OSError("no process can be started there")
    namespaces.make_tmp(size=1 << 16, user=os.geteuid(), group=os.getegid())


def _try_other_user(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # Without a file system of our own Python's own modules may lie in a folder that is closed to others.
    os.stat(os.__file__)
