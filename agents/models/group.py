"""A group of agents: here, an agent and those that keep its memory in the background."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField, Owned


class ManagerType(models.TextChoices):
    """The types of the wire; only `sleeptime` groups are made (services/groups.py)."""

    ROUND_ROBIN = "round_robin"
    SUPERVISOR = "supervisor"
    DYNAMIC = "dynamic"
    SLEEPTIME = "sleeptime"
    VOICE_SLEEPTIME = "voice_sleeptime"
    SWARM = "swarm"


class Group(Owned):
    id = IdField(kind="group")
    manager_type = models.CharField(max_length=32, choices=ManagerType.choices, default=ManagerType.SLEEPTIME)
    description = models.TextField(blank=True)
    #: The agent whose conversations the others read.
    manager_agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="managed_groups")
    #: After how many turns of the manager the others are started; null: after every one.
    sleeptime_agent_frequency = models.PositiveIntegerField(null=True)
    turns_counter = models.PositiveBigIntegerField(default=0)
    #: The newest message that has been handed to the background.
    last_processed_message_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    #: {conversation id: time of its last message that has been handed over}. A message's time is unique and rising in its
    #: conversation only, so one mark for all of them would skip what another conversation stores at the same moment.
    processed = models.JSONField(default=dict)
    #: `processed` as it was before the last transcript: should its run fail, that is handed over again.
    processed_before = models.JSONField(default=dict)
    #: A turn was due while the background was busy, or the transcript did not fit: its end starts the next run.
    is_due = models.BooleanField(default=False)
    #: The runs that were started last.
    last_run_ids = ArrayField(models.CharField(max_length=MAX_ID_LENGTH), default=list)
    hidden = models.BooleanField(null=True)
    project_id = models.CharField(max_length=MAX_ID_LENGTH, null=True, blank=True)

    agents = models.ManyToManyField("agents.Agent", through="agents.GroupMember", related_name="groups")

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["workspace", "created_at", "id"], name="group_by_age")]
        constraints = [
            models.UniqueConstraint(
                fields=["manager_agent"],
                condition=Q(manager_type="sleeptime"),
                name="one_background_of_an_agent",
            )
        ]

    def __str__(self) -> str:
        return self.id


class GroupMember(models.Model):
    group = models.ForeignKey("agents.Group", on_delete=models.CASCADE, related_name="member_links")
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="group_links")
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["group", "agent"], name="agent_once_in_a_group")]

    def __str__(self) -> str:
        return f"{self.group_id} {self.agent_id}"
