"""Who keeps an agent's memory, or whose memory an agent keeps, as the workbench shows it."""

from __future__ import annotations

from dataclasses import dataclass

from agents.models import Agent, Group, Run
from agents.services.agent_types import BACKGROUND_TYPES
from agents.services.background_memory import background_of, partners_of
from agents.web.run_line import end_of

_DOTS = {"completed": "ok", "failed": "bad", "cancelled": "warn", "waiting": "warn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The newest run of a background agent, in words."""

    run: Run

    @property
    def words(self) -> str:
        if not self.run.has_ended:
            return "Queued" if self.run.status == "created" else "Running"
        phase, about = end_of(self.run.status, self.run.stop_reason)
        titles = {"completed": "Done", "failed": "Failed", "cancelled": "Stopped"}
        title = titles.get(phase, "Waiting for an answer")
        return f"{title}: {about}" if phase == "failed" and about else title

    @property
    def dot(self) -> str:
        if not self.run.has_ended:
            return "idle" if self.run.status == "created" else "live"
        return _DOTS[end_of(self.run.status, self.run.stop_reason)[0]]

    @property
    def duration_ms(self) -> float | None:
        return self.run.total_duration_ns / 1e6 if self.run.total_duration_ns is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """An agent that keeps the memory, and what it did last."""

    agent: Agent
    last: LastRun | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Who keeps the agent's memory, or whose memory it keeps."""

    group: Group | None
    partners: tuple[Partner, ...] = ()
    #: Of an agent that keeps others' memory.
    managers: tuple[Agent, ...] = ()
    #: Whether the agent may have a background at all.
    can_be_on: bool = True
    #: The agent must not be without one.
    is_fixed: bool = False

    @property
    def frequency(self) -> int:
        return (self.group.sleeptime_agent_frequency or 1) if self.group else 1

    @property
    def turns_left(self) -> int:
        """Turns until the next run."""
        counted = self.group.turns_counter if self.group else 0
        return self.frequency - counted % self.frequency


def load_background(agent: Agent) -> Background:
    """What the part shows, in a few queries."""
    managers = Agent.objects.filter(managed_groups__agents=agent).order_by("created_at", "id")
    group = background_of(agent)
    return Background(
        group=group,
        partners=tuple(_partner(each) for each in partners_of(group)) if group else (),
        managers=tuple(managers),
        can_be_on=agent.agent_type not in BACKGROUND_TYPES,
        is_fixed=agent.agent_type == "voice_convo_agent",
    )


def partner_ids(agent: Agent) -> set[str]:
    """The agents whose runs the part shows."""
    group = background_of(agent)
    return {each.id for each in partners_of(group)} if group else set()


def _partner(agent: Agent) -> Partner:
    run = Run.objects.filter(agent=agent).order_by("-created_at", "-id").first()
    return Partner(agent=agent, last=LastRun(run=run) if run else None)
