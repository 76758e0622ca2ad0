"""Django's test client as a browser's script on the machine itself."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient


class LocalClient(AsyncClient):
    """Django's client calls every server `testserver`, which is not the machine itself."""

    def _base_scope(self, **request: Any) -> Any:
        scope = super()._base_scope(**request)  # type: ignore[misc]  # the stubs leave it out
        others = [pair for pair in scope["headers"] if pair[0] != b"host"]
        return scope | {"headers": [(b"host", b"localhost"), (b"accept", b"application/json"), *others]}

    async def request(self, **request: Any) -> Any:
        # Middleware and errors of asynchronous pages use a thread that all such tests share. Its connection may be one that another
        # test has cut; under a server Django looks after that at the beginning of a request, under its test client nobody does.
        await sync_to_async(connections.close_all)()
        return await super().request(**request)
