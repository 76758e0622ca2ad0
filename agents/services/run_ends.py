"""What follows from the end of a run, put into the queue by the transaction that ends it."""

from __future__ import annotations

from agents.models import Run
from letta_ade.core.jobs import app

#: The job that tells the end to the address that the request named; agents/jobs.py holds it.
SEND_CALLBACK = "send_callback"


def announce_end(run: Run) -> None:
    """Put the callback of the run into the queue, if it has one. Called in the transaction that ends it."""
    if run.callback_url:
        app.configure_task(SEND_CALLBACK).defer(run_id=run.id)
