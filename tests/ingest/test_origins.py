"""Tests of which web pages may send to a source."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.registry import Registry
from ingest.origins import Origins, canonical
from ingest.testing import Client, stored

EVENT = {"userId": "lan", "event": "Order Completed"}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://shop.vn", "https://shop.vn"),
        (" HTTPS://Shop.VN/ ", "https://shop.vn"),
        ("https://shop.vn:443", "https://shop.vn"),
        ("http://shop.vn:80", "http://shop.vn"),
        ("http://shop.vn:443", "http://shop.vn:443"),
        ("https://áodài.vn", "https://xn--odi-blac.vn"),
        ("https://*.Shop.vn:8443", "https://*.shop.vn:8443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("Null", "null"),
    ],
)
def test_what_people_write_becomes_what_browsers_send(written: str, sent: str) -> None:
    """Case, default ports and letters outside ASCII make no difference; doing it twice changes nothing."""
    assert canonical(written) == sent
    assert canonical(sent) == sent


@pytest.mark.parametrize(
    "written",
    ["shop.vn", "ftp://shop.vn", "https://", "*", "https://*", "https://shop.*", "https://a.*.vn", "https://shop.vn/cart",
     "https://lan@shop.vn", "https://shop.vn:port", "https://a b", "", "https://shop.vn?x"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(written: str) -> None:
    """A star stands for subdomains only, at the front."""
    with pytest.raises(ValueError, match=r"https://\*\.shop\.vn"):
        canonical(written)


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://shop.vn", True),
        ("HTTPS://SHOP.VN", True),
        ("http://shop.vn", False),
        ("https://shop.vn:444", False),
        ("https://www.shop.vn", False),
        ("https://www.chain.vn", True),
        ("https://hn.www.chain.vn", True),
        ("https://chain.vn", False),
        ("https://evilchain.vn", False),
        ("https://www.chain.vn.evil.example", False),
        ("https://*.chain.vn", True),
        ("https://", False),
        ("chain.vn", False),
        ("null", False),
        ("", False),
        ("https://....", False),
    ],
)
def test_pages(origin: str, *, may: bool) -> None:
    """An exact origin is that host alone; a wildcard is every depth below the host, and no name that merely ends so."""
    assert (origin in Origins(["https://shop.vn", "https://*.chain.vn"])) == may


def test_pages_without_an_origin_can_be_let_in() -> None:
    """`null` is an origin like others."""
    assert "null" in Origins(["null"])
    assert "https://null" not in Origins(["null"])


@given(st.text(max_size=20), st.sampled_from(["", ".shop.vn", "shop.vn", ".SHOP.vn"]))
def test_no_text_is_let_in_by_accident(start: str, end: str) -> None:
    """Whatever a sender writes, it raises nothing, and only what ends in a dot and the host passes."""
    origin = f"https://{start}{end}"
    assert (origin in Origins(["https://*.shop.vn"])) == origin.lower().endswith(".shop.vn")


async def test_a_source_tells_the_page_why(client: Client, registry: Registry, log: Any) -> None:
    """403 names the origin and the setting; nothing is stored; a server, which sends no origin, passes."""
    entry = registry.get("source", "shop")
    await registry.put("source", "shop", {**entry.body, "allowed_origins": ["https://*.shop.vn"]})

    reply = await client.post("/v1/track", EVENT, {"Origin": "https://evil.example"})
    assert (reply.status, reply.json()["code"]) == (403, "origin_not_allowed")
    assert "https://evil.example" in reply.json()["message"]
    assert "allowed_origins" in reply.json()["message"]
    assert await stored(log) == []
    assert (await client.post("/v1/track", EVENT, {"Origin": "https://www.shop.vn"})).status == 200
    assert (await client.post("/v1/track", EVENT)).status == 200
