"""What the next request to the model holds: by its parts, and as the provider would get it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from ninja import Router

from agents.api.schemas.context_overview import ContextWindowOverview
from agents.api.schemas.message import MessageOptions
from agents.services import context_overview
from agents.services.images import embed_images
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.schemas import AgentId, respond

router = Router()


@router.get("/{agent_id}/context", response=ContextWindowOverview)
def retrieve_context(
    request: ApiRequest, agent_id: AgentId, conversation_id: str | None = None
) -> HttpResponse:
    """The context window as the next request would fill it; of the default conversation unless another one is named."""
    overview = context_overview.get_context_overview(
        caller=request.auth, agent_id=agent_id, conversation_id=conversation_id or None
    )
    messages = context_overview.list_context_messages(overview)
    return respond(ContextWindowOverview.of(overview, messages))


@router.post("/{agent_id}/messages/preview-raw-payload", response=dict[str, Any])
async def preview_payload(request: ApiRequest, agent_id: AgentId, body: MessageOptions) -> HttpResponse:
    """The request that this message would send to the model, as JSON. Nothing is sent and nothing is stored."""
    asked = body.run_request(agent_id, run_type="preview", wait_seconds=0)
    asked = await embed_images(caller=request.auth, request=asked)
    return respond(await threads.run(context_overview.preview_payload, request.auth, asked))
