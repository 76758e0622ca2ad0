"""Providers that a workspace brings its own key for (BYOK).

Whoever may change one decides where this server sends requests. The address may be a private one: local models behind
`http://10.0.0.5:11434` are what people host this for. So only who may `manage` sets it, and a key never goes to another address
than the one for which it was entered.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.crypto import encrypt
from letta_ade.core.errors import Conflict, Invalid, NotFound
from letta_ade.core.pagination import PageRequest, paginate
from letta_ade.llm.environment import configured_providers
from letta_ade.llm.models import Provider
from letta_ade.llm.provider_profiles import PROVIDERS, ProviderProfile, find_profile
from letta_ade.llm.services.stored_providers import ask_provider, keep_answer

CHECK_SECONDS = 10.0
_NAME = re.compile(r"[^/\x00-\x1f\x7f]{1,100}")
_MOST_ADDRESS_CHARACTERS = 2048
_MOST_FACT_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDraft:
    """A provider that is to be made. Empty texts mean nothing."""

    name: str
    provider_type: str
    api_key: str | None = None
    access_key: str | None = None
    base_url: str | None = None
    region: str | None = None
    api_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChanges:
    """What is to be changed; None stays as it is, an empty text takes a field away (but not a key)."""

    api_key: str | None = None
    access_key: str | None = None
    base_url: str | None = None
    region: str | None = None
    api_version: str | None = None


def provider_types() -> list[ProviderProfile]:
    """What a provider can be, in the order of the model list."""
    return [profile for profile in PROVIDERS if profile.protocol != "demo"]


def get_provider_for(*, caller: Caller, provider_id: str) -> Provider:
    """The provider. Raises NotFound, also for one of another workspace, and for one that was deleted."""
    caller.check("read")
    row = _rows(caller).filter(id=provider_id).first()
    if row is None:
        raise NotFound("Provider not found")
    return row


def list_providers(
    *,
    caller: Caller,
    name: str | None = None,
    provider_type: str | None = None,
    page: PageRequest | None = None,
) -> list[Provider]:
    """A page of the workspace's providers, the newest first unless asked otherwise."""
    caller.check("read")
    rows = _rows(caller)
    if name is not None:
        rows = rows.filter(name=name)
    if provider_type is not None:
        rows = rows.filter(provider_type=provider_type)
    return paginate(rows, page or PageRequest(), among=_rows(caller))


def ids_of_providers(*, workspace_id: str, names: Collection[str]) -> dict[str, str]:
    """The ids of those of these providers that the workspace brought, by name; also of deleted ones, whose calls are history."""
    rows = Provider.objects.filter(workspace_id=workspace_id, name__in=names)
    return dict(rows.values_list("name", "id"))


def create_provider(*, caller: Caller, draft: ProviderDraft) -> Provider:
    """A new provider, or a deleted one of that name revived. Its models are listed when they are first asked for.

    Raises Invalid for a bad field or the name of one of the server's own providers, Conflict when the name is taken.
    """
    caller.check("manage")
    new = _new_row(caller, draft)
    own = {config.name for config in configured_providers(settings.LLM_ENVIRONMENT)}
    if new.name in own:
        raise Invalid(f"{new.name!r} is one of the server's own providers; choose another name.")
    with transaction.atomic():
        old = (
            Provider.objects.select_for_update()
            .filter(workspace_id=caller.workspace_id, name=new.name)
            .first()
        )
        if old is not None and old.deleted_at is None:
            raise Conflict(f"There is already a provider {new.name!r}.")
        if old is not None:
            # The same row, and nothing else of what it was.
            new.id, new.created_at = old.id, old.created_at
            old.models.all().delete()
        new.save(force_insert=old is None, force_update=old is not None)
    return new


