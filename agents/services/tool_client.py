"""The `client` of an agent's tool: its requests go to /v1 as the agent, and as far as the agent itself.

A tool is written by one who may edit agents, but what it is called with comes from a model, and so from whoever the agent talks to. So its
client reaches its own agent, that agent's blocks and conversations, and nobody else's; ADE_TOOL_CLIENT_SCOPE=workspace widens it.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from django.conf import settings

from agents.models import Agent, Conversation
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.requests import CALLER_IN_SCOPE
from letta_ade.core import threads
from letta_ade.core.asgi import ApiHandler
from letta_ade.core.errors import AdeError, Forbidden
from tools.sandbox.port import ApiAnswer, ApiDoor, ApiRequest

_PATH = re.compile(r"/v1/(?P<noun>[a-z_-]+)(?:/(?P<id>[^/]+))?(?P<rest>(?:/[^/]+)*)/?")
#: Everybody may read them.
_OPEN = frozenset({"health", "models"})
_HOP_HEADERS = frozenset({"host", "connection", "transfer-encoding", "authorization", "cookie", "origin"})

_handler = ApiHandler("letta_ade.api")


def open_door(*, agent: Agent) -> ApiDoor:
    """The door for the calls of this agent's tools."""
    caller = Caller(
        workspace_id=agent.workspace_id, id=agent.id, name=agent.name, role="editor", kind="agent"
    )

    async def ask(request: ApiRequest) -> ApiAnswer:
        path, _, query = request.target.partition("?")
        path = unquote(path)
        try:
            await threads.run(_check, caller, request, path)
        except AdeError as error:
            return _answer(error)
        return await _pass_on(request, path, query, caller)

    return ask


def _check(caller: Caller, request: ApiRequest, path: str) -> None:
    """Raise Forbidden for what the client of a tool does not reach."""
    found = _PATH.fullmatch(path)
    if found is None or not {".", ".."}.isdisjoint(path.split("/")):
        raise Forbidden(f"A tool's client calls the API of this server; there is no {path!r}.")
    rest = found["rest"]
    if (found["noun"] == "tools" and found["id"] == "run") or re.fullmatch(r"/tools/[^/]+/run", rest):
        # The call that waits would keep a place from the call that it waits for.
        raise Forbidden("A tool cannot run tools.")
    if settings.TOOL_CLIENT_SCOPE == "workspace":
        return
    reach = _Reach(caller=caller, method=request.method.upper(), rest=rest, body=request.body)
    match found["noun"], found["id"]:
        case "agents", str(agent_id):
            reach.check_agent(agent_id)
        case "blocks", str(block_id):
            reach.check_block(block_id)
        case "conversations", str(conversation_id):
            reach.check_conversation(conversation_id)
        case noun, _ if noun in _OPEN and reach.method == "GET":
            return
        case _:
            raise _not_ours(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """What a request wants, to be held against the agent that makes it."""

    caller: Caller
    method: str
    rest: str
    body: bytes

    def check_agent(self, agent_id: str) -> None:
        if agent_id != self.caller.id:
            raise _not_ours(f"the agent {agent_id!r}")
        if self.method == "DELETE" and not self.rest:
            raise Forbidden("A tool cannot delete its own agent.")
        if "/attach" in self.rest:
            raise Forbidden(
                "A tool's client attaches nothing: it would reach what belongs to others. "
                "ADE_TOOL_CLIENT_SCOPE=workspace allows it."
            )
        taken = [key for key in _keys(self.body) if key.endswith("_ids")]
        if taken and not self.rest and self.method != "GET":
            raise Forbidden(f"A tool's client does not change {', '.join(sorted(taken))} of its agent.")

    def check_block(self, block_id: str) -> None:
        is_ours = Agent.objects.filter(
            id=self.caller.id, workspace_id=self.caller.workspace_id, block_links__block_id=block_id
        ).exists()
        if not is_ours:
            raise _not_ours(f"the block {block_id!r}")
        if self.method == "DELETE":
            raise Forbidden("A tool cannot delete a block: another agent may hold it.")
        if self.rest.startswith("/agents") or self.rest.startswith("/identities"):
            raise Forbidden("A tool's client does not look at the other holders of a block.")

    def check_conversation(self, conversation_id: str) -> None:
        if not Conversation.objects.filter(id=conversation_id, agent_id=self.caller.id).exists():
            raise _not_ours(f"the conversation {conversation_id!r}")


def _keys(body: bytes) -> list[str]:
    try:
        fields = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return []  # the API refuses it
    return [str(key) for key in fields] if isinstance(fields, dict) else []


def _not_ours(what: str) -> Forbidden:
    return Forbidden(
        f"The client of a tool reaches its own agent only, not {what}. ADE_TOOL_CLIENT_SCOPE=workspace widens it."
    )


async def _pass_on(request: ApiRequest, path: str, query: str, caller: Caller) -> ApiAnswer:
    headers = [
        (name.lower().encode("latin1", "replace"), value.encode("latin1", "replace"))
        for name, value in request.headers
        if name.lower() not in _HOP_HEADERS
    ]
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": request.method.upper(),
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin1", "replace"),
        "root_path": "",
        "headers": headers,
        "scheme": "http",
        "server": ("localhost", settings.PORT),
        "client": None,
        CALLER_IN_SCOPE: caller,
    }
    is_read = False
    status = 500
    told: list[tuple[bytes, bytes]] = []
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        nonlocal is_read
        if is_read:
            # A streamed answer is read to its end: who made the request is there until it has been answered.
            await asyncio.Event().wait()
        is_read = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, told
        if message["type"] == "http.response.start":
            status, told = message["status"], message["headers"]
        else:
            parts.append(message.get("body", b""))

    await _handler(scope, receive, send)
    return ApiAnswer(
        status=status,
        headers=tuple((name.decode("latin1"), value.decode("latin1")) for name, value in told),
        body=b"".join(parts),
    )


def _answer(error: AdeError) -> ApiAnswer:
    body = json.dumps({"detail": error.message}).encode()
    return ApiAnswer(status=error.status, headers=(("content-type", "application/json"),), body=body)
