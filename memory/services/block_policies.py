"""Who may write to a block: read, set by people, and asked by everything that writes."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Forbidden
from memory.models import Block, BlockPolicyChange
from memory.policies import (
    AGENTS,
    API_KEYS,
    BACKGROUND_AGENTS,
    MEMBERS,
    Actor,
    Policy,
    check_rules,
    policy_for,
)
from memory.services.block_checks import BlockReadOnly
from memory.services.block_writes import lock_block, tell_changed


def policy_of(block: Block, caller: Caller) -> Policy:
    """What becomes of a write of this caller. The server itself is always free."""
    match caller.kind:
        case "system":
            return "free"
        case "agent":
            kind = BACKGROUND_AGENTS if caller.is_background else AGENTS
        case "api_key":
            kind = API_KEYS
        case _:
            kind = MEMBERS
    actor = Actor(kind=kind, id=caller.id)
    return policy_for(block.policy, actor, is_read_only=block.read_only)


def must_propose(block: Block, caller: Caller) -> bool:
    """Whether a write of this caller waits for approval. Raises BlockReadOnly when it may not write at all."""
    policy = policy_of(block, caller)
    if policy == "read_only":
        raise BlockReadOnly(f"The block {block.label!r} is read-only: you can read it, but not change it.")
    return policy == "propose"


def check_is_free(block: Block, caller: Caller, what: str) -> None:
    """Raise for `what`, which cannot wait for approval, unless the caller may write. BlockReadOnly, or Forbidden."""
    if must_propose(block, caller):
        raise Forbidden(
            f"Your changes of block {block.label!r} wait for the approval of a person, and {what} cannot wait: ask a person to do it."
        )


def check_may_decide(block: Block, caller: Caller) -> None:
    """Raise Forbidden for whoever may not approve or reject, nor set the rules.

    People who may edit can. An agent cannot, and neither can a key whose own writes are not free: it would let itself in.
    """
    caller.check("edit")
    if caller.kind == "agent":
        raise Forbidden("An agent cannot decide about edits of memory.")
    if caller.kind == "api_key" and policy_of(block, caller) != "free":
        raise Forbidden(
            f"This key may not write to block {block.label!r} freely, so it cannot decide either."
        )


def set_policy(*, caller: Caller, block_id: str, rules: Mapping[str, object]) -> Block:
    """The block with these rules instead of all it had; the same ones again write nothing.

    Proposals that wait go on waiting. Raises NotFound, Forbidden, or Unprocessable for a rule that cannot be.
    """
    caller.check("edit")
    checked = check_rules(rules)
    with transaction.atomic():
        block = lock_block(caller, block_id)
        check_may_decide(block, caller)
        if block.policy == checked:
            return block
        block.policy = checked
        block.save(update_fields=["policy", "updated_at"])
        BlockPolicyChange.objects.create(
            block=block,
            rules=checked,
            actor_kind=caller.kind,
            actor_id=caller.id,
            actor_name=caller.name[:255],
        )
    tell_changed(block)
    return block


def change_policy(*, caller: Caller, block_id: str, rules: Mapping[str, object]) -> Block:
    """The block with these rules changed, those of null removed and the others as they were. Raises as `set_policy`."""
    with transaction.atomic():
        block = lock_block(caller, block_id)
        wanted = {name: value for name, value in {**block.policy, **rules}.items() if value is not None}
        return set_policy(caller=caller, block_id=block_id, rules=wanted)


def list_policy_changes(block: Block) -> QuerySet[BlockPolicyChange]:
    """Who set the rules, newest first."""
    return BlockPolicyChange.objects.filter(block=block).order_by("-created_at", "-id")
