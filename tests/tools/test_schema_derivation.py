"""The schema of a tool from its source: a table of signatures, and what is said of sources without one."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from tools.schemas.errors import SchemaError
from tools.schemas.python import derive_schema, function_name, ignored_parameters

STR, INT, NUM, BOOL = {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}


def array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def fixed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": list(items), "minItems": len(items), "maxItems": len(items)}


def obj(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def told(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


CLASSES = '''
import dataclasses
import enum
import typing as t
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum, auto
from typing import Annotated, Literal, NotRequired, Optional as Maybe, TypedDict, List as Many

from pydantic import BaseModel, Field

Mode = Literal["fast", "slow"]
Names: t.TypeAlias = list[str]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"
    _ignore_ = ["x"]

    def shout(self):
        return self.value.upper()


class Level(IntEnum):
    LOW = auto()
    HIGH = auto()


class Kind(StrEnum):
    CAT = auto()
    DOG = "dog!"


class Mixed(enum.Enum):
    A = "a"
    ONE = 1


class Guest(BaseModel):
    """Ignored."""

    name: str = Field(..., description="Who.")
    age: t.Optional[int] = Field(None, description="Years.")
    colours: list[Colour] = Field(default_factory=list, description="Liked.")
    model_config = {"extra": "forbid"}
    limit: t.ClassVar[int] = 3


class Vip(Guest):
    level: Level = Field(description="How important.")
    name: str = Field("X", description="Another who.")


class Table(BaseModel):
    number: int = Field(description="Which.")
    guest: Guest = Field(description="At it.")
    notes: dict[str, int] = Field({}, description="Any " "notes.")
    price: "float | None" = Field(description="In euro.")
    from_: str = Field(alias="from", description="Origin.")


@dataclass
class Point:
    """A point.

    Attributes:
        x: Across.
    """

    x: float
    y: float = 0.0
    """Up."""
    label: str = field(default="", metadata={"description": "Its name."})
    tags: Annotated[list[str], "Words."] = dataclasses.field(default_factory=list)


class Options(TypedDict, total=False):
    """Options.

    :param depth: How deep.
    """

    depth: int
    width: t.Required[Annotated[int, Field(description="How wide.")]]


class Place(TypedDict):
    city: Annotated[str, "Where."]
    zip: NotRequired[Annotated[str, "Code."]]
'''

GUEST = obj(
    "name",
    name=told(STR, "Who."),
    age=told(INT, "Years."),
    colours=told(array({"type": "string", "enum": ["red", "blue"]}), "Liked."),
)

#: The parameter as written -> its schema without description, and whether it is required.
PARAMETERS: list[tuple[str, dict[str, Any], bool]] = [
    ("x: int", INT, True),
    ("x: str", STR, True),
    ("x: bool", BOOL, True),
    ("x: float", NUM, True),
    ("x: None", {"type": "null"}, True),
    ("x: int = 1", INT, False),
    ("x: int = compute()", INT, False),
    ("*, x: int", INT, True),
    ("*, x: int = 2", INT, False),
    ("x: Optional[int]", INT, False),
    ("x: Optional[int] = None", INT, False),
    ("x: t.Optional[str]", STR, False),
    ("x: Maybe[float]", NUM, False),
    ("x: Union[int, None]", INT, False),
    ("x: Union[None, str] = None", STR, False),
    ("x: int | None", INT, False),
    ("x: None | bool", BOOL, False),
    ("x: int | str", {"anyOf": [INT, STR]}, True),
    ("x: Union[int, str, None]", {"anyOf": [INT, STR]}, False),
    ("x: Union[int, Union[str, int]]", {"anyOf": [INT, STR]}, True),
    ("x: Union[str, None, list[int]] = None", {"anyOf": [STR, array(INT)]}, False),
    ("x: list", array(STR), True),
    ("x: List", array(STR), True),
    ("x: list[int]", array(INT), True),
    ("x: List[str]", array(STR), True),
    ("x: typing.List[bool]", array(BOOL), True),
    ("x: Many[float]", array(NUM), True),
    ("x: list[list[int]]", array(array(INT)), True),
    ("x: List[Optional[int]]", array(INT), True),
    ("x: Optional[List[str]]", array(STR), False),
    ("x: list[dict]", array({"type": "object"}), True),
    ("x: list[Guest]", array(GUEST), True),
    ("x: list[Colour]", array({"type": "string", "enum": ["red", "blue"]}), True),
    ("x: Sequence[int]", array(INT), True),
    ("x: dict", {"type": "object"}, True),
    ("x: Dict = {}", {"type": "object"}, False),
    ("x: dict | None = None", {"type": "object"}, False),
    ("x: Literal['a', 'b']", {"type": "string", "enum": ["a", "b"]}, True),
    ("x: t.Literal['a', 'b'] = 'a'", {"type": "string", "enum": ["a", "b"]}, False),
    ("x: Literal[1, 2, 3]", {"type": "integer", "enum": [1, 2, 3]}, True),
    ("x: Literal[True]", {"type": "boolean", "enum": [True]}, True),
    ("x: Literal['auto', 5]", {"type": ["string", "integer"], "enum": ["auto", 5]}, True),
    ("x: Literal['a', None]", {"type": "string", "enum": ["a"]}, False),
    ("x: Literal[-1, 1]", {"type": "integer", "enum": [-1, 1]}, True),
    ("x: Optional[Literal['a', 'a']]", {"type": "string", "enum": ["a"]}, False),
    ("x: Mode", {"type": "string", "enum": ["fast", "slow"]}, True),
    ("x: Names", array(STR), True),
    ("x: list[Mode]", array({"type": "string", "enum": ["fast", "slow"]}), True),
    ("x: tuple[int, str]", fixed(INT, STR), True),
    ("x: Tuple[float, float, Literal['m']]", fixed(NUM, NUM, {"type": "string", "enum": ["m"]}), True),
    ("x: list[tuple[str, int]]", array(fixed(STR, INT)), True),
    ("x: Colour", {"type": "string", "enum": ["red", "blue"]}, True),
    ("x: Colour = Colour.RED", {"type": "string", "enum": ["red", "blue"]}, False),
    ("x: Level", {"type": "integer", "enum": [1, 2]}, True),
    ("x: Kind", {"type": "string", "enum": ["cat", "dog!"]}, True),
    ("x: Mixed", {"type": ["string", "integer"], "enum": ["a", 1]}, True),
    ("x: Guest", GUEST, True),
    ("x: 'Guest'", GUEST, True),
    ("x: Guest | None = None", GUEST, False),
    (
        "x: Vip",
        obj(
            "level",
            name=told(STR, "Another who."),
            age=told(INT, "Years."),
            colours=GUEST["properties"]["colours"],
            level=told({"type": "integer", "enum": [1, 2]}, "How important."),
        ),
        True,
    ),
    (
        "x: Table",
        obj(
            "number",
            "guest",
            "price",
            "from",
            **{
                "number": told(INT, "Which."),
                "guest": told(GUEST, "At it."),
                "notes": told({"type": "object"}, "Any notes."),
                "price": told(NUM, "In euro."),
                "from": told(STR, "Origin."),
            },
        ),
        True,
    ),
    (
        "x: Point",
        obj(
            "x",
            x=told(NUM, "Across."),
            y=told(NUM, "Up."),
            label=told(STR, "Its name."),
            tags=told(array(STR), "Words."),
        ),
        True,
    ),
    ("x: Options", obj("width", depth=told(INT, "How deep."), width=told(INT, "How wide.")), True),
    ("x: Place", obj("city", city=told(STR, "Where."), zip=told(STR, "Code.")), True),
    ("x: Annotated[int, 'ignored: the docstring wins']", INT, True),
    ("x: Annotated[Optional[int], Field(ge=1)]", INT, False),
    ("x: 'list[int]'", array(INT), True),
    ("x: 'Optional[\"int\"]'", INT, False),
    ("x: str = None", STR, False),
    ("x: str, *args, **kwargs", STR, True),
    ("self, agent_state: AgentState, x: int", INT, True),
    ("agent_id, client, x: int", INT, True),
]


@pytest.mark.parametrize(
    ("parameter", "schema", "is_required"), PARAMETERS, ids=[each[0] for each in PARAMETERS]
)
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_signature_has_its_schema(
    keyword: str, parameter: str, schema: dict[str, Any], is_required: bool
) -> None:
    source = f'{CLASSES}\n{keyword} act({parameter}):\n    """Act.\n\n    Args:\n        x: What.\n    """\n'
    assert derive_schema(source) == {
        "name": "act",
        "description": "Act.",
        "parameters": {
            "type": "object",
            "properties": {"x": {**schema, "description": "What."}},
            "required": ["x"] if is_required else [],
        },
    }


GOOGLE = '''
def book(guests: int, day: str = "today") -> str:
    """Book a table.

    It may
    take a while.

    Args:
        guests (int): How many
            people.
        day: Which day.

    Returns:
        str: The number.

    Raises:
        ValueError: When full.
    """
'''
NUMPY = '''
def book(guests: int, day: str = "today") -> str:
    """Book a table.

    It may
    take a while.

    Parameters
    ----------
    guests : int
        How many
        people.
    day : str, optional
        Which day.

    Returns
    -------
    str
        The number.
    """
'''
REST = '''
def book(guests: int, day: str = "today") -> str:
    """
    Book a table.

    It may
    take a while.

    :param guests: How many
        people.
    :param str day: Which day.
    :returns: The number.
    :raises ValueError: When full.
    """
'''


@pytest.mark.parametrize("source", [GOOGLE, NUMPY, REST], ids=["Google", "NumPy", "reST"])
def test_all_styles_of_docstrings_say_the_same(source: str) -> None:
    assert json.dumps(derive_schema(source)) == json.dumps(
        {
            "name": "book",
            "description": "Book a table.\n\nIt may\ntake a while.",
            "parameters": {
                "type": "object",
                "properties": {
                    "guests": {"type": "integer", "description": "How many\npeople."},
                    "day": {"type": "string", "description": "Which day."},
                },
                "required": ["guests"],
            },
        }
    )


def description_of(docstring: str, signature: str = "") -> str:
    body = textwrap.indent(f'"""{docstring}"""', "    ")
    description: str = derive_schema(f"def act({signature}):\n{body}\n")["description"]
    return description


def test_examples_are_part_of_the_description_and_returns_are_not():
    docstring = "Roll.\n\nExamples:\n    roll(2)\n      → 7\n\nReturns:\n    A number.\n"
    assert description_of(docstring) == "Roll.\n\nExamples:\n    roll(2)\n      → 7"


def test_a_docstring_of_arguments_alone_has_a_fixed_description():
    for docstring in ("\nArgs:\n    x: What.\n", ":param x: What."):
        assert description_of(docstring, "x: int") == "No description available"


def test_annotated_describes_what_the_docstring_does_not():
    source = 'def act(x: Annotated[int, Field(description="How many.")]):\n    "Act."\n'
    assert derive_schema(source)["parameters"]["properties"]["x"] == {
        "type": "integer",
        "description": "How many.",
    }


def test_the_last_function_of_the_top_level_is_the_tool():
    source = textwrap.dedent('''
        def helper(y):
            return y

        class Box:
            def open(self):
                "Not this one."

        if True:
            def act():
                """Act."""
                def inner():
                    "Nor this one."
        ''')
    assert derive_schema(source)["name"] == "act"
    assert function_name(source) == "act"


def test_starred_arguments_are_left_out_and_named():
    source = 'def act(x: int, *args, **options):\n    """Act.\n\n    Args:\n        x: What.\n    """\n'
    assert list(derive_schema(source)["parameters"]["properties"]) == ["x"]
    assert ignored_parameters(source) == ["*args", "**options"]


def test_the_source_is_never_run(tmp_path):
    path = tmp_path / "ran"
    source = textwrap.dedent(f'''
        open({str(path)!r}, "w").close()

        class Meta(type):
            open({str(path)!r}, "w").close()

        @open({str(path)!r}, "w").close
        def act(x: int = open({str(path)!r}, "w").close()):
            """Act.

            Args:
                x: What.
            """
        ''')
    assert derive_schema(source)["name"] == "act"
    assert not path.exists()


ERRORS: list[tuple[str, int | None, str]] = [
    ("def act(:\n    pass\n", 1, "does not parse"),
    ("x = 1\n\ndef act()\n    pass\n", 3, "does not parse: expected ':'"),
    ("def act():\n    '''Act.'''\n  x\n", 3, "does not parse"),
    ("x = '\0'", 1, "null character"),
    ("x = 1\n", None, "has no function"),
    ("class Act:\n    def act(self): 'Act.'\n", None, "has no function"),
    ("", None, "has no function"),
    ("\ndef act():\n    return 1\n", 2, "'act' has no docstring"),
    ("def act():\n    '   '\n", 1, "'act' has no docstring"),
    ("def act(x):\n    '''Act.\n\n    Args:\n        x: What.\n    '''\n", 1, "'x' has no annotation"),
    (
        "def act(\n    x: int,\n    y: int,\n):\n    '''Act.\n\n    Args:\n        y: What.\n    '''\n",
        2,
        "'x' is not described",
    ),
    ("def act(x: int):\n    '''Act.\n\n    Parameters:\n    '''\n", 1, "'x' is not described"),
    ("def act(x: int):\n    '''Act.\n\n    Args:\n        x:\n    '''\n", 1, "'x' is not described"),
    ("def act(x: int, x: str):\n    'Act.'\n", 1, "'x' is there twice"),
    ("def act(x: int,\n        *x):\n    'Act.'\n", 2, "'x' is there twice"),
    ("def act(x: int, /):\n    'Act.'\n", 1, "only be given by its position"),
    ("def act(x: (int, str)):\n    'Act.'\n", 1, "no schema stands for"),
    ("def act(x: 'list['):\n    'Act.'\n", 1, "does not parse"),
]
ANNOTATIONS: list[tuple[str, str]] = [
    ("Any", "has the type Any, for which there is no JSON type"),
    ("set", "no JSON type"),
    ("set[int]", "no schema stands for"),
    ("bytes", "no JSON type"),
    ("datetime", "no JSON type"),
    ("datetime.datetime", "no JSON type"),
    ("Unknown", "no JSON type"),
    ("list[Unknown]", "has the type Unknown"),
    ("dict[str, int]", "a model cannot know its keys"),
    ("Dict[str, list[int]]", "a model cannot know its keys"),
    ("tuple", "say of what"),
    ("tuple[int, ...]", "a fixed number of items"),
    ("tuple[()]", "a fixed number of items"),
    ("Optional", "write Optional[…]"),
    ("Literal[1.5]", "use texts, whole numbers or booleans"),
    ("Literal[x]", "which is no literal"),
    ("Callable[[int], str]", "no schema stands for"),
    ("Plain", "a plain class"),
    ("Knot", "contains itself"),
    ("Ring", "contains itself"),
    ("Bare", "The field Bare.name has no description"),
    ("Silent", "The field Silent.x has no description"),
    ("Odd", "The field Odd.x has the type bytes"),
    ("Empty", "The enum Empty has no values"),
    ("Strange", "The value of A must be a text"),
    ("Loop", "inherits from itself"),
]
ODD_CLASSES = """
class Plain:
    x: int

