"""Agents to and from files, in the pages. Not among the other pages, because a file has the shape of the API."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from agents.api.agent_file_export import agent_file, download
from agents.api.schemas.agent_file import read_agent_file
from agents.services.agent_files import ImportOptions, ImportReceipt, import_agents
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid
from letta_ade.llm import catalog


@require_GET
def export_file(request: PageRequest, agent_id: str) -> HttpResponse:
    """The agent's file; `messages=0` leaves out what was said."""
    has_messages = request.GET.get("messages") != "0"
    return download(agent_file(caller=request.caller, agent_id=agent_id, has_messages=has_messages))


@require_http_methods(["GET", "POST"])
def import_page(request: PageRequest) -> HttpResponse:
    """Takes a file and gives a receipt; a dry run says what would be made. Without script the whole page comes back."""
    caller = request.caller
    caller.check("edit")
    if request.method == "GET":
        return _page(request)
    file: UploadedFile[bytes] | None = request.FILES.get("file")
    try:
        if file is None:
            raise Invalid("Choose a file.")
        receipt = import_agents(caller=caller, file=read_agent_file(file.read()), options=_options(request))
    except AdeError as error:
        return _page(request, error=error.message, status=422)
    return _page(request, receipt=receipt)


def _options(request: PageRequest) -> ImportOptions:
    sent = request.POST
    return ImportOptions(
        append_copy_suffix="append_copy_suffix" in sent,
        override_existing_tools="override_existing_tools" in sent,
        strip_messages="strip_messages" in sent,
        secrets=_secrets(sent.get("secrets", "")),
        name=sent.get("name", "").strip() or None,
        model=sent.get("model", "").strip() or None,
        is_dry_run="dry_run" in sent,
    )


def _secrets(text: str) -> dict[str, str]:
    """A line of `NAME=value` each. Raises Invalid, naming the line."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, is_there, value = line.partition("=")
        if not is_there or not name.strip():
            raise Invalid(f"Line {number} of the secrets is not NAME=value.")
        found[name.strip()] = value
    return found


def _page(
    request: PageRequest, *, receipt: ImportReceipt | None = None, error: str | None = None, status: int = 200
) -> HttpResponse:
    context: dict[str, Any] = {"receipt": receipt, "error": error, "sent": request.POST}
    if request.htmx:
        # The form stays as it is, for a browser lets nobody put a file back into it. htmx swaps good answers only.
        return render(request, "agents/partials/import_receipt.html", context)
    return render(request, "agents/import.html", context | {"models": _models(request.caller)}, status=status)


def _models(caller: Caller) -> list[str]:
    return [model.handle for model in catalog.list_models(workspace_id=caller.workspace_id)]
