"""The source of a Python tool, parsed and never run: its function, its classes and what its names mean."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tools.schemas.errors import SchemaError

Function = ast.FunctionDef | ast.AsyncFunctionDef

#: Modules whose names are known by themselves: `typing.List` and `List` are the same here.
_KNOWN_MODULES = frozenset(
    {
        "typing",
        "typing_extensions",
        "collections",
        "collections.abc",
        "enum",
        "dataclasses",
        "pydantic",
        "builtins",
    }
)
#: Before Python even parses: a source of nested brackets alone may exhaust the parser.
MOST_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """What stands at the top level of a source."""

    functions: tuple[Function, ...]
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    #: `Mode = Literal["a", "b"]` and the like.
    aliases: dict[str, ast.expr] = field(default_factory=dict)
    #: Imported name -> its dotted name.
    imports: dict[str, str] = field(default_factory=dict)

    @property
    def tool(self) -> Function:
        """The last function of the source; those before it are its helpers. Raises SchemaError when there is none."""
        if not self.functions:
            raise SchemaError("The source has no function: write one `def` at the top level.")
        return self.functions[-1]

    def name_of(self, node: ast.expr) -> str | None:
        """What a name in the source means: `List` for `typing.List` and `t.List`; None for what is no name."""
        match node:
            case ast.Name(id=name):
                if name in self.classes or name in self.aliases:
                    return name
                return _bare(self.imports.get(name, name))
            case ast.Attribute(value=ast.expr() as value, attr=attr):
                owner = self._dotted(value)
                return None if owner is None else _bare(f"{owner}.{attr}")
            case _:
                return None

    def _dotted(self, node: ast.expr) -> str | None:
        match node:
            case ast.Name(id=name):
                return self.imports.get(name, name)
            case ast.Attribute(value=ast.expr() as value, attr=attr):
                owner = self._dotted(value)
                return None if owner is None else f"{owner}.{attr}"
            case _:
                return None


def read_module(source: str) -> Module:
    """The source as a module. Raises SchemaError with the line when it does not parse."""
    functions: list[Function] = []
    module = Module(functions=())
    for statement in _statements(_parse(source).body):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                functions.append(statement)
            case ast.ClassDef(name=name):
                module.classes[name] = statement
            case ast.Import(names=names):
                for each in names:
                    module.imports[each.asname or each.name.partition(".")[0]] = (
                        each.name if each.asname else each.name.partition(".")[0]
                    )
            case ast.ImportFrom(module=origin, names=names):
                for each in names:
                    module.imports[each.asname or each.name] = f"{origin or ''}.{each.name}"
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                module.aliases[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                module.aliases[name] = value
            case _ if type(statement).__name__ == "TypeAlias":  # `type Mode = …`, since Python 3.12
                module.aliases[statement.name.id] = statement.value  # type: ignore[attr-defined]  # not in the 3.11 stubs
    return Module(
        functions=tuple(functions), classes=module.classes, aliases=module.aliases, imports=module.imports
    )


def parse_expression(text: str, at: ast.expr) -> ast.expr:
    """The annotation that a string in the source stands for, on the line of `at`. Raises SchemaError."""
    try:
        parsed = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SchemaError(f"The annotation {text!r} does not parse.", line=at.lineno) from None
    for node in ast.walk(parsed):
        if isinstance(node, ast.expr):
            node.lineno = at.lineno
    return parsed


def _parse(source: str) -> ast.Module:
    if len(source) > MOST_CHARACTERS:
        raise SchemaError(f"The source is too long: {len(source)} characters, at most {MOST_CHARACTERS}.")
    if (null := source.find("\0")) >= 0:
        raise SchemaError("The source has a null character.", line=source.count("\n", 0, null) + 1)
    try:
        return ast.parse(source)
    except SyntaxError as error:
        # Python says of some of them "…(detected at line 7)" itself.
        reason = re.sub(r" \((<unknown>|detected at), line \d+\)|\s*\(detected at line \d+\)", "", error.msg)
        raise SchemaError(f"The source does not parse: {reason}.", line=error.lineno or 1) from None
    except (RecursionError, MemoryError):
        raise SchemaError("The source is nested too deeply to be parsed.") from None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of the top level, also those that a condition or a `try` guards."""
    for statement in body:
        yield statement
        match statement:
            case ast.If(body=inner, orelse=other):
                yield from _statements([*inner, *other])
            case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=last):
                caught = [each for handler in handlers for each in handler.body]
                yield from _statements([*inner, *caught, *other, *last])
            case ast.With(body=inner):
                yield from _statements(inner)


def _bare(dotted: str) -> str:
    owner, _, name = dotted.rpartition(".")
    return name if owner in _KNOWN_MODULES else dotted
