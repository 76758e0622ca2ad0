"""Settings, Providers: all models of one provider, found by name, hidden from the pickers or shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import NotFound
from letta_ade.llm import catalog
from letta_ade.llm.catalog import ProviderState
from letta_ade.llm.listing import EmbeddingModelInfo, ModelInfo
from letta_ade.llm.provider_store import store
from letta_ade.llm.services import providers

ModelKind = Literal["chat", "embedding", "hidden"]
#: A longer list is for the search.
_MOST_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLine:
    """A model of the table."""

    info: ModelInfo | EmbeddingModelInfo
    is_hidden: bool

    @property
    def is_chat(self) -> bool:
        return isinstance(self.info, ModelInfo)

    def is_of(self, kind: ModelKind | None, text: str) -> bool:
        """Whether it passes the filters."""
        named = f"{self.info.handle} {self.info.display_name}".casefold()
        is_kind = kind is None or (self.is_hidden if kind == "hidden" else self.is_chat == (kind == "chat"))
        return is_kind and all(word in named for word in text.casefold().split())


@require_GET
def models_page(request: PageRequest, key: str) -> HttpResponse:
    """The models of a provider: `key` is its id, or of one of the server's own its name. `q` and `kind` narrow the list."""
    state = _find_state(request.caller, key)
    lines = _lines_of(request.caller, state)
    text = request.GET.get("q", "").strip()
    kind = next((each for each in get_args(ModelKind) if each == request.GET.get("kind")), None)
    found = [line for line in lines if line.is_of(kind, text)]
    context = {
        "state": state,
        "key": key,
        "lines": found[:_MOST_ROWS],
        "more": max(0, len(found) - _MOST_ROWS),
        "total": len(lines),
        "text": text,
        "kind": kind or "",
        "kinds": [
            ("", "All", len(lines)),
            ("chat", "Chat", sum(line.is_chat for line in lines)),
            ("embedding", "Embedding", sum(not line.is_chat for line in lines)),
            ("hidden", "Hidden", sum(line.is_hidden for line in lines)),
        ],
    }
    is_part = request.htmx.target == "provider-models"
    template = "settings/partials/provider_models.html" if is_part else "settings/provider_models.html"
    return render(request, template, context)


@require_POST
def hide_model(request: PageRequest, key: str) -> HttpResponse:
    """Hides the model of `handle`, or with `show` shows it again. The list comes back as it was narrowed."""
    state = _find_state(request.caller, key)
    handle = request.POST.get("handle", "")
    line = next((each for each in _lines_of(request.caller, state) if each.info.handle == handle), None)
    if line is None:
        raise NotFound("The provider does not list this model")
    is_hidden = "show" not in request.POST
    providers.set_hidden(caller=request.caller, handle=handle, is_hidden=is_hidden)
    if request.htmx:
        line = replace(line, is_hidden=is_hidden)
        return render(request, "settings/partials/provider_model.html", {"line": line, "key": key})
    query = {name: value for name in ("q", "kind") if (value := request.POST.get(name))}
    address = reverse("settings:provider_models", args=[key])
    return redirect(f"{address}?{urlencode(query)}" if query else address)


def _find_state(caller: Caller, key: str) -> ProviderState:
    caller.check("read")
    states = catalog.provider_states(workspace_id=caller.workspace_id, is_asking=True)
    for state in states:
        if key == state.key:
            return state
    raise NotFound("Provider not found")


def _lines_of(caller: Caller, state: ProviderState) -> list[ModelLine]:
    hidden = store().hidden_handles(caller.workspace_id)
    infos: tuple[ModelInfo | EmbeddingModelInfo, ...] = (*state.listing.models, *state.listing.embeddings)
    return [ModelLine(info=info, is_hidden=info.handle in hidden) for info in infos]
