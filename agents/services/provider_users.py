"""Who uses the models of a provider: agents, conversations with a model of their own, archives."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from agents.models import Agent, Conversation
from letta_ade.accounts.auth import Caller
from memory.models import Archive

_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderUsers:
    """What names a model of the provider. `agents` are the first of them by name."""

    agents: tuple[Agent, ...]
    agent_count: int
    conversation_count: int
    archive_count: int

    @property
    def more_agents(self) -> int:
        """How many agents are not named."""
        return self.agent_count - len(self.agents)

    def __bool__(self) -> bool:
        return bool(self.agent_count or self.conversation_count or self.archive_count)


def users_of_provider(*, caller: Caller, name: str, named: int = _NAMED) -> ProviderUsers:
    """Everything of the workspace that names a model of the provider of this name."""
    caller.check("read")
    chosen = _agents_of(caller, name).order_by("name", "id")
    agents = tuple(chosen[:named])
    own = {"workspace_id": caller.workspace_id}
    return ProviderUsers(
        agents=agents,
        agent_count=len(agents) if len(agents) < named else chosen.count(),
        conversation_count=Conversation.objects.filter(**own, model__startswith=f"{name}/").count(),
        archive_count=Archive.objects.filter(**own, embedding__startswith=f"{name}/").count(),
    )


def _agents_of(caller: Caller, name: str) -> QuerySet[Agent]:
    models = Q(model__startswith=f"{name}/") | Q(embedding__startswith=f"{name}/")
    return Agent.objects.filter(models, workspace_id=caller.workspace_id)
