"""Requests that nobody answers end after some time, if the server is told to end them (ADE_REQUEST_EXPIRY_HOURS)."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from agents.models import Conversation
from agents.services.approvals import EXPIRED, close_request
from agents.services.leases import RunBusy
from agents.services.waiting import open_requests


def close_expired() -> list[str]:
    """Close every request that has waited too long; the ids of those that this closed. Nothing when requests do not expire.

    Safe to run in several processes at once. A request that is being answered is left alone.
    """
    if not settings.REQUEST_EXPIRY_HOURS:
        return []
    latest = timezone.now() - timedelta(hours=settings.REQUEST_EXPIRY_HOURS)
    return [
        request.id
        for request in open_requests().filter(created_at__lt=latest).select_related("conversation")
        if _close(request.id, request.conversation)
    ]


def _close(request_id: str, conversation: Conversation) -> bool:
    try:
        return close_request(caller=None, conversation=conversation, only=request_id, why=EXPIRED)
    except (RunBusy, Conversation.DoesNotExist):
        # Somebody answers it just now, or has deleted it.
        return False
