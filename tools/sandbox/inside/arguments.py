"""Arguments on their way into a function: JSON values become what its signature says.

JSON has no classes. A model, a dataclass, an enum, a tuple or a set is made here of what crossed as a dict, a text or a list; what cannot
be made is told to the model that made the call, which can then do better.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import types
import typing
from typing import Any

_MOST_SHOWN = 80
_MOST_PROBLEMS = 3
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class InvalidArguments(Exception):
    """An argument is not what the signature says; the text says which, and what is wanted."""


class _Misfit(Exception):
    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path

    def under(self, step: str) -> _Misfit:
        joined = f"{step}{self.path}" if self.path.startswith("[") or not self.path else f"{step}.{self.path}"
        return _Misfit(str(self), joined)


def typed_arguments(arguments: dict[str, Any], hints: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the annotations want them; those without one, and plain values that do not fit, as they came.

    Raises InvalidArguments for what cannot become the class that it is to be.
    """
    made = {}
    for name, value in arguments.items():
        try:
            made[name] = _typed(value, hints.get(name, Any))
        except _Misfit as misfit:
            told = misfit.under(name)
            raise InvalidArguments(f"the argument {told.path!r} {told}") from None
        except RecursionError:
            raise InvalidArguments(f"the argument {name!r} is nested too deeply.") from None
    return made


