"""Which tests stay together on one worker: those that share a browser, or servers that take long to start.

By folder, because xdist's own groups (`xdist_group`) do nothing under pytest 9.2, whose node ids can no longer be changed.
"""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

_TOGETHER = re.compile(r"(tests/browser)/|(tests/faults/\w+\.py)::")


class ByPlace(LoadScopeScheduling):
    """The browser's tests on one worker, each file of faults on one, every other test wherever there is room."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """The name of the group to which a test belongs; its own for most."""
    found = _TOGETHER.match(nodeid)
    return next(filter(None, found.groups())) if found else nodeid
