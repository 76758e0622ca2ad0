"""The websocket of an open page of a block: who else is there, what was saved meanwhile, and that its conversations moved."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Q
from django.template.loader import render_to_string

from agents.models import Agent
from agents.web.block_presence import BEAT_SECONDS, Person, Presence, presence_topic
from agents.web.consumers import close_code
from agents.web.sockets import PatientConsumer
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.websockets import resolve_websocket, until_shut_out
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, NotFound
from letta_ade.core.notices import notify, subscribe
from letta_ade.core.nudges import workspace_group
from memory.history import count_changed_lines
from memory.models import BlockVersion
from memory.services.blocks import get_block_for

#: People that are named.
_MOST_NAMED = 4
_OF_READERS = {"run_started", "run_ended", "agent_changed", "compacted"}


class BlockConsumer(PatientConsumer):
    """One open page. It sends JSON: `kind` and, where something is to be drawn, `html`; after `ready` it misses nothing.

    The page says `editing` while its form holds something unsaved, and `idle` when it does not.
    """

    presence: Presence

    async def connect(self) -> None:
        self._groups: tuple[str, ...] = ()
        self._wanted: set[str] = set()
        self._is_wanted = asyncio.Event()
        self._drawn: tuple[Person, ...] = ()
        self._is_announced = False
        await self.accept()
        try:
            self._caller = await threads.run(_check, dict(self.scope), self._block_id)
        except AdeError as error:
            await self.close(close_code(error))
            return
        self.presence = Presence(caller=self._caller)
        #: The version that the page shows, and the newest one that it was told of.
        self._seen = self._told = self._asked_version()
        self._groups = (workspace_group(self._caller.workspace_id),)
        for group in self._groups:
            await self.channel_layer.group_add(group, self.channel_name)
        self.spawn(self._hear_others())
        self.spawn(self._beat())
        self.spawn(self._tell())
        self.spawn(self._leave_when_shut_out())
        # Saved between the drawing of the page and now.
        self._want("moved")

    async def disconnect(self, code: int) -> None:
        for group in self._groups:
            await self.channel_layer.group_discard(group, self.channel_name)
        await super().disconnect(code)
        if self._is_announced:
            try:
                await self._announce(leaves=True)
            except DatabaseError:
                # The others forget this page by themselves.
                pass

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """What the page says about its form."""
        if not self._is_announced or text_data not in ("editing", "idle"):
            return
        if self.presence.edit(is_editing=text_data == "editing"):
            self.spawn(self._announce())

    async def nudge(self, message: dict[str, Any]) -> None:
        """Something happened in the workspace; never waits for the browser."""
        if message["kind"] == "block_changed" and message["block_id"] == self._block_id:
            self._want("moved")
        elif message["kind"] in _OF_READERS:
            self._want(message["agent_id"])

    @property
    def _block_id(self) -> str:
        block_id: str = self.scope["url_route"]["kwargs"]["block_id"]
        return block_id

    def _asked_version(self) -> int:
        text = parse_qs(self.scope["query_string"].decode()).get("version", [""])[0]
        return int(text) if text.isdecimal() else 0

    async def _announce(self, *, asks: bool = False, leaves: bool = False) -> None:
        said = self.presence.announcement(asks=asks, leaves=leaves)
        await threads.run(notify, presence_topic(self._block_id), said)

    async def _hear_others(self) -> None:
        # Heard first, so that no answer to what is asked then is missed.
        with subscribe(presence_topic(self._block_id)) as others:
            self._is_announced = True
            await self._announce(asks=True)
            await self._send_frame("ready")
            while True:
                heard = await others.wait()
                # All are heard, whoever asks.
                asking = sum(self.presence.hear(said) for said in heard.payloads)
                if asking:
                    await self._announce()
                self._want("presence")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._announce()
            # A notice can be lost.
            self._want("presence", "moved")

    def _want(self, *parts: str) -> None:
        self._wanted.update(parts)
        self._is_wanted.set()

    async def _tell(self) -> None:
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            parts, self._wanted = self._wanted, set()
            if "presence" in parts:
                await self._tell_presence()
            if "moved" in parts:
                await self._tell_moved()
            agent_ids = parts - {"presence", "moved"}
            if agent_ids:
                is_concerned = await threads.run(_has_readers_in, self._block_id, agent_ids)
                if is_concerned:
                    await self._send_frame("readers")
            # Company for the next frame.
            await asyncio.sleep(settings.EVENT_BATCH_SECONDS)

    async def _tell_presence(self) -> None:
        people = self.presence.people()
        if people == self._drawn:
            return
        self._drawn = people
        context = {"people": people[:_MOST_NAMED], "more": max(0, len(people) - _MOST_NAMED)}
        await self._send_frame("presence", html=render_to_string("agents/sharing/presence.html", context))

    async def _tell_moved(self) -> None:
        found = await threads.run(_moved, self._caller, self._block_id, self._seen)
        number = found["version"].number if found["version"] else 0
        if number == self._told:
            return
        self._told = number
        html = render_to_string("agents/sharing/moved.html", found)
        by = found["version"].actor_name if found["version"] else ""
        await self._send_frame("moved", html=html, version=number, by=by)

    async def _send_frame(self, kind: str, **data: Any) -> None:
        await self.send(json.dumps({"kind": kind, **data}))

    async def _leave_when_shut_out(self) -> None:
        await self.close(close_code(await until_shut_out(dict(self.scope))))


def _check(scope: dict[str, Any], block_id: str) -> Caller:
    caller = resolve_websocket(scope)
    get_block_for(caller=caller, block_id=block_id)
    return caller


def _has_readers_in(block_id: str, agent_ids: set[str]) -> bool:
    holding = Q(block_links__block_id=block_id) | Q(conversations__block_links__block_id=block_id)
    return Agent.objects.filter(holding, id__in=agent_ids).exists()


def _moved(caller: Caller, block_id: str, seen: int) -> dict[str, Any]:
    """The newest version, and how many lines it differs by from the one that the page shows; no version: the block is gone."""
    try:
        block = get_block_for(caller=caller, block_id=block_id)
    except NotFound:
        return {"block_id": block_id, "version": None}
    versions = BlockVersion.objects.filter(block=block, number__in={seen, block.version})
    by_number = {version.number: version for version in versions}
    newest = by_number.get(block.version)
    old = by_number[seen].value if seen in by_number else ""
    lines = count_changed_lines(old, block.value)
    return {
        "block_id": block_id,
        "version": newest,
        "seen": seen,
        "line_count": max(lines.added, lines.removed),
    }
