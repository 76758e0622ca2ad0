"""Django's test client as a browser's script on the machine itself."""

from __future__ import annotations

from typing import Any

from django.test import AsyncClient


class LocalClient(AsyncClient):
    """Django's client calls every server `testserver`, which is not the machine itself."""

    def _base_scope(self, **request: Any) -> Any:
        scope = super()._base_scope(**request)  # type: ignore[misc]  # the stubs leave it out
        others = [pair for pair in scope["headers"] if pair[0] != b"host"]
        return scope | {"headers": [(b"host", b"localhost"), (b"accept", b"application/json"), *others]}
