"""Answers to forms that start or stop runs: JSON for the page's script, a page for a browser without it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect

from agents.services.conversations import DEFAULT
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError


def answer(
    request: PageRequest, agent_id: str, data: dict[str, Any], conversation_id: str | None = None
) -> HttpResponse:
    """What was done; without script the page that the form was on: the inbox, or the workbench with the conversation."""
    if _is_script(request):
        return JsonResponse(data)
    if request.POST.get("page") == "inbox":
        return redirect("inbox:list")
    named = [conversation_id] if conversation_id not in (None, DEFAULT) else []
    return redirect("agents:detail", agent_id, *named)


def refusal(request: PageRequest, error: AdeError) -> HttpResponse:
    """Why it was not done. Raises the error again for a browser without script: it becomes a page."""
    if not _is_script(request):
        raise error
    return JsonResponse({"message": error.message, **error.data}, status=error.status)


def _is_script(request: PageRequest) -> bool:
    return request.headers.get("Accept") == "application/json"
