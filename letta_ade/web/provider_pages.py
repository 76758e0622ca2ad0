"""Settings, Providers: where models run, and the workspace's own providers. Every page works without script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from agents.models import Agent
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid
from letta_ade.llm import catalog
from letta_ade.llm.environment import missing_variable
from letta_ade.llm.errors import ModelError
from letta_ade.llm.models import Provider
from letta_ade.llm.provider_profiles import PROVIDERS, find_profile
from letta_ade.llm.services import providers
from letta_ade.llm.services.providers import ProviderChanges, ProviderDraft

_DELETE_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of a check: our sentence, and the provider's own text in full."""

    is_good: bool
    sentence: str
    text: str = ""
    request_id: str = ""


class ProviderForm(forms.Form):
    """A new provider. The key is written and never shown again."""

    provider_type = forms.ChoiceField(label="Type", widget=forms.Select(attrs={"class": "form-select"}))
    name = forms.CharField(
        max_length=100,
        help_text="First part of its models' handles.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
        error_messages={"required": "A provider needs a name."},
    )
    base_url = forms.CharField(
        label="Base URL",
        required=False,
        max_length=2048,
        help_text="Empty: the provider's own. A private address is fine.",
        widget=forms.TextInput(
            attrs={
                "class": "form-control mono",
                "autocomplete": "off",
                "inputmode": "url",
                "spellcheck": "false",
            }
        ),
    )
    api_key = forms.CharField(
        label="API key",
        required=False,
        strip=True,
        help_text="Stored encrypted, and never shown again.",
        widget=forms.PasswordInput(
            render_value=False, attrs={"class": "form-control mono", "autocomplete": "new-password"}
        ),
    )
    access_key = forms.CharField(
        label="AWS access key",
        required=False,
        widget=forms.PasswordInput(
            render_value=False, attrs={"class": "form-control mono", "autocomplete": "new-password"}
        ),
    )
    region = forms.CharField(
        required=False,
        max_length=64,
        widget=forms.TextInput(attrs={"class": "form-control mono", "autocomplete": "off"}),
    )
    api_version = forms.CharField(
        label="API version",
        required=False,
        max_length=64,
        widget=forms.TextInput(attrs={"class": "form-control mono", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, provider_type: str, row: Provider | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        if row is None:
            fields["provider_type"].choices = [
                (profile.provider_type, profile.display_name) for profile in providers.provider_types()
            ]
            fields["provider_type"].widget.attrs |= _type_requests()
        else:
            # What it is and how it is called stay: agents' handles hold both.
            del fields["provider_type"], fields["name"]
            fields[
                "api_key"
            ].help_text = "Empty: the stored one stays. Stored encrypted, and never shown again."
        profile = find_profile(provider_type)
        if profile is None or profile.access_key_variable is None:
            del fields["access_key"], fields["region"]
        else:
            fields["api_key"].label = "AWS secret key"
            fields["region"].widget.attrs["placeholder"] = profile.default_region
        if profile is None or profile.version_variable is None:
            del fields["api_version"]
        else:
            fields["api_version"].widget.attrs["placeholder"] = profile.default_version
        if profile is not None:
            default = profile.default_base_url
            address = (default or "http://localhost:8000").replace("{region}", profile.default_region or "")
            fields["base_url"].widget.attrs["placeholder"] = address
            if default is None:
                fields[
                    "base_url"
                ].help_text = "Where its server is, with or without the version. Private is fine."

    def value(self, name: str) -> str:
        """What was entered, or an empty text for a field that this type does not have."""
        entered: str = self.cleaned_data.get(name, "")
        return entered

    def draft(self) -> ProviderDraft:
        """The provider that the answers describe."""
        return ProviderDraft(
            name=self.value("name") or self.value("provider_type"),
            provider_type=self.value("provider_type"),
            api_key=self.value("api_key"),
            access_key=self.value("access_key"),
            base_url=self.value("base_url"),
            region=self.value("region"),
            api_version=self.value("api_version"),
        )

    def changes(self) -> ProviderChanges:
        """The changes that the answers ask for; an empty key stays."""
        return ProviderChanges(
            api_key=self.value("api_key") or None,
            access_key=self.value("access_key") or None,
            base_url=self.value("base_url"),
            region=self.value("region"),
            api_version=self.value("api_version"),
        )


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
        return render(request, "settings/partials/provider.html", {"state": state})
    configured = {state.provider_type for state in states if state.category == "base"}
    context = {
        "states": states,
        "others": [
            (profile, missing_variable(profile))
            for profile in PROVIDERS
            if profile.provider_type not in configured and profile.protocol != "demo"
        ],
        "default_handle": catalog.default_handle(),
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
    if request.method == "GET":
        template = "settings/partials/provider_fields.html" if request.htmx else "settings/new_provider.html"
        return render(request, template, context)
    if "check" in request.POST:
        return _checked(
            request, form, context, lambda: providers.check_draft(caller=caller, draft=form.draft())
        )
    if form.is_valid():
        try:
            row = providers.create_provider(caller=caller, draft=form.draft())
        except AdeError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Added {row.name}")
            return redirect(_place(row))
    return render(request, "settings/new_provider.html", context, status=422)


@never_cache
@require_http_methods(["GET", "POST"])
def edit_provider(request: PageRequest, provider_id: str) -> HttpResponse:
    """Change where a provider is, or its key."""
    caller = request.caller
    caller.check("manage")
    row = providers.get_provider_for(caller=caller, provider_id=provider_id)
    form = ProviderForm(
        request.POST if request.method == "POST" else None,
        provider_type=row.provider_type,
        row=row,
        initial={"base_url": row.base_url, "region": row.region, "api_version": row.api_version},
    )
    if request.method == "POST" and form.is_valid():
        try:
            providers.update_provider(caller=caller, provider_id=provider_id, changes=form.changes())
        except AdeError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Saved {row.name}")
            return redirect(_place(row))
    context = {"form": form, "row": row, "profile": find_profile(row.provider_type)}
    return render(request, "settings/edit_provider.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def delete_provider(request: PageRequest, provider_id: str) -> HttpResponse:
    """Names the agents that cannot be run any more, then deletes."""
    caller = request.caller
    caller.check("manage")
    row = providers.get_provider_for(caller=caller, provider_id=provider_id)
    if request.method == "POST":
        providers.delete_provider(caller=caller, provider_id=provider_id)
        messages.success(request, f"Deleted {row.name}")
        return redirect("settings:providers")
    users = Agent.objects.filter(workspace_id=caller.workspace_id, model__startswith=f"{row.name}/")
    context = {"row": row, "agents": users.order_by("name")[:_DELETE_NAMES], "count": users.count()}
    return render(request, "settings/delete_provider.html", context)


def _checked(
    request: PageRequest, form: ProviderForm, context: dict[str, Any], check: Callable[[], int]
) -> HttpResponse:
    # A provider can be tried out before it has a name.
    form.fields["name"].required = False
    if not form.is_valid() and not request.htmx:
        return render(request, "settings/new_provider.html", context, status=422)
    try:
        if errors := [str(text) for texts in form.errors.values() for text in texts]:
            raise Invalid(" ".join(errors))
        count = check()
        said = Said(is_good=True, sentence=f"It answers and lists {count} model{'' if count == 1 else 's'}.")
    except ModelError as error:
        said = Said(
            is_good=False,
            sentence=error.message,
            text=error.detail or "",
            request_id=error.request_id or "",
        )
    except AdeError as error:
        said = Said(is_good=False, sentence=error.message)
    if request.htmx:
        return render(request, "settings/partials/provider_said.html", {"said": said})
    return render(request, "settings/new_provider.html", context | {"said": said})


def _type_requests() -> dict[str, str]:
    """Another type asks for other fields. Only the type itself is sent: what was typed stays where it is."""
    return {
        "hx-get": reverse("settings:new_provider"),
        "hx-target": "#provider-fields",
        "hx-swap": "outerHTML",
        "hx-trigger": "change",
    }


def _place(row: Provider) -> str:
    return f"{reverse('settings:providers')}#{row.id}"
