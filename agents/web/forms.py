"""The form for a new agent: what it asks, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from django import forms
from django.http import QueryDict

from agents.models.agent import AgentType
from agents.services.agent_fields import check_name
from agents.services.agent_prompts import default_system_prompt
from agents.services.agent_types import FACTS, base_tool_names
from agents.services.agents import AgentDraft
from letta_ade.core.errors import Invalid
from letta_ade.llm.listing import EmbeddingModelInfo, ModelInfo
from memory.services.blocks import BlockDraft

#: What the form offers for a block; the API's own default is far larger.
OFFERED_LIMIT = 5_000
MOST_BLOCKS = 30
FIRST_TYPE = AgentType.LETTA_V1
#: Offered first, in this order; the rest follows by name.
OFFERED_TOOLS = (
    "conversation_search",
    "memory_insert",
    "memory_replace",
    "archival_memory_insert",
    "archival_memory_search",
)
FIRST_BLOCKS: tuple[dict[str, Any], ...] = (
    {
        "label": "persona",
        "description": "Who the agent is: its role, its manner, its habits.",
        "value": "I am a helpful assistant. I keep what matters in memory and say when I do not know something.",
        "limit": OFFERED_LIMIT,
    },
    {
        "label": "human",
        "description": "What is known about the person in the conversation.",
        "value": "",
        "limit": OFFERED_LIMIT,
    },
)


class AgentForm(forms.Form):
    """The agent without its new blocks."""

    agent_type = forms.ChoiceField(
        choices=[(agent_type.value, facts.title) for agent_type, facts in FACTS.items()],
        required=False,
        widget=forms.RadioSelect,
    )
    #: The type whose instructions and tools the form showed when it was sent.
    shown_type = forms.CharField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(
        max_length=255,
        required=False,
        help_text="Empty: a name is made up.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "spellcheck": "false"}),
    )
    description = forms.CharField(
        max_length=2000,
        required=False,
        help_text="For people. The model does not see it.",
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 2}),
    )
    tags = forms.CharField(
        required=False,
        help_text="Separated by commas.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    model = forms.ChoiceField(
        widget=forms.Select(attrs={"class": "form-select"}),
        error_messages={
            "required": "A model is needed.",
            "invalid_choice": "%(value)s is not available now. Choose another model.",
        },
    )
    embedding = forms.ChoiceField(
        label="Embedding for archival memory",
        required=False,
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    context_window_limit = forms.IntegerField(
        label="Context window",
        required=False,
        min_value=1000,
        max_value=2**31 - 1,
        help_text="Tokens. Empty: what the model allows.",
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
        error_messages={"min_value": "At least 1,000 tokens.", "invalid": "A whole number is wanted."},
    )
    system = forms.CharField(
        label="System instructions",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"class": "form-control mono", "rows": 12, "spellcheck": "false"}),
    )
    tools = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    shared_blocks = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(
        self,
        *args: Any,
        models: Iterable[ModelInfo],
        embeddings: Iterable[EmbeddingModelInfo],
        tool_names: Iterable[str],
        shared_block_ids: Iterable[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._field("model").choices = model_choices(models)
        self._field("embedding").choices = [
            ("", "None: archival memory is searched by words"),
            *((info.handle, info.handle) for info in embeddings),
        ]
        self._field("tools").choices = [(name, name) for name in tool_names]
        self._field("shared_blocks").choices = [(block_id, block_id) for block_id in shared_block_ids]

    def _field(self, name: str) -> Any:
        return self.fields[name]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not name:
            return name
        try:
            return check_name(name)
        except Invalid as error:
            raise forms.ValidationError(error.message) from error

    def clean_tags(self) -> tuple[str, ...]:
        parts = (part.strip() for part in self.cleaned_data["tags"].split(","))
        return tuple(dict.fromkeys(part for part in parts if part))

    def draft(self, blocks: Iterable[BlockDraft]) -> AgentDraft:
        """The agent that the answers describe."""
        data = self.cleaned_data
        agent_type = data["agent_type"] or FIRST_TYPE
        return AgentDraft(
            agent_type=agent_type,
            enable_sleeptime=_sleeptime_of(agent_type),
            name=data["name"] or None,
            description=data["description"] or None,
            tags=data["tags"],
            model=data["model"],
            embedding=data["embedding"] or None,
            context_window_limit=data["context_window_limit"],
            # A browser sends line ends as CR LF; stored text has LF.
            system=data["system"].replace("\r\n", "\n"),
            blocks=tuple(blocks),
            block_ids=tuple(data["shared_blocks"]),
            tool_names=tuple(data["tools"]),
            include_base_tools=False,
        )


class BlockForm(forms.Form):
    """A new block of the agent."""

    label = forms.CharField(
        max_length=255,
        widget=forms.TextInput(
            attrs={
                "class": "form-control mono",
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": "label",
            }
        ),
        error_messages={"required": "A block needs a label."},
    )
    limit = forms.IntegerField(
        min_value=1,
        max_value=2**31 - 1,
        initial=OFFERED_LIMIT,
        widget=forms.NumberInput(attrs={"class": "form-control num", "inputmode": "numeric"}),
        error_messages={
            "required": "A limit is needed.",
            "min_value": "At least 1 character.",
            "invalid": "A whole number is wanted.",
        },
    )
    description = forms.CharField(
        required=False,
        widget=forms.TextInput(
            attrs={
                "class": "form-control",
                "placeholder": "What belongs here. The model reads it.",
                "autocomplete": "off",
            }
        ),
    )
    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"class": "form-control mono", "rows": 4, "spellcheck": "false"}),
    )

    def clean_value(self) -> str:
        value: str = self.cleaned_data["value"]
        return value.replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        value, limit = data.get("value", ""), data.get("limit")
        if limit is not None and len(value) > limit:
            self.add_error("value", f"{len(value):,} characters are over the limit of {limit:,}.")
        return data

    def draft(self) -> BlockDraft:
        data = self.cleaned_data
        return BlockDraft(
            label=data["label"],
            value=data["value"],
            limit=data["limit"],
            description=data["description"] or None,
        )


class BaseBlockFormSet(forms.BaseFormSet[BlockForm]):
    """The new blocks; labels are unique within an agent."""

    def clean(self) -> None:
        seen: set[str] = set()
        for form in self.forms:
            label = form.cleaned_data.get("label") if hasattr(form, "cleaned_data") else None
            if label in seen:
                form.add_error("label", f"Another block has the label {label} already.")
            if label:
                seen.add(label)


BlockFormSet = forms.formset_factory(
    BlockForm, formset=BaseBlockFormSet, extra=0, max_num=MOST_BLOCKS, absolute_max=MOST_BLOCKS
)


def model_choices(models: Iterable[ModelInfo]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The models by provider; the demonstration says what it is."""
    return [
        (provider, [(info.handle, _model_name(info)) for info in infos])
        for provider, infos in groupby(models, key=lambda info: info.provider_name)
    ]


