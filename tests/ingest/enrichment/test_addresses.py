"""What is kept of addresses."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.addresses import kept

ADDRESSES = st.ip_addresses()


@given(ADDRESSES)
def test_truncation_keeps_the_network(address: Any) -> None:
    """What is left is the first address of the network, by the standard library's own word; twice is as once."""
    left = kept(str(address), "truncate")
    assert left is not None
    found = ipaddress.ip_address(left)
    if address.version == 4:
        assert found == ipaddress.ip_network(f"{address}/24", strict=False).network_address
    elif address.ipv4_mapped is None:
        assert int(found) & ((1 << 80) - 1) == 0
        assert address in ipaddress.ip_network(f"{left}/{40 if address.sixtofour else 48}")
    assert kept(left, "truncate") == left


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("14.160.1.2", "14.160.1.0"),
        ("14.160.1.2:51000", "14.160.1.0"),
        (" 14.160.1.2 , 10.0.0.1", "14.160.1.0"),
        ("::ffff:14.160.1.2", "14.160.1.0"),
        ("[2402:800:63a1:8b2::1]:443", "2402:800:63a1::"),
        ("2002:0ea0:0102::1", "2002:ea0:100::"),
        ("fe80::1%eth0", "fe80::"),
        ("14.160.1", None),
        ("user@14.160.1.2", None),
        ("", None),
        ("1" * 100_000, None),
    ],
)
def test_addresses_as_senders_write_them(written: str, left: str | None) -> None:
    """Ports, lists and IPv4 inside IPv6 are understood; what is not understood is not kept."""
    assert kept(written, "truncate") == left
    assert kept(written, "drop") is None
    assert kept(written, "keep") == written
