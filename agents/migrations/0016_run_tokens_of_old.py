"""Counts the tokens of the runs that had ended before runs kept their sum. In batches, so that no row is locked for long."""

from __future__ import annotations

from typing import Any

from django.db import migrations

_BATCH = 2000
_COUNT = """
WITH batch AS (
  SELECT id FROM agents_run WHERE total_tokens IS NULL AND status IN ('completed', 'failed', 'cancelled') LIMIT %s
)
UPDATE agents_run SET total_tokens = (
  SELECT COALESCE(sum(step.total_tokens), 0) FROM agents_step AS step WHERE step.run_id = agents_run.id
)
WHERE id IN (SELECT id FROM batch)
"""


def count_tokens(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(_COUNT, [_BATCH])
            if not cursor.rowcount:
                return


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('agents', '0015_run_tokens'),
    ]

    operations = [
        # Backwards the column goes with its figures.
        migrations.RunPython(count_tokens, migrations.RunPython.noop),
    ]
