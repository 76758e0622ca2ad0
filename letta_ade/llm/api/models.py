"""The models that agents of this server can use."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from ninja import Query, Router, Schema

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import respond
from letta_ade.llm import catalog
from letta_ade.llm.api.configs import EmbeddingConfig, LlmConfig, embedding_config_of, llm_config_of

router = Router()


class ModelResponse(LlmConfig):
    """A model that chats."""

    name: str
    provider_type: str
    model_type: str = "llm"
    max_context_window: int


class EmbeddingModelResponse(EmbeddingConfig):
    """A model that embeds."""

    name: str
    display_name: str
    provider_name: str
    provider_type: str
    model_type: str = "embedding"


class ModelQuery(Schema):
    """Filters of the list of models. base: of the server's own providers; byok: of those that the workspace brought."""

    provider_category: list[str] | None = None
    provider_name: str | None = None
    provider_type: str | None = None


@router.get("/", response=list[ModelResponse])
def list_models(request: ApiRequest, query: Query[ModelQuery]) -> HttpResponse:
    wanted: dict[str, Any] = {"provider_name": query.provider_name, "provider_type": query.provider_type}
    categories = query.provider_category or ("base", "byok")
    return respond(
        [
            ModelResponse(
                **dict(llm_config_of(info)),
                name=info.name,
                provider_type=info.provider_type,
                max_context_window=info.context_window,
            )
            for info in catalog.list_models(workspace_id=request.auth.workspace_id)
            if info.category in categories
            and all(value is None or getattr(info, name) == value for name, value in wanted.items())
        ]
    )


@router.get("/embedding", response=list[EmbeddingModelResponse])
def list_embedding_models(request: ApiRequest) -> HttpResponse:
    return respond(
        [
            EmbeddingModelResponse(
                **dict(embedding_config_of(info)),
                name=info.name,
                display_name=info.display_name,
                provider_name=info.provider_name,
                provider_type=info.provider_type,
            )
            for info in catalog.list_embedding_models(workspace_id=request.auth.workspace_id)
        ]
    )
