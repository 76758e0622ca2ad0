"""When the background of an agent works: turns are counted as they end, and every n-th one hands it what was said.

Both happen in the transaction that ends the turn, so that no turn is lost or counted twice; but in a savepoint, for whatever goes
wrong there must not touch the turn.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import DatabaseError, transaction
from django.utils import timezone

from agents.models import Agent, Conversation, Group, Message, Run
from agents.models.group import ManagerType
from agents.models.message import MessageRole
from agents.models.run import RunStatus
from agents.runtime.ports import RunEnd
from agents.services import leases
from agents.services.background_memory import partners_of
from agents.services.background_transcript import read_transcript
from agents.services.context import text_content
from agents.services.conversations import get_default_conversation
from agents.services.run_ends import AFTER_RUN, BACKGROUND_RUN_TYPE
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.accounts.auth import Caller
from letta_ade.core.database import is_away
from letta_ade.core.errors import AdeError
from letta_ade.core.ids import new_id, new_otid
from letta_ade.core.nudges import agent_group, nudge, workspace_group
from letta_ade.llm.messages import TextPart

logger = logging.getLogger(__name__)

_INSTRUCTIONS = """\
Below is what was said in the conversation whose memory you keep, since you last looked. Read it and bring the memory blocks up to \
date: add what is new and worth keeping, correct what has changed, remove what no longer holds. Other agents may have edited the \
blocks meanwhile; build on what they say now. If an edit fails because the text is not there any more, somebody else has changed it: \
leave it, or write what is missing as a new line. When you are done, call memory_finish_edits.

"""
#: For each token of the window of whoever reads it: where a token is one character, half of the window stays free.
_CHARACTERS_PER_TOKEN = 0.5


def count_turn(agent: Agent, run_id: str, end: RunEnd) -> list[str]:
    """Count a turn of the agent that ends well, and start its background when it is due; the ids of the runs that were started.

    Called in the transaction that ends the run. A turn that waits for an answer has not ended.
    """
    if (
        not agent.enable_sleeptime
        or end.status != RunStatus.COMPLETED
        or end.stop_reason == "requires_approval"
    ):
        return []
    try:
        with transaction.atomic():
            return _count(agent, run_id)
    except (AdeError, DatabaseError) as error:
        if is_away(error):
            raise  # nothing of this turn could be stored either: it is written again
        logger.exception("the background memory of agent %s could not be started", agent.id)
        return []


def _count(agent: Agent, run_id: str) -> list[str]:
    group = (
        Group.objects.select_for_update(of=("self",))
        .filter(manager_agent=agent, manager_type=ManagerType.SLEEPTIME)
        .first()
    )
    if group is None:
        return []
    group.turns_counter += 1
    is_turn = group.turns_counter % (group.sleeptime_agent_frequency or 1) == 0
    run_ids = _start(group, after=run_id) if is_turn or group.is_due else []
    group.save()
    return run_ids


def go_on(run_id: str) -> list[str]:
    """What follows from the end of a background run: the next one, if a turn was due meanwhile; the ids of the runs started.

    The transcript of a run that failed is handed over again with the next turn that is due. For the job; safe to call twice.
    """
    with transaction.atomic():
        group = Group.objects.select_for_update(of=("self",)).filter(last_run_ids__contains=[run_id]).first()
        if group is None:
            return []
        statuses = set(Run.objects.filter(id__in=group.last_run_ids).values_list("status", flat=True))
        if not statuses.isdisjoint({RunStatus.CREATED, RunStatus.RUNNING}):
            return []  # another one of them ends later, and comes here
        run_ids: list[str] = []
        if statuses <= {RunStatus.FAILED, RunStatus.CANCELLED}:
            # At once it would most likely fail again.
            group.processed, group.last_run_ids = group.processed_before, []
        elif group.is_due:
            run_ids = _start(group, after=None)
        group.save()
    return run_ids


def _start(group: Group, *, after: str | None) -> list[str]:
    """Queue a run of each background agent with what was said since the last one; marks the group when that cannot be now."""
    partners = partners_of(group)
    transcript = read_transcript(group, most_characters=_room(partners)) if partners else None
    group.is_due = False
    if transcript is None:
        return []
    conversations = [get_default_conversation(partner) for partner in partners]
    run_ids = []
    try:
        with transaction.atomic():
            if any(map(_waits_for_answer, conversations)):
                raise leases.RunBusy("A call of the background agent waits for an answer.")
            for partner, conversation in zip(partners, conversations, strict=True):
                run_ids.append(_queue(group, partner, conversation, transcript.text, after=after))
    except leases.RunBusy:
        # What was said stays unread and goes with the next run, which the end of this one starts.
        group.is_due = True
        return []
    group.processed_before = group.processed
    group.processed = transcript.processed
    group.last_processed_message_id = transcript.last_message_id
    group.last_run_ids = run_ids
    group.is_due = not transcript.is_all
    return run_ids


def _waits_for_answer(conversation: Conversation) -> bool:
    last = conversation.entries.select_related("message").order_by("-position").first()
    return last is not None and last.message.role == MessageRole.APPROVAL and bool(last.message.tool_calls)


def _room(partners: Sequence[Agent]) -> int:
    return int(min(each.context_window_limit for each in partners) * _CHARACTERS_PER_TOKEN)


def _queue(
    group: Group, partner: Agent, conversation: Conversation, transcript: str, *, after: str | None
) -> str:
    """Raises RunBusy while another run of this agent goes on."""
    manager = group.manager_agent
    caller = Caller(
        workspace_id=manager.workspace_id, id=manager.id, name=manager.name, role="editor", kind="agent"
    )
    words = _INSTRUCTIONS + transcript
    said = InputMessage(role="user", content=(TextPart(text=words),), sender_id=manager.id, group_id=group.id)
    request = RunRequest(agent_id=partner.id, messages=(said,), background=True, run_type=BACKGROUND_RUN_TYPE)
    run = Run(
        workspace_id=partner.workspace_id,
        agent=partner,
        conversation=conversation,
        status=RunStatus.CREATED,
        background=True,
        metadata={
            "run_type": BACKGROUND_RUN_TYPE,
            "model": conversation.model or partner.model,
            "group_id": group.id,
            AFTER_RUN: after,
        },
        created_by_id=manager.id,
        last_updated_by_id=manager.id,
    )
    row = _input_row(run, words, said, timezone.now())
    run.request = {**request.to_data(caller), "inputs": [row.to_data()]}
    leases.enqueue(leases.start_run_row(run, owner=leases.QUEUE).run_id)
    for name in (agent_group(partner.id), workspace_group(partner.workspace_id)):
        nudge(name, "run_started", run_id=run.id, agent_id=partner.id, conversation_id=run.conversation_id)
    return run.id


def _input_row(run: Run, words: str, said: InputMessage, now: datetime) -> Message:
    return Message(
        id=new_id("message"),
        workspace_id=run.workspace_id,
        agent_id=run.agent_id,
        conversation_id=run.conversation_id,
        run_id=run.id,
        role=said.role,
        content=text_content(words),
        otid=new_otid(),
        sender_id=said.sender_id,
        group_id=said.group_id,
        created_at=now,
        created_by_id=run.created_by_id,
    )
