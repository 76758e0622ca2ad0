"""Whether the database makes somebody wait: how a test knows that two transactions have met."""

from __future__ import annotations

from django.db import connection


def somebody_waits() -> bool:
    """Whether a connection to this database waits for a lock now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        row = cursor.fetchone()
    return bool(row and row[0])
