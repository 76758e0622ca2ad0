"""A request of the API whose caller is known."""

from __future__ import annotations

from django.http import HttpRequest

from letta_ade.accounts.auth import Caller

#: Key of an ASGI scope under which this server itself says who calls. What comes over the network never has it.
CALLER_IN_SCOPE = "ade.caller"


class ApiRequest(HttpRequest):
    """What an operation receives; letta_ade/api.py has set the caller."""

    auth: Caller
