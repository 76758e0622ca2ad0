"""What the palette finds: pages and acts by their names, rows of the workspace by name, id or word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.search import SearchQuery
from django.db.models import Count, Min, Q, QuerySet
from django.urls import reverse

from agents.models import Agent, AgentBlock, Conversation, Message, Run, Step
from agents.web.conversation_rows import address_of
from letta_ade.accounts.auth import Caller
from memory.models import Block, BlockProposal
from memory.texts import searchable
from tools.models import Tool

#: Rows of each kind.
MOST_OF_A_KIND = 5
#: Longer texts are cut: nobody types more, and pasted ones would make the search slow.
MOST_CHARACTERS = 200
#: From here on message texts are searched: a single letter begins a tenth of all words.
_LEAST_OF_A_WORD = 2
_EXCERPT_CHARACTERS = 110
_ID = re.compile(
    r"#?(?P<id>(?P<kind>agent|conv|block|proposal|tool|run|step|message)-[0-9a-f-]*[0-9a-f][0-9a-f-]*)", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One row of the palette. Without an address it is an act of the page's script, named by `act`."""

    icon: str
    title: str
    address: str = ""
    act: str = ""
    detail: str = ""
    at: datetime | None = None
    keys: str = ""
    is_mono: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HitGroup:
    name: str
    hits: tuple[Hit, ...]


def find(*, caller: Caller, text: str) -> list[HitGroup]:
    """What fits the text, by kind; nothing typed shows where one was last, and the commands.

    `>` asks for commands only; an id, or its beginning of at least one digit (with or without `#`), for that row. Raises Forbidden.
    """
    caller.check("read")
    text = searchable(text).strip()[:MOST_CHARACTERS]
    if text.startswith(">"):
        return _groups([("Commands", _commands(caller, text[1:].strip()))])
    if match := _ID.fullmatch(text):
        return _groups(_by_id(caller, match["kind"].lower(), match["id"].lower()))
    if not text:
        return _groups([("Last used", _last_used(caller)), ("Commands", _commands(caller, ""))])
    return _groups(
        [
            ("Agents", _agents(caller, text)),
            ("Blocks", _blocks(caller, text)),
            ("Tools", _tools(caller, text)),
            ("Conversations", _conversations(caller, text)),
            ("Messages", _messages(caller, text)),
            ("Commands", _commands(caller, text)),
        ]
    )


def _groups(named: Sequence[tuple[str, Iterator[Hit]]]) -> list[HitGroup]:
    found = [HitGroup(name=name, hits=tuple(hits)) for name, hits in named]
    return [group for group in found if group.hits]


def _commands(caller: Caller, text: str) -> Iterator[Hit]:
    words = text.lower().split()
    for hit, action in _all_commands():
        if (action is None or caller.can(action)) and all(word in hit.title.lower() for word in words):
            yield hit


def _all_commands() -> Iterator[tuple[Hit, Any]]:
    """Each with the permission that it needs."""
    yield Hit(icon="plus", title="New agent", address=reverse("agents:create")), "edit"
    yield Hit(icon="plus", title="New block", address=reverse("blocks:create")), "edit"
    yield Hit(icon="home", title="Go to home", address=reverse("web:home"), keys="g h"), None
    yield Hit(icon="inbox", title="Go to inbox", address=reverse("inbox:list"), keys="g i"), None
    yield Hit(icon="robot", title="Go to agents", address=reverse("agents:list"), keys="g a"), None
    yield Hit(icon="stack-2", title="Go to blocks", address=reverse("blocks:list"), keys="g b"), None
    yield Hit(icon="tool", title="Go to tools", address=reverse("tools:list"), keys="g t"), None
    yield Hit(icon="activity", title="Go to runs", address=reverse("runs:list"), keys="g r"), None
    yield Hit(icon="settings", title="Go to settings", address=reverse("settings:index"), keys="g s"), None
    yield Hit(icon="server", title="Model providers", address=reverse("settings:providers")), None
    yield Hit(icon="key", title="API keys", address=reverse("settings:keys")), None
    yield Hit(icon="user", title="Account and password", address=reverse("settings:account")), None
    yield Hit(icon="sun-moon", title="Change theme, light or dark", act="theme"), None
    yield Hit(icon="keyboard", title="Keys: what they do, on or off", act="keys", keys="?"), None