def through_class(whole: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the schema's own class reads them: nested objects become objects. Raises InvalidArguments."""
    try:
        made = whole.model_validate(arguments)
    except ValueError as error:
        raise InvalidArguments(f"the arguments do not fit their schema: {_said(error)}") from None
    return {key: getattr(made, key, value) for key, value in arguments.items()}


def _typed(value: Any, annotation: Any) -> Any:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated or _is_qualifier(origin):
        return _typed(value, inner[0])
    if origin in (typing.Union, types.UnionType):
        return _of_union(value, inner)
    if origin is typing.Literal:
        return _of_literal(value, inner)
    if isinstance(value, list):
        return _of_list(value, origin or annotation, inner)
    if isinstance(value, dict) and origin in _MAPPINGS and len(inner) == 2:
        return {_key(key, inner[0]): _at(f"[{key!r}]", each, inner[1]) for key, each in value.items()}
    return _of_class(value, annotation) if isinstance(annotation, type) else value


def _is_qualifier(origin: Any) -> bool:
    return origin is not None and origin in (typing.Required, typing.NotRequired, typing.Final)


def _at(step: str, value: Any, annotation: Any) -> Any:
    try:
        return _typed(value, annotation)
    except _Misfit as misfit:
        raise misfit.under(step) from None


def _of_list(value: list[Any], kind: Any, inner: tuple[Any, ...]) -> Any:
    if kind is tuple:
        return _tuple(value, inner)
    if isinstance(kind, type) and issubclass(kind, tuple):
        return _named_tuple(value, kind)
    items = [_at(f"[{i}]", each, inner[0]) for i, each in enumerate(value)] if inner else value
    if kind in (set, frozenset, collections.abc.Set):
        try:
            return frozenset(items) if kind is frozenset else set(items)
        except TypeError:
            raise _Misfit("holds what cannot be in a set.") from None
    if kind in _LISTS:
        return items
    return _of_class(value, kind) if isinstance(kind, type) else value


def _tuple(value: list[Any], inner: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_at(f"[{i}]", each, inner[0]) for i, each in enumerate(value))
    if not inner or inner == ((),):
        return tuple(value)
    if len(inner) != len(value):
        raise _Misfit(f"is a list of {len(inner)}, not of {len(value)}.")
    return tuple(_at(f"[{i}]", each, kind) for i, (each, kind) in enumerate(zip(value, inner, strict=True)))


def _named_tuple(value: list[Any], kind: Any) -> Any:
    fields, hints = getattr(kind, "_fields", ()), _hints(kind)
    if len(value) > len(fields):
        raise _Misfit(f"is a list of {len(fields)}: {', '.join(fields)}.")
    given = [_at(f"[{i}]", each, hints.get(name, Any)) for i, (name, each) in enumerate(zip(fields, value))]  # noqa: B905 (fewer are defaults)
    return _made(kind, given, {})


def _of_union(value: Any, choices: tuple[Any, ...]) -> Any:
    if value is None and type(None) in choices:
        return None
    # A plain type that it is already needs nothing made.
    if any(choice is type(value) for choice in choices if choice not in (dict, list)):
        return value
    problems = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            made = _typed(value, choice)
        except _Misfit as misfit:
            problems.append(misfit)
            continue
        if made is not value or _is_instance(value, choice):
            return made
    # Where only one could be meant, its problem is the one to tell.
    if problems and len(problems) == sum(choice is not type(None) for choice in choices):
        raise problems[0]
    return value


def _is_instance(value: Any, choice: Any) -> bool:
    kind = typing.get_origin(choice) or choice
    return isinstance(kind, type) and not typing.is_typeddict(kind) and isinstance(value, kind)


def _of_literal(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        plain = choice.value if isinstance(choice, enum.Enum) else choice
        # `1 == True`, which a tool may well tell apart.
        if plain == value and isinstance(plain, bool) == isinstance(value, bool):
            return choice
    for choice in choices:
        if not isinstance(choice, enum.Enum) and str(choice) == str(value):
            return choice
    raise _not_one_of(value, [repr(each.value if isinstance(each, enum.Enum) else each) for each in choices])


def _of_class(value: Any, kind: type) -> Any:
    if (
        _is_made_of_fields(kind)
        and not isinstance(value, dict)
        and callable(getattr(value, "model_dump", None))
    ):
        # Of a class that the schema gave: the source may have one of its own by that name.
        value = value if isinstance(value, _plain_class(kind)) else value.model_dump()
    if isinstance(value, dict):
        if typing.is_typeddict(kind):
            return _typed_dict(value, kind)
        if hasattr(kind, "model_validate"):
            return _made(kind.model_validate, [value], {})
        if dataclasses.is_dataclass(kind):
            return _dataclass(value, kind)
    elif value is not None and _is_made_of_fields(kind) and not isinstance(value, _plain_class(kind)):
        raise _Misfit(f"is an object ({kind.__name__}), not {_shown(value)}.")
    if issubclass(kind, enum.Enum) and not isinstance(value, kind):
        return _enum(value, kind)
    if kind is float and type(value) is int:
        return float(value)
    return value


def _is_made_of_fields(kind: type) -> bool:
    return typing.is_typeddict(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "model_validate")


def _plain_class(kind: type) -> type:
    """The class for `isinstance`, which refuses a TypedDict: of that there are only dicts."""
    return dict if typing.is_typeddict(kind) else kind


def _enum(value: Any, kind: type[enum.Enum]) -> enum.Enum:
    if not isinstance(value, (dict, list)):
        try:
            return kind(value)
        except (ValueError, TypeError):
            pass
        if isinstance(value, str):
            if value in kind.__members__:
                return kind[value]
            for member in kind:
                if str(member.value) == value:
                    return member
    raise _not_one_of(value, [repr(member.value) for member in kind])


def _typed_dict(value: dict[str, Any], kind: Any) -> dict[str, Any]:
    hints = _hints(kind)
    missing = [
        key
        for key in sorted(kind.__required_keys__ - value.keys())
        # Where annotations are texts, Python takes these for required.
        if typing.get_origin(hints.get(key)) is not typing.NotRequired
    ]
    if missing:
        raise _Misfit(f"lacks {', '.join(map(repr, missing))}.")
    return {key: _at(key, each, hints.get(key, Any)) for key, each in value.items()}


def _dataclass(value: dict[str, Any], kind: Any) -> Any:
    hints = _hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    missing = [
        field.name
        for field in fields
        if field.name not in value
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise _Misfit(f"lacks {', '.join(map(repr, missing))}.")
    # What it has no field for is dropped, as arguments are that the function does not have.
    given = {
        field.name: _at(field.name, value[field.name], hints.get(field.name, Any))
        for field in fields
        if field.name in value
    }
    return _made(kind, [], given)


def _made(make: Any, given: list[Any], named: dict[str, Any]) -> Any:
    try:
        return make(*given, **named)
    except RecursionError:
        raise
    except Exception as error:  # a constructor of the tool may raise anything
        raise _Misfit(f"does not fit: {_said(error)}") from None


def _said(error: Exception) -> str:
    """What a validation says, in one line."""
    problems = getattr(error, "errors", None)
    if not callable(problems):
        return f"{error}."
    found = problems()
    told = [f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in found[:_MOST_PROBLEMS]]
    more = f" (and {len(found) - _MOST_PROBLEMS} more)" if len(found) > _MOST_PROBLEMS else ""
    return f"{'; '.join(told)}{more}."


def _key(key: str, kind: Any) -> Any:
    """A key as its annotation says: in JSON all are texts."""
    try:
        if kind in (int, float):
            return kind(key)
    except ValueError:
        return key
    return _enum(key, kind) if isinstance(kind, type) and issubclass(kind, enum.Enum) else key


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # an annotation may be anything
        return {}


def _not_one_of(value: Any, choices: list[str]) -> _Misfit:
    return _Misfit(f"is one of {', '.join(choices)}, not {_shown(value)}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
