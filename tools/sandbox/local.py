"""The sandbox on this machine: one process for each call, forked from a zygote and confined by the kernel."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import secrets
import socket
import threading
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings

from tools.sandbox import answers, egress, place, requirements, zygotes
from tools.sandbox.doors import serve_door
from tools.sandbox.inside import frames
from tools.sandbox.isolation import isolation_of
from tools.sandbox.jobs import environment_of, job_of
from tools.sandbox.masking import Mask
from tools.sandbox.port import Isolation, SandboxError, SandboxRequest, SandboxResult
from tools.sandbox.zygotes import Facts, Folders, Zygote, ZygoteFailed

logger = logging.getLogger(__name__)

#: The keeper ends a call that is too long; a keeper that does not answer is ended after so much more.
_SPARE_SECONDS = 15.0
_CANCEL_SECONDS = 5.0


class LocalSandbox:
    """Runs calls in this process's zygotes. Can be used from any event loop."""

    def __init__(self) -> None:
        self._zygotes: dict[bool, Zygote] = {}
        self._lock = threading.Lock()
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._proxy: egress.Proxy | None = None
        # Another process of the server begins elsewhere: two calls do not get one account.
        self._users = itertools.cycle(range(zygotes.USERS))
        for _ in range(secrets.randbelow(zygotes.USERS)):
            next(self._users)

    async def run(self, request: SandboxRequest) -> SandboxResult:
        if request.language != "python" and place.node_program() is None:
            return _failed(
                "unavailable", "NoNode", f"{request.language} needs Node, which this server has not."
            )
        environment = None
        if request.requirements:
            environment = await requirements.environment_for(
                request.requirements, language=request.language, on_said=request.on_install
            )
            if environment.problem is not None:
                return replace(
                    _failed("requirements", "RequirementsFailed", environment.problem),
                    install_log=environment.log,
                )
        room = self._places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(settings.SANDBOX_CALLS))
        async with room:
            try:
                # Without a thread where there is nothing to wait for.
                zygote = self._living(request.network)
                if zygote is None:
                    zygote = await asyncio.to_thread(self._zygote, request.network)
            except ZygoteFailed as error:
                return _failed("unavailable", "NoSandbox", str(error))
            if refusal := _refusal(zygote.facts, request):
                return _failed("unavailable", "NoSandbox", refusal)
            packages = environment.folder if environment is not None else None
            result = await self._call(zygote, request, packages)
        return replace(result, install_log=environment.log if environment is not None else None)

    async def close(self) -> None:
        await asyncio.to_thread(self.shut_down)

    def shut_down(self) -> None:
        """The same for a thread without an event loop."""
        with self._lock:
            living, self._zygotes = list(self._zygotes.values()), {}
            proxy, self._proxy = self._proxy, None
        for zygote in living:
            zygote.close()
        if proxy is not None:
            proxy.close()

    def isolation(self) -> Isolation:
        """What is active here; starts a zygote to find out."""
        try:
            return isolation_of(self._zygote(False).facts, self._zygote(True).facts)
        except ZygoteFailed as error:
            return isolation_of(None, None, problem=str(error))

    def zygote_pids(self) -> list[int]:
        """Of the processes that were started."""
        with self._lock:
            return [zygote.pid for zygote in self._zygotes.values()]

    def _living(self, network: bool) -> Zygote | None:
        found = self._zygotes.get(network)
        return found if found is not None and found.is_alive else None

    def _zygote(self, network: bool) -> Zygote:
        """The zygote for calls with or without a network. Raises ZygoteFailed."""
        with self._lock:
            found = self._living(network)
            if found is None:
                if (dead := self._zygotes.pop(network, None)) is not None:
                    dead.close()
                try:
                    folders = Folders.make()
                except OSError as error:
                    raise ZygoteFailed(f"{error.filename}: {error.strerror}") from error
                found = zygotes.start(network=network, folders=folders)
                _log(isolation_of(found.facts, None))
                if network and found.facts.net != "none":
                    self._proxy = self._proxy or egress.Proxy()
                    self._proxy.serve(found.listener)
                # Only now: who finds it does not wait for us.
                self._zygotes[network] = found
            return found

    async def _call(self, zygote: Zygote, request: SandboxRequest, packages: str | None) -> SandboxResult:
        job = frames.pack(self._job(zygote.facts, request, packages))
        ours, theirs = socket.socketpair()
        door, their_door = socket.socketpair() if request.api is not None else (None, None)
        try:
            ends = [theirs.fileno(), *([their_door.fileno()] if their_door is not None else [])]
            zygote.fork(ends)
        except OSError:
            for each in (ours, door):
                if each is not None:
                    each.close()
            return _failed("killed", "SandboxEnded", "the sandbox had ended; call the tool again.")
        finally:
            theirs.close()
            if their_door is not None:
                their_door.close()
        serving = None
        if door is not None and request.api is not None:
            serving = asyncio.create_task(serve_door(door, request.api))
        try:
            head, body = await _exchange(ours, job, request.limits.seconds + _SPARE_SECONDS)
        except EOFError:
            return _failed("killed", "SandboxEnded", "the sandbox ended before the tool returned.")
        except TimeoutError:
            # Its keeper hangs, which nothing but the end of all of them helps against.
            await asyncio.to_thread(zygote.close)
            return _failed(
                "timeout", "Timeout", f"the tool timed out after {request.limits.seconds:g} seconds."
            )
        finally:
            if serving is not None:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
        return answers.result_of(head, body, limits=request.limits, mask=Mask(request.secrets))

    def _job(self, facts: Facts, request: SandboxRequest, packages: str | None) -> dict[str, Any]:
        environments = []
        if packages is not None:
            environments = [
                packages.replace(os.fspath(settings.DATA_DIR / "environments"), place.ENVIRONMENTS, 1)
                if facts.private_root
                else packages
            ]
        has_network = request.network and facts.net != "none"
        port = (facts.port or (self._proxy.port if self._proxy else None)) if has_network else None
        readable = [*place.readable_paths(), *environments]
        if request.language != "python":
            readable.append(os.fspath(place.NODE_RUNNER))
        return {
            **job_of(request, environment_of(request, proxy_port=port)),
            "name": secrets.token_hex(8),
            "packages": place.package_folders(),
            "environments": environments,
            "has_door": request.api is not None,
            "readable": readable,
            "user": zygotes.FIRST_USER + next(self._users),
            "proxy_port": port,
            "node": _node_command(request),
        }


