"""Addresses of the websockets."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import path

from agents.web.block_consumer import BlockConsumer
from agents.web.consumers import WorkbenchConsumer
from agents.web.list_consumer import ListConsumer
from agents.web.run_consumer import RunConsumer

_prefix = f"{settings.URL_PREFIX.lstrip('/')}/" if settings.URL_PREFIX else ""

# Channels routes ASGI applications with `path`, which knows of views only.
_workbench: Any = WorkbenchConsumer.as_asgi()
_blocks: Any = BlockConsumer.as_asgi()
_lists: Any = ListConsumer.as_asgi()
_runs: Any = RunConsumer.as_asgi()

websocket_urlpatterns: list[Any] = [
    path(f"{_prefix}ws/agents/<str:agent_id>/", _workbench),
    path(f"{_prefix}ws/agents/<str:agent_id>/conversations/<str:conversation_id>/", _workbench),
    path(f"{_prefix}ws/runs/<str:run_id>/", _runs),
    path(f"{_prefix}ws/blocks/<str:block_id>/", _blocks),
    path(f"{_prefix}ws/lists/", _lists),
]
