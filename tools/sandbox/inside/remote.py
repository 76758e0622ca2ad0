"""A call on a machine that is a sandbox as a whole: nothing is confined here, the answer goes into a file."""

from __future__ import annotations

import json
import os

from tools.sandbox.inside import call


def main(job_file: str, answer_file: str) -> None:
    """Run the job of the one file and write its answer to the other."""
    with open(job_file, encoding="utf-8") as file:
        job = json.load(file)
    # Secrets are in it.
    os.unlink(job_file)
    os.environ.update(job["environment"])
    end = os.open(answer_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    call.tell(end, call.answer(job))
    os._exit(0)
