"""How often somebody may guess."""

from __future__ import annotations

import threading

import pytest

from letta_ade.accounts.attempts import (
    REMEMBERED,
    TRIES,
    TRIES_OF_AN_ADDRESS,
    WINDOW_SECONDS,
    Attempts,
    KeyAttempts,
    PasswordAttempts,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_tries_are_counted_for_each_key_and_forgotten_after_a_while(clock: Clock) -> None:
    counted = Attempts(TRIES, clock)
    assert [counted.take("a") for _ in range(TRIES)] == [0.0] * TRIES
    clock.now = 10.0
    assert (counted.take("a"), counted.left("a")) == (WINDOW_SECONDS - 10, 0)
    assert (counted.wait_seconds("b"), counted.left("b")) == (0.0, TRIES)
    clock.now = WINDOW_SECONDS
    assert (counted.wait_seconds("a"), counted.left("a")) == (0.0, TRIES)


def test_guesses_at_the_same_time_are_not_more_than_guesses_in_a_row() -> None:
    counted = Attempts(TRIES)
    start = threading.Barrier(20)
    waits: list[float] = []

    def guess() -> None:
        start.wait()
        waits.append(counted.take("a"))

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waits.count(0.0) == TRIES


def test_guessing_names_fills_no_memory() -> None:
    counted = Attempts(TRIES)
    for number in range(REMEMBERED + 10):
        counted.take(number)
    assert len(counted._counted) == REMEMBERED


def test_an_address_has_so_many_guesses_at_all_accounts_together(clock: Clock) -> None:
    guesses = PasswordAttempts(clock)
    for number in range(TRIES_OF_AN_ADDRESS):
        assert guesses.begin("10.0.0.1", f"{number}@example.org") == 0
    assert guesses.begin("10.0.0.1", "new@example.org") == WINDOW_SECONDS
    assert guesses.begin("10.0.0.2", "new@example.org") == 0


def test_a_refused_guess_costs_the_account_nothing(clock: Clock) -> None:
    guesses = PasswordAttempts(clock)
    for number in range(TRIES_OF_AN_ADDRESS):
        guesses.begin("10.0.0.1", f"{number}@example.org")
    clock.now = 1.0
    for _ in range(TRIES * 2):
        guesses.begin("10.0.0.1", "new@example.org")
    clock.now = WINDOW_SECONDS
    assert guesses.left("10.0.0.1", "new@example.org") == TRIES


def test_a_right_password_clears_its_account(clock: Clock) -> None:
    guesses = PasswordAttempts(clock)
    for _ in range(TRIES):
        guesses.begin("10.0.0.1", "a@example.org")
    guesses.succeed("10.0.0.1", "a@example.org")
    assert guesses.left("10.0.0.1", "a@example.org") == TRIES


def test_wrong_keys_stop_an_address_but_not_a_key_that_was_right(clock: Clock) -> None:
    keys = KeyAttempts(clock)
    keys.succeed("10.0.0.1", "right")
    for number in range(TRIES_OF_AN_ADDRESS):
        keys.fail("10.0.0.1", f"wrong {number}")
    assert keys.wait_seconds("10.0.0.1", "another") == WINDOW_SECONDS
    assert keys.wait_seconds("10.0.0.1", "right") == 0
    assert keys.wait_seconds("10.0.0.2", "another") == 0
    keys.fail("10.0.0.1", "right")  # revoked meanwhile
    assert keys.wait_seconds("10.0.0.1", "right") == WINDOW_SECONDS
