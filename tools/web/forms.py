"""The form of a custom tool: its source, its schema and what is said about it."""

from __future__ import annotations

from typing import Any

from django import forms

from letta_ade.core.errors import AdeError
from tools.models import Tool
from tools.models.tool import DEFAULT_RETURN_CHAR_LIMIT
from tools.services.tool_checks import MOST_RETURN_CHARACTERS
from tools.services.tool_schemas import SOURCE_TYPES, derived_schema
from tools.services.tool_versions import schema_text
from tools.services.tool_writes import ToolChanges, ToolDraft
from tools.web.schema_preview import BY_HAND, parse_schema

FROM_SOURCE = "source"
#: What a new tool begins with.
FIRST_SOURCE = '''def my_tool(text: str) -> str:
    """What the tool does, as the model reads it.

    Args:
        text: What the argument is.
    """
    return text
'''


class ToolForm(forms.Form):
    source_code = forms.CharField(strip=False, error_messages={"required": "A tool needs a source."})
    source_type = forms.ChoiceField(choices=[(each, each) for each in SOURCE_TYPES])
    schema_mode = forms.ChoiceField(choices=[(FROM_SOURCE, "From the source"), (BY_HAND, "By hand")])
    json_schema = forms.CharField(required=False, strip=False)
    tags = forms.CharField(required=False)
    requirements = forms.CharField(required=False)
    return_char_limit = forms.IntegerField(
        min_value=1,
        max_value=MOST_RETURN_CHARACTERS,
        error_messages={
            "required": "A limit is needed.",
            "invalid": "A whole number is wanted.",
            "min_value": "At least 1 character.",
            "max_value": f"At most {MOST_RETURN_CHARACTERS:,} characters.",
        },
    )
    default_requires_approval = forms.BooleanField(required=False)
    enable_parallel_execution = forms.BooleanField(required=False)
    #: The version that the form was made from; empty for a new tool.
    base_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, args_json_schema: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._args_json_schema = args_json_schema
        self._schema: dict[str, Any] = {}

    def clean_source_code(self) -> str:
        # A browser sends line ends as CR LF; stored text has LF.
        value: str = self.cleaned_data["source_code"]
        return value.replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if "source_code" not in data or "source_type" not in data:
            return data
        field = "json_schema" if data.get("schema_mode") == BY_HAND else "source_code"
        try:
            if field == "json_schema":
                self._schema = parse_schema(data["json_schema"])
            else:
                self._schema = derived_schema(
                    source=data["source_code"],
                    source_type=data["source_type"],
                    args_json_schema=self._args_json_schema,
                )
        except AdeError as error:
            self.add_error(field, error.message)
        return data

    #: What a run of it needs.
    RUNNING = ("source_code", "source_type", "schema_mode", "json_schema", "requirements")

    def draft_to_run(self) -> ToolDraft:
        """The tool as far as a run needs it; what else is wrong with the form does not matter then."""
        kept, found = self._packages()
        return ToolDraft(
            source_code=self.cleaned_data["source_code"],
            source_type=self.cleaned_data["source_type"],
            json_schema=self._schema,
            args_json_schema=self._args_json_schema,
            pip_requirements=found if kept == "pip_requirements" and found else None,
            npm_requirements=found if kept == "npm_requirements" and found else None,
        )

    def draft(self) -> ToolDraft:
        """The tool that is asked for."""
        values = self._values()
        return ToolDraft(
            **values | {"source_type": self.cleaned_data["source_type"], "tags": tuple(values["tags"])}
        )

    def changes(self, tool: Tool) -> ToolChanges:
        """What the answers change; an unticked box is no change of a default that was never given."""
        values = self._values()
        if tool.default_requires_approval is None and not values["default_requires_approval"]:
            del values["default_requires_approval"]
        return ToolChanges(values=values)

    def _values(self) -> dict[str, Any]:
        data = self.cleaned_data
        kept, found = self._packages()
        return {
            "source_code": data["source_code"],
            "json_schema": self._schema,
            "tags": list(dict.fromkeys(tag.strip() for tag in data["tags"].split(",") if tag.strip())),
            kept: found or None,
            "return_char_limit": data["return_char_limit"],
            "default_requires_approval": data["default_requires_approval"],
            "enable_parallel_execution": data["enable_parallel_execution"],
        }

    def _packages(self) -> tuple[str, list[dict[str, Any]]]:
        is_node = self.cleaned_data["source_type"] == "typescript"
        found = _requirements(self.cleaned_data["requirements"], "@" if is_node else "==")
        return "npm_requirements" if is_node else "pip_requirements", found


def first_values() -> dict[str, Any]:
    """What the form of a new tool holds."""
    return {
        "source_code": FIRST_SOURCE,
        "source_type": "python",
        "schema_mode": FROM_SOURCE,
        "return_char_limit": DEFAULT_RETURN_CHAR_LIMIT,
    }


def values_for(tool: Tool, *, follows_source: bool, version: int) -> dict[str, Any]:
    """What the form of a tool holds."""
    mark = "@" if tool.source_type == "typescript" else "=="
    kept = tool.npm_requirements if tool.source_type == "typescript" else tool.pip_requirements
    return {
        "source_code": tool.source_code or "",
        "source_type": tool.source_type,
        "schema_mode": FROM_SOURCE if follows_source else BY_HAND,
        "json_schema": schema_text(tool.json_schema),
        "tags": ", ".join(tool.tags),
        "requirements": "\n".join(
            f"{each['name']}{mark}{each['version']}" if each.get("version") else each["name"]
            for each in kept or ()
        ),
        "return_char_limit": tool.return_char_limit,
        "default_requires_approval": bool(tool.default_requires_approval),
        "enable_parallel_execution": tool.enable_parallel_execution,
        "base_version": version,
    }


def _requirements(text: str, mark: str) -> list[dict[str, Any]]:
    found = []
    for line in text.replace(",", "\n").splitlines():
        if not (written := line.strip()):
            continue
        # The name of an npm package may begin with the mark.
        rest, _, version = written[1:].partition(mark)
        name = written[0] + rest
        found.append({"name": name.strip(), "version": version.strip() or None})
    return found
