"""Which addresses are public, how a host may be spelled, and what an operator may except."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_ade.core.addresses import AllowList, parse_host, why_not_public

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
    "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "4000::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.0.0.1", "128.0.0.1", "169.253.0.1",
    "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111",
    "2a00:1450:4001::1", "2400:cb00::1", "2001:200::1", "2003::1",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_that_is_not_public_says_what_it_is(text: str) -> None:
    kind = why_not_public(ip_address(text))
    assert kind is not None
    assert kind.startswith(("a ", "an "))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_public(text: str) -> None:
    assert why_not_public(ip_address(text)) is None


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_that_python_calls_local_is_public(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert why_not_public(address) is not None


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_that_python_calls_local_is_public(address: IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.ipv4_mapped or address.sixtofour:
        assert why_not_public(address) is not None


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01", "127.0.0.256",
        "1.2.3.4.5", "0x", "example.0x7f", "a.1", "fe80::1%eth0", "fe80::1%25eth0", "::g", "", ".", "..", "a..b", "-a", "a-", "a b",
        "a%20b", "exa%6dple.com", "127.0.0.1%00.example", "a/b", "ex\\ample", "a" * 64, ".".join(["a" * 60] * 5), "münchen.de",
        "１２７.0.0.1",
    ],
)  # fmt: skip
def test_another_spelling_of_a_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError):
        parse_host(host)


def test_a_host_is_an_address_or_a_name() -> None:
    assert parse_host("127.0.0.1") == ip_address("127.0.0.1")
    assert parse_host("2606:4700::1111") == ip_address("2606:4700::1111")
    assert parse_host("1.1.1.1.") == ip_address("1.1.1.1")
    assert parse_host("Hooks.Example.COM.") == "hooks.example.com"
    assert parse_host("my_service") == "my_service"
    assert parse_host("xn--mnchen-3ya.de") == "xn--mnchen-3ya.de"
    assert parse_host("3com.example") == "3com.example"


def test_an_operator_excepts_names_addresses_and_networks() -> None:
    allow = AllowList.parse(["Hooks.Internal", "10.1.0.0/16", "127.0.0.1", "[fd00::1]", "fd01::/32"])
    private = ip_address("192.168.0.7")
    assert allow.allows("hooks.internal", private)
    assert not allow.allows("other.internal", private)
    assert not allow.allows("sub.hooks.internal", private)
    for text in ("10.1.2.3", "127.0.0.1", "fd00::1", "fd01::9"):
        assert allow.allows("any.example", ip_address(text))
    for text in ("10.2.0.1", "127.0.0.2", "fd00::2", "::ffff:10.1.2.3"):
        assert not allow.allows("any.example", ip_address(text))


@pytest.mark.parametrize(
    "entry", ["10.1.0.0/33", "10.1.2.3/16", "not a host", "http://x", "*.example", "10.1", "a:80"]
)
def test_an_entry_that_means_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host name, an address or a network"):
        AllowList.parse([entry])
