"""The websocket of an open list: it says that something changed, and the list asks for itself again."""

from __future__ import annotations

import asyncio
from typing import Any

from agents.web.consumers import close_code
from agents.web.sockets import PatientConsumer
from letta_ade.accounts.websockets import resolve_websocket, until_shut_out
from letta_ade.core import threads
from letta_ade.core.errors import AdeError
from letta_ade.core.nudges import workspace_group

_MOST_WAITING = 100


class ListConsumer(PatientConsumer):
    """One open list. It sends the kind of each change and no data, so that filters and permissions stay the list's."""

    _group = ""

    async def connect(self) -> None:
        self._kinds: asyncio.Queue[str] = asyncio.Queue(_MOST_WAITING)
        await self.accept()
        try:
            caller = await threads.run(resolve_websocket, dict(self.scope))
        except AdeError as error:
            await self.close(close_code(error))
            return
        self._group = workspace_group(caller.workspace_id)
        await self.channel_layer.group_add(self._group, self.channel_name)
        self.spawn(self._tell())
        self.spawn(self._leave_when_shut_out())

    async def disconnect(self, code: int) -> None:
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)
        await super().disconnect(code)

    async def nudge(self, message: dict[str, Any]) -> None:
        """Something happened in the workspace; never waits for the browser."""
        if not self._kinds.full():
            # A list that is so far behind asks for itself anyway.
            self._kinds.put_nowait(message["kind"])

    async def _tell(self) -> None:
        while True:
            await self.send(await self._kinds.get())

    async def _leave_when_shut_out(self) -> None:
        await self.close(close_code(await until_shut_out(dict(self.scope))))
