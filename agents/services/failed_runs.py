"""Failed runs that somebody has still to look at: those after which nothing ran in their conversation."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from agents.models import Run
from agents.models.run import RunStatus
from agents.services.runs import nothing_since

#: An older failure is history: the list of runs has it.
SPAN = timedelta(days=7)


def open_failures() -> QuerySet[Run]:
    """The failed runs of every workspace that nothing followed; those of hidden agents are their makers' business."""
    # The database's own clock: the rail keeps the statement for as long as the process lives.
    chosen = Run.objects.filter(status=RunStatus.FAILED.value, created_at__gte=Now() - SPAN)
    return chosen.filter(nothing_since()).exclude(agent__hidden=True)
