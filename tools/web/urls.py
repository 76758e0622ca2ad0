"""Addresses of the tools' pages."""

from __future__ import annotations

from django.urls import path

from tools.web import tool_runs, tool_versions, tools

app_name = "tools"

urlpatterns = [
    path("tools/", tools.list_page, name="list"),
    path("tools/new/", tools.create_page, name="create"),
    path("tools/derive/", tools.derive_part, name="derive"),
    path("tools/run/", tool_runs.run_part, name="run"),
    path("tools/arguments/", tool_runs.arguments_part, name="arguments"),
    path("tools/<str:tool_id>/", tools.detail_page, name="detail"),
    path("tools/<str:tool_id>/derive/", tools.derive_part, name="derive_of"),
    path("tools/<str:tool_id>/run/", tool_runs.run_part, name="run_of"),
    path("tools/<str:tool_id>/arguments/", tool_runs.arguments_part, name="arguments_of"),
    path("tools/<str:tool_id>/delete/", tools.delete_page, name="delete"),
    path("tools/<str:tool_id>/versions/<int:number>/", tool_versions.version_page, name="version"),
    path("tools/<str:tool_id>/versions/<int:number>/restore/", tool_versions.restore_page, name="restore"),
    path(
        "tools/<str:tool_id>/versions/before/<int:before>/",
        tool_versions.older_versions,
        name="older_versions",
    ),
]
