"""Providers that a workspace brings its own key for (BYOK).

Whoever may change one decides where this server sends requests. The address may be a private one: local models behind
`http://10.0.0.5:11434` are what people host this for. So only who may `manage` sets it, and a key never goes to another address
than the one for which it was entered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.crypto import encrypt
from letta_ade.core.errors import Conflict, Invalid, NotFound
from letta_ade.core.pagination import PageRequest, paginate
from letta_ade.llm.checks import Outcome
from letta_ade.llm.environment import configured_providers, split_handle
from letta_ade.llm.models import HiddenModel, Provider, ProviderAct
from letta_ade.llm.provider_profiles import PROVIDERS, ProviderProfile, find_profile
from letta_ade.llm.services.provider_changes import add_change, differences, facts_of
from letta_ade.llm.services.stored_providers import ask_provider, keep_answer

CHECK_SECONDS = 10.0
_NAME = re.compile(r"[^/\x00-\x1f\x7f]{1,100}")
_REGION = re.compile(r"[A-Za-z0-9-]+")
_MOST_ADDRESS_CHARACTERS = 2048
_MOST_FACT_CHARACTERS = 64
_MOST_HANDLE_CHARACTERS = 400
#: What a draft and changes have in common beside the name.
_FIELDS = ("api_key", "access_key", "base_url", "region", "api_version")


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
    """What is to be changed; None stays as it is, an empty text takes a field away (but not a key, and not the name)."""

    name: str | None = None
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
    _refuse_own_name(new.name)
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
        facts = facts_of(new)
        _record(caller, new, ProviderAct.ADDED, differences(dict.fromkeys(facts), facts))
    return new


def update_provider(*, caller: Caller, provider_id: str, changes: ProviderChanges) -> Provider:
    """The provider with the changes made; its models are listed anew when they are next asked for.

    Another name changes the handles of its models, so who calls this looks first whether somebody uses them. Raises NotFound,
    Invalid for a bad field or another address without the key that is to go there, and Conflict for a name that is taken.
    """
    caller.check("manage")
    with transaction.atomic():
        row = get_provider_for(caller=caller, provider_id=provider_id)
        row = Provider.objects.select_for_update().get(id=row.id)
        before = facts_of(row)
        if changes.name is not None and changes.name.strip() != row.name:
            row.name = _free_name(caller, changes.name)
        _apply(row, changes)
        row.forget_answers()
        row.last_updated_by_id = caller.id
        row.save()
        row.models.all().delete()
        if changed := differences(before, facts_of(row)):
            _record(caller, row, ProviderAct.CHANGED, changed)
    return row


def set_disabled(*, caller: Caller, provider_id: str, is_disabled: bool) -> Provider:
    """The provider, disabled or enabled; safe to repeat. A disabled one keeps its key, and its models are not called. Raises NotFound."""
    caller.check("manage")
    with transaction.atomic():
        row = get_provider_for(caller=caller, provider_id=provider_id)
        row = Provider.objects.select_for_update().get(id=row.id)
        if (row.disabled_at is not None) != is_disabled:
            row.disabled_at = timezone.now() if is_disabled else None
            row.last_updated_by_id = caller.id
            row.save()
            _record(caller, row, ProviderAct.DISABLED if is_disabled else ProviderAct.ENABLED)
    return row


def set_hidden(*, caller: Caller, handle: str, is_hidden: bool) -> None:
    """Whether the workspace is offered this model; safe to repeat. Agents that name a hidden one go on with it.

    Raises Invalid for a text that is no handle.
    """
    caller.check("manage")
    name, _ = split_handle(handle)
    if not name or len(handle) > _MOST_HANDLE_CHARACTERS:
        raise Invalid(f"{handle[:200]!r} is not the handle of a model: 'provider/model'.")
    found = HiddenModel.objects.filter(workspace_id=caller.workspace_id, handle=handle)
    with transaction.atomic():
        if is_hidden:
            _, is_change = HiddenModel.objects.get_or_create(workspace_id=caller.workspace_id, handle=handle)
        else:
            is_change = found.delete()[0] > 0
        if is_change:
            row = _rows(caller).filter(name=name).first()
            add_change(
                caller=caller,
                name=name,
                provider_id=row.id if row is not None else None,
                act=ProviderAct.MODEL_HIDDEN if is_hidden else ProviderAct.MODEL_SHOWN,
                details=[{"field": "model", "after": handle}],
            )


def delete_provider(*, caller: Caller, provider_id: str) -> None:
    """The provider goes, its keys at once; agents that use its models cannot be run until they have another. Raises NotFound."""
    caller.check("manage")
    row = get_provider_for(caller=caller, provider_id=provider_id)
    with transaction.atomic():
        row.models.all().delete()
        row.deleted_at = timezone.now()
        row.api_key_encrypted = row.access_key_encrypted = None
        row.disabled_at = None
        row.forget_answers()
        row.last_updated_by_id = caller.id
        row.save()
        _record(caller, row, ProviderAct.DELETED)


def refresh_provider(*, caller: Caller, provider_id: str) -> Provider:
    """The provider, asked for its models now. What went wrong is raised (ModelError), and kept with the provider."""
    caller.check("edit")
    row = get_provider_for(caller=caller, provider_id=provider_id)
    outcome = ask_provider(row, timeout_seconds=CHECK_SECONDS)
    keep_answer(row, outcome)
    if outcome.failure is not None:
        raise outcome.failure
    return row


def check_draft(*, caller: Caller, draft: ProviderDraft) -> Outcome:
    """What the provider answers, or what goes wrong; nothing is kept. Raises Invalid for a bad field."""
    caller.check("manage")
    return ask_provider(_new_row(caller, draft), timeout_seconds=CHECK_SECONDS)


def check_changes(*, caller: Caller, provider_id: str, changes: ProviderChanges) -> Outcome:
    """As `check_draft`, for a provider with the changes made. Its stored key goes to no other address than its own.

    Raises NotFound, and Invalid as `update_provider` does.
    """
    caller.check("manage")
    row = get_provider_for(caller=caller, provider_id=provider_id)
    _apply(row, changes)
    return ask_provider(row, timeout_seconds=CHECK_SECONDS)


def _rows(caller: Caller) -> QuerySet[Provider]:
    return Provider.objects.filter(workspace_id=caller.workspace_id, deleted_at=None)


def _record(caller: Caller, row: Provider, act: ProviderAct, details: Iterable[dict[str, Any]] = ()) -> None:
    add_change(caller=caller, name=row.name, provider_id=row.id, act=act, details=details)


def _apply(row: Provider, changes: ProviderChanges) -> None:
    before = row.base_url
    for name in _FIELDS:
        value = getattr(changes, name)
        if value is not None:
            _set(row, name, value)
    if row.base_url != before and row.api_key_encrypted and not _clean(changes.api_key):
        raise Invalid("The address is another one, so the key must be entered again: it would be sent there.")
    _check(row)


def _free_name(caller: Caller, name: str) -> str:
    name = _checked_name(name)
    _refuse_own_name(name)
    taken = Provider.objects.filter(workspace_id=caller.workspace_id, name=name).first()
    if taken is not None and taken.deleted_at is None:
        raise Conflict(f"There is already a provider {name!r}.")
    if taken is not None:
        raise Conflict(f"{name!r} was a provider that was deleted; add it again under that name instead.")
    return name


def _checked_name(name: str) -> str:
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise Invalid("A provider needs a name of at most 100 characters, without '/'.")
    return name


def _refuse_own_name(name: str) -> None:
    if name in {config.name for config in configured_providers(settings.LLM_ENVIRONMENT)}:
        raise Invalid(f"{name!r} is one of the server's own providers; choose another name.")


def _new_row(caller: Caller, draft: ProviderDraft) -> Provider:
    name = _checked_name(draft.name)
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
    for field in _FIELDS:
        _set(row, field, getattr(draft, field))
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
    # It becomes a part of the host to which the keys go.
    if row.region is not None and not _REGION.fullmatch(row.region):
        raise Invalid(f"region must be one such as eu-west-1, not {row.region!r}.")


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
