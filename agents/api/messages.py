"""Messages of an agent: sent, streamed, listed, and the runs that they start cancelled.

A path with one asynchronous operation is asynchronous throughout, so all operations here are: rows are reached through
`core/threads.py` only.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja import Query, Router

from agents.api.schemas.message import (
    AsyncMessageOptions,
    CancelRuns,
    LettaResponse,
    MessageOptions,
    MessageQuery,
)
from agents.api.schemas.run import RunResponse
from agents.api.sse import Reader, sse_response
from agents.api.streaming import Folded, Format, fold
from agents.api.wire import WireMessage, wire_list
from agents.models import Message
from agents.services import execution
from agents.services.images import embed_images
from agents.services.messages import list_messages as find_messages
from agents.services.opening import StartedRun
from agents.services.runs import check_events_are_kept, find_same_request, get_run_for
from agents.streams import follow
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.errors import Gone
from letta_ade.core.schemas import AgentId, respond

router = Router()

_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


@router.post("/{agent_id}/messages", response=LettaResponse)
async def create_message(request: ApiRequest, agent_id: AgentId, body: MessageOptions) -> HttpResponseBase:
    return await answer_message(request, agent_id, body, run_type="send_message")


@router.post("/{agent_id}/messages/stream", response=LettaResponse, deprecated=True)
async def stream_message(request: ApiRequest, agent_id: AgentId, body: MessageOptions) -> HttpResponseBase:
    body = body.model_copy(update={"streaming": True})
    return await answer_message(request, agent_id, body, run_type="send_message")


@router.post("/{agent_id}/messages/async", response=RunResponse)
async def create_message_async(
    request: ApiRequest, agent_id: AgentId, body: AsyncMessageOptions
) -> HttpResponse:
    """A run in the background; the answer is the run as it stands, and `GET /v1/runs/{id}` tells how it goes on."""
    started = await _start(request, agent_id, body, run_type="send_message_async")
    run = await threads.run(get_run_for, caller=request.auth, run_id=started.run_id)
    return respond(RunResponse.of(run))


@router.get("/{agent_id}/messages", response=list[dict[str, Any]])
async def list_messages(request: ApiRequest, agent_id: AgentId, query: Query[MessageQuery]) -> HttpResponse:
    stored: list[Message] = await threads.run(
        find_messages, caller=request.auth, agent_id=agent_id, filters=query.filters(), page=query.page()
    )
    return respond(listed(stored, query))


@router.post("/{agent_id}/messages/cancel", response=dict[str, str])
async def cancel_runs(request: ApiRequest, agent_id: AgentId, body: CancelRuns | None = None) -> HttpResponse:
    run_ids = body.run_ids if body is not None else None
    return respond(await execution.cancel_runs(caller=request.auth, agent_id=agent_id, run_ids=run_ids))


async def answer_message(
    request: ApiRequest,
    agent_id: str,
    body: MessageOptions,
    *,
    run_type: str,
    conversation_id: str | None = None,
) -> HttpResponseBase:
    """What the run of this request says, in one piece or as a stream; None is the agent's default conversation."""
    body.check_streaming()
    if body.streaming:
        kind = f"{run_type}_streaming"
        started = await _start(request, agent_id, body, run_type=kind, conversation_id=conversation_id)
        return await _stream(request, started, body)
    started = await _start(request, agent_id, body, run_type=run_type, conversation_id=conversation_id)
    folded = await fold(started.run_id, follow(started.run_id), _format(body))
    if folded is None:
        raise Gone(
            f"The events of run {started.run_id} are no longer kept; its messages are in the agent's list."
        )
    return _plain(started, folded)


def listed(stored: list[Message], query: MessageQuery) -> list[WireMessage]:
    """The wire messages of stored ones, as they are asked for."""
    types = query.include_return_message_types
    messages = wire_list(stored, query.answer_tool(), tells_compactions=query.tells_compactions())
    return [each for each in messages if types is None or each["message_type"] in types]


async def _start(
    request: ApiRequest,
    agent_id: str,
    body: MessageOptions,
    *,
    run_type: str,
    conversation_id: str | None = None,
) -> StartedRun:
    # The same words in another conversation are another request.
    fingerprint = hashlib.sha256((conversation_id or "").encode() + request.body).hexdigest()
    is_retry = request.headers.get("X-Stainless-Retry-Count", "0") != "0"
    if is_retry:
        # Before its images are fetched once more.
        run = await threads.run(
            find_same_request, caller=request.auth, agent_id=agent_id, fingerprint=fingerprint
        )
        if run is not None:
            return StartedRun.of(run, is_repeat=True)
    asked = body.run_request(agent_id, run_type=run_type, wait_seconds=_wait_seconds(request))
    asked = replace(asked, conversation_id=conversation_id)
    if isinstance(body, AsyncMessageOptions):
        asked = replace(asked, background=True, callback_url=body.callback_url or None)
    asked = await embed_images(caller=request.auth, request=asked)
    config = {**asked.request_config, "fingerprint": fingerprint, **_request_log_id(request)}
    asked = replace(asked, request_config=config, fingerprint=fingerprint, is_retry=is_retry)
    return await execution.start_run(caller=request.auth, request=asked)


async def _stream(request: ApiRequest, started: StartedRun, body: MessageOptions) -> HttpResponseBase:
    format, is_numbered = _format(body), body.background
    if started.is_repeat:
        run = await threads.run(get_run_for, caller=request.auth, run_id=started.run_id)
        check_events_are_kept(run)
        is_numbered = run.background
        if is_numbered:
            # The numbers of a stream belong to the form in which it was ordered.
            format = Format.of(run)
    return sse_response(
        Reader(
            run_id=started.run_id,
            format=format,
            include_pings=body.include_pings,
            is_numbered=is_numbered,
        )
    )


def _format(body: MessageOptions) -> Format:
    types = body.include_return_message_types
    return Format(
        stream_tokens=body.stream_tokens,
        message_types=None if types is None else frozenset(types),
        answer_tool=body.answer_tool(),
        tells_compactions=body.include_compaction_messages,
    )


def _plain(started: StartedRun, folded: Folded) -> HttpResponse:
    """The whole answer, or the error that ended the run. The messages of steps before the error are stored."""
    if folded.error is None:
        return respond(folded.response)
    error = folded.error
    kind = error["error_type"]
    if kind.startswith("llm_"):
        told = {"type": kind, "message": error["message"], "detail": error.get("detail")}
        response = respond({"error": told, "run_id": started.run_id}, status=error.get("http_status", 500))
    else:
        detail = f"{error['message']} {error.get('detail') or ''}".strip()
        response = respond({"detail": detail, "run_id": started.run_id}, status=error.get("http_status", 500))
    # The input is stored: a client that sent it again would say it twice.
    response["x-should-retry"] = "false"
    return response


def _request_log_id(request: HttpRequest) -> dict[str, str]:
    """The id under which a gateway before this server logs the request: the steps of the run carry it."""
    given = request.headers.get("x-api-request-log-id", "")
    return {"request_log_id": given[:255]} if given else {}


def _wait_seconds(request: HttpRequest) -> float:
    """How long the caller would rather wait than be told of a conflict: `Prefer: wait=SECONDS` (RFC 7240)."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return float(found[1]) if found else 0.0
