"""The catalog with the providers of a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from letta_ade.core.crypto import SecretUnreadable
from letta_ade.core.errors import Invalid, NotFound
from letta_ade.llm import catalog
from letta_ade.llm.errors import ModelAuthentication
from letta_ade.llm.models import Provider, ProviderModel
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.providers.openai_responses import OpenAIResponses
from letta_ade.llm.services.providers import ProviderDraft, create_provider
from tests.llm.support import asking
from tests.support.factories import make_caller, make_workspace
from tests.support.fake_hosts import FakeAzure, FakeLMStudio
from tests.support.fake_openai import FakeOpenAI, vector

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace_id(settings: Settings) -> Iterator[str]:
    settings.LLM_ENVIRONMENT = {}
    settings.DEFAULT_LLM_HANDLE = ""
    catalog._current = None
    yield make_caller().workspace_id
    catalog._current = None


def bring(fake: FakeOpenAI, **fields: Any) -> Provider:
    values = {"name": "house", "provider_type": "openai", "api_key": "k", "base_url": fake.url}
    return create_provider(caller=make_caller(), draft=ProviderDraft(**values | fields))


def test_a_model_is_found_in_its_workspace_only(workspace_id: str, fake_openai: FakeOpenAI) -> None:
    bring(fake_openai)
    info = catalog.get_model_info("house/gpt-4o", workspace_id=workspace_id)
    assert (info.handle, info.category, info.context_window) == ("house/gpt-4o", "byok", 128_000)
    chat = catalog.get_chat_model("house/gpt-4o", workspace_id=workspace_id)
    assert chat.handle == "house/gpt-4o"
    for other in (None, make_workspace().id):
        with pytest.raises(NotFound, match="no provider 'house'"):
            catalog.get_model_info("house/gpt-4o", workspace_id=other)
        with pytest.raises(NotFound):
            catalog.get_chat_model("house/gpt-4o", workspace_id=other)
        with pytest.raises(Invalid):
            catalog.get_embedding_info("house/text-embedding-3-small", workspace_id=other)


def test_an_unknown_name_makes_it_list_once_more_but_not_for_every_name(
    workspace_id: str, fake_openai: FakeOpenAI
) -> None:
    row = bring(fake_openai)
    catalog.list_models(workspace_id=workspace_id)
    fake_openai.models = (*fake_openai.models, "gpt-5-new")
    with pytest.raises(NotFound, match=r"house has house/gpt-4.1-mini"):
        catalog.get_model_info("house/gpt-5-new", workspace_id=workspace_id)
    assert len(fake_openai.received) == 1
    Provider.objects.filter(id=row.id).update(last_asked=timezone.now() - timedelta(minutes=1))
    assert catalog.get_model_info("house/gpt-5-new", workspace_id=workspace_id).name == "gpt-5-new"
    assert len(fake_openai.received) == 2


def test_a_provider_that_cannot_be_listed_is_trusted_and_reported(
    workspace_id: str, fake_openai: FakeOpenAI
) -> None:
    bring(fake_openai)
    fake_openai.listing_status = 500
    assert catalog.get_model_info("house/gpt-4o", workspace_id=workspace_id).context_window == 128_000
    assert catalog.list_models(workspace_id=workspace_id)[0].is_demo
    state = catalog.provider_states(workspace_id=workspace_id)[0]
    assert (state.name, state.is_listed, state.model_count) == ("house", True, 0)
    assert "The fake lists nothing." in (state.error or "")
    assert len(fake_openai.received) == 1


def test_a_key_that_cannot_be_read_any_more_is_told(
    workspace_id: str, fake_openai: FakeOpenAI, settings: Settings
) -> None:
    bring(fake_openai)
    settings.SECRET_KEY = "another"
    assert [info.is_demo for info in catalog.list_models(workspace_id=workspace_id)] == [True]
    assert "cannot be decrypted" in (catalog.provider_states(workspace_id=workspace_id)[0].error or "")
    with pytest.raises(SecretUnreadable):
        catalog.get_chat_model("house/gpt-4o", workspace_id=workspace_id)
    assert fake_openai.received == []


def test_providers_and_models_of_a_type_that_is_no_longer_known_are_left_out(
    workspace_id: str, fake_openai: FakeOpenAI
) -> None:
    row = bring(fake_openai)
    Provider.objects.filter(id=row.id).update(provider_type="gone")
    assert [info.handle for info in catalog.list_models(workspace_id=workspace_id)] == ["demo/assistant"]
    with pytest.raises(NotFound):
        catalog.get_model_info("house/gpt-4o", workspace_id=workspace_id)


def test_facts_that_another_version_kept_are_read(workspace_id: str, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    catalog.list_models(workspace_id=workspace_id)
    model = ProviderModel.objects.get(provider=row, name="gpt-4o")
    model.facts = {**model.facts, "colour": "blue", "window": 9000}
    model.save()
    assert catalog.get_model_info("house/gpt-4o", workspace_id=workspace_id).context_window == 9000


def test_the_length_of_vectors_is_asked_once_and_kept_over_a_refresh(workspace_id: str) -> None:
    fake = FakeLMStudio()
    fake.rows = ({"id": "nomic", "type": "embeddings"},)
    with fake:
        bring(fake, provider_type="lmstudio_openai", api_key="")
        for _ in range(2):
            info = catalog.get_embedding_info("house/nomic", workspace_id=workspace_id)
            assert info.dimensions == 1536
        assert len([body for body in fake.bodies if "input" in body]) == 1
        catalog.list_models(workspace_id=workspace_id, refresh=True)
        (listed,) = catalog.list_embedding_models(workspace_id=workspace_id)
        assert listed.dimensions == 1536
        embedder = catalog.get_embedder("house/nomic", workspace_id=workspace_id)
        assert embedder.embed(["tea"])[0] == pytest.approx(vector("tea", 1536))


def test_what_is_known_of_an_embedding_model_is_shown_without_asking_anybody(
    workspace_id: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    fake = FakeLMStudio()
    fake.rows = ({"id": "nomic", "type": "embeddings"},)
    with fake:
        bring(fake, provider_type="lmstudio_openai", api_key="")
        bring(fake, name="other", provider_type="openai")
        assert catalog.known_embedding_info("house/nomic", workspace_id=workspace_id) is None
        assert fake.received == []
        catalog.get_embedding_info("house/nomic", workspace_id=workspace_id)
        asked = len(fake.received)
        with django_assert_num_queries(1):
            info = catalog.known_embedding_info("house/nomic", workspace_id=workspace_id)
        assert info is not None
        assert (info.handle, info.dimensions) == ("house/nomic", 1536)
        fixed = catalog.known_embedding_info("other/text-embedding-3-small", workspace_id=workspace_id)
        assert fixed is not None
        assert fixed.dimensions == 1536
        for handle in ("house/unknown", "nobody/x", "demo/assistant", "x"):
            assert catalog.known_embedding_info(handle, workspace_id=workspace_id) is None
        assert catalog.known_embedding_info("house/nomic") is None
        assert len(fake.received) == asked


def test_a_deployment_is_called_as_what_it_is(workspace_id: str) -> None:
    fake = FakeAzure()
    fake.deployments = ({"id": "chatty", "model": "o3", "status": "succeeded"},)
    with fake:
        bring(fake, provider_type="azure")
        chat = catalog.get_chat_model("house/chatty", workspace_id=workspace_id)
    assert chat.payload(asking(temperature=0.2))["temperature"] == 1.0


def test_a_name_that_is_not_listed_is_trusted_where_the_list_is_not_whole(workspace_id: str) -> None:
    with FakeAzure() as fake:
        bring(fake, provider_type="azure")
        assert catalog.get_model_info("house/unlisted", workspace_id=workspace_id).handle == "house/unlisted"


def test_a_good_model_to_begin_with_may_be_the_workspaces_own(
    workspace_id: str, fake_openai: FakeOpenAI
) -> None:
    assert catalog.suggested_handle(workspace_id=workspace_id) == "demo/assistant"
    bring(fake_openai)
    assert catalog.suggested_handle(workspace_id=workspace_id) == "house/gpt-4.1-mini"
    assert catalog.suggested_handle() == "demo/assistant"


def test_how_openai_is_spoken_to_holds_for_a_workspaces_own(
    workspace_id: str, fake_openai: FakeOpenAI, settings: Settings
) -> None:
    bring(fake_openai)
    assert type(catalog.get_chat_model("house/gpt-5.1", workspace_id=workspace_id)) is OpenAIChat
    settings.LLM_ENVIRONMENT = {"ADE_OPENAI_API": "responses"}
    assert type(catalog.get_chat_model("house/gpt-5.1", workspace_id=workspace_id)) is OpenAIResponses


def test_a_known_provider_that_is_not_set_up_still_names_its_variable(workspace_id: str) -> None:
    with pytest.raises(ModelAuthentication, match="OPENAI_API_KEY"):
        catalog.get_chat_model("openai/gpt-4o", workspace_id=workspace_id)
