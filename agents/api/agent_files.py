"""Agents to and from files."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from ninja import Form, Query, Router, Schema

from agents.api.agent_file_export import agent_file, download
from agents.api.schemas.agent_file import read_agent_file, secrets_of
from agents.services.agent_files import ImportOptions, import_agents
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.errors import Invalid
from letta_ade.core.schemas import AgentId, Body, respond

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
    file = agent_file(
        caller=request.auth,
        agent_id=agent_id,
        conversation_id=query.conversation_id,
        has_messages=not query.scrub_messages,
    )
    return download(file)


@router.post("/{agent_id}/export")
def export_agent_with_skills(request: ApiRequest, agent_id: AgentId, body: ExportBody) -> HttpResponse:
    file = agent_file(
        caller=request.auth,
        agent_id=agent_id,
        conversation_id=body.conversation_id,
        has_messages=not body.scrub_messages,
    )
    return download({**file, "skills": body.skills})


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
