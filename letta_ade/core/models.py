"""What every row has: a public id, and the times of its creation and last change."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.types.json import Json

from letta_ade.core.ids import MAX_ID_LENGTH, new_id


class IdField(models.CharField[str, str]):
    """A primary key that is the public id. `kind` is a key of `ids.PREFIXES`."""

    def __init__(self, *, kind: str = "", **options: Any) -> None:
        self.kind = kind
        if kind:
            options.setdefault("default", partial(new_id, kind))
        options.setdefault("primary_key", True)
        options.setdefault("max_length", MAX_ID_LENGTH)
        options.setdefault("editable", False)
        super().__init__(**options)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        if self.kind:
            options["kind"] = self.kind
            options.pop("default", None)
        return name, path, args, options


class Timed(models.Model):
    """A row with the times of its creation and last change, to the microsecond, in UTC."""

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Owned(Timed):
    """A row of a workspace, with the public ids of who made and who last changed it."""

    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="+")
    created_by_id = models.CharField(max_length=MAX_ID_LENGTH, null=True, blank=True)
    last_updated_by_id = models.CharField(max_length=MAX_ID_LENGTH, null=True, blank=True)

    class Meta:
        abstract = True


class OrderedJSONField(models.JSONField):
    """JSON whose keys keep their order, which PostgreSQL's jsonb sorts: a column of type json. It cannot be compared in a query."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "json"

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        # The parent's adapter would send jsonb, and the order with it would be lost.
        return value if hasattr(value, "as_sql") else Json(value)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        # The driver reads json itself; Django only tells it to leave jsonb alone.
        return value
