"""The arguments of a run as a form that is made from the schema: a field for each, or all of them as JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tools.web.arguments import type_name

FORM, JSON = "form", "json"
#: JSON that is not longer stands in one line.
_ONE_LINE = 60
#: Of the names that a browser sends; what is saved of a tool has none of them.
PREFIX = "run."
_ARGUMENT = f"{PREFIX}arg."
_MOST_DEFAULT = 60

Kind = Literal["text", "integer", "number", "boolean", "choice", "json"]


class BadInput(ValueError):
    """What was typed cannot be the argument; the text says what is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunField:
    """One argument on the form."""

    name: str
    kind: Kind
    type: str
    description: str
    is_required: bool
    #: As the source writes it; "" when there is none.
    default: str = ""
    #: Of a choice: what is sent → what is shown.
    choices: tuple[tuple[str, str], ...] = ()
    #: What JSON is wanted: array, object, or "" for anything.
    shape: str = ""
    text: str = ""
    error: str = ""

    @property
    def html_name(self) -> str:
        return f"{_ARGUMENT}{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunForm:
    """The form as it is shown."""

    fields: tuple[RunField, ...]
    mode: str = FORM
    #: All arguments as JSON, in that mode.
    text: str = ""
    error: str = ""
    #: The arguments; None when something is wrong with them.
    arguments: dict[str, Any] | None = None
    #: Tells one set of arguments from another: while it is the same, what is being typed is left alone.
    mark: str = ""

    @property
    def has_required(self) -> bool:
        return any(field.is_required for field in self.fields)


def run_form(
    schema: Mapping[str, Any] | None, defaults: Mapping[str, str], posted: Mapping[str, str]
) -> RunForm:
    """The form for a schema, with what was posted, read and checked, in the way that is to be shown."""
    fields = _fields_of(schema or {}, defaults)
    mode = JSON if posted.get(f"{PREFIX}mode") == JSON else FORM
    mark = hashlib.sha256(repr(fields).encode()).hexdigest()[:16]
    if posted.get(f"{PREFIX}shown") == JSON:
        return _from_json(fields, posted.get(f"{PREFIX}json", ""), mode, mark)
    read = tuple(_with_text(field, posted.get(field.html_name, "")) for field in fields)
    is_wrong = any(field.error for field in read)
    given = {} if is_wrong else _values(read)
    if mode == JSON:
        # What is wrong in a field is not lost on the way: it goes along as it was typed.
        text = _json_text(_values(read, lenient=True) or _skeleton(fields))
        return RunForm(fields=read, mode=mode, text=text, arguments=None if is_wrong else given, mark=mark)
    return RunForm(fields=read, arguments=None if is_wrong else given, mark=mark)


