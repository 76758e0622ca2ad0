"""Attacks on the sandbox, run by a process of their own: as a given user, and with a given part of the sandbox left out.

`python -m tests.sandbox.attacks` prints a JSON object: attack -> "" where it failed as it should, or what went wrong. Bombs are small,
and the limits of this very process are a belt around them.
"""
# ruff: noqa: E501 (a list of attempts reads best in one line)

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MB = 1024**2
SECRET = "the-secret-of-the-server"

#: Source lines that most attacks share.
TRY = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)

def tried(call, *arguments):
    \"\"\"What came of it: the name of the error, or the value.\"\"\"
    try:
        return repr(call(*arguments))
    except OSError as error:
        return errno.errorcode.get(error.errno, "?")

def system(number, *arguments):
    answer = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode[ctypes.get_errno()] if answer < 0 else answer
"""


@dataclass(frozen=True, slots=True)
class World:
    """What there is to be attacked."""

    sandbox: Any
    folder: Path
    unix: str
    #: The name of a socket without a file.
    abstract: str
    port: int
    facts: Any
    children: set[int] = field(default_factory=set)


Attack = Callable[[World], Awaitable[None]]
ATTACKS: dict[str, Attack] = {}


def attack(check: Attack) -> Attack:
    ATTACKS[check.__name__] = check
    return check


async def run(world: World, source: str, *, limits: dict[str, Any] | None = None, **fields: Any) -> Any:
    """The result of `f` in the source."""
    from tools.sandbox.port import Limits, SandboxRequest

    values = {
        "seconds": 10.0,
        "cpu_seconds": 10,
        "memory_bytes": 512 * MB,
        "processes": 16,
        "tmp_bytes": 8 * MB,
        "file_bytes": 8 * MB,
    }
    request = SandboxRequest(
        source=TRY + textwrap.dedent(source),
        function="f",
        limits=Limits(**(values | (limits or {}))),
        **fields,
    )
    return await world.sandbox.run(request)


async def value(world: World, source: str, **fields: Any) -> Any:
    result = await run(world, source, **fields)
    assert result.error is None, result
    return result.value


def failed(result: Any, *kinds: str) -> None:
    assert result.error is not None, result
    assert result.error.kind in kinds, result


@attack
async def reads_files_of_the_server(world: World) -> None:
    paths = [
        str(world.folder / "secret"),
        str(world.folder / "world-readable"),
        "/etc/shadow",
        "/etc/passwd",
        str(Path(__file__)),
        "/root",
        "/home",
        str(world.folder),
    ]
    found = await value(
        world,
        "def f(paths: list):\n    return [tried(lambda p: os.listdir(p) if os.path.isdir(p) else open(p).read(), p) for p in paths]",
        arguments={"paths": paths},
    )
    assert set(found) <= {"ENOENT", "EACCES"}, found


@attack
async def reads_proc(world: World) -> None:
    source = """
    def f(pid: int):
        return [tried(lambda p: open(p, "rb").read(), f"/proc/{each}") for each in (f"{pid}/environ", f"{pid}/mem", f"{pid}/cmdline", "self/environ", "1/root/etc/passwd", "kallsyms")] + [tried(os.listdir, "/proc"), tried(os.listdir, "/sys")]
    """
    found = await value(world, source, arguments={"pid": os.getpid()})
    assert set(found) <= {"ENOENT", "EACCES", "EPERM"}, found


@attack
async def finds_the_environment_of_the_server(world: World) -> None:
    source = """
    import gc
    def f():
        needle = "-".join(("the", "secret", "of", "the", "server"))
        texts = [o for o in gc.get_objects() if isinstance(o, dict) and any(isinstance(v, str) and needle in v for v in list(o.values()))]
        environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
        raw, i = [], 0
        while environ[i]:
            raw.append(environ[i].decode()); i += 1
        return [len(texts), sorted(raw), os.environ.get("ADE_SECRET_OF_THE_TEST")]
    """
    texts, raw, found = await value(world, source)
    assert found is None
    assert SECRET not in "".join(raw)
    assert texts == 0


@attack
async def connects_to_the_database_socket(world: World) -> None:
    source = """
    def f(path: str, name: str):
        def connect(kind, address):
            s = socket.socket(socket.AF_UNIX, kind)
            s.connect(address)
            return "connected"
        pair = socket.socketpair()
        return [tried(connect, k, a) for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM) for a in (path, "\\0" + name)] + [tried(pair[0].connect, path)]
    """
    found = await value(world, source, arguments={"path": world.unix, "name": world.abstract})
    assert not any("connected" in each or each == "None" for each in found), found
    assert set(found[:4]) <= {"EACCES", "EPERM"}, found


@attack
async def opens_sockets_without_a_network(world: World) -> None:
    source = """
    def f(port: int):
        def connect(family, kind, protocol=0):
            s = socket.socket(family, kind, protocol)
            s.connect(("127.0.0.1", port))
            return "connected"
        return [tried(connect, *each) for each in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET6, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_RAW, 1), (17, socket.SOCK_RAW), (16, socket.SOCK_RAW), (38, socket.SOCK_SEQPACKET), (40, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_STREAM, 262))]
    """
    found = await value(world, source, arguments={"port": world.port})
    assert set(found) == {"EACCES"}, found


@attack
async def goes_round_the_proxy(world: World) -> None:
    if world.facts.net == "none":
        return  # then there is no network to go round in
    source = """
    def f(port: int):
        def connect(address, kind=socket.SOCK_STREAM, protocol=0):
            s = socket.socket(socket.AF_INET, kind, protocol)
            s.settimeout(2)
            s.connect(address)
            return "connected"
        def fast_open():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            return s.sendto(b"x", 0x20000000, ("127.0.0.1", port))
        def listen():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.bind(("127.0.0.1", 0))
            return "bound"
        return [tried(connect, a) for a in (("127.0.0.1", port), ("169.254.169.254", 80), ("10.0.0.1", 80), ("1.1.1.1", 80))] + [
            tried(connect, ("127.0.0.1", port), socket.SOCK_DGRAM), tried(connect, ("127.0.0.1", port), socket.SOCK_STREAM, 262), tried(fast_open), tried(listen)]
    """
    found = await value(world, source, arguments={"port": world.port}, network=True)
    assert not any("connected" in each or "bound" in each or each.isdigit() for each in found), found


@attack
async def asks_the_proxy_for_private_addresses(world: World) -> None:
    if world.facts.net == "none":
        return
    source = """
    def f(port: int):
        host, own = os.environ["http_proxy"].removeprefix("http://").split(":")
        def ask(line):
            s = socket.create_connection((host, int(own)), timeout=5)
            s.sendall(line.encode() + b"\\r\\n\\r\\n")
            return s.recv(500).split(b" ", 2)[1].decode()
        return [ask(line) for line in (
            f"CONNECT 127.0.0.1:{port} HTTP/1.1", f"CONNECT localhost:{port} HTTP/1.1", "CONNECT 169.254.169.254:80 HTTP/1.1",
            f"CONNECT [::1]:{port} HTTP/1.1", f"CONNECT [::ffff:127.0.0.1]:{port} HTTP/1.1", f"CONNECT 0x7f.1:{port} HTTP/1.1",
            "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1", f"GET http://user@127.0.0.1:{port}/ HTTP/1.1",
            "CONNECT 10.0.0.1:22 HTTP/1.1", "GET /etc/passwd HTTP/1.1", "nonsense", "CONNECT x HTTP/1.1", "GET http://[::1 HTTP/1.1", "CONNECT a:99999 HTTP/1.1")]
    """
    found = await value(world, source, arguments={"port": world.port}, network=True)
    assert set(found[:9]) == {"403"}, found
    assert set(found[9:]) == {"400"}, found


@attack
async def fork_bomb(world: World) -> None:
    source = """
    def f():
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """
    result = await run(world, source, limits={"seconds": 1.5})
    failed(result, "timeout", "processes", "memory", "killed")


@attack
async def thread_bomb(world: World) -> None:
    source = """
    import threading
    def f():
        made, never = 0, threading.Event()
        try:
            for _ in range(5000):
                threading.Thread(target=never.wait, daemon=True).start()
                made += 1
        except (RuntimeError, MemoryError):
            pass
        return made
    """
    result = await run(world, source, limits={"seconds": 3})
    assert result.error is not None or result.value < 1000, result


@attack
async def memory_bomb(world: World) -> None:
    result = await run(
        world,
        "def f():\n    kept = []\n    while True:\n        kept.append(bytearray(8 * 1024 * 1024))",
        limits={"memory_bytes": 256 * MB},
    )
    failed(result, "memory")


@attack
async def memory_bomb_of_many(world: World) -> None:
    source = """
    import time
    def f():
        for _ in range(8):
            if os.fork() == 0:
                kept = bytearray(os.urandom(1024)) * (100 * 1024)
                time.sleep(30)
        time.sleep(30)
    """
    result = await run(world, source, limits={"memory_bytes": 300 * MB, "seconds": 8})
    failed(result, "memory")


@attack
async def disk_fill(world: World) -> None:
    source = """
    def f():
        total = 0
        for number in range(64):
            with open(f"file{number}", "wb", buffering=0) as file:
                for _ in range(8):
                    try:
                        total += file.write(bytes(1024 * 1024))
                    except OSError:
                        return total
        import time
        time.sleep(5)
        return total
    """
    result = await run(world, source)
    written = result.value if result.error is None else 0
    assert written <= 9 * MB, result
    assert result.error is None or result.error.kind == "files", result


@attack
async def endless_output(world: World) -> None:
    result = await run(
        world,
        "def f():\n    while True:\n        os.write(1, b'x' * 65536)\n        os.write(2, b'y' * 65536)",
        limits={"seconds": 0.7, "output_bytes": 2000},
    )
    failed(result, "timeout")
    assert (len(result.stdout), len(result.stderr)) == (2000, 2000)


@attack
async def leaves_its_session(world: World) -> None:
    """What it starts, in a session of its own and adopted by nobody, is dead when the call is over."""
    source = """
    import time
    def f(loop: bool):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                for end in (0, 1, 2, 3):
                    os.close(end)
                time.sleep(60)
            os._exit(0)
        while loop:
            time.sleep(1)
        return "left one behind"
    """
    assert await value(world, source, arguments={"loop": False}) == "left one behind"
    result = await run(world, source, arguments={"loop": True}, limits={"seconds": 0.5})
    failed(result, "timeout")


@attack
async def traces_others(world: World) -> None:
    source = """
    def f(pid: int):
        machine = os.uname().machine
        ptrace, read = (101, 310) if machine == "x86_64" else (117, 270)
        return [system(ptrace, 16, each, 0, 0) for each in (pid, os.getppid())] + [system(ptrace, 0, 0, 0, 0), system(read, pid, None, 0, None, 0, 0)]
    """
    found = await value(world, source, arguments={"pid": os.getpid()})
    assert set(found) == {"EPERM"}, found


@attack
async def makes_namespaces(world: World) -> None:
    source = """
    def f():
        x86 = os.uname().machine == "x86_64"
        unshare, clone, mount, setns, chroot = (272, 56, 165, 308, 161) if x86 else (97, 220, 40, 268, 51)
        tmp = ctypes.c_char_p(b"/tmp")
        return [system(unshare, flag) for flag in (0x10000000, 0x20000, 0x40000000)] + [
            system(clone, 0x10000000 | 17, 0, 0, 0, 0), system(mount, tmp, tmp, tmp, 0, 0), system(setns, 0, 0), system(chroot, tmp), system(435, 0, 0)]
    """
    found = await value(world, source)
    assert set(found[:-1]) == {"EPERM"}, found
    assert found[-1] == "ENOSYS"


@attack
async def uses_dangerous_system_calls(world: World) -> None:
    source = """
    def f():
        x86 = os.uname().machine == "x86_64"
        bpf, perf, fault, keyctl, handle, shm = (321, 298, 323, 250, 304, 29) if x86 else (280, 241, 282, 219, 265, 194)
        return [system(each, 0, 0, 0, 0, 0) for each in (bpf, perf, fault, keyctl, handle, shm, 425, 426, 427)] + [system(460, 0), system(700, 0)]
    """
    found = await value(world, source)
    assert set(found[:-2]) == {"EPERM"}, found
    assert set(found[-2:]) == {"ENOSYS"}, found


@attack
async def signals_others(world: World) -> None:
    source = """
    import signal
    def f(pids: list[int]):
        found = [tried(os.kill, pid, signal.SIGKILL) for pid in (*pids, os.getppid(), 1) if pid not in (0, os.getpid())]
        try:
            end = os.pidfd_open(pids[0])
            found.append(tried(signal.pidfd_send_signal, end, signal.SIGKILL))
        except OSError:
            pass
        return found
    """
    found = await value(world, source, arguments={"pids": [os.getpid(), *world.children]})
    assert set(found) <= {"EPERM", "ESRCH"}, found


@attack
async def signals_everybody(world: World) -> None:
    result = await run(
        world, "def f():\n    import signal\n    found = tried(os.kill, -1, signal.SIGKILL)\n    return found"
    )
    assert result.error is None or result.error.kind == "killed", result
    # Whoever reads this has survived; and the next call finds its zygote.
    assert await value(world, "def f():\n    return 1") == 1


@attack
async def becomes_root(world: World) -> None:
    source = """
    def f():
        prctl = libc.prctl(39, 0, 0, 0, 0)
        return [tried(os.setuid, 0), tried(os.setgroups, [0]), os.getuid(), prctl, tried(os.chown, ".", 0, 0)]
    """
    user, groups, uid, no_new_privileges, chown = await value(world, source)
    # In a user namespace root is nobody at all.
    assert {user, groups, chown} <= {"EPERM", "EINVAL"}, (user, groups, chown)
    assert uid != 0
    assert no_new_privileges == 1


@attack
async def looks_into_another_call(world: World) -> None:
    """A call that waits holds a secret file; another one looks for it, and for its processes."""
    slow = asyncio.create_task(
        run(
            world,
            f"def f():\n    import time\n    open('note', 'w').write('{SECRET}')\n    print('ready')\n    time.sleep(20)",
            limits={"seconds": 4.0},
        )
    )
    source = """
    def f(needle: str, places: list):
        seen = []
        for place in places:
            for folder, _, names in os.walk(place):
                for name in names:
                    try:
                        if needle in open(os.path.join(folder, name), errors="replace").read():
                            seen.append(os.path.join(folder, name))
                    except OSError:
                        pass
        return [seen, sorted(os.listdir("."))]
    """
    places = ["/tmp", "/call", "/dev/shm", ".", "..", tempfile.gettempdir()]
    for _ in range(3):
        seen, own = await value(world, source, arguments={"needle": SECRET, "places": places})
        assert seen == [], seen
        assert own == [], own
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


@attack
async def plays_with_links(world: World) -> None:
    source = """
    def f(folder: str):
        os.symlink(folder, "outside")
        os.symlink(folder + "/secret", "file")
        os.symlink(".", "loop")
        os.makedirs("closed/inner")
        open("closed/inner/x", "w").close()
        os.chmod("closed", 0)
        os.mkfifo("pipe")
        return [tried(lambda: open("file").read()), tried(os.listdir, "outside"), tried(os.link, folder + "/world-readable", "hard"), tried(os.rename, folder + "/world-readable", "moved"), tried(os.unlink, folder + "/world-readable")]
    """
    found = await value(world, source, arguments={"folder": str(world.folder)})
    assert set(found) <= {"EACCES", "ENOENT", "EXDEV", "EPERM", "EROFS"}, found
    assert (world.folder / "secret").read_text() == SECRET
    assert (world.folder / "world-readable").exists()


@attack
async def writes_where_it_may_not(world: World) -> None:
    source = """
    def f(paths: list):
        return [tried(lambda p: open(p, "w").write("x"), p) for p in paths]
    """
    package = str(Path(json.__file__))
    paths = [
        package,
        "/usr/x",
        "/etc/x",
        "/x",
        str(world.folder / "x"),
        "/dev/x",
        "/environments/x",
        str(world.folder / "world-readable"),
    ]
    found = await value(world, source, arguments={"paths": paths})
    assert set(found) <= {"EACCES", "ENOENT", "EROFS", "EPERM"}, found


@attack
async def finds_open_descriptors(world: World) -> None:
    source = """
    import fcntl
    def f():
        found = []
        for number in range(256):
            try:
                fcntl.fcntl(number, fcntl.F_GETFD)
                found.append(number)
            except OSError:
                pass
        return found
    """
    assert await value(world, source) == [0, 1, 2, 3]


@attack
async def sends_arguments_that_are_code(world: World) -> None:
    text = "__import__('os').system('touch /tmp/owned')\n'''\"\"\"\\"
    arguments = {
        "values": [text, {"__class__": text, "__proto__": {"x": 1}, "constructor": text, "prototype": [text]}]
    }
    assert (
        await value(world, "def f(values: list):\n    return values", arguments=arguments)
        == arguments["values"]
    )


@attack
async def sends_names_that_mean_something(world: World) -> None:
    names = {"__class__": 1, "self": 2, "args": 3, "__builtins__": 4, "__init__": 5}
    source = "def f(**everything):\n    return {**everything, 'builtins': callable(len)}"
    assert await value(world, source, arguments=names) == {**names, "builtins": True}


@attack
async def sends_a_megabyte(world: World) -> None:
    big = "ü" * 1_000_000
    assert await value(world, "def f(big: str):\n    return [len(big), big[-1]]", arguments={"big": big}) == [
        1_000_000,
        "ü",
    ]


@attack
async def answers_what_is_no_answer(world: World) -> None:
    for data in (
        "b'garbage'",
        "b'{}'",
        "b'[' * 200000",
        "b'{\"value\": \"[' + b'[' * 100000 + b'\", \"changed_blocks\": {}}'",
        "b'{\"error\": [1]}'",
        "b'null'",
        'b\'{"value": 3, "changed_blocks": []}\'',
        "b'1' * 5000",
    ):
        result = await run(
            world,
            f"def f():\n    data = {data}\n    while data:\n        data = data[os.write(3, data):]\n    os._exit(0)",
        )
        assert result.status == "error", (data, result)


@attack
async def answers_without_end(world: World) -> None:
    result = await run(
        world, "def f():\n    while True:\n        os.write(3, b'x' * 65536)", limits={"return_bytes": 1 * MB}
    )
    failed(result, "output")


@attack
async def returns_too_much(world: World) -> None:
    result = await run(
        world, "def f():\n    return {'x': ['y' * 1000] * 5000}", limits={"return_bytes": 1 * MB}
    )
    failed(result, "output")


@attack
async def closes_its_ends(world: World) -> None:
    result = await run(
        world,
        "def f():\n    import time\n    os.closerange(0, 200)\n    time.sleep(30)",
        limits={"seconds": 0.5},
    )
    failed(result, "timeout")


@attack
async def burns_the_processor_in_the_background(world: World) -> None:
    result = await run(
        world, "def f():\n    while True:\n        pass", limits={"seconds": 30, "cpu_seconds": 1}
    )
    failed(result, "timeout")
    assert "processor" in result.error.message


@attack
async def buries_files(world: World) -> None:
    """Folders deeper than a path may be long, names that are none, and what is closed to its owner: all of it goes with the call."""
    source = """
    def f():
        os.makedirs("closed/inner")
        open("closed/inner/x", "w").close()
        open(b"\\xff\\n..", "w").close()
        os.symlink("/", "root")
        os.symlink("..", "closed/up")
        for _ in range(2500):
            os.mkdir("deep-deep-deep")
            os.chdir("deep-deep-deep")
            os.symlink("/etc", "etc")
        os.chmod("/proc/self/cwd" if os.path.exists("/proc/self/cwd") else ".", 0)
        return "buried"
    """
    assert await value(world, source) == "buried"
    # The folder of a call that is over is not there; that of the zygote is.
    left = _folders_of_calls(world)
    assert left == [], left


def _folders_of_calls(world: World) -> list[str]:
    """Of this sandbox: others may be at work on the machine."""
    bases = [zygote._folder for zygote in world.sandbox._zygotes.values()]
    assert bases
    return [str(each) for base in bases for each in base.iterdir() if each.name not in ("log", "root")]


@attack
async def returns_what_is_no_value(world: World) -> None:
    source = """
    import collections.abc
    class Endless(collections.abc.Mapping):
        def __len__(self): return 1
        def __iter__(self): return iter(range(10 ** 12))
        def __getitem__(self, key): return key
    class Deeper:
        def model_dump(self): return {"next": Deeper()}
    class Mute:
        def __str__(self): raise SystemExit(0)
    class Liar(str):
        def __str__(self): return self
    class Number(int):
        def __int__(self): return self
    def own():
        kept = {}
        kept["self"] = [kept]
        return kept
    def f(which: str):
        return {"own": own, "endless": Endless, "deeper": Deeper, "mute": Mute, "liar": lambda: Liar("x"), "number": lambda: Number(3),
                "huge": lambda: 10 ** 100_000, "keys": lambda: {Liar("a"): 1, None: 2, (1, 2): 3}}[which]()
    """
    limits = {"seconds": 3, "memory_bytes": 256 * MB}
    for which, kinds in {
        "own": ("exception",),
        "endless": ("memory", "timeout"),
        "deeper": ("exception",),
        "huge": ("exception",),
    }.items():
        failed(await run(world, source, arguments={"which": which}, limits=limits), *kinds)
    for which, wanted in {"mute": None, "liar": "x", "number": 3}.items():
        assert await value(world, source, arguments={"which": which}) == wanted, which
    keys = await value(world, source, arguments={"which": "keys"})
    assert keys == {"a": 1, "None": 2, "(1, 2)": 3}


@attack
async def returns_halves_of_characters(world: World) -> None:
    source = r"""
    def f():
        print("a\ud800")
        return {"\udc00": ["b\ud83d", "\ud83d\ude00"]}
    """
    result = await run(world, source, secrets={"KEY": "a-secret"})
    assert result.error is None, result
    assert result.value["\ufffd"][0] == "b\ufffd", result
    json.dumps(result.value, ensure_ascii=False).encode()
    result = await run(world, "def f():\n    raise ValueError('\\ud800')")
    assert result.error.message == "\ufffd", result


@attack
async def answers_in_great_depth(world: World) -> None:
    """What our own code would refuse inside, written to the descriptor by the tool itself."""
    for levels in (202, 900, 5000):
        value_ = "[" * levels + "]" * levels
        source = f"""
        import json
        def f():
            os.write(3, json.dumps({{"value": {value_!r}, "changed_blocks": {{}}}}).encode())
            os._exit(0)
        """
        result = await run(world, source, secrets={"KEY": "a-secret"})
        failed(result, "killed")


@attack
async def sends_sources_that_break_parsers(world: World) -> None:
    for source in (
        "def f(:",
        "\0",
        "# -*- coding: rot13 -*-\ndef f():\n    return \xff",
        "def f():\n    return " + "(" * 5000 + ")" * 5000,
        "def f():\n    return " + "-" * 300_000 + "1",
        "def f():\n    return " + "a." * 200_000 + "a",
        "def f():\n" + "".join(" " * depth + "if 1:\n" for depth in range(1, 300)),
        "def f():\n    return '\ud800'.nothing",
        "f" * 2_000_000,
    ):
        from tools.sandbox.port import SandboxRequest

        result = await world.sandbox.run(SandboxRequest(source=source, function="f"))
        failed(result, "syntax", "exception", "killed", "memory", "timeout")
    assert await value(world, "def f():\n    return 1") == 1


@attack
async def speaks_nonsense_to_the_door(world: World) -> None:
    from tools.sandbox.port import ApiAnswer

    asked: list[Any] = []

    async def api(request: Any) -> ApiAnswer:
        asked.append(request)
        return ApiAnswer(status=200, body=b"{}")

    source = """
    import json, struct
    def frame(head, body=b""):
        data = head if isinstance(head, bytes) else json.dumps(head).encode()
        return struct.pack("=II", len(data), len(body)) + data + body
    def f(which: int):
        fields = {"method": "GET", "target": "/v1/x", "headers": []}
        door = socket.socket(fileno=4)
        door.settimeout(2)
        door.sendall([struct.pack("=II", 0xffffffff, 0), struct.pack("=II", 60 * 2**20, 0), frame(b"[" * 100_000), frame([]), frame({}), frame({**fields, "headers": 3}),
                      frame({**fields, "headers": [["a"]]}), frame({**fields, "method": None, "target": 5, "headers": [["a\\r\\nb", "c\\r\\n"]]})][which])
        return tried(lambda: door.recv(9)[:0])
    """
    for which in range(8):
        result = await run(world, source, arguments={"which": which}, api=api)
        assert result.error is None, (which, result)
    # Only the last one is a request, and its odd values are texts.
    assert [(each.method, each.target) for each in asked] == [("None", "5")], asked


@attack
async def sends_a_megabyte_of_keys(world: World) -> None:
    keys = {f"key{number}": "x" * 10 for number in range(40_000)}
    assert await value(world, "def f(keys: dict):\n    return len(keys)", arguments={"keys": keys}) == len(
        keys
    )


def main() -> int:
    """Run all of them; the JSON object on stdout."""
    for limit, most in (
        (resource.RLIMIT_NPROC, 3000),
        (resource.RLIMIT_FSIZE, 1024 * MB),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    os.environ["ADE_SECRET_OF_THE_TEST"] = SECRET
    os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
    print(json.dumps(asyncio.run(_all(sys.argv[1:]))))
    return 0


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ade-attacked-"))
    folder.chmod(0o755)
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "world-readable").write_text(SECRET)
    return folder


async def _all(names: list[str]) -> dict[str, str]:
    from tools.sandbox.inside.watch import Watch
    from tools.sandbox.local import LocalSandbox

    sandbox = LocalSandbox()
    told: dict[str, str] = {}
    folder = _make_folder()
    unix, abstract, tcp = (
        socket.socket(socket.AF_UNIX),
        socket.socket(socket.AF_UNIX),
        socket.create_server(("127.0.0.1", 0)),
    )
    unix.bind(str(folder / "socket"))
    (folder / "socket").chmod(0o777)
    # Such names are the machine's: workers that run other attacks at the same time have theirs.
    name = f"ade-attack-{os.getpid()}"
    abstract.bind(f"\0{name}")
    unix.listen()
    abstract.listen()
    watch = Watch(os.open("/proc", os.O_RDONLY | os.O_DIRECTORY))
    try:
        isolation = await asyncio.to_thread(sandbox.isolation)
        told["isolation"] = json.dumps(
            {"state": isolation.state, "active": isolation.active, "missing": isolation.missing}
        )
        facts = await asyncio.to_thread(sandbox._zygote, True)
        started = set(watch.descendants(os.getpid()))
        world = World(
            sandbox, folder, str(folder / "socket"), name, tcp.getsockname()[1], facts.facts, started
        )
        for chosen in names or ATTACKS:
            told[chosen] = await _one(ATTACKS[chosen], world, watch)
    finally:
        await sandbox.close()
        for each in (unix, abstract, tcp):
            each.close()
        shutil.rmtree(folder)
    return told


async def _one(check: Attack, world: World, watch: Any) -> str:
    try:
        async with asyncio.timeout(40):
            await check(world)
        return await _leftovers(world, watch)
    except Exception:
        return traceback.format_exc(limit=-2)[-3000:]


async def _leftovers(world: World, watch: Any) -> str:
    """What lives that did not before. A keeper ends a moment after its answer: it is waited for by its own descriptor."""
    left: list[int] = []
    for pid in watch.descendants(os.getpid()):
        if pid in world.children:
            continue
        try:
            end = os.pidfd_open(pid)
        except OSError:
            continue
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(end, gone.set)
        try:
            async with asyncio.timeout(3):
                await gone.wait()
        except TimeoutError:
            left.append(pid)
        finally:
            loop.remove_reader(end)
            os.close(end)
    return f"processes {left} are left" if left else ""


if __name__ == "__main__":
    sys.exit(main())
