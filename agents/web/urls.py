"""Addresses of the agents' pages. The workbench of one agent has its own list, in `workbench_urls`."""

from __future__ import annotations

from django.urls import include, path

from agents.web import agent_form, agents, block_bulk, block_sharing, version_pages, written

app_name = "agents"

urlpatterns = [
    path("blocks/selected/change/", block_bulk.change_page, name="change_blocks"),
    path("agents/", agents.list_page, name="list"),
    path("agents/new/", agent_form.create_page, name="create"),
    path("agents/of-block/<str:block_id>/", block_sharing.impact_part, name="of_block"),
    path(
        "agents/of-block/<str:block_id>/conversations/",
        block_sharing.conversations_part,
        name="conversations_of_block",
    ),
    path(
        "agents/of-block/<str:block_id>/since/<int:old>/",
        block_sharing.difference_part,
        name="block_since",
    ),
    path("agents/written/<str:block_id>/<int:number>/", written.written_part, name="written"),
    path("agents/of-tool/<str:tool_id>/", agents.agents_of_tool, name="of_tool"),
    path("agents/<str:agent_id>/peek/", agents.peek_panel, name="peek"),
    path("agents/<str:agent_id>/delete/", agents.delete_page, name="delete"),
    path("agents/<str:agent_id>/versions/", version_pages.versions_page, name="versions"),
    path("agents/<str:agent_id>/versions/<int:number>/", version_pages.versions_page, name="version"),
    path("agents/<str:agent_id>/versions/<int:number>/restore/", version_pages.restore_page, name="restore"),
    # Its page is named `detail`.
    path("agents/<str:agent_id>/", include("agents.web.workbench_urls")),
]
