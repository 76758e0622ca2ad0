"""The workspace and the user of trusted local mode."""

from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import migrations

from letta_ade.core.ids import LOCAL_USER_ID, LOCAL_WORKSPACE_ID


def make_local_workspace(apps: Any, schema_editor: Any) -> None:
    workspace, _ = apps.get_model("accounts", "Workspace").objects.get_or_create(
        id=LOCAL_WORKSPACE_ID, defaults={"name": "My workspace"}
    )
    user, _ = apps.get_model("accounts", "User").objects.get_or_create(
        id=LOCAL_USER_ID,
        # Nobody can log in as this user: the password is unusable.
        defaults={"email": "local@localhost", "name": "You", "password": make_password(None)},
    )
    apps.get_model("accounts", "Member").objects.get_or_create(
        workspace=workspace, user=user, defaults={"id": f"member-{LOCAL_USER_ID[-36:]}", "role": "owner"}
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_first")]

    operations = [migrations.RunPython(make_local_workspace, migrations.RunPython.noop)]