def _last_used(caller: Caller) -> Iterator[Hit]:
    latest = (
        Run.objects.filter(workspace_id=caller.workspace_id)
        .order_by("-created_at", "-id")
        .values_list("agent_id", flat=True)[:100]
    )
    ids = list(dict.fromkeys(latest))[:MOST_OF_A_KIND]
    agents = _visible(Agent, caller).in_bulk(ids)
    yield from (_agent(agents[each]) for each in ids if each in agents)
    blocks = _visible(Block, caller).order_by("-updated_at", "-id")[: MOST_OF_A_KIND - 2]
    yield from (_block(block) for block in _with_holders(blocks))


def _visible(model: Any, caller: Caller) -> QuerySet[Any]:
    rows: QuerySet[Any] = model.objects.filter(workspace_id=caller.workspace_id)
    return rows.exclude(hidden=True)


def _agents(caller: Caller, text: str) -> Iterator[Hit]:
    rows = _visible(Agent, caller).filter(Q(name__icontains=text) | Q(tags__contains=[text]))
    yield from (_agent(agent) for agent in _best(rows, "name", text))


def _blocks(caller: Caller, text: str) -> Iterator[Hit]:
    rows = _visible(Block, caller).filter(
        Q(label__icontains=text) | Q(description__icontains=text) | Q(tags__contains=[text])
    )
    yield from (_block(block) for block in _with_holders(_best(rows, "label", text)))


def _tools(caller: Caller, text: str) -> Iterator[Hit]:
    rows = Tool.objects.filter(workspace_id=caller.workspace_id).filter(
        Q(name__icontains=text) | Q(description__icontains=text)
    )
    yield from (_tool(tool) for tool in _best(rows, "name", text))


def _conversations(caller: Caller, text: str) -> Iterator[Hit]:
    rows = Conversation.objects.filter(
        workspace_id=caller.workspace_id, deleted_at=None, summary__icontains=text
    ).select_related("agent")
    newest = rows.order_by("-created_at", "-id")[:MOST_OF_A_KIND]
    yield from (_conversation(conversation) for conversation in newest)


def _messages(caller: Caller, text: str) -> Iterator[Hit]:
    """What was said, the newest first; the last word may be unfinished."""
    words = [word for word in re.findall(r"\w+", text) if len(word) >= _LEAST_OF_A_WORD]
    if not words:
        return
    query = " & ".join(f"'{word}'" for word in words[:-1]) + (" & " if words[1:] else "") + f"'{words[-1]}':*"
    rows = Message.objects.filter(
        workspace_id=caller.workspace_id,
        is_err=False,
        role__in=("user", "assistant"),
        search=SearchQuery(query, config="english", search_type="raw"),
    )
    newest = rows.select_related("agent", "conversation").order_by("-created_at", "-id")
    for message in newest.defer("content", "search")[:MOST_OF_A_KIND]:
        yield _message(message, words)


def _best(rows: QuerySet[Any], field: str, text: str) -> list[Any]:
    """Those whose name begins with the text come first, then the newest."""
    begins = Q(**{f"{field}__istartswith": text})
    return list(rows.annotate(begins=begins).order_by("-begins", "-created_at", "-id")[:MOST_OF_A_KIND])


def _by_id(caller: Caller, kind: str, beginning: str) -> list[tuple[str, Iterator[Hit]]]:
    name, model, hit, related = _KINDS[kind]
    rows = model.objects.filter(workspace_id=caller.workspace_id, id__startswith=beginning)
    found = rows.select_related(*related).order_by("id")[:MOST_OF_A_KIND]
    return [(name, (hit(row) for row in (_with_holders(found) if model is Block else found)))]


