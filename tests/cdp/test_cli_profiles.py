"""`cdp profile` for people: traits beside where they come from, amounts in a line, rules set and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter

from cdp import wiring
from cdp.service import Wing
from cdp.settings import Settings
from cdp.wiring import running
from tests.cdp.test_cli import Cli, cli

__all__ = ["cli"]

ORIGIN = {"source": "pos", "at": "2026-11-21T08:30:00.000Z", "verified": True, "rule": "most_recent_verified"}
LAN: dict[str, Any] = {
    "profile_id": "5e0c1b7a-7d1e-4a53-9f0e-2b6f1f1d8c11",
    "identifiers": [{"type": "user_id", "value": "lan", "first_seen": "2026-11-21", "sources": ["web"]}],
    "traits": {"city": "Huế", "tags": ["a", 1]},
    "provenance": {name: ORIGIN | {"anchor_id": "a", "message_id": "m"} for name in ("city", "tags")},
    "computed": {
        "orders": 3,
        "first_order": "2026-10-01",
        "last_order": "2026-11-20",
        "revenue": {"VND": 1_850_000, "USD": 12.5},
        "refunded": {},
        "ltv": {"VND": 1_600_000},
        "average_order": {"VND": 616_666.666667},
        "favourite_category": "Áo dài",
        "rfm": {"recency": 5, "frequency": 3, "monetary": None, "days": 1, "currency": "LAK"},
    },
    "segments": ["vip"],
    "sure": [
        {"profile_id": "5e0c", "identifiers": [{"type": "user_id", "value": "lan"}], "segments": ["vip"]},
        {"profile_id": "0b1f", "identifiers": [], "segments": []},
    ],
    "shared_with": [],
    "events": None,
    "values": {
        "city": [
            {"value": city, "source": "web", "verified": False, "times": 2, "first_at": "f", "last_at": "l"}
            | {"anchor_id": "a", "message_id": "m1", "counts": city == "Huế"}
            for city in ("Huế", "Vinh")
        ]
    },
}


@pytest.fixture
async def service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The API with a stand-in for the wing that knows people."""
    router = APIRouter(prefix="/api/v1/profiles")

    @router.get("/{identifier}")
    async def show(identifier: str, include: str = "") -> dict[str, Any]:
        return LAN | {"asked": identifier} | ({} if include == "values" else {"values": None})

    monkeypatch.setattr(wiring, "wings", lambda: [Wing("identity", {}, router)])
    monkeypatch.setenv("CDP_DATA_DIR", str(settings.data_dir))
    anywhere = settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})
    async with running(anywhere, ["api"], say=lambda _: None):
        yield


def lines(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines() if line.strip()]


async def test_a_person_is_shown_with_where_traits_come_from_and_what_was_bought(service: None, cli: Cli) -> None:
    """Simple things line by line, then tables of traits and of sure people; JSON as the API says it."""
    people, machines = await cli("profile", "user_id:lan"), await cli("profile", "user_id:lan", "--json")
    shown = lines(people.out)

    assert ["revenue", "1,850,000", "VND,", "12.5", "USD"] in shown
    assert ["average_order", "616,666.6667", "VND"] in shown
    assert ["rfm", "R5", "F3", "M-", "(last", "order", "1", "days", "ago)"] in shown
    assert ["favourite_category", "Áo", "dài"] in shown
    assert ["city", "Huế", "pos", "2026-11-21T08:30:00.000Z", "yes", "most_recent_verified"] in shown
    assert ["5e0c", "user_id:lan", "vip"] in shown and ["0b1f", "-"] in shown
    assert not [line for line in shown if line[0] in ("refunded", "values", "provenance", "shared_with")]
    assert machines.json() == LAN | {"asked": "user_id:lan", "values": None}


async def test_what_was_ever_said_is_a_table_on_request(service: None, cli: Cli) -> None:
    """A line for each value of a trait and who said it."""
    shown = lines((await cli("profile", "user_id:lan", "--include", "values")).out)

    assert ["city", "Vinh", "web", "no", "2", "l", "no", "m1"] in shown


async def test_a_rule_is_set_listed_shown_and_taken_back(service: None, cli: Cli) -> None:
    """What `rule` sets, `rules` lists and `unrule` takes back; nonsense is refused with the API's sentence."""
    assert "most_recent_verified" in (await cli("profile", "rules")).out
    words = ("profile", "rule", "address/home", "source_priority", "--source", "crm", "--source", "pos")
    assert (await cli(*words)).out == "address/home: source_priority counts.\n"
    [listed] = (await cli("profile", "rules", "--json")).json()
    assert (listed["name"], listed["sources"]) == ("address/home", ["crm", "pos"])
    assert ["sources", "crm,", "pos"] in lines((await cli("profile", "rule", "address/home")).out)
    assert (await cli("profile", "unrule", "address/home")).code == 0
    assert (await cli("profile", "rules", "--json")).json() == []
    refused = await cli("profile", "rule", "city", "most_recent", "--source", "crm")
    assert (refused.code, "source_priority" in refused.err) == (1, True)
