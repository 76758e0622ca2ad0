"""What every page shows around its content."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def shell_context(request: HttpRequest) -> dict[str, Any]:
    """The caller, for the rail and the top bar."""
    return {"caller": getattr(request, "caller", None)}
