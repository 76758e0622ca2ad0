"""The record of what was changed about providers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from letta_ade.accounts.auth import Caller
from letta_ade.llm.models import Provider, ProviderChange

#: Of which only is told that they were replaced.
_SECRET_FIELDS = ("api_key", "access_key")
_SHOWN_FIELDS = ("name", "base_url", "region", "api_version")


def add_change(
    *, caller: Caller, name: str, provider_id: str | None, act: str, details: Iterable[Mapping[str, Any]] = ()
) -> None:
    """Record one change, in the transaction that makes it."""
    ProviderChange.objects.create(
        workspace_id=caller.workspace_id,
        provider_name=name,
        provider_id=provider_id,
        act=act,
        details=list(details),
        actor_id=caller.id,
        actor_name=caller.name[:255],
    )


def facts_of(row: Provider) -> dict[str, Any]:
    """What may be shown of the provider, and the encrypted keys, to be compared and not to be kept."""
    shown = {name: getattr(row, name) for name in _SHOWN_FIELDS}
    return shown | {name: getattr(row, f"{name}_encrypted") for name in _SECRET_FIELDS}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What two `facts_of` differ in; of a key only that it differs."""
    return [
        {"field": name}
        if name in _SECRET_FIELDS
        else {"field": name, "before": before[name], "after": after[name]}
        for name in before
        if before[name] != after[name]
    ]


def list_changes(*, caller: Caller, provider_id: str | None = None, limit: int = 50) -> list[ProviderChange]:
    """What was changed in the workspace, or about one of its providers; the newest first."""
    caller.check("read")
    rows = ProviderChange.objects.filter(workspace_id=caller.workspace_id)
    if provider_id is not None:
        rows = rows.filter(provider_id=provider_id)
    return list(rows[:limit])
