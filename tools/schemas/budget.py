"""How large a schema may become: types that use each other twice double it with every level."""

from __future__ import annotations

from tools.schemas.errors import SchemaError

#: Types in one schema, each counted as often as it is written out.
MOST_TYPES = 1_000


class Budget:
    """Counts the types of one schema."""

    def __init__(self) -> None:
        self._left = MOST_TYPES

    def spend(self, *, line: int | None = None) -> None:
        """Count one more. Raises SchemaError when there are too many."""
        self._left -= 1
        if self._left < 0:
            raise SchemaError(f"The schema has more than {MOST_TYPES:,} types, written out.", line=line)
