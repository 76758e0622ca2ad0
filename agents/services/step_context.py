"""The exact context of a step: the request that was stored when it was sent, by segments, and beside another step's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from agents.models import Agent, Compaction, Conversation, ProviderTrace, Step
from agents.services.agents import get_agent_for
from agents.services.request_segments import Segment, SegmentName, segments_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from letta_ade.llm.request_reading import SentRequest, read_request
from memory.diffs import DiffRow, diff_rows
from memory.models import BlockVersion
from memory.rendering import mask

#: Versions of the blocks of an agent among which the text in a request is looked for.
_MOST_VERSIONS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOrigin:
    """Which version of a block a request showed."""

    block_id: str
    version: int
    #: The newest version there is.
    current: int
    #: The version that this step wrote.
    written: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a model was sent."""

    step: Step
    agent: Agent
    conversation: Conversation
    request_text: str
    #: SHA-256 of what was sent, as it was written beside the request.
    sent_hash: str
    #: SHA-256 of the request as it is stored now.
    stored_hash: str
    request: SentRequest
    segments: tuple[Segment, ...]
    #: By label.
    origins: Mapping[str, BlockOrigin]

    @property
    def number(self) -> int:
        """The how manieth step of the conversation it is."""
        return self.step.place

    @property
    def is_identical(self) -> bool:
        return self.sent_hash == self.stored_hash

    @property
    def estimate(self) -> int:
        return sum(segment.tokens for segment in self.segments)

    @property
    def total(self) -> int:
        """Tokens of the request: the provider's count, or ours while it has none."""
        return self.step.prompt_tokens or self.estimate

    @property
    def is_counted(self) -> bool:
        return self.step.prompt_tokens > 0

    def share(self, tokens: int) -> int:
        """An estimate of this request, brought to the provider's count."""
        return round(tokens * self.total / self.estimate) if self.estimate else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentChange:
    """How a segment differs from that of an earlier step."""

    name: SegmentName
    tokens_before: int
    tokens_after: int
    #: Parts that are there in only one of the two, or differ.
    added: int
    removed: int
    rows: list[DiffRow]

    @property
    def tokens(self) -> int:
        return self.tokens_after - self.tokens_before


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextChange:
    """What came to a context, and what left it."""

    before: StepContext
    after: StepContext
    segments: tuple[SegmentChange, ...]
    #: Messages at the beginning that are the same in both, when nothing before them differs either: what a cache can hold.
    same_messages: int | None
    #: Between the two steps, oldest first; undone ones are left out.
    compactions: list[Compaction]

    @property
    def tokens(self) -> int:
        return self.after.total - self.before.total


def get_step_context(*, caller: Caller, agent_id: str, step_id: str) -> StepContext:
    """The request of a step of the agent. Raises NotFound, also when nothing was kept of it."""
    caller.check("read")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    step = Step.objects.filter(id=step_id, agent=agent).select_related("conversation").first()
    if step is None:
        raise NotFound(f"The agent has no step {step_id!r}.")
    traces = ProviderTrace.objects.filter(step=step, call_type="agent_step").order_by("-created_at", "-id")
    trace = traces.first()
    if trace is None:
        raise NotFound(f"Of the step {step_id!r} no request was kept.")
    request = read_request(json.loads(trace.request_text))
    segments = segments_of(request)
    return StepContext(
        step=step,
        agent=agent,
        conversation=step.conversation,
        request_text=trace.request_text,
        sent_hash=trace.request_hash,
        stored_hash=hashlib.sha256(trace.request_text.encode()).hexdigest(),
        request=request,
        segments=segments,
        origins=_origins(agent, step, segments),
    )


def neighbours(context: StepContext) -> tuple[Step | None, Step | None]:
    """The steps before and after it in the conversation."""
    steps, place = context.conversation.steps, context.step.place
    before = steps.filter(place__lt=place).order_by("-place").first()
    return before, steps.filter(place__gt=place).order_by("place").first()


