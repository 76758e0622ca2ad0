"""Secrets do not leave a call: where their values stand in what it gives back, their names stand instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: A shorter value is found everywhere ("1", "yes") and says little.
_LEAST_CHARACTERS = 4


class Mask:
    """Covers the values of some secrets. A value that the tool has changed (base64, reversed) is not known again."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names = {
            value: name for name, value in secrets.items() if len(value.strip()) >= _LEAST_CHARACTERS
        }
        # The longest first: one may hold another.
        values = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, values))) if values else None

    def text(self, text: str, *, is_cut: bool = False) -> str:
        """The text without them; of a text that was cut also without the beginning of one at its end."""
        if self._pattern is None:
            return text
        covered = self._pattern.sub(lambda found: f"[secret {self._names[found[0]]}]", text)
        return self._without_beginning(covered) if is_cut else covered

    def value(self, value: Any) -> Any:
        """The JSON value without them, in keys too."""
        if self._pattern is None:
            return value
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(each) for each in value]
            case dict():
                return {self.text(key): self.value(each) for key, each in value.items()}
            case _:
                return value

    def _without_beginning(self, text: str) -> str:
        for secret in self._names:
            for length in range(len(secret) - 1, _LEAST_CHARACTERS - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length]
        return text
