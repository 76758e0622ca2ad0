"""Versions of an agent's configuration on the wire: extensions of ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agents.models import AgentVersion
from agents.services.agent_restores import Restored
from agents.services.agent_versions import FieldChange
from letta_ade.core.schemas import Wire


class AgentVersionResponse(Wire):
    """What an agent was at a time. `config` holds its fields, and `tools` and `blocks` as lists of id and name."""

    id: str
    agent_id: str
    version: int
    actor_kind: str
    actor_id: str
    actor_name: str
    restored_from: int | None
    created_at: datetime
    config: dict[str, Any]

    @classmethod
    def of(cls, version: AgentVersion) -> AgentVersionResponse:
        """The version of a row."""
        return cls(
            id=version.id,
            agent_id=version.agent_id,
            version=version.number,
            actor_kind=version.actor_kind,
            actor_id=version.actor_id,
            actor_name=version.actor_name,
            restored_from=version.restored_from,
            created_at=version.created_at,
            config=version.data,
        )


class FieldChangeResponse(Wire):
    """A field with both of its values."""

    field: str
    old: Any
    new: Any

    @classmethod
    def of(cls, change: FieldChange) -> FieldChangeResponse:
        """The change on the wire."""
        return cls(field=change.field, old=change.old, new=change.new)


class RestoredResponse(Wire):
    """The newest version after a restore, and the names of tools and blocks that could not come back: they are deleted."""

    version: AgentVersionResponse
    gone: list[str]

    @classmethod
    def of(cls, restored: Restored) -> RestoredResponse:
        """What was restored."""
        return cls(version=AgentVersionResponse.of(restored.version), gone=list(restored.gone))
