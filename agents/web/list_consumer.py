"""The websocket of an open list: it says that something changed, and the list asks for itself again."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from agents.web.consumers import close_code
from letta_ade.accounts.websockets import resolve_websocket, until_shut_out
from letta_ade.core import threads
from letta_ade.core.errors import AdeError
from letta_ade.core.nudges import workspace_group


class ListConsumer(AsyncWebsocketConsumer):
    """One open list. It sends the kind of each change and no data, so that filters and permissions stay the list's."""

    _group = ""
    _watch: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.accept()
        try:
            caller = await threads.run(resolve_websocket, dict(self.scope))
        except AdeError as error:
            await self.close(close_code(error))
            return
        self._group = workspace_group(caller.workspace_id)
        await self.channel_layer.group_add(self._group, self.channel_name)
        self._watch = asyncio.create_task(self._leave_when_shut_out())

    async def disconnect(self, code: int) -> None:
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)
        if self._watch is not None:
            self._watch.cancel()

    async def nudge(self, message: dict[str, Any]) -> None:
        """Something happened in the workspace."""
        await self.send(message["kind"])

    async def _leave_when_shut_out(self) -> None:
        await self.close(close_code(await until_shut_out(dict(self.scope))))