def compare_contexts(before: StepContext, after: StepContext) -> ContextChange:
    """How the request of one step differs from that of another, which may be of another conversation of the agent."""
    pairs = list(zip(before.segments, after.segments, strict=True))
    messages = pairs[-1]
    has_same_head = all(old.text == new.text for old, new in pairs[:-1])
    return ContextChange(
        before=before,
        after=after,
        segments=tuple(_change(before, after, old, new) for old, new in pairs),
        same_messages=_same_head(*messages) if has_same_head else None,
        compactions=_compactions_between(before, after),
    )


def _change(before: StepContext, after: StepContext, old: Segment, new: Segment) -> SegmentChange:
    known, found = _texts(old), _texts(new)
    return SegmentChange(
        name=new.name,
        tokens_before=before.share(old.tokens),
        tokens_after=after.share(new.tokens),
        added=len([text for text in found if text not in set(known)]),
        removed=len([text for text in known if text not in set(found)]),
        rows=diff_rows(old.text, new.text) if old.text != new.text else [],
    )


def _texts(segment: Segment) -> Sequence[str]:
    return [f"{part.title}\n{part.text}" for part in segment.parts]


def _same_head(old: Segment, new: Segment) -> int:
    same = 0
    for known, found in zip(_texts(old), _texts(new), strict=False):
        if known != found:
            break
        same += 1
    return same


def _compactions_between(before: StepContext, after: StepContext) -> list[Compaction]:
    if before.conversation.id != after.conversation.id:
        return []
    rows = Compaction.objects.filter(
        conversation=after.conversation,
        undone_at=None,
        created_at__gte=before.step.started_at,
        created_at__lt=after.step.started_at,
    )
    return list(rows.order_by("created_at", "id"))


def compactions_around(
    context: StepContext, *, previous: Step | None, following: Step | None
) -> list[Compaction]:
    """The compactions that shaped this context and not that of the step before it, and those behind the last step; oldest first."""
    rows = Compaction.objects.filter(conversation=context.conversation)
    if previous is not None:
        rows = rows.filter(created_at__gte=previous.started_at)
    if following is not None:
        rows = rows.filter(created_at__lt=context.step.started_at)
    return list(rows.order_by("created_at", "id"))


def _origins(agent: Agent, step: Step, segments: Sequence[Segment]) -> dict[str, BlockOrigin]:
    """By label the version that the request shows, known by its text; two queries."""
    shown = {
        part.title: part.value
        for segment in segments
        if segment.name == "blocks"
        for part in segment.parts
        if part.value is not None
    }
    if not shown:
        return {}
    held = Q(block__agent_links__agent=agent) | Q(
        block__conversation_link__conversation_id=step.conversation_id
    )
    versions = list(
        BlockVersion.objects.filter(held, block__workspace_id=agent.workspace_id, label__in=list(shown))
        .select_related("block")
        .defer("block__value")
        .order_by("-number")[:_MOST_VERSIONS]
    )
    written = {version.block_id: version.number for version in versions if version.step_id == step.id}
    found: dict[str, BlockOrigin] = {}
    for version in versions:
        label, value = version.label, shown[version.label]
        is_it = version.value == value or mask(version.value, tuple(shown)) == value
        # Of several with these words the last that was there when the step began.
        if label in found or not is_it or version.created_at > step.started_at:
            continue
        found[label] = BlockOrigin(
            block_id=version.block_id,
            version=version.number,
            current=version.block.version,
            written=written.get(version.block_id),
        )
    return found


def measured_steps(conversation: Conversation, *, limit: int, until: Step | None = None) -> list[Step]:
    """The last steps of the conversation whose requests were counted, oldest first; `until` is the last that is wanted."""
    steps = Step.objects.filter(conversation=conversation, prompt_tokens__gt=0)
    if until is not None:
        steps = steps.filter(place__lte=until.place)
    wanted = steps.only("id", "place", "prompt_tokens", "completion_tokens", "started_at", "segments")
    return list(wanted.order_by("-place")[:limit])[::-1]


def pretty_request(request_text: str) -> str:
    """The request on several lines, to be read; what was sent is `request_text`."""
    value: Any = json.loads(request_text)
    return json.dumps(value, ensure_ascii=False, indent=2)
