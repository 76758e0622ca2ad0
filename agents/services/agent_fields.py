"""What the fields of an agent may hold, and what they hold when nobody says."""

from __future__ import annotations

import re
import secrets
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from letta_ade.core.errors import Invalid

_MOST_NAME_CHARACTERS = 255
#: Letters and digits of any script, spaces, and the marks that names have.
_NAME = re.compile(r"[\w '\-’]+")

#: (window up to, files open at once, characters of each), spec/objects.md §1.
_FILE_LIMITS = ((8_000, 3, 5_000), (32_000, 5, 15_000), (128_000, 10, 25_000), (200_000, 10, 40_000))
_MOST_FILES = (15, 40_000)

_KINDS = (
    "amber azure bold brave breezy bright calm clever coastal copper crisp curious eager early gentle golden "
    "hidden keen lively lucid lunar mellow misty nimble noble patient polar proud quiet rapid restful silver "
    "sleepy steady sunny swift tidal velvet vivid wandering warm wise"
)
_THINGS = (
    "anchor aspen badger beacon birch bridge canyon cedar comet condor coral crane delta ember falcon fern finch "
    "fjord fox harbor heron island juniper kestrel lagoon lantern lark lynx maple marten meadow orchard osprey "
    "otter pebble pine plover quartz raven reef river robin sparrow spruce summit swallow thistle tern willow wren"
)


def check_name(name: str) -> str:
    """The name without spaces around it. Raises Invalid for one that is empty, too long, or holds other marks."""
    name = name.strip()
    if not name:
        raise Invalid("An agent needs a name.")
    if len(name) > _MOST_NAME_CHARACTERS:
        raise Invalid(f"A name has at most {_MOST_NAME_CHARACTERS} characters, not {len(name)}.")
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"The name {name!r} holds a character that names cannot have: "
            "letters of any script, digits, spaces, '_', '-' and apostrophes are fine."
        )
    return name


def random_name() -> str:
    """A name for an agent that was given none."""
    return f"{secrets.choice(_KINDS.split())}-{secrets.choice(_THINGS.split())}"


def check_timezone(name: str) -> str:
    """The name itself. Raises Invalid unless it is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            f"There is no time zone {name!r}; use an IANA name such as 'UTC' or 'Europe/Paris'."
        ) from None
    return name


def file_limits(window: int) -> tuple[int, int]:
    """How many files an agent with this window may hold open, and how many characters of each it sees."""
    return next(((files, chars) for most, files, chars in _FILE_LIMITS if window <= most), _MOST_FILES)
