"""Which internet addresses are public: only those may a stranger make this server call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: What is not public, and what to call it: the IANA registries of special-purpose addresses, and multicast.
_NOT_PUBLIC: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "an address behind a carrier's NAT"),
        ("127.0.0.0/8", "a loopback address"),
        # Routable inside Azure only: its agent answers every machine with secrets of that machine.
        ("168.63.129.16/32", "an address of a cloud's own services"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "an address for documentation"),
        ("192.88.99.0/24", "an address of a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "an address for benchmarks"),
        ("198.51.100.0/24", "an address for documentation"),
        ("203.0.113.0/24", "an address for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        # These hold an IPv4 address, which somebody on the way would take out and call.
        ("::ffff:0:0/96", "an IPv4 address in IPv6 form"),
        ("64:ff9b::/96", "an IPv4 address behind NAT64"),
        ("64:ff9b:1::/48", "an IPv4 address behind NAT64"),
        ("2001::/32", "an IPv4 address in a Teredo tunnel"),
        ("2002::/16", "an IPv4 address in a 6to4 tunnel"),
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "an address for documentation"),
        ("3fff::/20", "an address for documentation"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
#: Of IPv6 only this part has been given out; the rest is reserved.
_GLOBAL_V6 = ip_network("2000::/3")

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
#: Resolvers read such a name as an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_MOST_NAME_CHARACTERS = 253


def why_not_public(address: Address) -> str | None:
    """What the address is instead of public ("a loopback address"), or None when it is public."""
    for network, kind in _NOT_PUBLIC:
        if address in network:
            return kind
    if address.version == 6 and address not in _GLOBAL_V6:
        return "a reserved address"
    return None


def parse_host(host: str) -> Address | str:
    """The address, or the name, that the host part of a URL stands for; a name in small letters, without a dot at its end.

    Raises ValueError for what is neither. IPv4 addresses have one spelling, that of four decimal numbers: every other one is read
    differently by different programs.
    """
    name = host.lower().removesuffix(".")
    if ":" in name:
        if "%" in name:
            raise ValueError(f"{host!r} names a network interface")
        return ip_address(name)
    if _NUMBER.fullmatch(name):
        try:
            return IPv4Address(name)
        except ValueError:
            raise ValueError(f"{host!r} is not an IPv4 address of four decimal numbers") from None
    if len(name) > _MOST_NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise ValueError(f"{host!r} is not a host name")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """What whoever runs the server lets strangers call although it is not public."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> AllowList:
        """The list of host names, addresses and networks (10.1.0.0/16). Raises ValueError for an entry that is none."""
        names: set[str] = set()
        networks: list[Network] = []
        for entry in entries:
            try:
                if "/" in entry:
                    networks.append(ip_network(entry))
                    continue
                host = parse_host(entry.strip("[]"))
            except ValueError as error:
                raise ValueError(
                    f"{entry!r} is not a host name, an address or a network such as 10.1.0.0/16: {error}"
                ) from None
            if isinstance(host, str):
                names.add(host)
            else:
                networks.append(ip_network(host))
        return cls(names=frozenset(names), networks=tuple(networks))

    def allows(self, host: Address | str, address: Address) -> bool:
        """Whether this address may be called for this host."""
        return host in self.names or any(address in network for network in self.networks)
