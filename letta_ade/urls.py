"""Addresses of the pages. `/v1` is routed by letta_ade/asgi.py to letta_ade/api.py."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("letta_ade.web.urls")),
    path("", include("agents.web.urls")),
    path("inbox/", include("agents.web.inbox_urls")),
    path("runs/", include("agents.web.run_urls")),
    path("", include("agents.web.proposal_urls")),
    path("", include("memory.web.urls")),
    path("", include("tools.web.urls")),
]

handler400 = "letta_ade.web.errors.bad_request"
handler403 = "letta_ade.web.errors.forbidden"
handler404 = "letta_ade.web.errors.not_found"
handler500 = "letta_ade.web.errors.server_error"
