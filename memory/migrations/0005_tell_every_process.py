"""Every new version of a block is told to all processes, so that their open pages show it: as a notice (core/notices.py), whose
transaction is that of the write, at no further statement, and also when a version was written by hand.
"""

from __future__ import annotations

from django.db import migrations

_TELL = """
CREATE FUNCTION memory_block_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('ade', json_build_array(json_build_array('nudges', json_build_object(
    'group', 'workspace.' || NEW.workspace_id, 'kind', 'block_changed', 'block_id', NEW.id, 'version', NEW.version)))::text);
  RETURN NULL;
END $$;
CREATE TRIGGER memory_block_tell AFTER UPDATE OF version ON memory_block
FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION memory_block_tell();
"""
_STAY_SILENT = """
DROP TRIGGER memory_block_tell ON memory_block;
DROP FUNCTION memory_block_tell();
"""


class Migration(migrations.Migration):
    dependencies = [("memory", "0004_revert_act")]

    operations = [migrations.RunSQL(_TELL, _STAY_SILENT)]
