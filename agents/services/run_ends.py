"""What follows from the end of a run, put into the queue by the transaction that ends it."""

from __future__ import annotations

from agents.models import Run
from letta_ade.core.jobs import app

#: The job that tells the end to the address that the request named; agents/jobs.py holds it.
SEND_CALLBACK = "send_callback"
#: The job that looks what follows from the end of a background run; agents/jobs.py holds it, too.
GO_ON_WITH_MEMORY = "go_on_with_memory"
#: The job that delivers what one agent has written to another; agents/jobs.py holds it, too.
DELIVER_MESSAGE = "deliver_message"
#: The `run_type` of runs that keep the memory of another agent.
BACKGROUND_RUN_TYPE = "sleeptime_agent_send_message_async"
#: Where such a run remembers the run after which it was started.
AFTER_RUN = "after_run_id"


def started_after(run: Run) -> list[str]:
    """The ids of the background runs that the end of this run started."""
    if not run.agent.enable_sleeptime:
        return []
    runs = Run.objects.filter(workspace_id=run.workspace_id, created_at__gte=run.created_at)
    started = runs.filter(**{f"metadata__{AFTER_RUN}": run.id}).order_by("created_at", "id")
    return list(started.values_list("id", flat=True))


def announce_end(run: Run) -> None:
    """Queue the callback of the run, if it has one, and what follows from a background run. Called in the transaction that ends it."""
    if run.callback_url:
        app.configure_task(SEND_CALLBACK).defer(run_id=run.id)
    if run.metadata.get("run_type") == BACKGROUND_RUN_TYPE:
        app.configure_task(GO_ON_WITH_MEMORY).defer(run_id=run.id)
