"""What a tool may hold: the one validator behind the API and the pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from letta_ade.core.errors import Invalid, Unprocessable
from memory.texts import check_json, check_text
from tools.models import Tool
from tools.schemas.errors import SchemaError
from tools.schemas.module import read_module
from tools.schemas.typescript import exported_names

MOST_NAME_CHARACTERS = 48
MOST_RETURN_CHARACTERS = 1_000_000
#: More of them no installer is asked for.
_MOST_REQUIREMENTS = 100
#: What every model provider takes as the name of a function.
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PIP_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9,._ -]+\])?")
_PIP_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_*-]*")
_NPM_NAME = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*", re.IGNORECASE)
_NPM_VERSION = re.compile(r"(?:[~^]|[<>]?=?)?[A-Za-z0-9][A-Za-z0-9.+_-]*|\*")


def check_tool(tool: Tool) -> None:
    """Raise Invalid for a name or schema, Unprocessable for another field, that cannot be; the source must parse."""
    check_schema(tool.json_schema)
    check_name(tool.name)
    if not 1 <= tool.return_char_limit <= MOST_RETURN_CHARACTERS:
        raise Unprocessable(
            f"return_char_limit is between 1 and {MOST_RETURN_CHARACTERS:,} characters, not {tool.return_char_limit:,}."
        )
    for name in ("description", "source_code"):
        check_text(f"The {name} of a tool", getattr(tool, name) or "")
    for name in ("json_schema", "args_json_schema", "metadata"):
        check_json(f"The {name} of a tool", getattr(tool, name) or {})
    _check_requirements("pip", tool.pip_requirements or (), _PIP_NAME, _PIP_VERSION)
    _check_requirements("npm", tool.npm_requirements or (), _NPM_NAME, _NPM_VERSION)
    if tool.source_code is not None and tool.source_type == "python":
        read_module(tool.source_code)


def check_name(name: Any) -> None:
    """Raise Invalid for a name that models or clients do not take."""
    if not isinstance(name, str) or not name:
        raise Invalid("The schema of a tool needs a name.")
    if len(name) > MOST_NAME_CHARACTERS:
        raise Invalid(
            f"The name of a tool has at most {MOST_NAME_CHARACTERS} characters; {name[:80]!r} has {len(name)}."
        )
    if not _NAME.fullmatch(name):
        raise Invalid(f"The name of a tool has letters, digits, _ and - only; {name!r} has others.")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise Invalid for a schema whose parameters are no JSON schema of an object."""
    parameters = schema.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise Invalid("json_schema: `parameters` must be a JSON schema of type object.")
    properties, required = parameters.get("properties") or {}, parameters.get("required") or []
    if not isinstance(properties, dict) or not all(isinstance(each, dict) for each in properties.values()):
        raise Invalid("json_schema: `parameters.properties` must be an object of schemas.")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise Invalid("json_schema: `parameters.required` must be a list of names.")


def check_source_has(tool: Tool) -> None:
    """Raise SchemaError unless the source has the function that the tool is named after."""
    if tool.source_code is None:
        return
    if tool.source_type == "python":
        names, written = [each.name for each in read_module(tool.source_code).functions], "def"
    else:
        names, written = exported_names(tool.source_code), "function"
    if tool.name not in names:
        found = f"it has {', '.join(names)}" if names else "it has none"
        raise SchemaError(
            f"The tool is named {tool.name!r}, and its source has no `{written} {tool.name}`; {found}."
        )


def _check_requirements(
    kind: str, requirements: Sequence[Any], name_form: re.Pattern[str], version_form: re.Pattern[str]
) -> None:
    if len(requirements) > _MOST_REQUIREMENTS:
        raise Unprocessable(f"A tool has at most {_MOST_REQUIREMENTS} {kind}_requirements.")
    for each in requirements:
        name, version = each.get("name"), each.get("version")
        if not isinstance(name, str) or not name_form.fullmatch(name):
            raise Unprocessable(f"{kind}_requirements: {name!r} is not the name of a package.")
        if version is not None and not (isinstance(version, str) and version_form.fullmatch(version)):
            raise Unprocessable(f"{kind}_requirements: {version!r} is not a version of {name}.")
