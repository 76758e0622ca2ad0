"""The file of an agent, gathered from its rows: for the API and for the pages."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.utils import timezone

from agents.api.agent_states import states_for
from agents.api.schemas.written_agent_file import WrittenHistory, written_file
from agents.models import Agent, Conversation
from agents.services import agents
from agents.services.background_memory import background_of, partners_of
from agents.services.conversations import (
    find_conversation,
    get_default_conversation,
    history_of,
    message_ids_in,
)
from letta_ade.accounts.auth import Caller
from memory.models import Block

#: Of a name that becomes that of a file.
_MOST_CHARACTERS = 60


def agent_file(
    *, caller: Caller, agent_id: str, conversation_id: str | None = None, has_messages: bool = True
) -> dict[str, Any]:
    """The agent, those that keep its memory, and all that they need. Values of secrets are blank.

    With `conversation_id` that conversation takes the place of the default one, and there is no other. Raises NotFound.
    """
    agent = agents.get_agent_for(caller=caller, agent_id=agent_id)
    group = background_of(agent)
    partners = partners_of(group) if group is not None else []
    rows = [agent, *partners]
    include = {"blocks", "tools", "tags"} | ({"secrets"} if caller.can("edit") else set())
    histories: dict[str, Sequence[WrittenHistory]] = {}
    if has_messages:
        histories = {partner.id: _histories(caller, partner, None) for partner in partners}
        histories[agent.id] = _histories(caller, agent, conversation_id)
    return written_file(
        states_for(caller, rows, include=include),
        histories=histories,
        windows={each.id: each.context_window_limit for each in rows},
        policies=dict(Block.objects.filter(agents__in=rows).values_list("id", "policy")),
        groups=[(group, [partner.id for partner in partners])] if group is not None else [],
        now=timezone.now(),
    )


def download(file: dict[str, Any]) -> HttpResponse:
    """The answer with which a browser stores the file under the agent's name."""
    name = (
        re.sub(r"[^A-Za-z0-9._-]+", "-", file["agents"][0]["name"])[:_MOST_CHARACTERS].strip("-.") or "agent"
    )
    return HttpResponse(
        json.dumps(file, indent=2, ensure_ascii=False),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}.af"'},
    )


def _histories(caller: Caller, agent: Agent, conversation_id: str | None) -> Sequence[WrittenHistory]:
    """Of all conversations, the default one first; or of the one that is asked for."""
    if conversation_id is not None:
        return [
            _history(find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent.id))
        ]
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
