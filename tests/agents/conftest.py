"""What tests of runs need around them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest


@pytest.fixture
async def ended_runs(transactional_db: None) -> AsyncIterator[None]:
    """At the end of the test nothing runs and nothing is being written, so that the flush of the tables meets nobody."""
    # Not above: this file may be loaded before Django is set up.
    from agents.services import execution

    yield
    await execution.close()
