"""Words found in what was said in one conversation, for the search above its transcript."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from agents.models import Message
from agents.models.message import MessageRole
from agents.services.conversations import DEFAULT, history_of
from agents.web.workbench_page import open_bench
from letta_ade.accounts.pages import PageRequest
from memory.texts import searchable

#: Ids that are given at once; all matches are counted.
MOST_HITS = 1000
#: The system message that a conversation begins with is not in its transcript; those that somebody sent are.
_SAID = Q(role__in=(MessageRole.USER, MessageRole.ASSISTANT)) | Q(role=MessageRole.SYSTEM, run__isnull=False)


@require_GET
def search_transcript(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """The ids of the messages that hold the text `find` in any case, oldest first, and how many there are."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    text = searchable(request.GET.get("find", ""))
    found = Message.objects.none()
    if text:
        found = history_of(bench.conversation).filter(_SAID, text__icontains=text)
    newest = list(found.order_by("-created_at", "-id").values_list("id", flat=True)[: MOST_HITS + 1])
    total = len(newest) if len(newest) <= MOST_HITS else found.count()
    return JsonResponse({"total": total, "ids": newest[:MOST_HITS][::-1]})
