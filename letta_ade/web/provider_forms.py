"""The form of a provider: each type asks for its own fields, and keys are written and never shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse

from letta_ade.llm.models import Provider
from letta_ade.llm.provider_profiles import find_profile
from letta_ade.llm.services import providers
from letta_ade.llm.services.providers import ProviderChanges, ProviderDraft


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
            # What it is stays: its models would be others.
            del fields["provider_type"]
            fields["name"].required = False
            for name in ("api_key", "access_key"):
                fields[
                    name
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
            name=self.value("name") or None,
            api_key=self.value("api_key") or None,
            access_key=self.value("access_key") or None,
            base_url=self.value("base_url"),
            region=self.value("region"),
            api_version=self.value("api_version"),
        )


def _type_requests() -> dict[str, str]:
    """Another type asks for other fields. Only the type itself is sent: what was typed stays where it is."""
    return {
        "hx-get": reverse("settings:new_provider"),
        "hx-target": "#provider-fields",
        "hx-swap": "outerHTML",
        "hx-trigger": "change",
    }
