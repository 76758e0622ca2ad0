"""Addresses of the runs' pages."""

from __future__ import annotations

from django.urls import path

from agents.web import run_page, runs

app_name = "runs"

urlpatterns = [
    path("", runs.list_page, name="list"),
    path("<str:run_id>/", run_page.detail_page, name="detail"),
    path("<str:run_id>/cancel/", run_page.cancel, name="cancel"),
    path("<str:run_id>/peek/", runs.peek_panel, name="peek"),
]
