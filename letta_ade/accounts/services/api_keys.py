"""API keys: made, shown once, checked, revoked."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from letta_ade.accounts.models import ApiKey, Role, User, Workspace
from letta_ade.accounts.services.workspaces import get_local_workspace
from letta_ade.core.errors import Invalid

#: How a key of ours begins; a bearer without it is somebody else's.
KEY_MARK = "sk-ade-"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey:
    row: ApiKey
    #: The key itself; this is the only moment at which it is known.
    secret: str


def create_api_key(
    *,
    name: str,
    user: User | None = None,
    role: str = Role.EDITOR,
    workspace: Workspace | None = None,
    expires_at: datetime | None = None,
) -> CreatedApiKey:
    """A new key. Raises Invalid for an empty name or an unknown role."""
    if not name.strip():
        raise Invalid("An API key needs a name.")
    if role not in Role.values:
        raise Invalid(f"Role must be one of {', '.join(Role.values)}, not {role!r}.")
    secret = KEY_MARK + secrets.token_urlsafe(32)
    row = ApiKey.objects.create(
        workspace=workspace or get_local_workspace(),
        user=user,
        name=name.strip(),
        role=role,
        prefix=secret[: len(KEY_MARK) + 6],
        secret_hash=hash_secret(secret),
        expires_at=expires_at,
    )
    return CreatedApiKey(row=row, secret=secret)


def find_api_key(secret: str) -> ApiKey | None:
    """The key that is valid now, or None."""
    row = ApiKey.objects.filter(secret_hash=hash_secret(secret), revoked_at=None).first()
    if row is None or (row.expires_at is not None and row.expires_at <= timezone.now()):
        return None
    return row


def revoke_api_key(*, key: ApiKey) -> None:
    """The key stops working at once; doing it again changes nothing."""
    ApiKey.objects.filter(id=key.id, revoked_at=None).update(revoked_at=timezone.now())


def hash_secret(secret: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()
