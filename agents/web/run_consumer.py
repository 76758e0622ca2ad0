"""The websocket of the page of a run: its messages as they come, its trace as it grows. Anybody who may read may watch."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.template.loader import render_to_string

from agents.models import Run
from agents.runtime.events import RunEnded
from agents.services.runs import get_run_for
from agents.streams import follow_batches
from agents.web import fragments
from agents.web.consumers import NOT_FOUND, close_code
from agents.web.live_trace import LiveTrace
from agents.web.live_transcript import LiveRun
from agents.web.run_view import load_view, page_context
from agents.web.sockets import PatientConsumer
from agents.web.transcript_rows import load_frame
from agents.web.workbench_page import Bench
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.websockets import resolve_websocket, until_shut_out
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, NotFound
from letta_ade.core.nudges import agent_group

_PARTS = ("state", "span_count", "facts", "cancel", "ends", "rows")
#: What may come to a run after its end: an answer to its request, a compaction, its deletion.
_NEWS = ("run_ended", "agent_changed", "compacted")


class RunConsumer(PatientConsumer):
    """One open page of one run. It follows the run's events from the first on, so that a page that comes back misses nothing."""

    _group = ""

    async def connect(self) -> None:
        self._has_news = asyncio.Event()
        await self.accept()
        try:
            self._caller, self._run = await threads.run(_open, dict(self.scope), self._run_id())
        except AdeError as error:
            await self.close(close_code(error))
            return
        self._group = agent_group(self._run.agent_id)
        await self.channel_layer.group_add(self._group, self.channel_name)
        self.spawn(self._watch())
        self.spawn(self._leave_when_shut_out())

    async def disconnect(self, code: int) -> None:
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)
        await super().disconnect(code)

    async def nudge(self, message: dict[str, Any]) -> None:
        """Something happened to the agent; never waits for the browser."""
        if message["kind"] in _NEWS:
            self._has_news.set()

    def _run_id(self) -> str:
        run_id: str = self.scope["url_route"]["kwargs"]["run_id"]
        return run_id

    def _shape(self) -> str:
        return parse_qs(self.scope["query_string"].decode()).get("view", [""])[0]

    async def _watch(self) -> None:
        """The run until its end, and then as it is stored, whenever something may have come to it."""
        try:
            if not self._run.has_ended:
                await self._follow()
            await self.send(await self._drawn(None, with_run=True) + fragments.ready())
            while True:
                await self._has_news.wait()
                self._has_news.clear()
                await self.send(await self._drawn(None, with_run=True))
                # Company for the next redrawing.
                await asyncio.sleep(settings.EVENT_BATCH_SECONDS)
        except NotFound:
            await self.close(NOT_FOUND)

    async def _follow(self) -> None:
        frame = await threads.run(load_frame, self._run.id)
        if frame is None:
            raise NotFound(f"There is no run {self._run.id!r}.")
        live, trace = LiveRun(frame), LiveTrace()
        bench = Bench(caller=self._caller, agent=self._run.agent, conversation=self._run.conversation)
        if frame.queued is not None:
            live.wait_for_worker()
        await self.send(fragments.live_frame(bench, live, is_known=True) + fragments.ready())
        batches = follow_batches(self._run.id, pause_seconds=settings.PAGE_BATCH_SECONDS)
        async with aclosing(batches) as follow:
            async for batch in follow:
                events = [event for _, event in batch]
                live.apply_all(events)
                html = fragments.live_frame(bench, live, is_known=True)
                if trace.apply_all(events):
                    html += await self._drawn(trace)
                await self.send(html)
                if isinstance(events[-1], RunEnded):
                    break

    async def _drawn(self, trace: LiveTrace | None, *, with_run: bool = False) -> str:
        """The parts of the page that its rows tell."""
        return await threads.run(_draw, self._caller, self._run.id, self._shape(), trace, with_run)

    async def _leave_when_shut_out(self) -> None:
        await self.close(close_code(await until_shut_out(dict(self.scope))))


def _open(scope: dict[str, Any], run_id: str) -> tuple[Caller, Run]:
    caller = resolve_websocket(scope)
    caller.check("read")
    return caller, get_run_for(caller=caller, run_id=run_id)


def _draw(caller: Caller, run_id: str, shape: str, trace: LiveTrace | None, with_run: bool) -> str:
    view = load_view(caller=caller, run_id=run_id, live=trace)
    context = {**page_context(view, key="run", shape=shape), "oob": "morph"}
    html = [render_to_string(f"runs/partials/{name}.html", context) for name in _PARTS]
    if with_run:
        html.append(render_to_string("agents/partials/run.html", context))
        html.append(render_to_string("agents/partials/runline.html", context))
    return "".join(html)
