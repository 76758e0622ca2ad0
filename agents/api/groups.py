"""Groups: agents that keep the memory of another one. A message to a group is one to its manager."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from ninja import Query, Router

from agents.api import messages
from agents.api.schemas.group import CreateGroup, GroupQuery, GroupResponse, UpdateGroup, group_responses
from agents.api.schemas.message import LettaResponse, MessageOptions, MessageQuery
from agents.api.wire import wire_list
from agents.models import Group
from agents.services import groups
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.errors import NotAllowed
from letta_ade.core.schemas import AgentId, BlockId, GroupId, respond

router = Router()
router_of_agents = Router()


@router.get("/", response=list[GroupResponse], deprecated=True)
def list_groups(request: ApiRequest, query: Query[GroupQuery]) -> HttpResponse:
    found = groups.list_groups(caller=request.auth, filters=query.filters(), page=query.page(order="asc"))
    return respond(group_responses(found))


@router.post("/", response=GroupResponse, deprecated=True)
def create_group(request: ApiRequest, body: CreateGroup) -> HttpResponse:
    return _one(groups.create_group(caller=request.auth, draft=body.draft()))


@router.get("/count", response=int, deprecated=True)
def count_groups(request: ApiRequest, query: Query[GroupQuery]) -> HttpResponse:
    return respond(groups.groups_of(caller=request.auth, filters=query.filters()).count())


@router.get("/{group_id}", response=GroupResponse, deprecated=True)
def retrieve_group(request: ApiRequest, group_id: GroupId) -> HttpResponse:
    return _one(groups.get_group_for(caller=request.auth, group_id=group_id))


@router.patch("/{group_id}", response=GroupResponse, deprecated=True)
def update_group(request: ApiRequest, group_id: GroupId, body: UpdateGroup) -> HttpResponse:
    return _one(groups.update_group(caller=request.auth, group_id=group_id, changes=body.changes()))


@router.delete("/{group_id}", response=None, deprecated=True)
def delete_group(request: ApiRequest, group_id: GroupId) -> HttpResponse:
    groups.delete_group(caller=request.auth, group_id=group_id)
    return respond(None)


@router.post("/{group_id}/messages", response=LettaResponse, deprecated=True)
async def create_group_message(
    request: ApiRequest, group_id: GroupId, body: MessageOptions
) -> HttpResponseBase:
    group = await threads.run(groups.get_group_for, caller=request.auth, group_id=group_id)
    return await messages.create_message(request, group.manager_agent_id, body)


@router.post("/{group_id}/messages/stream", response=LettaResponse, deprecated=True)
async def stream_group_message(
    request: ApiRequest, group_id: GroupId, body: MessageOptions
) -> HttpResponseBase:
    group = await threads.run(groups.get_group_for, caller=request.auth, group_id=group_id)
    return await messages.stream_message(request, group.manager_agent_id, body)


@router.get("/{group_id}/messages", response=list[dict[str, Any]], deprecated=True)
async def list_group_messages(
    request: ApiRequest, group_id: GroupId, query: Query[MessageQuery]
) -> HttpResponse:
    stored = await threads.run(
        groups.list_group_messages,
        caller=request.auth,
        group_id=group_id,
        filters=query.filters(),
        page=query.page(),
    )
    return respond(wire_list(stored, query.answer_tool()))


@router.patch("/{group_id}/messages/{message_id}", response=dict[str, Any], deprecated=True)
def update_group_message(request: ApiRequest, group_id: GroupId, message_id: str) -> HttpResponse:
    groups.get_group_for(caller=request.auth, group_id=group_id)
    raise NotAllowed("A stored message does not change: other contexts may show it. Write a new one.")


@router.patch("/{group_id}/reset-messages", response=None, deprecated=True)
def reset_group_messages(request: ApiRequest, group_id: GroupId) -> HttpResponse:
    groups.reset_group_messages(caller=request.auth, group_id=group_id)
    return respond(None)


@router.patch("/{group_id}/blocks/attach/{block_id}", response=GroupResponse, deprecated=True)
def attach_block(request: ApiRequest, group_id: GroupId, block_id: BlockId) -> HttpResponse:
    return _one(groups.attach_block_to_group(caller=request.auth, group_id=group_id, block_id=block_id))


@router.patch("/{group_id}/blocks/detach/{block_id}", response=GroupResponse, deprecated=True)
def detach_block(request: ApiRequest, group_id: GroupId, block_id: BlockId) -> HttpResponse:
    return _one(groups.detach_block_from_group(caller=request.auth, group_id=group_id, block_id=block_id))


@router_of_agents.get("/{agent_id}/groups", response=list[GroupResponse], deprecated=True)
def list_groups_of_agent(request: ApiRequest, agent_id: AgentId, query: Query[GroupQuery]) -> HttpResponse:
    found = groups.list_groups(
        caller=request.auth, filters=query.filters(agent_id), page=query.page(limit=100)
    )
    return respond(group_responses(found))


def _one(group: Group) -> HttpResponse:
    return respond(group_responses([group])[0])
