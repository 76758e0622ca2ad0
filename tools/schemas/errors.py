"""What is wrong with the source of a tool, and on which line."""

from __future__ import annotations

from letta_ade.core.errors import Invalid


class SchemaError(Invalid):
    """The schema of the tool cannot be derived."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        #: The same without the line.
        self.reason = message
        #: Counted from 1; None when it concerns the whole source.
        self.line = line