def _agent(agent: Agent) -> Hit:
    return Hit(
        icon="robot", title=agent.name, detail=agent.model, address=reverse("agents:detail", args=[agent.id])
    )


def _with_holders(blocks: Iterable[Block]) -> Iterator[tuple[Block, str]]:
    """Each block with who holds it: many are called `human`, and only that tells them apart."""
    found = list(blocks)
    held = AgentBlock.objects.filter(block__in=found).values("block_id")
    holders = {
        row["block_id"]: row["name"] if row["n"] == 1 else f"{row['n']} agents"
        for row in held.annotate(n=Count("id"), name=Min("agent__name")).order_by()
    }
    return ((block, holders.get(block.id, "no agent")) for block in found)


def _block(block_and_holders: tuple[Block, str]) -> Hit:
    block, holders = block_and_holders
    detail = ", ".join([holders, f"v{block.version}", *([block.description] if block.description else [])])
    return Hit(
        icon="stack-2",
        title=block.label,
        detail=detail,
        at=block.updated_at,
        is_mono=True,
        address=reverse("blocks:detail", args=[block.id]),
    )


def _proposal(proposal: BlockProposal) -> Hit:
    return Hit(
        icon="git-pull-request",
        title=proposal.label,
        detail=f"{proposal.actor_name}, {proposal.get_state_display().lower()}",
        at=proposal.created_at,
        is_mono=True,
        address=reverse("proposals:detail", args=[proposal.id]),
    )


def _tool(tool: Tool) -> Hit:
    return Hit(
        icon="tool",
        title=tool.name,
        detail=" ".join((tool.description or "").split()),
        is_mono=True,
        address=reverse("tools:detail", args=[tool.id]),
    )


def _conversation(conversation: Conversation) -> Hit:
    return Hit(
        icon="messages",
        title=conversation.summary
        or ("Default conversation" if conversation.is_default else conversation.id),
        detail=conversation.agent.name,
        at=conversation.last_message_at or conversation.created_at,
        address=address_of(conversation),
    )


def _run(run: Run) -> Hit:
    return Hit(
        icon="activity",
        title=run.id,
        detail=f"{run.agent.name}, {run.status}",
        at=run.created_at,
        is_mono=True,
        address=reverse("runs:detail", args=[run.id]),
    )


def _step(step: Step) -> Hit:
    return Hit(
        icon="code",
        title=step.id,
        detail=f"{step.agent.name}, the request of the step",
        at=step.created_at,
        is_mono=True,
        address=reverse("agents:step_context", args=[step.agent_id, step.id]),
    )


def _message(message: Message, words: Sequence[str] = ()) -> Hit:
    return Hit(
        icon="message",
        title=excerpt(message.text, words) or message.role,
        detail=message.agent.name,
        at=message.created_at,
        address=f"{address_of(message.conversation)}#{message.id}",
    )


def excerpt(text: str, words: Sequence[str]) -> str:
    """The part of a text around the first of these words, on one line."""
    line = " ".join(text.split())
    places = [place for word in words if (place := line.lower().find(word.lower())) >= 0]
    start = max(0, min(places, default=0) - _EXCERPT_CHARACTERS // 3)
    part = line[start : start + _EXCERPT_CHARACTERS]
    return f"{'…' if start else ''}{part}{'…' if start + len(part) < len(line) else ''}"


#: By the kind that an id begins with: the name of the group, the rows, how one is shown, what that needs besides.
_KINDS: dict[str, tuple[str, Any, Callable[..., Hit], tuple[str, ...]]] = {
    "agent": ("Agents", Agent, _agent, ()),
    "conv": ("Conversations", Conversation, _conversation, ("agent",)),
    "block": ("Blocks", Block, _block, ()),
    "proposal": ("Proposals", BlockProposal, _proposal, ()),
    "tool": ("Tools", Tool, _tool, ()),
    "run": ("Runs", Run, _run, ("agent",)),
    "step": ("Steps", Step, _step, ("agent",)),
    "message": ("Messages", Message, _message, ("agent", "conversation")),
}
