"""The beginning of an agent's context: its system message compiled anew, its messages reset."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Router

from agents.api.agent_states import state_for_old_sdk
from agents.api.schemas.agent import AgentState, ResetMessages
from agents.services import agent_context
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import AgentId, respond

router = Router()


@router.patch("/{agent_id}/reset-messages", response=AgentState | None)
def reset_messages(request: ApiRequest, agent_id: AgentId, body: ResetMessages | None = None) -> HttpResponse:
    agent = agent_context.reset_messages(
        caller=request.auth,
        agent_id=agent_id,
        add_default_initial_messages=body is not None and body.add_default_initial_messages,
    )
    return state_for_old_sdk(request, agent)


@router.post("/{agent_id}/recompile", response=str)
def recompile(
    request: ApiRequest, agent_id: AgentId, update_timestamp: bool = False, dry_run: bool = False
) -> HttpResponse:
    text = agent_context.recompile_agent(
        caller=request.auth, agent_id=agent_id, update_timestamp=update_timestamp, dry_run=dry_run
    )
    return respond(text)


router.post("/{agent_id}/system-prompt/recompile", response=str, url_name="recompile_system_prompt")(
    recompile
)
