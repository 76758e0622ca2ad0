"""Which generation of the SDK a request comes from; a few answers depend on it (spec/sdk-and-server.md §3)."""

from __future__ import annotations

from django.http import HttpRequest


def is_old_sdk(request: HttpRequest) -> bool:
    """Whether the client is an SDK below 1.0; a client that does not say counts as a new one."""
    headers = request.headers
    version = headers.get("X-Stainless-Package-Version") or headers.get("X-Fern-SDK-Version")
    if version is None:
        product, _, version = headers.get("User-Agent", "").partition("/")
        if product != "letta-client":
            return False
    return version.startswith("0.")
