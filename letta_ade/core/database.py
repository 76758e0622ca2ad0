"""How our PostgreSQL is reached by what does not go through Django: the job queue, and the ear for notices."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def connection_parameters() -> dict[str, Any]:
    """Keyword arguments for psycopg, as DATABASES describes the database now (the launcher and tests change it)."""
    database = settings.DATABASES["default"]
    return {
        "dbname": database["NAME"],
        "user": database["USER"] or None,
        "password": database["PASSWORD"] or None,
        "host": database["HOST"] or None,
        "port": database["PORT"] or None,
        # sslmode and the like from DATABASE_URL.
        **database["OPTIONS"],
    }
