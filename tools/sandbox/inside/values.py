"""The return of a function on its way out as JSON."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import json
import math
from typing import Any

_DEEPEST = 200


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
