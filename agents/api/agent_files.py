"""Agents to and from files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.utils import timezone
from ninja import Form, Query, Router, Schema

from agents.api.agent_states import agent_states
from agents.api.schemas.agent_file import read_agent_file, secrets_of
from agents.api.schemas.written_agent_file import WrittenHistory, written_file
from agents.models import Agent, Conversation
from agents.services import agents
from agents.services.agent_files import ImportOptions, import_agents
from agents.services.background_memory import background_of, partners_of
from agents.services.conversations import (
    find_conversation,
    get_default_conversation,
    history_of,
    message_ids_in,
)
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.errors import Invalid
from letta_ade.core.schemas import AgentId, Body, respond
from memory.models import Block

router = Router()


class ExportQuery(Schema):
    """What of an agent a file holds."""

    scrub_messages: bool = False
    conversation_id: str | None = None
    use_legacy_format: bool = False
    #: Deprecated, and of no effect: a file holds all messages.
    max_steps: int | None = None


class ExportBody(Body):
    """Skills that go into the file as they are."""

    skills: list[dict[str, Any]] = []
    conversation_id: str | None = None
    scrub_messages: bool = False


class ImportForm(Schema):
    """How a file is read in. `env_vars_json` and the names with `override_` are older spellings."""

    append_copy_suffix: bool = True
    override_existing_tools: bool = True
    strip_messages: bool = False
    secrets: str | None = None
    env_vars_json: str | None = None
    name: str | None = None
    override_name: str | None = None
    model: str | None = None
    override_model_handle: str | None = None
    embedding: str | None = None
    override_embedding_handle: str | None = None
    project_id: str | None = None
    #: Ours: say what would be done, and do nothing.
    dry_run: bool = False

    def options(self, request: ApiRequest) -> ImportOptions:
        embedding = self.embedding or self.override_embedding_handle
        return ImportOptions(
            append_copy_suffix=self.append_copy_suffix,
            override_existing_tools=self.override_existing_tools,
            strip_messages=self.strip_messages,
            secrets=secrets_of(self.secrets or self.env_vars_json),
            name=self.name or self.override_name or None,
            model=self.model or self.override_model_handle or None,
            embedding=embedding or request.headers.get("x-override-embedding-model") or None,
            project_id=self.project_id or request.headers.get("X-Project-Id") or None,
            is_dry_run=self.dry_run,
        )


@router.get("/{agent_id}/export")
def export_agent(request: ApiRequest, agent_id: AgentId, query: Query[ExportQuery]) -> HttpResponse:
    if query.use_legacy_format:
        raise Invalid("The older file format is read and no longer written: leave use_legacy_format out.")
    file = _file(
        request, agent_id, conversation_id=query.conversation_id, has_messages=not query.scrub_messages
    )
    return _download(file, agent_id)


@router.post("/{agent_id}/export")
def export_agent_with_skills(request: ApiRequest, agent_id: AgentId, body: ExportBody) -> HttpResponse:
    file = _file(
        request, agent_id, conversation_id=body.conversation_id, has_messages=not body.scrub_messages
    )
    return _download({**file, "skills": body.skills}, agent_id)


@router.post("/import")
def import_agent(request: ApiRequest, form: Form[ImportForm]) -> HttpResponse:
    file: UploadedFile[bytes] | None = request.FILES.get("file")
    if file is None:
        raise Invalid("Send the agent file as `file`.")
    receipt = import_agents(
        caller=request.auth, file=read_agent_file(file.read()), options=form.options(request)
    )
    return respond(
        {
            "agent_ids": [] if receipt.is_dry_run else [agent.id for agent in receipt.agents],
            "dry_run": receipt.is_dry_run,
            "counts": receipt.counts,
            "empty_secrets": receipt.empty_secrets,
            "notes": receipt.notes,
        }
    )


def _file(
    request: ApiRequest, agent_id: str, *, conversation_id: str | None, has_messages: bool
) -> dict[str, Any]:
    caller = request.auth
    agent = agents.get_agent_for(caller=caller, agent_id=agent_id)
    group = background_of(agent)
    partners = partners_of(group) if group is not None else []
    rows = [agent, *partners]
    histories = {
        each.id: _histories(each, request, conversation_id if each is agent else None) if has_messages else ()
        for each in rows
    }
    include = {"blocks", "tools", "tags", "secrets"} if caller.can("edit") else {"blocks", "tools", "tags"}
    return written_file(
        agent_states(request, rows, include=include),
        histories=histories,
        windows={each.id: each.context_window_limit for each in rows},
        policies=dict(Block.objects.filter(agents__in=rows).values_list("id", "policy")),
        groups=[(group, [partner.id for partner in partners])] if group is not None else [],
        now=timezone.now(),
    )


def _histories(agent: Agent, request: ApiRequest, conversation_id: str | None) -> Sequence[WrittenHistory]:
    """Of all conversations, the default one first; or of the one that is asked for, which takes its place."""
    if conversation_id is not None:
        asked = find_conversation(caller=request.auth, conversation_id=conversation_id, agent_id=agent.id)
        return [_history(asked)]
    others = Conversation.objects.filter(agent=agent, is_default=False, deleted_at=None)
    return [
        _history(each) for each in (get_default_conversation(agent), *others.order_by("created_at", "id"))
    ]


def _history(conversation: Conversation) -> WrittenHistory:
    messages = history_of(conversation).filter(is_err=False).order_by("created_at", "id")
    links = conversation.block_links.select_related("block").order_by("id")
    return WrittenHistory(
        conversation=conversation,
        messages=list(messages),
        in_context=message_ids_in(conversation),
        isolated={link.label: link.block for link in links},
    )


def _download(file: dict[str, Any], agent_id: str) -> HttpResponse:
    return HttpResponse(
        json.dumps(file, indent=2, ensure_ascii=False),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{agent_id}.af"'},
    )
