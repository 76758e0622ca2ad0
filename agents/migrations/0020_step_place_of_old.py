"""Tells the steps that were there before of which conversation they are, and the how manieth. Some conversations at a time."""

from __future__ import annotations

from typing import Any

from django.db import migrations

_BATCH = 500
_CONVERSATIONS = "SELECT id FROM agents_conversation WHERE id > %s ORDER BY id LIMIT %s"
_PLACE = """
UPDATE agents_step SET conversation_id = placed.conversation_id, place = placed.place
FROM (
  SELECT step.id, run.conversation_id,
    row_number() OVER (PARTITION BY run.conversation_id ORDER BY run.created_at, run.id, step.number) AS place
  FROM agents_run AS run JOIN agents_step AS step ON step.run_id = run.id
  WHERE run.conversation_id = ANY(%s)
) AS placed
WHERE agents_step.id = placed.id AND agents_step.place IS NULL
"""


def place_steps(apps: Any, schema_editor: Any) -> None:
    last = ""
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(_CONVERSATIONS, [last, _BATCH])
            found = [row[0] for row in cursor.fetchall()]
            if not found:
                return
            cursor.execute(_PLACE, [found])
            last = found[-1]


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('agents', '0019_step_place'),
    ]

    operations = [
        # Backwards the columns go with what is in them.
        migrations.RunPython(place_steps, migrations.RunPython.noop),
    ]
