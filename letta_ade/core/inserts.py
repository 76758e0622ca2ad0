"""INSERT as prepared text, for the few tables that are written all the time.

The ORM builds the same statement anew for each row, which takes longer than the database needs for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection, models


class Insert:
    """The parts of an INSERT of whole rows; made of our own column names, every value is a parameter."""

    def __init__(self, model: type[models.Model]) -> None:
        self._fields = [field for field in model._meta.local_concrete_fields if not field.generated]
        self._is_set = [
            getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
            for field in self._fields
        ]
        columns = ", ".join(f'"{field.column}"' for field in self._fields)
        #: `INSERT INTO table (columns) VALUES`, to be followed by one `marks` for each row.
        self.head = f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES '  # noqa: S608 - names of our models
        self.marks = "(" + ", ".join(["%s"] * len(self._fields)) + ")"

    def values(self, rows: Iterable[models.Model]) -> list[Any]:
        """The parameters of the rows, in the order of the marks."""
        return [
            field.get_db_prep_save(
                field.pre_save(row, True) if is_set else getattr(row, field.attname), connection
            )
            for row in rows
            for field, is_set in zip(self._fields, self._is_set, strict=True)
        ]
