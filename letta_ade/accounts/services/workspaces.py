"""Workspaces: the one that every server starts with."""

from __future__ import annotations

from letta_ade.accounts.models import Workspace
from letta_ade.core.ids import LOCAL_WORKSPACE_ID


def get_local_workspace() -> Workspace:
    """The workspace of trusted local mode; a migration made it."""
    return Workspace.objects.get(id=LOCAL_WORKSPACE_ID)
