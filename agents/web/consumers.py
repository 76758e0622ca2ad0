"""The websocket of an open workbench: runs as they go, memory as it changes. It sends the fragments that the page is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings

from agents.runtime.events import RunEnded, StepStored
from agents.services.system_message import blocks_in
from agents.streams import follow_batches
from agents.web import fragments
from agents.web.background_view import partner_ids
from agents.web.compaction_items import run_of_compaction
from agents.web.context_places import ids_in_context
from agents.web.live_frame import AskedStep
from agents.web.live_transcript import LiveRun
from agents.web.placed_messages import PlacedMessage, moved_messages
from agents.web.sockets import PatientConsumer
from agents.web.transcript_rows import load_frame, load_run, runs_since
from agents.web.transcript_windows import load_transcript
from agents.web.workbench_page import Bench, is_last_run, line_of, open_bench
from letta_ade.accounts.websockets import resolve_websocket, until_shut_out
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, NotFound, Unauthenticated
from letta_ade.core.nudges import agent_group, workspace_group

#: Close codes that tell the page not to try again.
UNAUTHENTICATED, FORBIDDEN, NOT_FOUND = 4401, 4403, 4404


class WorkbenchConsumer(PatientConsumer):
    """One open page of one agent, which shows one of its conversations.

    A slow page holds up only its own tasks: events wait in the run's ring or table, and what else changed is kept as names of
    parts, each drawn once, as it is when its turn comes.
    """

    bench: Bench

    async def connect(self) -> None:
        self._followed: set[str] = set()
        #: Runs whose end is still to come here.
        self._watched: set[str] = set()
        self._wanted: set[str] = set()
        self._is_wanted = asyncio.Event()
        #: By block, the version that the page shows.
        self._shown: dict[str, int] = {}
        #: Ids of the messages in context, as the page shows them; None: it may show any.
        self._inside: frozenset[str] | None = None
        #: Agents that keep this one's memory: the page shows what they do.
        self._partners: set[str] = set()
        self._groups: tuple[str, ...] = ()
        await self.accept()
        try:
            self.bench = await threads.run(_open, dict(self.scope))
        except AdeError as error:
            await self.close(close_code(error))
            return
        self._groups = (agent_group(self.bench.agent.id), workspace_group(self.bench.caller.workspace_id))
        for group in self._groups:
            await self.channel_layer.group_add(group, self.channel_name)
        # Only after joining: what happens from here on is either found below or told.
        self.spawn(self._catch_up())
        self.spawn(self._redraw_what_changed())
        self.spawn(self._leave_when_shut_out())

    async def disconnect(self, code: int) -> None:
        for group in self._groups:
            await self.channel_layer.group_discard(group, self.channel_name)
        await super().disconnect(code)

    async def nudge(self, message: dict[str, Any]) -> None:
        """Something happened; never waits for the browser."""
        match message["kind"]:
            case "run_started" if message["conversation_id"] == self.bench.conversation.id:
                self._follow(message["run_id"], is_known=False)
                self._want("blocks", "waiting", "conversations")
            case "run_started" if message["agent_id"] == self.bench.agent.id:
                self._want("conversations")
            case "run_started" | "run_ended" if message["agent_id"] in self._partners:
                self._want("background")
            case "run_ended" if message["agent_id"] == self.bench.agent.id:
                self._want("waiting", "conversations", *(["background"] if self._partners else []))
                if message["run_id"] not in self._watched:
                    # It had ended before: what it waited for was cancelled.
                    self.spawn(self._redraw_run(message["run_id"]))
            case "compacted" if message["conversation_id"] == self.bench.conversation.id:
                self._want("context", "places")
                if not message["is_of_run"]:
                    self.spawn(self._redraw_marked(message["compaction_id"]))
            case "block_changed" if self._is_older(message["block_id"], message["version"]):
                self._want(message["block_id"])
            case "proposal_changed":
                self._want(message["block_id"])
            case "agent_changed" if message["agent_id"] == self.bench.agent.id:
                self._want("agent", "waiting")

    def _is_older(self, block_id: str, version: int) -> bool:
        """Whether the page shows an older version; it is told twice of each, by this process and by the database."""
        return self._shown.get(block_id, version) < version

    async def _catch_up(self) -> None:
        """Draw what the page may have missed: its newest run, those after it, and the panes beside."""
        query = parse_qs(self.scope["query_string"].decode())
        since = query.get("since", [""])[0] or None
        run_ids = await threads.run(runs_since, self.bench.conversation.id, since)
        self._shown = await threads.run(_versions, self.bench)
        self._partners = await threads.run(partner_ids, self.bench.agent)
        # A block may have changed since the page was drawn, also of an agent that has never run.
        self._want("blocks")
        if "again" in query:
            self._want("agent")
        else:
            self._inside = await threads.run(ids_in_context, self.bench.conversation.id)
        if since is not None:
            self._want("waiting", "agent", "context", "archival")
        for run_id in run_ids:
            self._follow(run_id, is_known=run_id == since)
        await self.send(fragments.ready())

    async def _leave_when_shut_out(self) -> None:
        await self.close(close_code(await until_shut_out(dict(self.scope))))

    def _follow(self, run_id: str, *, is_known: bool) -> None:
        if run_id not in self._followed:
            self._followed.add(run_id)
            self._watched.add(run_id)
            self.spawn(self._watch(run_id, is_known=is_known))

    async def _watch(self, run_id: str, *, is_known: bool) -> None:
        """A run from its first event to its end, and then as it is stored. The first frame draws all there is so far."""
        stored = await threads.run(load_run, run_id)
        if stored is None:
            return
        if not stored[0].has_ended:
            asked = await self._follow_live(run_id, is_known=is_known)
            is_known = True
            stored = await threads.run(load_run, run_id)
            if asked is not None:
                await self._redraw_run(asked.run_id)
        self._watched.discard(run_id)
        if stored is not None:
            run, item = stored
            line = await threads.run(line_of, run)
            html = fragments.stored_run(self.bench, item, line, is_known=is_known)
            await self.send(html)
            if self._inside is not None:
                self._inside |= await threads.run(ids_in_context, self.bench.conversation.id, run_id)
                # What was hidden while it was being drawn is found to differ.
                self._inside |= {each.id for each in item.placed() if each.place == "in"}
                self._inside -= {each.id for each in item.placed() if each.place != "in"}
            self._want("waiting", "context", "archival", "places")

    async def _follow_live(self, run_id: str, *, is_known: bool) -> AskedStep | None:
        """Tell the events of a run until its end; the step of an earlier run that it answered."""
        frame = await threads.run(load_frame, run_id)
        assert frame is not None, "the run was there a moment ago"
        live = LiveRun(frame)
        if frame.queued is not None:
            live.wait_for_worker()
            await self.send(fragments.live_frame(self.bench, live, is_known=is_known))
            is_known = True
        batches = follow_batches(run_id, pause_seconds=settings.PAGE_BATCH_SECONDS)
        async with aclosing(batches) as follow:
            async for batch in follow:
                live.apply_all([event for _, event in batch])
                await self.send(fragments.live_frame(self.bench, live, is_known=is_known))
                is_known = True
                if any(isinstance(event, StepStored) for _, event in batch):
                    self._want("context", "archival")
                if isinstance(batch[-1][1], RunEnded):
                    break
        return frame.asked

    async def _redraw_run(self, run_id: str) -> None:
        """A run that has ended, on the page already: something came to it later."""
        stored = await threads.run(load_run, run_id)
        if stored is not None and stored[0].conversation_id == self.bench.conversation.id:
            run, item = stored
            is_last = await threads.run(is_last_run, run)
            line = await threads.run(line_of, run)
            html = fragments.earlier_run(self.bench, item)
            await self.send(html + (fragments.run_line(self.bench, line) if is_last else ""))

    async def _redraw_marked(self, compaction_id: str) -> None:
        """The run behind which a compaction stands, unless it is being told."""
        run_id = await threads.run(run_of_compaction, compaction_id)
        if run_id is not None and run_id not in self._watched:
            await self._redraw_run(run_id)

    def _want(self, *parts: str) -> None:
        self._wanted.update(parts)
        self._is_wanted.set()

    async def _redraw_what_changed(self) -> None:
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            parts, self._wanted = self._wanted, set()
            html, self._shown = await threads.run(_redraw, self.bench, parts, self._shown)
            if html is None:
                await self.close(NOT_FOUND)
                return
            if "agent" in parts:
                self._partners = await threads.run(partner_ids, self.bench.agent)
            if parts & {"agent", "places"}:
                moved, self._inside = await threads.run(
                    _redraw_places, self.bench, self._inside, self._watched
                )
                html += moved
            if html:
                await self.send(html)
            # Company for the next redrawing.
            await asyncio.sleep(settings.EVENT_BATCH_SECONDS)


def _open(scope: dict[str, Any]) -> Bench:
    wanted = scope["url_route"]["kwargs"]
    return open_bench(resolve_websocket(scope), wanted["agent_id"], wanted.get("conversation_id"))


def close_code(error: AdeError) -> int:
    if isinstance(error, Unauthenticated):
        return UNAUTHENTICATED
    return NOT_FOUND if isinstance(error, NotFound) else FORBIDDEN


def _versions(bench: Bench) -> dict[str, int]:
    return {block.id: block.version for block in blocks_in(bench.agent, bench.conversation)}


def _redraw_places(
    bench: Bench, shown: frozenset[str] | None, untold: Collection[str]
) -> tuple[str, frozenset[str]]:
    """The marks of messages that left the context or came back, and what the page shows then. `untold`: runs not drawn to their end."""
    inside = ids_in_context(bench.conversation.id)
    if inside == shown:
        return "", inside
    if shown is None:
        items = load_transcript(bench.agent, bench.conversation).placed(without=untold)
        return fragments.places(bench, map(PlacedMessage.of, items)), inside
    return fragments.places(bench, moved_messages(bench.conversation, inside ^ shown, without=untold)), inside


def _redraw(bench: Bench, parts: set[str], shown: dict[str, int]) -> tuple[str | None, dict[str, int]]:
    """The parts as they are now, and the versions that the page shows afterwards; None when the agent is gone."""
    try:
        now = open_bench(bench.caller, bench.agent.id, bench.conversation.id)
    except NotFound:
        return None, shown
    versions = _versions(now)
    moved = {key: number for key, number in shown.items() if versions.get(key, number) > number}
    draws_all = "blocks" in parts or ("agent" in parts and versions.keys() != shown.keys())
    html = fragments.parts(now, parts, shown={**versions, **moved}, draws_all_blocks=draws_all)
    drawn = versions.keys() if draws_all else versions.keys() & parts
    return html, {key: versions[key] if key in drawn else shown[key] for key in {*drawn, *shown}}
