"""Arguments on their way into a function, and its return on the way out as JSON."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import json
import math
import types
import typing
from typing import Any

_DEEPEST = 200


def typed(value: Any, annotation: Any) -> Any:
    """The value as an object of the annotated type where that can be done, else as it came.

    JSON has no classes: a model, a dataclass, an enum, a tuple or a set is made here of what crossed as a dict, a text or a list.
    """
    try:
        return _typed(value, annotation)
    except Exception:  # a constructor of the tool may raise anything; then the function sees the plain value
        return value


def _typed(value: Any, annotation: Any) -> Any:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _typed(value, inner[0])
    if origin in (typing.Union, types.UnionType):
        return _of_union(value, inner)
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable) and isinstance(value, list):
        return [_typed(each, inner[0]) for each in value] if inner else value
    if (origin or annotation) in (set, frozenset) and isinstance(value, list):
        made = origin or annotation
        return made(_typed(each, inner[0]) for each in value) if inner else made(value)
    if (origin or annotation) is tuple and isinstance(value, list):
        return _tuple(value, inner)
    if origin in (dict, collections.abc.Mapping) and isinstance(value, dict) and len(inner) == 2:
        return {key: _typed(each, inner[1]) for key, each in value.items()}
    if isinstance(annotation, type):
        return _of_class(value, annotation)
    return value


def _of_union(value: Any, choices: tuple[Any, ...]) -> Any:
    if value is None:
        return None
    for choice in choices:
        if choice is not type(None):
            try:
                made = _typed(value, choice)
            except Exception:  # the next choice may fit
                continue
            if made is not value or not isinstance(value, (dict, list)):
                return made
    return value


def _tuple(value: list[Any], inner: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_typed(each, inner[0]) for each in value)
    if len(inner) == len(value):
        return tuple(_typed(each, kind) for each, kind in zip(value, inner, strict=True))
    return tuple(value)


def _of_class(value: Any, kind: type) -> Any:
    if isinstance(value, dict) and not typing.is_typeddict(kind):
        if hasattr(kind, "model_validate"):
            return kind.model_validate(value)
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            return kind(**{name: _typed(each, hints.get(name)) for name, each in value.items()})
    if issubclass(kind, enum.Enum) and not isinstance(value, (dict, list)):
        try:
            return kind(value)
        except ValueError:
            return kind[value]
    return value


def as_json(value: Any) -> str:
    """The value as JSON: models and dataclasses as objects, what JSON does not know as its `str`.

    Raises ValueError for a value that holds itself or is nested too deep.
    """
    return json.dumps(_plain(value, frozenset()), ensure_ascii=False)


def _plain(value: Any, above: frozenset[int]) -> Any:
    if value is None or isinstance(value, (bool, int)) or type(value) is str:
        return int(value) if isinstance(value, int) and type(value) not in (bool, int) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, enum.Enum):
        return _plain(value.value, above)
    if isinstance(value, str):
        return str(value)
    inner = _parts(value)
    if inner is None:
        return str(value)
    if id(value) in above:
        raise ValueError("the return holds itself, which JSON cannot")
    if len(above) >= _DEEPEST:
        raise ValueError(f"the return is nested deeper than {_DEEPEST} levels")
    above |= {id(value)}
    if isinstance(inner, dict):
        return {key if type(key) is str else str(key): _plain(each, above) for key, each in inner.items()}
    return [_plain(each, above) for each in inner]


def _parts(value: Any) -> dict[Any, Any] | list[Any] | None:
    """What the value is made of, when it is made of parts."""
    if isinstance(value, collections.abc.Mapping):
        return dict(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if not isinstance(value, type):
        if callable(dump := getattr(value, "model_dump", None)):
            return dict(dump())
        if dataclasses.is_dataclass(value):
            return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return None
