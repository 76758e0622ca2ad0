"""Addresses of the tools' pages."""

from __future__ import annotations

from django.urls import path

from tools.web import tools

app_name = "tools"

urlpatterns = [
    path("tools/", tools.list_page, name="list"),
    path("tools/<str:tool_id>/", tools.detail_page, name="detail"),
]
