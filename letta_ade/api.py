"""The REST API: its routers, who may call, and how errors are answered."""

from __future__ import annotations

import logging
from typing import Any

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from agents.api.agent_blocks import router as agent_blocks
from agents.api.agent_context import router as agent_context
from agents.api.agent_files import router as agent_files
from agents.api.agent_tool_runs import router as agent_tool_runs
from agents.api.agent_tools import router as agent_tools
from agents.api.agent_versions import router as agent_versions
from agents.api.agents import router as agents
from agents.api.all_messages import older_router as older_search
from agents.api.all_messages import router as all_messages
from agents.api.approvals import router as approvals
from agents.api.block_bulk import router as block_bulk
from agents.api.block_sharing import router as block_sharing
from agents.api.blocks import router as blocks_of_agents
from agents.api.compaction import conversation_router as compaction_of_conversations
from agents.api.compaction import router as compactions
from agents.api.context_overview import router as context_overview
from agents.api.conversation_messages import router as conversation_messages
from agents.api.conversations import router as conversations
from agents.api.groups import router as groups
from agents.api.groups import router_of_agents as groups_of_agents
from agents.api.jobs import router as jobs
from agents.api.messages import router as messages
from agents.api.passages import router as passages
from agents.api.runs import router as runs
from agents.api.steps import router as steps
from agents.api.steps import telemetry_router as telemetry
from agents.api.tags import router as tags
from agents.api.tools import router as usage_of_tools
from letta_ade.accounts.auth import Caller, Door, resolve_caller
from letta_ade.accounts.requests import CALLER_IN_SCOPE
from letta_ade.accounts.sessions import user_of_cookies
from letta_ade.core.database import LOST_RACE_STATES
from letta_ade.core.errors import AdeError, TooManyAttempts, Unauthenticated
from letta_ade.core.json_bodies import BodyParser, InvalidJson
from letta_ade.core.schemas import MALFORMED_ID, respond
from letta_ade.core.version import product_version
from letta_ade.llm.api.models import router as models
from letta_ade.llm.api.providers import router as providers
from letta_ade.llm.errors import ModelError
from memory.api.block_files import router as block_files
from memory.api.block_versions import router as block_versions
from memory.api.blocks import router as blocks
from memory.api.proposals import router as proposals
from memory.api.proposals import router_of_blocks as proposals_of_blocks
from tools.api.tool_runs import router as tool_runs
from tools.api.tool_versions import router as tool_versions
from tools.api.tools import router as tools

logger = logging.getLogger(__name__)

#: A check of a column, and null where there must be a value.
_BAD_VALUE_STATES = {"23514", "23502"}


def authenticate(request: HttpRequest) -> Caller:
    """The caller, which operations find at `request.auth`. Raises Unauthenticated or Forbidden."""
    own: Caller | None = getattr(request, "scope", {}).get(CALLER_IN_SCOPE)
    if own is not None:
        return own  # the client of an agent's tool (agents/services/tool_client.py)
    return resolve_caller(Door.of(request))


api = NinjaAPI(
    title="Letta API",
    version=product_version(),
    description="Agents with durable memory. The routes are those of letta-client 1.12.1.",
    # Served at /openapi.json, beside /v1; a page that shows it would load scripts of another origin.
    openapi_url="",
    docs_url=None,
    auth=authenticate,
    parser=BodyParser(),
)

# Before the single agents, whose ids stand where `import` does.
api.add_router("/agents", agent_files, tags=["agents"])
api.add_router("/agents", agents, tags=["agents"])
api.add_router("/agents", agent_blocks, tags=["agents"])
api.add_router("/agents", agent_tools, tags=["agents"])
api.add_router("/agents", agent_tool_runs, tags=["agents"])
api.add_router("/agents", agent_versions, tags=["agents"])
api.add_router("/agents", agent_context, tags=["agents"])
api.add_router("/agents", messages, tags=["messages"])
api.add_router("/agents", context_overview, tags=["agents"])
api.add_router("/agents", compactions, tags=["agents"])
api.add_router("/conversations", compaction_of_conversations, tags=["conversations"])
api.add_router("/agents", older_search, tags=["messages"])
api.add_router("/messages", all_messages, tags=["messages"])
api.add_router("/agents", passages, tags=["passages"])
api.add_router("/agents", groups_of_agents, tags=["groups"])
api.add_router("/groups", groups, tags=["groups"])
api.add_router("/conversations", conversations, tags=["conversations"])
api.add_router("/conversations", conversation_messages, tags=["conversations"])
api.add_router("/blocks", blocks_of_agents, tags=["blocks"])
api.add_router("/blocks", block_sharing, tags=["blocks"])
# Before the single blocks, whose ids stand in the same place.
api.add_router("/blocks", block_bulk, tags=["blocks"])
api.add_router("/blocks", block_files, tags=["blocks"])
api.add_router("/blocks", blocks, tags=["blocks"])
api.add_router("/blocks", block_versions, tags=["blocks"])
api.add_router("/blocks", proposals_of_blocks, tags=["blocks"])
api.add_router("/proposals", proposals, tags=["blocks"])
api.add_router("/tools", tool_runs, tags=["tools"])
api.add_router("/tools", tools, tags=["tools"])
api.add_router("/tools", tool_versions, tags=["tools"])
api.add_router("/tools", usage_of_tools, tags=["tools"])
api.add_router("/tags", tags, tags=["tags"])
api.add_router("/approvals", approvals, tags=["approvals"])
api.add_router("/runs", runs, tags=["runs"])
api.add_router("/jobs", jobs, tags=["runs"])
api.add_router("/steps", steps, tags=["steps"])
api.add_router("/telemetry", telemetry, tags=["steps"])
api.add_router("/models", models, tags=["models"])
api.add_router("/providers", providers, tags=["providers"])


