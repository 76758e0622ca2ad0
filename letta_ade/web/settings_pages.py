"""Settings: API keys, and what this server is. Providers: `provider_pages.py`."""

from __future__ import annotations

import platform

import django
from django import forms
from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from agents.services.callbacks import signing_secret
from letta_ade.accounts.auth import trusts_loopback
from letta_ade.accounts.models import ApiKey, Role, User, Workspace
from letta_ade.accounts.pages import PageRequest
from letta_ade.accounts.services.api_keys import create_api_key, revoke_api_key
from letta_ade.core.errors import NotFound
from letta_ade.core.version import product_version
from tools.sandbox.current import isolation_now


class KeyForm(forms.Form):
    name = forms.CharField(
        max_length=120,
        widget=forms.TextInput(
            attrs={"class": "form-control", "autocomplete": "off", "placeholder": "nightly-sync"}
        ),
        error_messages={"required": "A key needs a name."},
    )
    role = forms.ChoiceField(
        choices=Role.choices, initial=Role.EDITOR, widget=forms.Select(attrs={"class": "form-select"})
    )


@require_GET
def index(request: PageRequest) -> HttpResponse:
    """The first page that the caller may see."""
    return redirect("settings:keys" if request.caller.can("manage") else "settings:providers")


@never_cache
@require_http_methods(["GET", "POST"])
def keys_page(request: PageRequest) -> HttpResponse:
    """The keys of the workspace. A new key is in the answer to its form, and nowhere else, ever."""
    request.caller.check("manage")
    form = KeyForm(request.POST if request.method == "POST" else None)
    created = None
    if request.method == "POST" and form.is_valid():
        created = create_api_key(
            name=form.cleaned_data["name"],
            role=form.cleaned_data["role"],
            user=User.objects.filter(id=request.caller.id).first(),
            workspace=Workspace.objects.get(id=request.caller.workspace_id),
        )
        form = KeyForm()
    keys = ApiKey.objects.filter(workspace_id=request.caller.workspace_id).select_related("user")
    context = {
        "form": form,
        "created": created,
        "keys": keys.filter(revoked_at=None),
        "revoked": keys.exclude(revoked_at=None),
        "is_local_mode": trusts_loopback(),
        "callback_secret": signing_secret(request.caller.workspace_id),
    }
    return render(request, "settings/keys.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def revoke_key(request: PageRequest, key_id: str) -> HttpResponse:
    """Names what stops working, then revokes."""
    request.caller.check("manage")
    key = ApiKey.objects.filter(id=key_id, workspace_id=request.caller.workspace_id).first()
    if key is None:
        raise NotFound("API key not found")
    if request.method == "POST":
        revoke_api_key(key=key)
        return redirect("settings:keys")
    return render(request, "settings/revoke_key.html", {"key": key})


@require_GET
def about_page(request: PageRequest) -> HttpResponse:
    """What this server is and where it keeps things."""
    request.caller.check("read")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database()), current_setting('server_version')")
        size, database_version = cursor.fetchone()
    context = {
        "version": product_version(),
        "python_version": platform.python_version(),
        "django_version": django.get_version(),
        "database_version": database_version,
        "database_megabytes": size / 1e6,
        # Where files are is for who runs the server.
        "data_dir": settings.DATA_DIR if request.caller.can("manage") else None,
        "is_local_mode": trusts_loopback(),
    }
    return render(request, "settings/about.html", context)


@require_GET
def isolation_of_tools(request: PageRequest) -> HttpResponse:
    """What stands between tools and this server: a fragment, since the first look at it starts the sandbox."""
    request.caller.check("read")
    return render(request, "settings/partials/isolation.html", {"found": isolation_now()})
