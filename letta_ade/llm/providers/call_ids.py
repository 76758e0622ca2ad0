"""Ids of tool calls in the forms that providers accept; a call and its return are changed alike."""

from __future__ import annotations

import hashlib
import re

#: OpenAI refuses longer ids, and other providers make longer ones.
CALL_ID_CHARACTERS = 29
_NINE = re.compile(r"^[A-Za-z0-9]{9}$")


def short_call_id(call_id: str) -> str:
    """The id in the length that OpenAI takes."""
    return call_id[:CALL_ID_CHARACTERS]


def nine_character_call_id(call_id: str) -> str:
    """The id as Mistral wants it, nine letters and digits; one that has another form is replaced, always by the same."""
    return call_id if _NINE.match(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:9]
