"""Providers that a workspace brings its own key for."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from django.http import HttpResponse
from ninja import Query, Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import Body, PageQuery, ProviderId, Wire, respond
from letta_ade.llm.models import Provider
from letta_ade.llm.provider_config import KEY_MASK
from letta_ade.llm.services import providers
from letta_ade.llm.services.providers import ProviderChanges, ProviderDraft

router = Router()


class ProviderResponse(Wire):
    """A provider; its keys are masked."""

    id: str
    name: str
    provider_type: str
    provider_category: Literal["byok"] = "byok"
    base_url: str | None
    region: str | None
    api_version: str | None
    api_key: str | None
    access_key: str | None
    created_at: datetime
    updated_at: datetime
    last_synced: datetime | None
    #: What the provider said when it was last asked for its models and did not tell them.
    last_error: str | None

    @classmethod
    def of(cls, row: Provider) -> ProviderResponse:
        """The provider of a row."""
        return cls(
            id=row.id,
            name=row.name,
            provider_type=row.provider_type,
            base_url=row.base_url,
            region=row.region,
            api_version=row.api_version,
            api_key=KEY_MASK if row.api_key_encrypted else None,
            access_key=KEY_MASK if row.access_key_encrypted else None,
            created_at=row.created_at,
            updated_at=row.updated_at,
            last_synced=row.last_synced,
            last_error=row.last_error,
        )


class CheckProvider(Body):
    """A provider that is to be tried out. Empty texts mean null."""

    provider_type: str
    api_key: str | None = None
    access_key: str | None = None
    base_url: str | None = None
    region: str | None = None
    api_version: str | None = None

    def draft(self, name: str) -> ProviderDraft:
        """What the body asks for."""
        return ProviderDraft(
            name=name,
            provider_type=self.provider_type,
            api_key=self.api_key,
            access_key=self.access_key,
            base_url=self.base_url,
            region=self.region,
            api_version=self.api_version,
        )


class CreateProvider(CheckProvider):
    """A provider that is to be made."""

    name: str


class UpdateProvider(Body):
    """Changes of a provider, always with its key; what is left out stays."""

    api_key: str
    access_key: str | None = None
    base_url: str | None = None
    region: str | None = None
    api_version: str | None = None

    def changes(self) -> ProviderChanges:
        """What the body asks for; a null that was sent takes a field away."""
        sent = self.sent()

        def asked(name: str) -> str | None:
            return (getattr(self, name) or "") if name in sent else None

        return ProviderChanges(
            api_key=self.api_key,
            access_key=asked("access_key"),
            base_url=asked("base_url"),
            region=asked("region"),
            api_version=asked("api_version"),
        )


class ProviderQuery(PageQuery):
    """Which providers a list holds."""

    name: str | None = None
    provider_type: str | None = None


@router.get("/", response=list[ProviderResponse])
def list_providers(request: ApiRequest, query: Query[ProviderQuery]) -> HttpResponse:
    found = providers.list_providers(
        caller=request.auth, name=query.name, provider_type=query.provider_type, page=query.page()
    )
    return respond([ProviderResponse.of(row) for row in found])


@router.post("/", response=ProviderResponse)
def create_provider(request: ApiRequest, body: CreateProvider) -> HttpResponse:
    row = providers.create_provider(caller=request.auth, draft=body.draft(body.name))
    return respond(ProviderResponse.of(row))


@router.post("/check", response=dict[str, str])
def check_provider(request: ApiRequest, body: CheckProvider) -> HttpResponse:
    """Try a key out before it is stored."""
    outcome = providers.check_draft(caller=request.auth, draft=body.draft(body.provider_type))
    if outcome.failure is not None:
        raise outcome.failure
    return respond({"message": _found(len(outcome.rows))})


@router.get("/{provider_id}", response=ProviderResponse)
def retrieve_provider(request: ApiRequest, provider_id: ProviderId) -> HttpResponse:
    return respond(
        ProviderResponse.of(providers.get_provider_for(caller=request.auth, provider_id=provider_id))
    )


@router.patch("/{provider_id}", response=ProviderResponse)
def update_provider(request: ApiRequest, provider_id: ProviderId, body: UpdateProvider) -> HttpResponse:
    row = providers.update_provider(caller=request.auth, provider_id=provider_id, changes=body.changes())
    return respond(ProviderResponse.of(row))


@router.delete("/{provider_id}", response=dict[str, str])
def delete_provider(request: ApiRequest, provider_id: ProviderId) -> HttpResponse:
    providers.delete_provider(caller=request.auth, provider_id=provider_id)
    return respond({"message": f"Provider {provider_id} was deleted."})


@router.post("/{provider_id}/check", response=dict[str, str])
def check_stored_provider(request: ApiRequest, provider_id: ProviderId) -> HttpResponse:
    """Try the stored key out; what the provider lists is kept."""
    row = providers.refresh_provider(caller=request.auth, provider_id=provider_id)
    return respond({"message": _found(row.models.count())})


@router.patch("/{provider_id}/refresh", response=ProviderResponse)
def refresh_provider(request: ApiRequest, provider_id: ProviderId) -> HttpResponse:
    """List the models of the provider anew."""
    row = providers.refresh_provider(caller=request.auth, provider_id=provider_id)
    return respond(ProviderResponse.of(row))


def _found(count: int) -> str:
    return f"The provider answers and lists {count} model{'' if count == 1 else 's'}."
