"""A profile through the API: traits by their rules, where they come from, what was bought; from a cache, and fresh."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cdp import trait_rules
from cdp.records import AnchorAssigned, IdentityChanges, SegmentChange, SegmentChanges, encode
from cdp.service import Platform
from cdp.streams.base import Message
from cdp.testing import START
from cdp.topics import IDENTITY_CHANGES, SEGMENTS_CHANGES
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import Loader
from identity.routes import router
from tests.cdp.apps import add_token, api
from tests.identity.test_routes import House, person, post

LAN = "user_id:lan"
TRAITS = "/api/v1/traits"


@pytest.fixture
def house(platform: Platform) -> House:
    """The parts that the routes read."""
    return House(platform)


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the admin's token."""
    async with api(house.platform, routers=[router, trait_rules.router]) as client:
        yield client


def says(traits: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Somebody says something about Lan."""
    return {"type": "identify", "userId": "lan", "traits": traits, **more}


def order(number: int, total: float, name: str = "Order Completed") -> dict[str, Any]:
    """Lan buys something."""
    products = [{"product_id": "p", "category": "Áo dài", "quantity": 1}]
    properties = {"order_id": number, "total": total, "currency": "VND", "products": products}
    return {"userId": "lan", "event": name, "properties": properties}


async def city(client: httpx.AsyncClient) -> Any:
    """Where Lan lives."""
    return (await person(client, LAN))["traits"].get("city")


async def test_an_unsigned_event_never_overrides_what_was_proven(house: House, client: httpx.AsyncClient) -> None:
    """Whoever only claims to be Lan adds what nobody proved, and changes nothing that somebody did (guarantee 7)."""
    await house.send(says({"name": "Lan", "city": "Huế"}), source="web")
    await house.send(says({"name": "Nguyễn Thị Lan", "email": "lan@x.vn"}, verified=True), source="shop")
    await house.send(says({"name": "Mallory", "email": "m@evil.test", "city": "Hà Nội", "vip": True}), source="web")
    found = await person(client, LAN)

    assert found["traits"] == {"name": "Nguyễn Thị Lan", "email": "lan@x.vn", "city": "Hà Nội", "vip": True}
    assert found["provenance"]["name"] == {
        "source": "shop",
        "at": "2026-11-21T08:30:02.000Z",
        "verified": True,
        "rule": "most_recent_verified",
        "anchor_id": found["provenance"]["email"]["anchor_id"],
        "message_id": f"m-{START + 2_000}",
    }
    assert not found["provenance"]["city"]["verified"]


async def test_what_was_ever_said_is_shown_on_request(house: House, client: httpx.AsyncClient) -> None:
    """Each value with who said it, how often, when; the one that counts is marked."""
    await house.send(says({"city": "Huế"}), says({"city": "Huế"}), says({"city": "Hà Nội"}))
    await house.send(says({"city": "Vinh"}), source="pos")
    shown = (await person(client, LAN, include="values"))["values"]["city"]

    assert [(one["value"], one["source"], one["times"], one["counts"]) for one in shown] == [
        ("Vinh", "pos", 1, True),
        ("Hà Nội", "web", 1, False),
        ("Huế", "web", 2, False),
    ]
    assert (shown[2]["first_at"], shown[2]["last_at"]) == ("2026-11-21T08:30:01.000Z", "2026-11-21T08:30:02.000Z")
    assert (await person(client, LAN))["values"] is None


async def test_marketers_set_the_rule_of_a_trait(house: House, client: httpx.AsyncClient) -> None:
    """Each rule counts from the moment it is set, also for who was read before; taken back, the usual one does."""
    await house.send(says({"city": "Huế"}), says({"city": "Huế"}))
    await house.send(says({"city": "Vinh"}, verified=True), source="shop")
    await house.send(says({"city": "Hà Nội"}), source="pos")
    assert await city(client) == "Vinh"
    assert (await client.get(f"{TRAITS}/city")).json()["usual"]
    for body, expected in (
        ({"rule": "most_recent"}, "Hà Nội"),
        ({"rule": "most_frequent"}, "Vinh"),
        ({"rule": "source_priority", "sources": ["pos", "web"]}, "Vinh"),
    ):
        answer = await client.put(f"{TRAITS}/city", json=body)
        assert (answer.status_code, answer.json() | body) == (200, answer.json())
        assert (await city(client), (await person(client, LAN))["provenance"]["city"]["rule"]) == (
            expected,
            body["rule"],
        )
    assert (await client.delete(f"{TRAITS}/city")).status_code == 204
    assert await city(client) == "Vinh"


async def test_unproven_values_are_counted_and_weighed_by_source(house: House, client: httpx.AsyncClient) -> None:
    """Where nothing was proven, how often something was said and by whom decides; null takes back what was said."""
    await house.send(says({"city": "Huế"}), says({"city": "Huế"}))
    await house.send(says({"city": "Hà Nội"}), says({"city": "Vinh"}), source="pos")
    await client.put(f"{TRAITS}/city", json={"rule": "most_frequent"})
    assert await city(client) == "Huế"
    await house.send(says({"city": None}), says({"city": "Vinh"}))
    assert await city(client) == "Vinh"
    await client.put(f"{TRAITS}/city", json={"rule": "source_priority", "sources": ["crm", "web", "pos"]})
    await house.send(says({"city": "Đà Lạt"}), source="crm")
    await house.send(says({"city": "Hội An"}))
    assert await city(client) == "Đà Lạt"
    await house.send(says({"city": None}), source="crm")
    assert await city(client) is None


async def test_rules_are_listed_and_refused_where_they_make_no_sense(house: House, client: httpx.AsyncClient) -> None:
    """Names may have any sign; sources belong to one rule alone, once each; reading and writing need their scopes."""
    for name in ("address/home", "tên"):
        await client.put(f"{TRAITS}/{name}", json={"rule": "most_recent"})
    page = (await client.get(TRAITS, params={"limit": 1})).json()
    rest = (await client.get(TRAITS, params={"after": page["next"]})).json()
    assert [one["name"] for one in page["items"] + rest["items"]] == ["address/home", "tên"]
    for body in (
        {"rule": "most_recent", "sources": ["web"]},
        {"rule": "source_priority"},
        {"rule": "source_priority", "sources": ["web", "web"]},
        {"rule": "loudest"},
        {},
    ):
        answer = await client.put(f"{TRAITS}/city", json=body)
        assert (answer.status_code, set(answer.json())) == (400, {"error"}), body
    assert (await client.delete(f"{TRAITS}/city")).status_code == 404
    await add_token(house.platform, "cdp_reader", "profiles:read")
    reader = {"Authorization": "Bearer cdp_reader"}
    assert (await client.get(TRAITS, headers=reader)).status_code == 200
    assert (await client.put(f"{TRAITS}/x", json={"rule": "most_recent"}, headers=reader)).status_code == 403


async def test_what_somebody_bought_is_computed(house: House, client: httpx.AsyncClient) -> None:
    """Orders, revenue, LTV, average, favourite, RFM: of whoever is one person at the moment of asking."""
    nobody: dict[str, Any] = {
        "orders": 0,
        "first_order": None,
        "last_order": None,
        "revenue": {},
        "refunded": {},
        "ltv": {},
    }
    nobody |= {"average_order": {}, "favourite_category": None, "rfm": None}
    await house.send(says({"name": "Lan"}))
    assert (await person(client, LAN))["computed"] == nobody
    await house.send(order(1, 600_000), order(2, 300_000.5), order(1, 600_000), order(2, 100_000, "Order Refunded"))
    found = (await person(client, LAN))["computed"]

    assert found == {
        "orders": 2,
        "first_order": "2026-11-21T08:30:02.000Z",
        "last_order": "2026-11-21T08:30:03.000Z",
        "revenue": {"VND": 900_000.5},
        "refunded": {"VND": 100_000},
        "ltv": {"VND": 800_000.5},
        "average_order": {"VND": 450_000.25},
        "favourite_category": "Áo dài",
        "rfm": {"recency": 5, "frequency": 2, "monetary": 2, "days": 0, "currency": "VND"},
    }
    await house.send({"userId": "hung", "event": "Order Completed", "properties": {"order_id": 3, "total": 5}})
    await post(client, "merge", left=LAN, right="user_id:hung")
    await house.load()
    assert (await person(client, "user_id:hung"))["computed"]["orders"] == 3
    await post(client, "split", left=LAN, right="user_id:hung")
    await house.load()
    assert (await person(client, LAN))["computed"] == found
    assert (await person(client, "user_id:hung"))["computed"]["revenue"] == {"XXX": 5}


async def test_a_profile_comes_from_the_cache_until_something_is_stored(
    house: House, client: httpx.AsyncClient, warehouse: Warehouse
) -> None:
    """What was read is not asked for again; an event, another member, a change of segment each make it fresh."""
    await house.send(says({"city": "Huế"}))
    first = await person(client, LAN)
    await warehouse.command("TRUNCATE TABLE trait_values")
    assert await person(client, LAN) == first
    await house.send(says({"plan": "pro"}))
    fresh = await person(client, LAN)
    assert (fresh["traits"], fresh["event_count"]) == ({"city": "Huế", "plan": "pro"}, 2)

    entered = SegmentChanges([SegmentChange("vip", first["profile_id"], "entered", 1, START)])
    loader = Loader(house.platform.log, warehouse, house.platform.state, house.platform.settings.state.prefix, pace=0)
    await loader.handle([Message(SEGMENTS_CHANGES.name, 0, 0, START, encode(entered))])
    assert (await person(client, LAN))["segments"] == ["vip"]

    await house.send(
        says({"phone": "0905123456"}), {"type": "identify", "userId": "", "traits": {"phone": "0905123456"}}
    )
    assert (await person(client, LAN))["event_count"] == 4


async def test_a_profile_tells_of_whom_it_likely_consists(
    house: House, client: httpx.AsyncClient, warehouse: Warehouse
) -> None:
    """Sure people have their own identifiers and segments, all of them the profile's; the id of each finds it."""
    await house.send(says({"email": "lan@x.vn"}), says({"email": "hoa@x.vn"}))
    whole = await person(client, LAN, include="anchors")
    assert whole["sure"] == []
    lan, hoa = whole["profile_id"], "00000000-0000-4000-8000-000000000042"
    loader = Loader(house.platform.log, warehouse, house.platform.state, house.platform.settings.state.prefix, pace=0)
    [anchor] = [one["anchor_id"] for one in whole["anchors"] if one["anchor_id"] != lan]
    doubt = AnchorAssigned(anchor, lan, 2**62, START, previous_id=lan, sure_id=hoa)
    entered = SegmentChanges([SegmentChange("vip", hoa, "entered", 1, START)])
    await loader.handle([Message(IDENTITY_CHANGES.name, 0, 0, START, encode(IdentityChanges([doubt])))])
    await person(client, LAN)  # a part's memberships change without a word to the whole, which is in the cache
    await loader.handle([Message(SEGMENTS_CHANGES.name, 0, 0, START, encode(entered))])
    found = await person(client, LAN)

    assert found["segments"] == ["vip"]
    assert {one["profile_id"]: one["segments"] for one in found["sure"]} == {lan: [], hoa: ["vip"]}
    emails = {
        one["profile_id"]: [each["value"] for each in one["identifiers"] if each["type"] == "email"]
        for one in found["sure"]
    }
    assert emails == {lan: ["lan@x.vn"], hoa: ["hoa@x.vn"]}
    assert await person(client, f"profile_id:{hoa}") == found
    assert (await client.get(f"/api/v1/profiles/profile_id:{hoa}/explain")).json()["profile_id"] == lan
    assert (await client.get(f"/api/v1/profiles/profile_id:{hoa[:-1]}3")).status_code == 404
