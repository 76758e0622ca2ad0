"""Settings, Providers: where models run, and the workspace's own providers. Every page works without script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.services.provider_users import ProviderAgents, agents_of_provider, users_of_provider
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Conflict, Invalid
from letta_ade.llm import catalog
from letta_ade.llm.catalog import ProviderState
from letta_ade.llm.checks import Check, Outcome
from letta_ade.llm.environment import missing_variable
from letta_ade.llm.models import Provider
from letta_ade.llm.provider_profiles import PROVIDERS, find_profile
from letta_ade.llm.services import providers
from letta_ade.llm.services.provider_changes import list_changes
from letta_ade.web.provider_forms import ProviderForm

_NAMED_BESIDE_A_FAILURE = 3
_CHANGES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """A provider as its box shows it. `users`: the agents that are held up, of one that does not answer or is disabled."""

    state: ProviderState
    users: ProviderAgents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of trying a provider out: our sentence, and what was asked and answered."""

    is_good: bool
    sentence: str
    check: Check | None = None


@require_GET
def providers_page(request: PageRequest) -> HttpResponse:
    """Each provider with its state and models, and how others are added. `check=NAME` asks that one first."""
    caller = request.caller
    caller.check("read")
    if name := request.GET.get("check"):
        caller.check("edit")
        catalog.ask_now(name, workspace_id=caller.workspace_id)
    states = catalog.provider_states(
        workspace_id=caller.workspace_id, is_asking=True, refresh="refresh" in request.GET
    )
    if request.htmx and name:
        # A workspace's own comes last, and is the one that is meant: the server's of its name hides it.
        state = next(each for each in reversed(states) if each.name == name and not each.is_hidden)
        return render(request, "settings/partials/provider.html", {"row": _row_of(request, state)})
    configured = {state.provider_type for state in states if state.category == "base"}
    context = {
        "rows": [_row_of(request, state) for state in states],
        "others": [
            (profile, missing_variable(profile))
            for profile in PROVIDERS
            if profile.provider_type not in configured and profile.protocol != "demo"
        ],
        "default_handle": catalog.default_handle(),
        "default_embedding": catalog.default_embedding_handle(),
        "changes": list_changes(caller=caller, limit=_CHANGES_SHOWN) if caller.can("manage") else (),
    }
    return render(request, "settings/providers.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
def new_provider(request: PageRequest) -> HttpResponse:
    """The form of a new provider. `check` tries it out, and nothing is stored."""
    caller = request.caller
    caller.check("manage")
    asked = request.POST if request.method == "POST" else request.GET
    provider_type = str(asked.get("provider_type") or "openai")
    form = ProviderForm(
        request.POST if request.method == "POST" else None,
        provider_type=provider_type,
        initial={"provider_type": provider_type, "name": request.GET.get("name", "")},
    )
    context = {"form": form, "profile": find_profile(provider_type)}
    page = "settings/new_provider.html"
    if request.method == "GET":
        return render(request, "settings/partials/provider_fields.html" if request.htmx else page, context)
    if "check" in request.POST:
        # A provider can be tried out before it has a name.
        form.fields["name"].required = False
        said = _try_out(form, lambda: providers.check_draft(caller=caller, draft=form.draft()))
        return _show_said(request, said, page, context)
    if form.is_valid():
        try:
            row = providers.create_provider(caller=caller, draft=form.draft())
        except AdeError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Added {row.name}")
            return redirect(_place(row))
    return render(request, page, context, status=422)


@never_cache
@require_http_methods(["GET", "POST"])
def edit_provider(request: PageRequest, provider_id: str) -> HttpResponse:
    """Change what a provider is called, where it is, or its key. `check` tries the changes out, and nothing is stored."""
    caller = request.caller
    caller.check("manage")
    row = providers.get_provider_for(caller=caller, provider_id=provider_id)
    facts = {name: getattr(row, name) for name in ("name", "base_url", "region", "api_version")}
    form = ProviderForm(
        request.POST if request.method == "POST" else None,
        provider_type=row.provider_type,
        row=row,
        initial=facts,
    )
    context = {
        "form": form,
        "row": row,
        "profile": find_profile(row.provider_type),
        "changes": list_changes(caller=caller, provider_id=row.id),
    }
    page = "settings/edit_provider.html"
    if "check" in request.POST:

        def check() -> Outcome:
            changes = replace(form.changes(), name=None)
            return providers.check_changes(caller=caller, provider_id=row.id, changes=changes)

        return _show_said(request, _try_out(form, check), page, context)
    if request.method == "POST" and form.is_valid():
        try:
            _check_rename(request, row, form.value("name"))
            row = providers.update_provider(caller=caller, provider_id=row.id, changes=form.changes())
        except AdeError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Saved {row.name}")
            return redirect(_place(row))
    return render(request, page, context, status=422 if form.errors else 200)


@require_POST
def disable_provider(request: PageRequest, provider_id: str) -> HttpResponse:
    """Disables a provider, or with `enable` enables it again."""
    is_disabled = "enable" not in request.POST
    row = providers.set_disabled(caller=request.caller, provider_id=provider_id, is_disabled=is_disabled)
    messages.success(request, f"{'Disabled' if is_disabled else 'Enabled'} {row.name}")
    return redirect(_place(row))


@require_http_methods(["GET", "POST"])
def delete_provider(request: PageRequest, provider_id: str) -> HttpResponse:
    """Names what cannot be run any more, then deletes."""
    caller = request.caller
    caller.check("manage")
    row = providers.get_provider_for(caller=caller, provider_id=provider_id)
    if request.method == "POST":
        providers.delete_provider(caller=caller, provider_id=provider_id)
        messages.success(request, f"Deleted {row.name}")
        return redirect("settings:providers")
    context = {"row": row, "users": users_of_provider(caller=caller, name=row.name)}
    return render(request, "settings/delete_provider.html", context)


def _row_of(request: PageRequest, state: ProviderState) -> StateRow:
    if state.is_hidden or not (state.error or state.is_disabled):
        return StateRow(state=state)
    users = agents_of_provider(caller=request.caller, name=state.name, named=_NAMED_BESIDE_A_FAILURE)
    return StateRow(state=state, users=users)


def _check_rename(request: PageRequest, row: Provider, name: str) -> None:
    """Raises Conflict when something names a model of the provider: it would name nothing after that."""
    if not name or name == row.name:
        return
    users = users_of_provider(caller=request.caller, name=row.name)
    if users:
        named = ", ".join(agent.name for agent in users.agents[:_NAMED_BESIDE_A_FAILURE])
        raise Conflict(
            f"Models of {row.name!r} are in use{f' by {named}' if named else ''}: {users.agent_count} agents, "
            f"{users.conversation_count} conversations, {users.archive_count} archives. Handles of models begin with the name, "
            "so it stays until these have other models; or add a second provider under the new name."
        )


def _try_out(form: ProviderForm, check: Callable[[], Outcome]) -> Said:
    try:
        if not form.is_valid():
            raise Invalid(" ".join(str(text) for texts in form.errors.values() for text in texts))
        outcome = check()
    except AdeError as error:
        return Said(is_good=False, sentence=error.message)
    if outcome.failure is not None:
        return Said(is_good=False, sentence=outcome.failure.message, check=outcome.check)
    count = len(outcome.rows)
    sentence = f"It answers and lists {count} model{'' if count == 1 else 's'}."
    return Said(is_good=True, sentence=sentence, check=outcome.check)


def _show_said(request: PageRequest, said: Said, page: str, context: dict[str, Any]) -> HttpResponse:
    template = "settings/partials/provider_said.html" if request.htmx else page
    return render(request, template, context | {"said": said})


def _place(row: Provider) -> str:
    return f"{reverse('settings:providers')}#{row.id}"
