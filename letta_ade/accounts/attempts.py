"""How often somebody may guess: wrong passwords and keys, counted in memory and for a while only.

One process serves all who sign in; a restart forgets. What is counted against an address holds for everybody behind it, so that
limit is wider, and a program whose key was right a moment ago is let in all the same.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

#: So many wrong answers, then a pause until this time after the first of them.
TRIES = 5
TRIES_OF_AN_ADDRESS = 30
WINDOW_SECONDS = 300.0
#: Keys that are remembered; the oldest is forgotten first, so that guessing names fills no memory.
REMEMBERED = 10_000


class Attempts:
    """Tries of each key within a window from the first of them on."""

    def __init__(self, tries: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._tries = tries
        self._clock = clock
        self._counted: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_seconds(self, key: Hashable) -> float:
        """How long the key must wait before it may try again; 0 when it may now."""
        with self._lock:
            return self._wait(key)

    def take(self, key: Hashable) -> float:
        """Count a try and return 0, or count nothing and return how long the key must wait.

        Counted before its outcome is known: many at once are not more than many in a row.
        """
        with self._lock:
            wait = self._wait(key)
            if not wait:
                began, count = self._look(key)
                self._counted[key] = (began, count + 1)
                while len(self._counted) > REMEMBERED:
                    self._counted.popitem(last=False)
            return wait

    def give_back(self, key: Hashable) -> None:
        """The try was none."""
        with self._lock:
            began, count = self._look(key)
            if count:
                self._counted[key] = (began, count - 1)

    def left(self, key: Hashable) -> int:
        """How many tries are left."""
        with self._lock:
            return max(0, self._tries - self._look(key)[1])

    def forget(self, key: Hashable) -> None:
        """Begin anew."""
        with self._lock:
            self._counted.pop(key, None)

    def _wait(self, key: Hashable) -> float:
        began, count = self._look(key)
        return began + WINDOW_SECONDS - self._clock() if count >= self._tries else 0.0

    def _look(self, key: Hashable) -> tuple[float, int]:
        now = self._clock()
        began, count = self._counted.get(key, (now, 0))
        if began + WINDOW_SECONDS <= now:
            self._counted.pop(key, None)
            return now, 0
        return began, count


class PasswordAttempts:
    """Guesses of passwords, by address and account, and by address for all accounts together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._of_account = Attempts(TRIES, clock)
        self._of_address = Attempts(TRIES_OF_AN_ADDRESS, clock)

    def begin(self, address: str, email: str) -> float:
        """Count a guess and return 0, or how many seconds must pass before one may be made."""
        if wait := self._of_account.take((address, email)):
            return wait
        wait = self._of_address.take(address)
        if wait:
            self._of_account.give_back((address, email))
        return wait

    def left(self, address: str, email: str) -> int:
        """How many guesses are left."""
        return min(self._of_account.left((address, email)), self._of_address.left(address))

    def succeed(self, address: str, email: str) -> None:
        """The guess was right. That clears the account, not the address: its other guesses were at other accounts."""
        self._of_account.forget((address, email))
        self._of_address.give_back(address)


class KeyAttempts:
    """Wrong API keys by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._of_address = Attempts(TRIES_OF_AN_ADDRESS, clock)
        #: Hashes of keys that were right, each with its address. One program's wrong key must not stop another's right one.
        self._right: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def wait_seconds(self, address: str, key_hash: str) -> float:
        """How long until a key of this address is looked at again; 0 when it is now."""
        return 0.0 if (address, key_hash) in self._right else self._of_address.wait_seconds(address)

    def fail(self, address: str, key_hash: str) -> None:
        """The key was wrong."""
        with self._lock:
            self._right.pop((address, key_hash), None)
        self._of_address.take(address)

    def succeed(self, address: str, key_hash: str) -> None:
        """The key was right."""
        with self._lock:
            self._right[address, key_hash] = None
            self._right.move_to_end((address, key_hash))
            while len(self._right) > REMEMBERED:
                self._right.popitem(last=False)


passwords = PasswordAttempts()
keys = KeyAttempts()