class Knot(BaseModel):
    other: "Knot" = Field(description="Itself.")

Ring = list["Ring"]

class Bare(BaseModel):
    name: str

@dataclass
class Silent:
    x: int

class Odd(BaseModel):
    x: bytes = Field(description="Raw.")

class Empty(Enum):
    pass

class Strange(Enum):
    A = object()

class Loop(Loop, BaseModel):
    x: int = Field(description="X.")
"""


@pytest.mark.parametrize(("source", "line", "message"), ERRORS)
def test_a_source_without_a_schema_is_told_with_its_line(source: str, line: int | None, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        derive_schema(source)
    assert message in caught.value.message
    assert caught.value.line == line
    assert caught.value.message.startswith(f"line {line}: ") is (line is not None)


@pytest.mark.parametrize(("annotation", "message"), ANNOTATIONS)
def test_an_annotation_without_a_schema_is_told(annotation: str, message: str) -> None:
    imports = (
        "from pydantic import BaseModel, Field\nfrom enum import Enum\nfrom dataclasses import dataclass\n"
    )
    source = f'{imports}{ODD_CLASSES}\ndef act(x: {annotation}):\n    """Act.\n\n    Args:\n        x: What.\n    """\n'
    with pytest.raises(SchemaError, match=r"^line [0-9]+: ") as caught:
        derive_schema(source)
    assert message in caught.value.message


def test_sources_made_to_exhaust_the_server_are_refused():
    doubling = "\n".join(f"T{n + 1} = tuple[T{n}, T{n}]" for n in range(40))
    source = f'T0 = int\n{doubling}\ndef act(x: T40):\n    """Act.\n\n    Args:\n        x: What.\n    """\n'
    with pytest.raises(SchemaError, match="more than 1,000 types"):
        derive_schema(source)
    with pytest.raises(SchemaError):
        derive_schema(f"def act(x: {'list[' * 5000}int{']' * 5000}):\n    'Act.'\n")
    with pytest.raises(SchemaError):
        derive_schema(f"def act(x: {' | '.join(['int'] * 4000)}):\n    'Act.'\n")
    with pytest.raises(SchemaError, match="too long"):
        derive_schema("#" * 1_000_001)


def test_a_docstring_that_speaks_of_no_argument_is_taken_as_it_is():
    """As the update_memory of the SDK's own guide has it."""
    source = "def act(label: str, content: str = ''):\n    'Update a memory block.'\n"
    assert derive_schema(source) == {
        "name": "act",
        "description": "Update a memory block.",
        "parameters": {
            "type": "object",
            "properties": {
                "label": {"type": "string", "description": ""},
                "content": {"type": "string", "description": ""},
            },
            "required": ["label"],
        },
    }
