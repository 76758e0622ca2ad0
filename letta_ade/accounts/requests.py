"""A request of the API whose caller is known."""

from __future__ import annotations

from django.http import HttpRequest

from letta_ade.accounts.auth import Caller


class ApiRequest(HttpRequest):
    """What an operation receives; letta_ade/api.py has set the caller."""

    auth: Caller
