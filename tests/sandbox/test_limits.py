"""Limits: the server's, and what a tool may ask for below them."""

from __future__ import annotations

import pytest

from tools.sandbox.limits import default_limits, limits_of, wants_network


def test_a_tool_lowers_its_limits():
    found = limits_of({"sandbox": {"seconds": 2.5, "memory_mb": 256, "processes": 1, "tmp_mb": 1}})
    assert (found.seconds, found.cpu_seconds) == (2.5, 2)
    assert (found.memory_bytes, found.processes, found.tmp_bytes) == (256 * 1024**2, 1, 1024**2)


@pytest.mark.parametrize("value", [10**9, 0, -1, "many", None, True, float("nan"), [1]])
def test_what_is_no_lower_limit_counts_for_nothing(value):
    asked = {"seconds": value, "memory_mb": value, "processes": value, "tmp_mb": value}
    assert limits_of({"sandbox": asked}) == default_limits()


@pytest.mark.parametrize("metadata", [{}, {"sandbox": None}, {"sandbox": "much"}, {"sandbox": []}])
def test_a_tool_that_asks_for_nothing_has_the_limits_of_the_server(metadata):
    assert limits_of(metadata) == default_limits()
    assert not wants_network(metadata)


@pytest.mark.parametrize(
    ("setting", "asks", "gets"),
    [("ask", True, True), ("ask", False, False), ("never", True, False), ("always", False, True)],
)
def test_the_server_decides_who_gets_the_network(settings, setting, asks, gets):
    settings.SANDBOX_NETWORK = setting
    assert wants_network({"sandbox": {"network": asks}}) is gets
