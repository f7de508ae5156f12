"""Network addresses: what a source wants kept of them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from ingest.enrichment.switches import IpPolicy

MEMORY = 1 << 14
LONGEST = 200

IPV4_BITS, IPV6_BITS = 24, 48
# 2002:AABB:CCDD::/48 holds a whole IPv4 address: of that too only 24 bits stay.
SIXTOFOUR_BITS = 16 + IPV4_BITS


@lru_cache(MEMORY)
def kept(text: str, policy: IpPolicy) -> str | None:
    """What is kept of an address that somebody wrote; None for nothing.

    Under `truncate` what is no address is not kept either: it may hold one in a way not known here.
    """
    if policy == "keep":
        return text
    address = address_of(text) if policy == "truncate" else None
    return None if address is None else truncated(address)


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """An address as senders write it (the first of several, with a port, in brackets); None for what is none."""
    text = text[:LONGEST].partition(",")[0].strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def truncated(address: IPv4Address | IPv6Address) -> str:
    """The network that an address lies in: its first 24 bits, of IPv6 its first 48, all others zero."""
    if isinstance(address, IPv4Address):
        return str(IPv4Network((int(address), IPV4_BITS), strict=False).network_address)
    bits = IPV6_BITS if address.sixtofour is None else SIXTOFOUR_BITS
    return str(IPv6Network((int(address), bits), strict=False).network_address)
