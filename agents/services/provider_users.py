"""Who uses the models of a provider: agents, conversations with a model of their own, archives."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from agents.models import Agent, Conversation
from letta_ade.accounts.auth import Caller
from memory.models import Archive

_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAgents:
    """Agents that name a model of the provider: the first of them by name, and how many there are."""

    agents: tuple[Agent, ...]
    agent_count: int

    @property
    def more_agents(self) -> int:
        """How many agents are not named."""
        return self.agent_count - len(self.agents)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderUsers(ProviderAgents):
    """Everything that names a model of the provider."""

    conversation_count: int
    archive_count: int

    def __bool__(self) -> bool:
        return bool(self.agent_count or self.conversation_count or self.archive_count)


def agents_of_provider(*, caller: Caller, name: str, named: int = _NAMED) -> ProviderAgents:
    """The agents of the workspace that name a model of the provider of this name; as many as `named` of them by name."""
    caller.check("read")
    chosen = _agents_of(caller, name).order_by("name", "id")
    agents = tuple(chosen[:named])
    return ProviderAgents(agents=agents, agent_count=len(agents) if len(agents) < named else chosen.count())


def users_of_provider(*, caller: Caller, name: str) -> ProviderUsers:
    """Everything of the workspace that names a model of the provider of this name."""
    found = agents_of_provider(caller=caller, name=name)
    own = {"workspace_id": caller.workspace_id}
    return ProviderUsers(
        agents=found.agents,
        agent_count=found.agent_count,
        conversation_count=Conversation.objects.filter(**own, model__startswith=f"{name}/").count(),
        archive_count=Archive.objects.filter(**own, embedding__startswith=f"{name}/").count(),
    )


def _agents_of(caller: Caller, name: str) -> QuerySet[Agent]:
    models = Q(model__startswith=f"{name}/") | Q(embedding__startswith=f"{name}/")
    return Agent.objects.filter(models, workspace_id=caller.workspace_id)
