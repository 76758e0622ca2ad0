"""The form of one block: its value and what is said about it."""

from __future__ import annotations

from typing import Any

from django import forms

from memory.models import Block
from memory.services.blocks import BlockChanges, BlockDraft

#: What the form for a new block offers; the API's own default is far larger.
OFFERED_LIMIT = 5_000


class BlockForm(forms.Form):
    label = forms.CharField(
        max_length=255,
        widget=forms.TextInput(
            attrs={"class": "form-control mono", "autocomplete": "off", "spellcheck": "false"}
        ),
        error_messages={"required": "A block needs a label."},
    )
    description = forms.CharField(
        required=False,
        help_text="What belongs here. The model reads it.",
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 3}),
    )
    limit = forms.IntegerField(
        min_value=1,
        max_value=2**31 - 1,
        help_text="Characters.",
        widget=forms.NumberInput(attrs={"class": "form-control num", "inputmode": "numeric"}),
        error_messages={
            "required": "A limit is needed.",
            "min_value": "At least 1 character.",
            "invalid": "A whole number is wanted.",
        },
    )
    read_only = forms.BooleanField(required=False, label="Read-only for agents")
    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"class": "form-control mono editor", "spellcheck": "false", "rows": 12}),
    )
    #: The version that the value was read from; empty for a new block.
    base_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def clean_value(self) -> str:
        # A browser sends line ends as CR LF; stored text has LF.
        value: str = self.cleaned_data["value"]
        return value.replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        value, limit = data.get("value", ""), data.get("limit")
        if limit is not None and len(value) > limit:
            self.add_error("value", f"{len(value):,} characters are over the limit of {limit:,}.")
        return data

    def changes(self, block: Block) -> BlockChanges:
        """What the answers change; an empty description is no change of one that was never given."""
        data = self.cleaned_data
        return BlockChanges(
            label=data["label"],
            value=data["value"],
            limit=data["limit"],
            description=None
            if block.description is None and not data["description"]
            else data["description"],
            read_only=data["read_only"],
        )

    def draft(self) -> BlockDraft:
        data = self.cleaned_data
        return BlockDraft(
            label=data["label"],
            value=data["value"],
            limit=data["limit"],
            description=data["description"] or None,
            read_only=data["read_only"],
        )
