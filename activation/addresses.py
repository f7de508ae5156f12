"""Which addresses a destination may be reached at: public ones, unless the operator allows the rest.

A name is resolved once, every address it has is judged, and the connection goes to an address that was judged. So
neither decimal, octal or mapped spellings nor a name that changes its address between the look and the leap get
through.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from cdp.errors import MisconfiguredError, TransientError

Resolver = Callable[[str, int], Awaitable[list[str]]]

REFUSED = [
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
        "::/96",  # unspecified, loopback, and the old IPv4-compatible form
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
]
NAT64 = ip_network("64:ff9b::/96")
SIX_TO_FOUR = ip_network("2002::/16")


def is_public(text: str) -> bool:
    """Whether the address lies on the public internet; an IPv4 address inside an IPv6 one is judged as itself."""
    address = embedded(ip_address(text.partition("%")[0]))
    if address.is_multicast or not address.is_global:
        return False
    return not any(address in block for block in REFUSED if block.version == address.version)


def embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for (mapped, NAT64, 6to4), else the address itself."""
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in SIX_TO_FOUR:
        return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address


async def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that the machine's resolver has for a name. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def resolve(
    host: str, port: int, *, resolver: Resolver = system_resolver, allow_private: bool = False
) -> list[str]:
    """The addresses of a host that may be connected to.

    Raises `TransientError` when the name cannot be resolved now, `MisconfiguredError` when any of its addresses is not
    public: a name with a public and a private one is an attack or an accident.
    """
    try:
        found = await resolver(host, port)
    except (OSError, UnicodeError):
        raise TransientError("the name of the host cannot be resolved") from None
    if not found:
        raise TransientError("the name of the host has no address")
    if not allow_private and not all(is_public(address) for address in found):
        raise MisconfiguredError(
            "the host has an address that is not public; CDP_ACTIVATION__ALLOW_PRIVATE_ADDRESSES lets it through",
            code="address_refused",
        )
    return found
