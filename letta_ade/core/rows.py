"""Whole rows in and out by prepared text, for the few statements that every turn of an agent makes.

The ORM builds the same statement anew each time, which takes longer than the database needs for it: opening a run took 8 ms with
it and takes 3 ms without (tests/bench/turns.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from django.db import connection, models

from letta_ade.core.models import OrderedJSONField

M = TypeVar("M", bound=models.Model)


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


class Select(Generic[M]):
    """The columns of a SELECT of whole rows, and the rows that come of it."""

    def __init__(self, model: type[M], alias: str) -> None:
        fields = [field for field in model._meta.local_concrete_fields if not field.generated]
        #: To be selected from a table of this alias.
        self.columns = ", ".join(f'{alias}."{field.column}"' for field in fields)
        self.width = len(fields)
        self._model = model
        self._names = [field.attname for field in fields]
        # Those of type json the driver has read already.
        self._json = [
            at
            for at, field in enumerate(fields)
            if isinstance(field, models.JSONField) and not isinstance(field, OrderedJSONField)
        ]

    def row(self, values: Sequence[Any]) -> M:
        """The row of these columns' values, as the database sends them."""
        held = list(values)
        for at in self._json:
            # Django has switched off psycopg's own reading of jsonb.
            held[at] = json.loads(held[at]) if held[at] is not None else None
        return self._model.from_db("default", self._names, held)

    def fetch(self, statement: str, parameters: Sequence[Any]) -> list[M]:
        """The rows of a statement that selects these columns and no others."""
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return [self.row(values) for values in cursor.fetchall()]
