"""Addresses of the pages. `/v1` is routed by letta_ade/asgi.py to letta_ade/api.py."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from agents.api import agent_file_pages
from agents.api.raw_messages import raw_messages

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("letta_ade.web.urls")),
    # Before the agents, whose ids stand where `import` does.
    path("agents/import/", agent_file_pages.import_page, name="import_agents"),
    path("agents/<str:agent_id>/export/", agent_file_pages.export_file, name="export_agent"),
    path("", include("agents.web.urls")),
    # A page's data in the shape of the API: pages do not know that shape.
    path("agents/<str:agent_id>/conversations/<str:conversation_id>/raw/", raw_messages, name="raw_messages"),
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
