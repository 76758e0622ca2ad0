"""What of this machine a sandbox shows, and how its first process is started."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from tools.sandbox.inside.namespaces import DEVICES, TMP

#: Where the environments of requirements are, in a file system of the sandbox's own.
ENVIRONMENTS = "/environments"
INSIDE = Path(__file__).resolve().parent / "inside"
NODE_RUNNER = INSIDE / "node_runner.mjs"

#: Programs and libraries.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: Of /etc only what programs need to run, to trust certificates and to tell the time.
_ETC = (
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/services",
)
#: What the zygote keeps when root starts it in bubblewrap: to make places for calls, to become their accounts, to end them.
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL", "CAP_CHOWN")

# Puts our own modules within reach without the folder that holds the rest of the server.
_BEGIN = (
    "import sys, types\n"
    "for name, folder in zip(('tools', 'tools.sandbox', 'tools.sandbox.inside'), sys.argv[2:]):\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    module.__path__ = [folder]\n"
    "from tools.sandbox.inside.zygote import main\n"
    "main(int(sys.argv[1]))\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A file system of the sandbox's own."""

    #: Folders and files to read and to execute: where they are outside, and inside.
    readable: tuple[tuple[str, str], ...]
    #: Symbolic links: path, target.
    links: tuple[tuple[str, str], ...]


@cache
def readable_paths() -> tuple[str, ...]:
    """Folders and files that every call may read. Worked out once: they do not change while the server runs."""
    paths = [path for path in (*_SYSTEM, *_ETC) if os.path.exists(path) and not os.path.islink(path)]
    # Some of /etc are links to elsewhere in /etc or to /usr; they are shown as what they point at.
    paths += [path for path in _ETC if os.path.islink(path) and os.path.exists(path)]
    own = [sys.base_prefix, *package_folders()]
    if node := node_program():
        own.append(os.path.dirname(os.path.dirname(node)))
    paths += [path for path in own if not _is_in(path, paths)]
    return tuple(dict.fromkeys(paths))


def package_folders() -> tuple[str, ...]:
    """Where the packages of this server are that every tool may import: letta-client, pydantic and what lies beside them."""
    found = (importlib.util.find_spec(name) for name in ("letta_client", "pydantic"))
    origins = [spec.origin for spec in found if spec is not None and spec.origin is not None]
    return tuple(dict.fromkeys(os.path.dirname(os.path.dirname(os.path.realpath(each))) for each in origins))


@cache
def node_program() -> str | None:
    """The path of Node, or None."""
    found = shutil.which("node")
    return os.path.realpath(found) if found else None


@cache
def node_version() -> tuple[int, ...]:
    """Of Node, as numbers; empty without one that runs."""
    node = node_program()
    if node is None:
        return ()
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(each) for each in said.stdout.strip().removeprefix("v").split(".") if each.isdigit())


def interpreter() -> str:
    """The Python that runs tools: the one that the server's own environment was made from."""
    return os.path.realpath(sys.executable)


def zygote_command(descriptor: int) -> list[str]:
    """How the zygote is started, without anything around it."""
    # Its own folder, and two that are not there: the packages above it hold nothing for it.
    nowhere = os.fspath(INSIDE / "-")
    return [
        interpreter(),
        "-I",
        "-S",
        "-B",
        "-c",
        _BEGIN,
        str(descriptor),
        nowhere,
        nowhere,
        os.fspath(INSIDE),
    ]


def bubblewrap_program() -> str | None:
    """The path of bubblewrap, unless it is not wanted."""
    return None if "bubblewrap" in settings.SANDBOX_WITHOUT else shutil.which("bwrap")


def view(environments: str) -> View:
    """What a file system of the sandbox's own shows: also our modules, and the environments of requirements at a path of their own."""
    readable = {path: path for path in (*readable_paths(), os.fspath(INSIDE))} | {environments: ENVIRONMENTS}
    links = [(path, os.readlink(path)) for path in _SYSTEM if os.path.islink(path)]
    links.append(("/dev/shm", TMP))
    if not any(path.startswith("/tmp/") for path in readable.values()):
        links.append(("/tmp", TMP))
    # Parents before what is in them.
    return View(readable=tuple(sorted(readable.items(), key=lambda each: each[1])), links=tuple(links))


def wrapped(command: list[str], *, bubblewrap: str, environments: str) -> list[str]:
    """The command inside bubblewrap: namespaces and a file system of its own."""
    line = [bubblewrap, "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    if os.geteuid() != 0:
        line.append("--unshare-user")
    seen = view(environments)
    # Calls of other accounts must be able to pass through what lies above; left to itself bubblewrap closes it.
    above = {os.fspath(folder) for _, target in seen.readable for folder in Path(target).parents}
    for folder in sorted(above - {"/"}):
        line += ["--perms", "0755", "--dir", folder]
    for source, target in seen.readable:
        line += ["--ro-bind", source, target]
    for device in DEVICES:
        line += ["--dev-bind", device, device]
    for path, target in seen.links:
        line += ["--symlink", target, path]
    line += ["--dir", TMP, "--remount-ro", "/", "--cap-drop", "ALL"]
    for capability in _CAPABILITIES:
        line += ["--cap-add", capability]
    return [*line, "--chdir", "/", "--", *command]


def _is_in(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