def _model_name(info: ModelInfo) -> str:
    return f"{info.handle} (scripted demonstration, not a language model)" if info.is_demo else info.handle


def tools_of_type(agent_type: str) -> list[str]:
    """The tools that are ticked for an agent of this type."""
    return list(base_tool_names(agent_type, enable_sleeptime=_sleeptime_of(agent_type)))


def _sleeptime_of(agent_type: str) -> bool | None:
    # There is no such agent without.
    return True if agent_type == AgentType.VOICE_CONVO else None


def fit_to_type(data: QueryDict) -> QueryDict:
    """What was sent, with instructions and tools of the chosen type where those of the type before were left untouched."""
    chosen, shown = data.get("agent_type") or FIRST_TYPE, data.get("shown_type") or FIRST_TYPE
    if chosen == shown or chosen not in AgentType.values or shown not in AgentType.values:
        return data
    changed = data.copy()
    # A browser sends line ends of its own, and drops a line break at the beginning.
    sent = (data.get("system") or "").replace("\r\n", "\n")
    if sent.strip() == default_system_prompt(shown).strip():
        changed["system"] = default_system_prompt(chosen)
    if set(data.getlist("tools")) == set(tools_of_type(shown)):
        changed.setlist("tools", tools_of_type(chosen))
    changed["shown_type"] = chosen
    return changed


def add_block(data: QueryDict) -> QueryDict:
    """What was sent, with room for one more block."""
    changed = data.copy()
    total = _total(data)
    if total < MOST_BLOCKS:
        changed["blocks-TOTAL_FORMS"] = str(total + 1)
        changed[f"blocks-{total}-limit"] = str(OFFERED_LIMIT)
    return changed


def remove_block(data: QueryDict, place: str) -> QueryDict:
    """What was sent without one block; those behind it move up."""
    total = _total(data)
    if not place.isdigit() or int(place) >= total:
        return data
    kept = [number for number in range(total) if number != int(place)]
    changed = data.copy()
    for name in list(changed):
        if name.startswith("blocks-") and name.split("-")[1].isdigit():
            del changed[name]
    for new, old in enumerate(kept):
        for field in BlockForm.base_fields:
            changed[f"blocks-{new}-{field}"] = data.get(f"blocks-{old}-{field}", "")
    changed["blocks-TOTAL_FORMS"] = str(len(kept))
    return changed


def _total(data: QueryDict) -> int:
    text = str(data.get("blocks-TOTAL_FORMS"))
    return min(int(text), MOST_BLOCKS) if text.isdecimal() else 0
