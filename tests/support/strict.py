"""Whether JSON is what a type of letta-client says, which the client itself never asks.

    validate(LettaStreamingResponse, {"message_type": "ping", …})

The client builds its objects without looking at them: a wrong field only shows when somebody uses it. This looks at every one: a
member of a union is chosen by its discriminator, a missing or null required field, a value of another type and a field that the
type does not know are problems.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Collection, Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from letta_client._utils import PropertyInfo
from pydantic import BaseModel, TypeAdapter, ValidationError


class Mismatch(AssertionError):
    """The JSON is not what the type says; lists every problem with its place."""


def validate(kind: Any, raw: Any, *, extra: Collection[str] = ()) -> None:
    """Raise Mismatch unless `raw` (parsed JSON) is a `kind`: a model, a union, or any annotation that the client uses.

    `extra` are names of fields that may be there although the type does not have them.
    """
    if problems := list(_problems(kind, raw, "$", frozenset(extra))):
        raise Mismatch("\n".join([f"not a {_name(kind)}:", *problems, json.dumps(raw, indent=1)[:2000]]))


def _problems(kind: Any, raw: Any, at: str, extra: frozenset[str]) -> Iterator[str]:
    discriminator = None
    while get_origin(kind) is Annotated:
        kind, *about = get_args(kind)
        discriminator = next((each.discriminator for each in about if isinstance(each, PropertyInfo)), None)
    origin = get_origin(kind)
    if kind in (Any, object):
        return
    if origin in (Union, types.UnionType):
        yield from _union_problems(get_args(kind), discriminator, raw, at, extra)
    elif origin in (list, typing.Iterable) or kind is list:
        yield from _list_problems(kind, raw, at, extra)
    elif origin is dict:
        if not isinstance(raw, dict):
            yield f"{at}: wanted an object, got {_short(raw)}"
            return
        for key, value in raw.items():
            yield from _problems(get_args(kind)[1], value, f"{at}.{key}", extra)
    elif origin is Literal:
        if raw not in get_args(kind) or isinstance(raw, bool) not in {
            isinstance(a, bool) for a in get_args(kind)
        }:
            yield f"{at}: wanted one of {list(get_args(kind))}, got {_short(raw)}"
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _model_problems(kind, raw, at, extra)
    else:
        try:
            _adapter(kind).validate_json(json.dumps(raw), strict=True)
        except ValidationError as error:
            yield f"{at}: {error.errors()[0]['msg']}, got {_short(raw)}"


def _list_problems(kind: Any, raw: Any, at: str, extra: frozenset[str]) -> Iterator[str]:
    if not isinstance(raw, list):
        yield f"{at}: wanted a list, got {_short(raw)}"
        return
    [item] = get_args(kind) or (Any,)
    for index, value in enumerate(raw):
        yield from _problems(item, value, f"{at}[{index}]", extra)


def _model_problems(kind: type[BaseModel], raw: Any, at: str, extra: frozenset[str]) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield f"{at}: wanted {kind.__name__}, got {_short(raw)}"
        return
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    for name, field in fields.items():
        if name in raw:
            # pydantic takes Annotated apart; what it found is the field's metadata.
            annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            yield from _problems(annotation, raw[name], f"{at}.{name}", extra)
        elif field.is_required():
            yield f"{at}.{name}: is required by {kind.__name__} and missing"
    for name in raw.keys() - fields.keys() - extra:
        yield f"{at}.{name}: is no field of {kind.__name__}"


def _union_problems(
    members: tuple[Any, ...], discriminator: str | None, raw: Any, at: str, extra: frozenset[str]
) -> Iterator[str]:
    if raw is None:
        if type(None) not in members:
            yield f"{at}: is null"
        return
    candidates = [member for member in members if member is not type(None)]
    if discriminator is not None:
        if not isinstance(raw, dict) or raw.get(discriminator) is None:
            yield f"{at}: has no {discriminator}"
            return
        chosen = [each for each in candidates if raw[discriminator] in _literals(each, discriminator)]
        if not chosen:
            yield f"{at}.{discriminator}: {raw[discriminator]!r} is none of {' | '.join(map(_name, candidates))}"
            return
        candidates = chosen
    found = [list(_problems(candidate, raw, at, extra)) for candidate in candidates]
    if all(found):
        # The member that fits best says the most.
        yield from min(found, key=len)


def _literals(model: Any, field: str) -> set[Any]:
    """The values by which a union knows this member."""
    while get_origin(model) is Annotated:
        model = get_args(model)[0]
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return set()
    return set(_flat(model.model_fields[field].annotation)) if field in model.model_fields else set()


def _flat(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for each in get_args(annotation):
            yield from _flat(each)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _name(kind: Any) -> str:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(_name(each) for each in get_args(kind))
    return str(getattr(kind, "__name__", kind))


def _short(raw: Any) -> str:
    return repr(raw)[:100]