@api.get("/health/", auth=None, tags=["health"], url_name="health")
async def health(request: HttpRequest) -> HttpResponse:
    """Whether the server answers. On the loop itself: it must not wait for a thread behind those who wait for the database."""
    return respond({"version": product_version(), "status": "ok"})


@api.get("/ready/", auth=None, tags=["health"], url_name="ready")
def ready(request: HttpRequest) -> HttpResponse:
    """Whether the server can do its work: it reaches its database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (OperationalError, InterfaceError):
        return respond({"version": product_version(), "status": "unavailable"}, status=503)
    return respond({"version": product_version(), "status": "ok"})


def error_response(request: HttpRequest, error: AdeError) -> HttpResponse:
    """The one table from our errors to REST answers (spec/sdk-and-server.md §4)."""
    body: dict[str, Any]
    match error:
        case ModelError():
            body = {
                "error": {"type": error.error_type, "message": error.message, "detail": error.detail},
            }
        case Unauthenticated():
            body = {"detail": error.message}
        case _:
            body = {"detail": error.wire_detail(), **error.data}
    response = respond(body, status=error.status)
    is_guessing = isinstance(error, TooManyAttempts)
    if is_guessing:
        response["Retry-After"] = str(error.data["retry_after"])
    # A wrong key does not become a right one.
    if is_guessing or should_not_retry(request, error.status, is_retryable=error.is_retryable):
        response["x-should-retry"] = "false"
    return response


def should_not_retry(request: HttpRequest, status: int, *, is_retryable: bool = False) -> bool:
    """Whether the client, which repeats 409, 429 and 5xx by itself, must be told not to.

    A conflict does not go away by waiting half a second, and a message that is posted again would be answered again.
    """
    if status == 409:
        return not is_retryable
    return request.method == "POST" and status >= 500 and not is_retryable


@api.exception_handler(AdeError)
def _on_ade_error(request: HttpRequest, error: AdeError) -> HttpResponse:
    if error.status >= 500 and not isinstance(error, ModelError) and error.status != 501:
        logger.exception("%s %s failed", request.method, request.path)
    return error_response(request, error)


@api.exception_handler(ValidationError)
def _on_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return _validation_response(error.errors)


@api.exception_handler(HttpError)
def _on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, InvalidJson):
        place = error.__cause__
        return _validation_response([{"type": "json_invalid", "loc": ("body",), "msg": str(place)}])
    return respond({"detail": str(error)}, status=error.status_code)


def _validation_response(errors: list[dict[str, Any]]) -> HttpResponse:
    """`detail` is the list as text, as V1 wrote it; `errors` is the list itself."""
    plain = [{"type": each["type"], "loc": tuple(each["loc"]), "msg": each["msg"]} for each in errors]
    body: dict[str, Any] = {"detail": str(plain), "errors": plain, "trace_id": ""}
    if examples := [each["ctx"]["example"] for each in errors if each["type"] == MALFORMED_ID]:
        body["examples"] = examples
    return respond(body, status=422)


@api.exception_handler(IntegrityError)
def _on_integrity_error(request: HttpRequest, error: IntegrityError) -> HttpResponse:
    if getattr(error.__cause__, "sqlstate", None) in _BAD_VALUE_STATES:
        return respond({"detail": f"INVALID_ARGUMENT: {str(error).splitlines()[0]}"}, status=400)
    # The services check first; what arrives here lost a race.
    logger.warning("%s %s lost a race: %s", request.method, request.path, error)
    response = respond(
        {"detail": "CONFLICT: Somebody else made the same change at the same time."}, status=409
    )
    response["x-should-retry"] = "false"
    return response


@api.exception_handler(InterfaceError)
@api.exception_handler(OperationalError)
def _on_database_away(request: HttpRequest, error: OperationalError | InterfaceError) -> HttpResponse:
    if getattr(error.__cause__, "sqlstate", None) in LOST_RACE_STATES:
        response = respond({"detail": "CONFLICT: The rows are locked by another request."}, status=409)
        response["Retry-After"] = "1"
        return response
    logger.exception("%s %s failed", request.method, request.path)
    response = respond({"detail": "UNAVAILABLE: The database cannot be reached."}, status=503)
    response["Retry-After"] = "1"
    return response


@api.exception_handler(DataError)
def _on_data_error(request: HttpRequest, error: DataError) -> HttpResponse:
    return respond({"detail": f"INVALID_ARGUMENT: {str(error).splitlines()[0]}"}, status=400)


@api.exception_handler(Exception)
def _on_exception(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.exception("%s %s failed", request.method, request.path)
    response = respond({"detail": "An unknown error occurred"}, status=500)
    if should_not_retry(request, 500):
        response["x-should-retry"] = "false"
    return response


def openapi(request: HttpRequest) -> HttpResponse:
    """The API's description, for who may call it; people read it in their browsers, so a session will do."""
    try:
        resolve_caller(Door.of(request), user_of_cookies(request.headers.get("Cookie", "")))
    except AdeError as error:
        return error_response(request, error)
    return JsonResponse(api.get_openapi_schema(path_prefix="/v1/"))


urlpatterns = [
    path("v1/", api.urls),
    path("openapi.json", openapi),
]
