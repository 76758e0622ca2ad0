"""Public ids: `{prefix}-{uuid4}`, made only here."""

from __future__ import annotations

import re
import uuid
from typing import Final

#: Prefixes as the SDK knows them (spec/objects.md §0). A folder is a `source`, a workspace an `org`.
PREFIXES: Final = {
    "agent": "agent",
    "agent_version": "agent_version",
    "api_key": "key",
    "archive": "archive",
    "block": "block",
    "block_checkpoint": "block_checkpoint",
    "block_policy": "block_policy",
    "block_version": "block_hist",
    "compaction": "compaction",
    "conversation": "conv",
    "group": "group",
    "member": "member",
    "message": "message",
    "passage": "passage",
    "proposal": "proposal",
    "provider": "provider",
    "provider_model": "model",
    "provider_trace": "provider_trace",
    "run": "run",
    "step": "step",
    "tool": "tool",
    "tool_version": "tool_version",
    "user": "user",
    "workspace": "org",
}

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

#: Longest prefix, the dash and a UUID, with room to grow.
MAX_ID_LENGTH: Final = 64

#: The tenant and the person of a server in trusted local mode, as V1 named them.
LOCAL_WORKSPACE_ID: Final = "org-00000000-0000-4000-8000-000000000000"
LOCAL_USER_ID: Final = "user-00000000-0000-4000-8000-000000000000"


def new_id(kind: str) -> str:
    """A fresh public id for a kind of `PREFIXES`."""
    return f"{PREFIXES[kind]}-{uuid.uuid4()}"


def id_pattern(kind: str) -> str:
    """The regular expression that an id of this kind matches in a path."""
    return rf"^{PREFIXES[kind]}-{_UUID4}$"


def is_id(kind: str, value: str) -> bool:
    """Whether `value` is a well-formed id of this kind."""
    return re.match(id_pattern(kind), value) is not None


def uuid_of(public_id: str) -> uuid.UUID:
    """The UUID behind the prefix."""
    return uuid.UUID(public_id[-36:])


def otid_at(message_id: str, index: int) -> str:
    """The `otid` of the index-th wire message of a stored message.

    The message's UUID with its last 7 bits replaced (spec/streaming.md §5), so that a stream and a later list agree.
    """
    return str(uuid.UUID(int=(uuid_of(message_id).int & ~0x7F) | (index & 0x7F)))


def new_assistant_message_id() -> str:
    """An id whose last 7 bits are 0, so that the otid of the first wire message is its own UUID (docs/decisions/0001)."""
    return f"{PREFIXES['message']}-{uuid.UUID(int=uuid.uuid4().int & ~0x7F)}"


def message_id_before(message_id: str) -> str:
    """The id of the approval request that belongs to an assistant message: its UUID minus one."""
    return f"{PREFIXES['message']}-{uuid.UUID(int=uuid_of(message_id).int - 1)}"


def new_otid() -> str:
    """A fresh `otid` for a message whose sender gave none."""
    return str(uuid.uuid4())
