"""The card above the composer: the calls that wait, each with its arguments one by one, and what is said about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from agents.models import Conversation
from agents.services.waiting import Waiting, WaitingCall, load_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a call. `is_text`: words, and not JSON."""

    name: str
    value: str
    is_text: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCall:
    """A call in the form; its fields are numbered by `place`."""

    place: int
    id: str
    name: str
    is_client: bool
    arguments: tuple[Argument, ...]
    #: The arguments as they came, when they are no JSON object.
    raw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCard:
    """What a person reads before an answer."""

    request_id: str
    step_id: str | None
    since: datetime
    #: When it is closed without an answer; None: never.
    expires_at: datetime | None
    calls: tuple[CardCall, ...]
    put_off: tuple[str, ...]

    @property
    def only(self) -> CardCall | None:
        """The call, when there is one only."""
        return self.calls[0] if len(self.calls) == 1 else None

    @property
    def has_approvals(self) -> bool:
        return any(not call.is_client for call in self.calls)

    @property
    def has_clients(self) -> bool:
        return any(call.is_client for call in self.calls)


def load_card(conversation: Conversation) -> WaitingCard | None:
    """The card of the conversation; None when nothing waits."""
    waiting = load_waiting(conversation)
    return None if waiting is None else card_of(waiting)


def card_of(waiting: Waiting) -> WaitingCard:
    """The card of a request."""
    return WaitingCard(
        request_id=waiting.request_id,
        step_id=waiting.step_id,
        since=waiting.since,
        expires_at=waiting.expires_at,
        calls=tuple(_card_call(place, call) for place, call in enumerate(waiting.calls)),
        put_off=waiting.put_off,
    )


def _card_call(place: int, call: WaitingCall) -> CardCall:
    try:
        data = json.loads(call.arguments or "{}")
    except ValueError:
        data = None
    arguments = (
        tuple(
            Argument(
                name=name,
                value=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2),
                is_text=isinstance(value, str),
            )
            for name, value in data.items()
        )
        if isinstance(data, dict)
        else ()
    )
    return CardCall(
        place=place,
        id=call.id,
        name=call.name,
        is_client=call.is_client,
        arguments=arguments,
        raw="" if isinstance(data, dict) else call.arguments,
    )