async def _exchange(ours: socket.socket, job: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
    """Send the job and return the answer. Cancelled, it waits until the keeper has cleared up.

    Raises EOFError when there is no answer, TimeoutError.
    """
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        async with asyncio.timeout(seconds):
            writer.write(job)
            return await _read_frame(reader)
    except asyncio.CancelledError:
        await asyncio.shield(asyncio.ensure_future(_give_up(reader, writer)))
        raise
    except (OSError, ValueError) as error:
        raise EOFError(str(error)) from error
    finally:
        writer.close()


async def _give_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The end of our sentence tells the keeper to kill; it closes its end when nothing of the call lives."""
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            writer.write_eof()
            while await reader.read(1 << 16):
                pass
    except (OSError, TimeoutError):
        pass  # it has ended already, or hangs: then the next call finds out


async def _read_frame(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    sizes = frames.unpack_lengths(await reader.readexactly(frames.HEAD.size))
    head: dict[str, Any] = json.loads(await reader.readexactly(sizes[0]))
    return head, await reader.readexactly(sizes[1])


def _node_command(request: SandboxRequest) -> list[str]:
    node = place.node_program()
    if request.language == "python" or node is None:
        return []
    megabytes = max(32, request.limits.memory_bytes // 1024**2 * 3 // 4)
    return [node, f"--max-old-space-size={megabytes}", "--no-warnings", os.fspath(place.NODE_RUNNER)]


def _log(found: Isolation) -> None:
    level = logging.INFO if found.state == "full" else logging.WARNING
    logger.log(level, "%s Active: %s.", found.summary, ", ".join(found.active) or "nothing")


def _refusal(facts: Facts, request: SandboxRequest) -> str | None:
    if not facts.is_enough and not settings.ALLOW_UNSANDBOXED:
        return f"{isolation_of(facts, None).summary} Set ADE_ALLOW_UNSANDBOXED=1 to run tools all the same."
    if request.network and facts.net == "none":
        return "the tool asks for the network, which this machine cannot confine (it needs namespaces or Linux 6.7)."
    return None


def _failed(kind: Any, name: str, message: str) -> SandboxResult:
    return SandboxResult(status="error", error=SandboxError(kind=kind, name=name, message=message))
