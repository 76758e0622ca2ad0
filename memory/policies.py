"""Who may write to a block: rules by kind of actor and for single agents, and what they come to for one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from letta_ade.core.errors import Unprocessable
from letta_ade.core.ids import is_id

#: free: writes are made; propose: each waits for a person's approval; read_only: they are refused.
Policy = Literal["free", "propose", "read_only"]
#: Rules, by what they are for: a kind of actor, "default" for whoever has no other, or an agent's id.
Rules = Mapping[str, Policy]

POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)
DEFAULT: Final = "default"
AGENTS: Final = "agents"
BACKGROUND_AGENTS: Final = "background_agents"
API_KEYS: Final = "api_keys"
MEMBERS: Final = "members"
KINDS: Final = (DEFAULT, AGENTS, BACKGROUND_AGENTS, API_KEYS, MEMBERS)

#: A block that more agents than these need rules for wants a rule for all of them.
_MOST_RULES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Whoever writes: the kind of rule that is looked at first, and the id."""

    kind: str
    id: str


def policy_for(rules: Rules, actor: Actor, *, is_read_only: bool) -> Policy:
    """What the rules come to for the actor. The most exact rule counts: the agent's own, its kind's, the default.

    A background agent without a rule for its kind has that of the agents. `is_read_only` is the block's switch of that name: it
    stops every agent, whatever the rules say.
    """
    is_agent = actor.kind in (AGENTS, BACKGROUND_AGENTS)
    if is_read_only and is_agent:
        return "read_only"
    names = [actor.kind, DEFAULT]
    if is_agent:
        names = [actor.id, actor.kind, AGENTS, DEFAULT]
    return next((rules[name] for name in names if name in rules), "free")


def check_rules(rules: Mapping[str, object]) -> dict[str, Policy]:
    """The rules in the order of `KINDS`, those of single agents after them. Raises Unprocessable, naming what is wrong."""
    if len(rules) > _MOST_RULES:
        raise Unprocessable(f"A block has at most {_MOST_RULES} rules, not {len(rules)}.")
    checked: dict[str, Policy] = {}
    for name, value in rules.items():
        if name not in KINDS and not is_id("agent", name):
            raise Unprocessable(
                f"A rule is for one of {', '.join(KINDS)} or for the id of an agent, not for {name[:80]!r}."
            )
        policy = next((each for each in POLICIES if each == value), None)
        if policy is None:
            raise Unprocessable(
                f"The policy for {name} is one of {', '.join(POLICIES)}, not {str(value)[:80]!r}."
            )
        checked[name] = policy
    return dict(sorted(checked.items(), key=lambda rule: (_place(rule[0]), rule[0])))


def _place(name: str) -> int:
    return KINDS.index(name) if name in KINDS else len(KINDS)
