"""Addresses of the pages. `/v1` is routed by letta_ade/core/asgi.py to letta_ade/api.py."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
