"""The request of a page, as the middleware leaves it for the views."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from letta_ade.accounts.auth import Caller


class PageRequest(HttpRequest):
    """Every view but the login page has a caller (letta_ade/web/security.py)."""

    caller: Caller
    htmx: HtmxDetails
