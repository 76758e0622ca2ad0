"""How often somebody may guess: failed logins by address and account, kept in memory and for a while only."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

#: So many wrong passwords, then a pause of this length from the first of them on.
TRIES = 5
WINDOW_SECONDS = 300.0
#: Accounts that are remembered; the oldest is forgotten first, so that guessing names fills no memory.
REMEMBERED = 10_000


class LoginAttempts:
    """Failures of each key (address and e-mail). One process serves all logins; a restart forgets them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def wait_seconds(self, key: tuple[str, str]) -> float:
        """How long the key must wait before it may try again; 0 when it may now."""
        began, count = self._failures.get(key, (0.0, 0))
        left = began + WINDOW_SECONDS - self._clock()
        if left <= 0:
            self._failures.pop(key, None)
            return 0.0
        return left if count >= TRIES else 0.0

    def fail(self, key: tuple[str, str]) -> int:
        """Count a failure and return how many tries are left."""
        began, count = self._failures.pop(key, (self._clock(), 0))
        self._failures[key] = (began, count + 1)
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)
        return max(0, TRIES - count - 1)

    def succeed(self, key: tuple[str, str]) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)


attempts = LoginAttempts()