def update_provider(*, caller: Caller, provider_id: str, changes: ProviderChanges) -> Provider:
    """The provider with the changes made; its models are listed anew when they are next asked for.

    Raises NotFound, or Invalid for a bad field, and for another address without the key that is to go there.
    """
    caller.check("manage")
    with transaction.atomic():
        row = get_provider_for(caller=caller, provider_id=provider_id)
        row = Provider.objects.select_for_update().get(id=row.id)
        before = row.base_url
        for field in fields(changes):
            value = getattr(changes, field.name)
            if value is not None:
                _set(row, field.name, value)
        if row.base_url != before and row.api_key_encrypted and not _clean(changes.api_key):
            raise Invalid(
                "The address is another one, so the key must be entered again: it would be sent there."
            )
        _check(row)
        row.last_asked = row.last_synced = row.last_error = None
        row.last_updated_by_id = caller.id
        row.save()
        row.models.all().delete()
    return row


def delete_provider(*, caller: Caller, provider_id: str) -> None:
    """The provider goes, its keys at once; agents that use its models cannot be run until they have another. Raises NotFound."""
    caller.check("manage")
    row = get_provider_for(caller=caller, provider_id=provider_id)
    with transaction.atomic():
        row.models.all().delete()
        row.deleted_at = timezone.now()
        row.api_key_encrypted = row.access_key_encrypted = None
        row.last_asked = row.last_synced = row.last_error = None
        row.last_updated_by_id = caller.id
        row.save()


def refresh_provider(*, caller: Caller, provider_id: str) -> Provider:
    """The provider, asked for its models now. What went wrong is raised (ModelError), and kept with the provider."""
    caller.check("edit")
    row = get_provider_for(caller=caller, provider_id=provider_id)
    answer = ask_provider(row, timeout_seconds=CHECK_SECONDS)
    keep_answer(row, answer)
    if isinstance(answer, Exception):
        raise answer
    return row


def check_draft(*, caller: Caller, draft: ProviderDraft) -> int:
    """How many models the provider would list; nothing is kept. Raises Invalid, or the ModelError that came of it."""
    caller.check("manage")
    answer = ask_provider(_new_row(caller, draft), timeout_seconds=CHECK_SECONDS)
    if isinstance(answer, Exception):
        raise answer
    return len(answer)


def _rows(caller: Caller) -> QuerySet[Provider]:
    return Provider.objects.filter(workspace_id=caller.workspace_id, deleted_at=None)


def _new_row(caller: Caller, draft: ProviderDraft) -> Provider:
    name = draft.name.strip()
    if not _NAME.fullmatch(name):
        raise Invalid("A provider needs a name of at most 100 characters, without '/'.")
    if find_profile(draft.provider_type) is None:
        known = ", ".join(profile.provider_type for profile in provider_types())
        raise Invalid(
            f"This server cannot speak to a provider of type {draft.provider_type!r}; it can to {known}."
        )
    row = Provider(
        workspace_id=caller.workspace_id,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
        name=name,
        provider_type=draft.provider_type,
    )
    for field in fields(ProviderChanges):
        _set(row, field.name, getattr(draft, field.name))
    _check(row)
    return row


def _set(row: Provider, name: str, value: str | None) -> None:
    clean = _clean(value)
    if name in ("api_key", "access_key"):
        if clean is not None:
            setattr(row, f"{name}_encrypted", encrypt(clean))
    else:
        setattr(row, name, clean)


def _clean(value: str | None) -> str | None:
    return (value or "").strip() or None


def _check(row: Provider) -> None:
    profile = find_profile(row.provider_type)
    assert profile is not None, "checked before"
    if row.base_url is not None:
        _check_address(row.base_url)
    elif profile.default_base_url is None:
        raise Invalid(f"{profile.display_name} needs a base_url, where its server is.")
    if profile.key_variable and not row.api_key_encrypted and row.base_url is None:
        raise Invalid(f"{profile.display_name} needs an api_key.")
    if profile.access_key_variable and not (row.access_key_encrypted and row.api_key_encrypted):
        raise Invalid(f"{profile.display_name} needs an access_key, and the secret key to it as api_key.")
    for name in ("region", "api_version"):
        if len(getattr(row, name) or "") > _MOST_FACT_CHARACTERS:
            raise Invalid(f"{name} has at most {_MOST_FACT_CHARACTERS} characters.")


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or len(url) > _MOST_ADDRESS_CHARACTERS or any(mark.isspace() for mark in url):
        raise Invalid(f"base_url must be an address such as http://localhost:8000/v1, not {url[:200]!r}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Invalid("base_url holds more than an address; a key belongs into api_key.")
