"""The ASGI application: API, pages, websockets, and what runs beside them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letta_ade.settings")

import django

# The apps must be ready before anything below imports a model.
django.setup(set_prefix=False)

from channels.routing import URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from agents.services import leases  # noqa: E402
from agents.web.routing import websocket_urlpatterns  # noqa: E402
from letta_ade.accounts.models import Workspace  # noqa: E402
from letta_ade.background import Background  # noqa: E402
from letta_ade.core import threads  # noqa: E402
from letta_ade.core.asgi import ApiHandler, PageHandler, Receive, Scope, Send  # noqa: E402
from letta_ade.llm import catalog  # noqa: E402
from letta_ade.llm.providers.clients import close_clients  # noqa: E402
from tools.services.tools import ensure_builtin_tools  # noqa: E402

logger = logging.getLogger(__name__)

_API_PREFIXES = ("/v1/", "/openapi.json", "/docs")


class Application:
    """Sends each connection to its handler, and keeps the background work of a serving process."""

    def __init__(self) -> None:
        self._api = ApiHandler("letta_ade.api")
        self._pages = PageHandler()
        # Consumers find out who calls by themselves, on our threads.
        self._websockets: Any = URLRouter(websocket_urlpatterns)
        self._background = Background()
        self._has_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        # Daphne knows no lifespan: there the first connection starts what runs beside.
        await self._start()
        if scope["type"] == "websocket":
            await self._websockets(scope, receive, send)
        elif self._path(scope).startswith(_API_PREFIXES) or self._path(scope) == "/v1":
            await self._api({**scope, "path": self._path(scope), "root_path": ""}, receive, send)
        else:
            await self._pages(scope, receive, send)

    def _path(self, scope: Scope) -> str:
        path: str = scope["path"]
        if settings.URL_PREFIX and path.startswith(f"{settings.URL_PREFIX}/"):
            return path[len(settings.URL_PREFIX) :]
        return path

    async def _start(self) -> None:
        if self._has_started:
            return
        self._has_started = True
        await threads.run(leases.reap_abandoned_runs)
        await threads.run(_ensure_builtin_tools)
        threading.Thread(target=_keep_what_is_loaded, args=[catalog.warm_up()], daemon=True).start()
        self._background.start(name="up", works_on_jobs=settings.RUN_JOB_WORKER)

    async def end_runs(self) -> None:
        """End every run with a reason, so that its readers hear it; the server may then close what is still open."""
        await self._background.end_runs()

    async def _stop(self) -> None:
        await self._background.stop()
        await close_clients()
        await asyncio.to_thread(threads.shut_down)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start()
                except Exception as error:
                    logger.exception("the server could not start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _ensure_builtin_tools() -> None:
    """Every workspace has a row for each built-in tool of this version before anybody looks."""
    for workspace_id in Workspace.objects.values_list("id", flat=True):
        ensure_builtin_tools(workspace_id)


def _keep_what_is_loaded(loading: threading.Thread) -> None:
    """Leave what the start has loaded out of garbage collections: a full one stops every stream for 100 ms, without it for 20.

    The small ones, as often as Python has them, take 3 % of the time of a hundred streams.
    """
    loading.join()
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000)


application: Any = Application()
