"""Archives of an agent: which it has, and the one that takes what it inserts."""

from __future__ import annotations

from django.db import transaction

from agents.models import Agent, AgentArchive
from memory.models import Archive

_MOST_NAME_CHARACTERS = 255


def archives_of(agent: Agent) -> list[Archive]:
    """The agent's archives in order of attachment."""
    return list(
        Archive.objects.filter(agent_links__agent=agent).order_by("agent_links__position", "agent_links__id")
    )


def ensure_archive(*, agent: Agent) -> Archive:
    """The archive that takes the agent's inserts: its first one, or a new one with the agent's embedding model."""
    with transaction.atomic():
        # Two first inserts at once would make two archives.
        Agent.objects.select_for_update(no_key=True).get(id=agent.id)
        archives = archives_of(agent)
        if archives:
            return archives[0]
        name = f"{agent.name}'s Archive"
        archive = Archive.objects.create(
            workspace_id=agent.workspace_id,
            name=name[:_MOST_NAME_CHARACTERS],
            embedding=agent.embedding,
            created_by_id=agent.id,
            last_updated_by_id=agent.id,
        )
        AgentArchive.objects.create(agent=agent, archive=archive, position=0)
        return archive
