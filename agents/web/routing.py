"""Addresses of the websockets."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import path

from agents.web.consumers import WorkbenchConsumer
from agents.web.list_consumer import ListConsumer
from agents.web.run_consumer import RunConsumer

_prefix = f"{settings.URL_PREFIX.lstrip('/')}/" if settings.URL_PREFIX else ""

websocket_urlpatterns: list[Any] = [
    path(f"{_prefix}ws/agents/<str:agent_id>/", WorkbenchConsumer.as_asgi()),  # type: ignore[arg-type]  # Channels routes ASGI applications with it
    path(f"{_prefix}ws/runs/<str:run_id>/", RunConsumer.as_asgi()),  # type: ignore[arg-type]  # as above
    path(f"{_prefix}ws/lists/", ListConsumer.as_asgi()),  # type: ignore[arg-type]  # as above
]
