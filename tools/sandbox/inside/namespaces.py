"""A file system of the sandbox's own, in namespaces of its own: what is not listed is not there."""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

from tools.sandbox.inside import kernel

_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTION = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 32, 4096, 16384, 1 << 18
_NO_ATIME, _NO_DIR_ATIME, _RELATIVE_ATIME = 1024, 2048, 1 << 21
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

#: Where a call keeps its files. Not /tmp itself, below which an interpreter may lie; /tmp leads here where nothing does.
TMP = "/call"
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Root:
    """What a private root shows."""

    #: Folders and files to read and execute only: where they are outside, and inside.
    readable: tuple[tuple[str, str], ...]
    #: Path -> where it points.
    links: tuple[tuple[str, str], ...]


def enter(root: Root, *, staging: str) -> None:
    """Move this process into new namespaces, in which it sees only `root`. It has one thread and no files of its own to lose.

    `staging` is an empty folder. Raises OSError where the system does not allow it; then the process is not fit for use any more.
    """
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        kernel.unshare(flags | kernel.CLONE_NEWUSER)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    else:
        kernel.unshare(flags)
    kernel.mount("none", "/", None, _RECURSIVE | _PRIVATE)
    kernel.mount("tmpfs", staging, "tmpfs", _NO_SUID | _NO_DEVICES, "mode=0755,size=1m")
    for source, target in root.readable:
        _show(source, staging + target, _NO_SUID | _NO_DEVICES)
    for device in DEVICES:
        _show(device, staging + device, _NO_SUID)
    for path, target in root.links:
        if not os.path.lexists(staging + path):
            os.makedirs(os.path.dirname(staging + path), mode=0o755, exist_ok=True)
            os.symlink(target, staging + path)
    os.mkdir(staging + TMP, 0o755)
    # What is mounted is fixed; nobody writes to the folders between either.
    kernel.mount("none", staging, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)
    os.chdir(staging)
    kernel.pivot_root(".", ".")
    kernel.unmount_lazily(".")
    os.chdir("/")


def make_tmp(*, size: int, user: int, group: int) -> None:
    """Give this process a tmp folder of its own, which holds so many bytes and goes away with the last process that sees it."""
    kernel.unshare(kernel.CLONE_NEWNS)
    options = f"mode=0700,size={size},nr_inodes=20000,uid={user},gid={group}"
    kernel.mount("tmpfs", TMP, "tmpfs", _NO_SUID | _NO_DEVICES, options)


def raise_loopback() -> None:
    """Switch on the loopback interface of this network namespace. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        import fcntl  # not on every system on which this file is read

        name = b"lo".ljust(16, b"\0")
        answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, name + bytes(24))
        flags = struct.unpack_from("=H", answer, 16)[0] | _IFF_UP
        fcntl.ioctl(probe, _SIOCSIFFLAGS, name + struct.pack("=H", flags) + bytes(22))


def _show(path: str, target: str, flags: int) -> None:
    try:
        is_folder = os.path.isdir(path)
        if os.path.lexists(target):
            return  # part of what is already shown
        os.makedirs(target if is_folder else os.path.dirname(target), mode=0o755, exist_ok=True)
        if not is_folder:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.mount(path, target, None, _BIND | _RECURSIVE)
        kernel.mount("none", target, None, _REMOUNT | _BIND | _READ_ONLY | flags | _locked(target))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _locked(path: str) -> int:
    """Flags of the mount that its owner set, and that a remount must repeat."""
    # The numbers of statvfs are those of mount(2) but for the last one.
    now = os.statvfs(path).f_flag
    kept = now & (_NO_SUID | _NO_DEVICES | _NO_EXECUTION | _NO_ATIME | _NO_DIR_ATIME)
    return kept | (_RELATIVE_ATIME if now & 4096 else 0)
