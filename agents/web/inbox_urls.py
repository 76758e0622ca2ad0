"""Addresses of the inbox."""

from __future__ import annotations

from django.urls import path

from agents.web import inbox

app_name = "inbox"

urlpatterns = [
    path("", inbox.list_page, name="list"),
    path("count/", inbox.count, name="count"),
]
