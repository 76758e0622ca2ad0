"""Why a version of a block was written: the words before it, and the way to them. A part of the block's pages, a floor below."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agents.models import Message
from agents.models.message import MessageRole
from agents.services.agent_types import BACKGROUND_TYPES
from agents.services.agents import agents_of
from agents.web.conversation_rows import address_of
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from memory.models import BlockVersion
from memory.models.block_version import ActorKind
from memory.services.block_versions import get_version_of
from memory.services.blocks import get_block_for
from memory.web.block_versions import mark_of

_EXCERPT = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A version, and where its writer wrote it."""

    version: BlockVersion
    mark: str
    #: What was last said to the agent before it wrote; empty when nothing is known.
    after: str = ""
    address: str = ""
    #: What is to be said of the writer: that it works in the background, or is no longer there.
    remark: str = ""

    @property
    def is_lost(self) -> bool:
        """It was written in a message which is not there any more: its agent or conversation was deleted."""
        return self.version.message_id is not None and not self.address


def load_written(*, caller: Caller, version: BlockVersion) -> Written:
    """Three queries at most."""
    mark = mark_of(version)
    remark = _remark(caller, version)
    message = (
        Message.objects.filter(workspace_id=caller.workspace_id, id=version.message_id)
        .select_related("conversation")
        .first()
        if version.message_id
        else None
    )
    if message is None or message.conversation.deleted_at is not None:
        return Written(version=version, mark=mark, remark=remark)
    asked = (
        Message.objects.filter(
            conversation_id=message.conversation_id,
            role=MessageRole.USER,
            created_at__lt=message.created_at,
        )
        .exclude(text="")
        .order_by("-created_at", "-id")
        .values_list("text", flat=True)
        .first()
    )
    words = " ".join((asked or "").split())
    return Written(
        version=version,
        mark=mark,
        remark=remark,
        after=words if len(words) <= _EXCERPT else f"{words[:_EXCERPT]}…",
        address=f"{address_of(message.conversation)}#{message.id}",
    )


def _remark(caller: Caller, version: BlockVersion) -> str:
    if version.actor_kind != ActorKind.AGENT:
        return ""
    types = agents_of(caller=caller).filter(id=version.actor_id).values_list("agent_type", flat=True)
    agent_type = types.first()
    if agent_type is None:
        return "an agent that was deleted"
    return "a background agent" if agent_type in BACKGROUND_TYPES else ""


@require_GET
def written_part(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """One strip below the lines of a version."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    version = get_version_of(block, number)
    context = {"memory_block": block, "written": load_written(caller=request.caller, version=version)}
    return render(request, "agents/partials/written.html", context)
