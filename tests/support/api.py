"""Two clients of the REST API: one in the thread of the test, one that speaks ASGI to the lean handler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from django.test import Client, override_settings

from agents.services import execution
from letta_ade.core.asgi import ApiHandler


class Api:
    """Sends requests to synchronous operations within the test's own transaction."""

    def __init__(self, **headers: str) -> None:
        self._client = Client(headers={"Host": "localhost", **headers})

    def get(self, path: str, **query: Any) -> Any:
        return self._send("get", path, query)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("post", path, body, content_type="application/json", headers=headers)

    def upload(self, path: str, **files: Any) -> Any:
        return self._send("post", path, files)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        body = "" if body is None else body  # Django would send the word None
        return self._send("patch", path, body, content_type="application/json", headers=headers)

    def put(self, path: str, body: Any = None) -> Any:
        return self._send("put", path, body, content_type="application/json")

    def delete(self, path: str) -> Any:
        return self._send("delete", path)

    def _send(self, method: str, path: str, *arguments: Any, **options: Any) -> Any:
        # The pages' middleware is not the API's.
        with override_settings(ROOT_URLCONF="letta_ade.api", MIDDLEWARE=[]):
            return getattr(self._client, method)(path, *arguments, **options)


@asynccontextmanager
async def asgi_client(**headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Sends requests to the lean handler on the running loop; rows must be committed (`transaction=True`).

    At its end, runs that still go on are ended.
    """
    transport = httpx.ASGITransport(app=ApiHandler("letta_ade.api"))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost/v1", headers=headers
    ) as client:
        try:
            yield client
        finally:
            # What is still being written would meet the flush of the test's tables.
            await execution.close()


def events_of(body: str) -> list[tuple[str, str]]:
    """The server-sent events of a body: (name or "", data)."""
    found = []
    for block in body.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields.get("event", ""), fields["data"]))
    return found