def environment_of(text: str) -> dict[str, str]:
    """The variables of a text, `NAME=value` a line. Raises BadInput."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, mark, value = line.partition("=")
        if not mark or not name.strip().isidentifier() or "\0" in value:
            raise BadInput(f"Line {number} is not NAME=value.")
        found[name.strip()] = value
    return found


def _fields_of(schema: Mapping[str, Any], defaults: Mapping[str, str]) -> tuple[RunField, ...]:
    parameters = schema.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    required = parameters.get("required") if isinstance(parameters, dict) else None
    if not isinstance(properties, dict):
        return ()
    names = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    return tuple(
        _field(name, each if isinstance(each, dict) else {}, name in names, defaults.get(name, ""))
        for name, each in properties.items()
    )


def _field(name: str, schema: dict[str, Any], is_required: bool, default: str) -> RunField:
    if "default" in schema and not default:
        default = json.dumps(schema["default"], ensure_ascii=False)
    kind, choices, shape = _kind_of(schema)
    description = schema.get("description")
    return RunField(
        name=name,
        kind=kind,
        type=type_name(schema),
        description=description if isinstance(description, str) else "",
        is_required=is_required,
        default=default if len(default) <= _MOST_DEFAULT else f"{default[: _MOST_DEFAULT - 1]}…",
        choices=choices,
        shape=shape,
    )


def _kind_of(schema: Mapping[str, Any]) -> tuple[Kind, tuple[tuple[str, str], ...], str]:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(iter([each for each in kind if each != "null"]), None) if len(kind) <= 2 else None
    values = schema.get("enum")
    if isinstance(values, list) and values:
        return (
            "choice",
            tuple((json.dumps(v), v if isinstance(v, str) else json.dumps(v)) for v in values),
            "",
        )
    match kind:
        case "string":
            return "text", (), ""
        case "integer" | "number":
            return kind, (), ""
        case "boolean":
            return "boolean", (("true", "true"), ("false", "false")), ""
        case "array" | "object":
            return "json", (), kind
        case _:
            return "json", (), ""


def _with_text(field: RunField, text: str) -> RunField:
    text = text.replace("\r\n", "\n")
    try:
        _value(field, text)
    except BadInput as error:
        return replace(field, text=text, error=str(error))
    return replace(field, text=text)


def _is_left_out(field: RunField, text: str) -> bool:
    # A required text may be empty; anything else that is empty is not there.
    return not text.strip() and not (field.kind == "text" and (field.is_required or text))


def _values(fields: tuple[RunField, ...], *, lenient: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields:
        if _is_left_out(field, field.text):
            continue
        found[field.name] = field.text if lenient and field.error else _value(field, field.text)
    return found


def _value(field: RunField, text: str) -> Any:
    """What the text says. Raises BadInput."""
    if _is_left_out(field, text):
        if field.is_required:
            raise BadInput("It is required.")
        return None
    match field.kind:
        case "text":
            return text
        case "integer":
            return _integer(text.strip())
        case "number":
            return _number(text.strip())
        case "boolean" | "choice":
            if text not in dict(field.choices):
                raise BadInput("Choose one of the list.")
            return json.loads(text)
        case "json":
            return _shaped(parse_json(text), field.shape)


def _integer(text: str) -> int:
    # Within the digits that Python reads, and JSON may hold.
    if not text.removeprefix("-").isdecimal() or len(text) > 300:
        raise BadInput("A whole number is wanted.")
    return int(text)


def _number(text: str) -> float | int:
    try:
        return _integer(text)
    except BadInput:
        pass
    try:
        value = float(text)
    except ValueError:
        raise BadInput("A number is wanted.") from None
    if not math.isfinite(value):
        raise BadInput("A number is wanted.")
    return value


def _shaped(value: Any, shape: str) -> Any:
    if shape == "array" and not isinstance(value, list):
        raise BadInput("A list is wanted: [ … ].")
    if shape == "object" and not isinstance(value, dict):
        raise BadInput("An object is wanted: { … }.")
    return value


def parse_json(text: str) -> Any:
    """The JSON value of the text. Raises BadInput, with the line."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except BadInput:
        raise
    except json.JSONDecodeError as error:
        raise BadInput(f"This is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except RecursionError:
        raise BadInput("This is nested too deeply.") from None
    except ValueError as error:
        raise BadInput(f"This is not JSON: {error}.") from None


def _no_constant(name: str) -> Any:
    raise BadInput(f"This is not JSON: it has no {name}.")


def _from_json(fields: tuple[RunField, ...], text: str, mode: str, mark: str) -> RunForm:
    text = text.replace("\r\n", "\n")
    try:
        given = _shaped(parse_json(text), "object") if text.strip() else {}
    except BadInput as error:
        # Shown as it is until it can be read.
        return RunForm(fields=fields, mode=JSON, text=text, error=str(error), mark=mark)
    missing = [field.name for field in fields if field.is_required and field.name not in given]
    if mode == JSON:
        return RunForm(
            fields=fields,
            mode=mode,
            text=text,
            error=f"Missing: {', '.join(missing)}." if missing else "",
            arguments=None if missing else given,
            mark=mark,
        )
    filled = tuple(replace(field, text=_text_of(field, given)) for field in fields)
    return RunForm(fields=filled, arguments=None if missing else given, mark=mark)


def _text_of(field: RunField, given: Mapping[str, Any]) -> str:
    if field.name not in given:
        return ""
    value = given[field.name]
    if field.kind in ("boolean", "choice"):
        return json.dumps(value)
    if isinstance(value, str) and field.kind != "json":
        return value
    text = json.dumps(value, ensure_ascii=False)
    return text if field.kind != "json" or len(text) <= _ONE_LINE else _json_text(value)


def _skeleton(fields: tuple[RunField, ...]) -> dict[str, Any]:
    """What is required, each empty in its way."""
    empty: dict[str, Any] = {"text": "", "integer": 0, "number": 0, "boolean": False}
    return {
        field.name: json.loads(field.choices[0][0])
        if field.kind == "choice"
        else ([] if field.shape == "array" else {})
        if field.kind == "json"
        else empty[field.kind]
        for field in fields
        if field.is_required
    }


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
