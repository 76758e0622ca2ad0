"""The providers of a workspace as the catalog uses them: their configuration, and the models that they listed.

Below the services that people call: nobody's permission is asked here, and the workspace is the only border.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from letta_ade.core.crypto import SecretUnreadable, decrypt
from letta_ade.llm.checks import Check, Outcome, check_provider, failed
from letta_ade.llm.environment import openai_api
from letta_ade.llm.errors import error_text
from letta_ade.llm.listing import EmbeddingModelInfo, Listing, listing_of
from letta_ade.llm.model_rows import ModelRow
from letta_ade.llm.models import HiddenModel, Provider, ProviderModel
from letta_ade.llm.models.provider import MOST_NAME_CHARACTERS
from letta_ade.llm.prices import Price
from letta_ade.llm.provider_config import ProviderConfig, make_config
from letta_ade.llm.provider_profiles import ProviderProfile, find_profile
from letta_ade.llm.provider_store import CatalogProvider

#: Who asks again for a name that is not listed makes the provider list once more, but not for every wrong name.
_RECHECK = timedelta(seconds=10)
_REQUEST_SECONDS = 5.0
_ABREAST = 8
_FIELDS = frozenset(ModelRow.__dataclass_fields__)


class StoredProvider:
    """A `CatalogProvider` that is a row."""

    def __init__(self, row: Provider) -> None:
        self.row = row
        self.config = config_of(row)

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def was_asked(self) -> bool:
        return self.row.last_asked is not None

    @property
    def listing(self) -> Listing | None:
        if self.row.last_synced is None:
            return None
        return listing_of(self.config, [_row(model.facts) for model in self.row.models.all()])

    @property
    def error(self) -> str | None:
        return self.row.last_error

    @property
    def check(self) -> Check | None:
        row = self.row
        if row.last_asked is None:
            return None
        return Check(
            at=row.last_asked,
            milliseconds=row.last_milliseconds,
            request=row.last_request,
            error=row.last_error,
            answer=row.last_answer,
            request_id=row.last_request_id,
        )

    @property
    def is_disabled(self) -> bool:
        return self.row.disabled_at is not None

    def callable_config(self) -> ProviderConfig:
        return config_of(self.row, with_key=True)

    def ensure_listed(self) -> Listing | None:
        return self.listing if self.was_asked else self.ask()

    def ask(self) -> Listing | None:
        keep_answer(self.row, ask_provider(self.row, timeout_seconds=_REQUEST_SECONDS))
        return self.listing

    def may_ask_again(self) -> bool:
        return self.row.last_asked is None or timezone.now() - self.row.last_asked > _RECHECK

    def keep_dimensions(self, name: str, dimensions: int) -> None:
        for model in ProviderModel.objects.filter(provider=self.row, name=name):
            model.facts = {**model.facts, "dimensions": dimensions}
            model.save(update_fields=["facts"])


class StoredProviders:
    """The `ProviderStore` that reads the rows. Providers of a type that this server no longer knows are left out."""

    def providers_of(self, workspace_id: str) -> list[StoredProvider]:
        rows = Provider.objects.filter(workspace_id=workspace_id, deleted_at=None).prefetch_related("models")
        return [StoredProvider(row) for row in rows if find_profile(row.provider_type) is not None]

    def find_provider(self, workspace_id: str, name: str) -> StoredProvider | None:
        row = Provider.objects.filter(workspace_id=workspace_id, name=name, deleted_at=None).first()
        return None if row is None or find_profile(row.provider_type) is None else StoredProvider(row)

    def find_embedding(self, workspace_id: str, provider: str, name: str) -> EmbeddingModelInfo | None:
        rows = Provider.objects.filter(workspace_id=workspace_id, name=provider, deleted_at=None)
        # The models of OpenAI need no row, so the provider's row comes with or without the model's.
        model = models.FilteredRelation("models", condition=models.Q(models__name=name))
        row = rows.annotate(model=model, facts=models.F("model__facts")).first()
        if row is None or find_profile(row.provider_type) is None:
            return None
        kept = [_row(row.facts)] if row.facts else []
        listed = listing_of(config_of(row), kept).embeddings
        return next((info for info in listed if info.name == name), None)

    def hidden_handles(self, workspace_id: str) -> frozenset[str]:
        return frozenset(
            HiddenModel.objects.filter(workspace_id=workspace_id).values_list("handle", flat=True)
        )

    def ask_all(self, providers: Sequence[CatalogProvider]) -> None:
        rows = [provider.row for provider in providers if isinstance(provider, StoredProvider)]
        if not rows:
            return
        with ThreadPoolExecutor(max_workers=_ABREAST) as pool:
            answers = list(pool.map(lambda row: ask_provider(row, timeout_seconds=_REQUEST_SECONDS), rows))
        # Written on this thread: it is the one whose transaction and connection the caller knows.
        for row, answer in zip(rows, answers, strict=True):
            keep_answer(row, answer)


def config_of(row: Provider, *, with_key: bool = False) -> ProviderConfig:
    """How the provider is called. Raises SecretUnreadable when its key is wanted and cannot be decrypted."""
    profile = _profile(row)
    config = make_config(
        profile,
        name=row.name,
        source="added here",
        base_url=row.base_url,
        api_key=decrypt(row.api_key_encrypted) if with_key and row.api_key_encrypted else None,
        access_key=decrypt(row.access_key_encrypted) if with_key and row.access_key_encrypted else None,
        region=row.region,
        api_version=row.api_version,
        api=openai_api(settings.LLM_ENVIRONMENT) if profile.api_variable else "auto",
        category="byok",
    )
    assert config is not None, "a provider without an address of its own is stored with one"
    return config


def ask_provider(row: Provider, *, timeout_seconds: float) -> Outcome:
    """The models that it lists, or why it does not; it is asked whether its key is good, too."""
    try:
        config = config_of(row, with_key=True)
    except SecretUnreadable as error:
        return failed(error)
    return check_provider(config, timeout_seconds=timeout_seconds)


def keep_answer(row: Provider, outcome: Outcome) -> None:
    """Keep what the provider answered. The models that it had stay when it failed."""
    check = outcome.check
    facts: dict[str, Any] = {
        "last_asked": check.at,
        "last_request": check.request,
        "last_milliseconds": check.milliseconds,
        "last_answer": check.answer,
        "last_request_id": check.request_id,
    }
    with transaction.atomic():
        # Two callers may have asked at once; the second one replaces what the first wrote.
        locked = Provider.objects.select_for_update().filter(id=row.id).first()
        if locked is None:
            return
        if outcome.failure is not None:
            facts["last_error"] = error_text(outcome.failure)
        else:
            _replace_models(row, outcome.rows)
            facts |= {"last_error": None, "last_synced": check.at}
        Provider.objects.filter(id=row.id).update(**facts)
    row.refresh_from_db()


def _replace_models(row: Provider, answer: Sequence[ModelRow]) -> None:
    known = {model.name: model.facts.get("dimensions") for model in row.models.all()}
    found = {each.name: each for each in answer if len(each.name) <= MOST_NAME_CHARACTERS}
    row.models.all().delete()
    ProviderModel.objects.bulk_create(
        ProviderModel(
            provider=row,
            name=name,
            # A length that one call told is not told again by a listing.
            facts=asdict(replace(each, dimensions=each.dimensions or known.get(name))),
        )
        for name, each in found.items()
    )


def _row(facts: dict[str, Any]) -> ModelRow:
    # Rows that another version wrote may have other fields.
    price = facts.get("price")
    known = {name: value for name, value in facts.items() if name in _FIELDS}
    return ModelRow(**(known | {"price": Price(**price) if price else None}))


def _profile(row: Provider) -> ProviderProfile:
    profile = find_profile(row.provider_type)
    assert profile is not None, "checked when the provider was made and when it was read"
    return profile
