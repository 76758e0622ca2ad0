"""How a version of a block came about, for the block's page on a lower floor: who, in which step, after which words."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from agents.models import Agent, Message, Run, Step
from agents.models.message import MessageRole
from agents.services.agent_types import BACKGROUND_TYPES
from agents.services.agents import agents_of
from agents.web.transcript_rows import WINDOW, steps_before
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from memory.models import BlockVersion
from memory.models.block_version import ActorKind
from memory.services.block_versions import get_version_of
from memory.services.blocks import get_block_for

_MOST_WORDS = 80
_MESSAGE_GONE = "The message is no longer there."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A step in the transcript of its conversation."""

    number: int
    #: What was said to the agent before it; empty when that is gone.
    after: str
    #: None where the transcript has it no longer; `loss` says why.
    url: str | None
    loss: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOrigin:
    """What can be told of a version. `agent` is None for other writers and for a deleted one."""

    version: BlockVersion
    agent: Agent | None
    is_background: bool
    #: None for a version that no step made, or whose step is gone.
    place: Place | None

    @property
    def is_deleted_agent(self) -> bool:
        return self.version.actor_kind == ActorKind.AGENT and self.agent is None

    @property
    def loss(self) -> str:
        """What is no longer there, in a sentence; empty when all is."""
        if self.place is not None:
            return self.place.loss
        return _MESSAGE_GONE if self.version.step_id is not None else ""


@require_GET
def wrote_part(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """A strip for a version of a block: who wrote it, in which step, and the way to the message."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    origin = origin_of(request.caller, get_version_of(block, number))
    return render(request, "agents/lists/wrote.html", {"origin": origin, "memory_block": block})


def origin_of(caller: Caller, version: BlockVersion) -> BlockOrigin:
    """How the version came about, as far as it is still known."""
    agent = None
    if version.actor_kind == ActorKind.AGENT:
        agent = agents_of(caller=caller).filter(id=version.actor_id).first()
    step = None
    if version.step_id is not None:
        found = Step.objects.filter(id=version.step_id, workspace_id=caller.workspace_id)
        step = found.select_related("run__conversation").first()
    return BlockOrigin(
        version=version,
        agent=agent,
        is_background=agent is not None and agent.agent_type in BACKGROUND_TYPES,
        place=_place(step, version) if step else None,
    )


def _place(step: Step, version: BlockVersion) -> Place:
    run = step.run
    number = steps_before(run) + run.steps.filter(number__lte=step.number).count()
    said = Message.objects.filter(
        run=run, role=MessageRole.USER, is_err=False, created_at__lte=version.created_at
    )
    text = said.order_by("-created_at").values_list("text", flat=True).first() or ""
    words = " ".join(text.split())
    if len(words) > _MOST_WORDS:
        words = words[:_MOST_WORDS].rstrip() + "…"
    loss = ""
    if run.conversation.deleted_at is not None:
        loss = "Its conversation was deleted."
    elif version.message_id is not None and not Message.objects.filter(id=version.message_id).exists():
        loss = _MESSAGE_GONE
    return Place(number=number, after=words, url=None if loss else _url(run, step), loss=loss)


def _url(run: Run, step: Step) -> str:
    """Where the transcript shows the step: on the workbench, or on the page of older runs."""
    conversation = run.conversation
    later = Q(created_at__gt=run.created_at) | Q(created_at=run.created_at, id__gt=run.id)
    after = Run.objects.filter(later, conversation=conversation).order_by("created_at", "id")
    newer = list(after.values_list("id", flat=True)[:WINDOW])
    query = {} if conversation.is_default else {"conversation": conversation.id}
    if len(newer) < WINDOW:
        address = reverse("agents:detail", args=[step.agent_id])
    else:
        address = reverse("agents:older", args=[step.agent_id])
        query["before"] = newer[0]
    return f"{address}{'?' + urlencode(query) if query else ''}#{step.id}"
