"""The contract of a plan's modes: what passes, what is kept, what the sender is told, and what is noted, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cdp.records import PlanMode, Violation, decode_violations
from cdp.registry import Registry
from cdp.streams.base import Log
from cdp.topics import PLANS_VIOLATED
from ingest.metrics import FIGURES
from ingest.plans.plan import KIND
from ingest.testing import Client, messages, set_aside, stored
from tests.ingest.corpus import CORPUS

ORDER = {
    "type": "object",
    "required": ["order_id", "total"],
    "properties": {
        "order_id": {"type": "string"},
        "total": {"type": "number"},
        "products": {"type": "array", "items": {"properties": {"price": {"type": "number"}}}},
    },
}
PLAN = {"events": {"Order Completed": ORDER}, "identify": {"properties": {"email": {"format": "email"}}}}


def order(message_id: str, **properties: Any) -> dict[str, Any]:
    """A track event."""
    return {
        "type": "track",
        "event": "Order Completed",
        "userId": "lan",
        "messageId": message_id,
        "properties": properties,
    }


GOOD = order("good", order_id="o-1", total=5)
BAD = order("bad", total="5")
BATCH = {"batch": [GOOD, {"type": "track", "userId": "lan"}, BAD, order("last", order_id="o-2", total=1)]}


async def put(registry: Registry, mode: PlanMode, **more: Any) -> None:
    """Put the plan in force."""
    await registry.put(KIND, "shop", PLAN | {"mode": mode} | more)


async def noted(log: Log) -> list[Violation]:
    """All violations on the log."""
    found = await messages(log, PLANS_VIOLATED)
    return [violation for message in found for violation in decode_violations(message.value).violations]


def by_place(results: list[dict[str, Any]]) -> Iterator[tuple[int, str, str, str]]:
    """What matters of each result."""
    return ((one["index"], one["status"], one["code"], one["path"]) for one in results)


@pytest.mark.parametrize("mode", ["observe", "quarantine", "block"])
async def test_each_mode_does_what_it_says(mode: PlanMode, client: Client, registry: Registry, log: Log) -> None:
    """Good neighbours pass; a violation is noted; the event passes, is kept aside or dropped, as the mode says."""
    await put(registry, mode)
    blocked = FIGURES.events["shop", "blocked"]
    results = (await client.post("/v1/batch", BATCH)).json()["results"]

    passed = ["good", "bad", "last"] if mode == "observe" else ["good", "last"]
    assert [one.event.id for one in await stored(log)] == passed
    missing = (1, "quarantined", "missing_event", "batch[1].event")
    broken = (2, "blocked" if mode == "block" else "quarantined", "plan_violation", "batch[2].properties.order_id")
    assert list(by_place(results)) == ([missing] if mode == "observe" else [missing, broken])
    assert ("quarantine_id" in results[-1]) is (mode != "block")

    aside = {event.code: event for event in await set_aside(log)}
    assert set(aside) == {"missing_event"} | ({"plan_violation"} if mode == "quarantine" else set())
    if mode == "quarantine":
        assert msgspec.json.decode(aside["plan_violation"].body) == BAD
    assert FIGURES.events["shop", "blocked"] - blocked == (mode == "block")

    found = {(one.event, one.path, one.keyword): one for one in await noted(log)}
    assert set(found) == {
        ("Order Completed", "properties.order_id", "required"),
        ("Order Completed", "properties.total", "type"),
    }
    assert {(one.source, one.type, one.message_id, one.mode) for one in found.values()} == {
        ("shop", "track", "bad", mode)
    }


async def test_a_source_without_a_plan_is_left_alone(client: Client, log: Log) -> None:
    """Nothing is looked at, nothing is noted."""
    await client.post("/v1/batch", BATCH)
    assert [one.event.id for one in await stored(log)] == ["good", "bad", "last"]
    assert await noted(log) == []


async def test_a_plan_counts_from_the_moment_it_is_put_until_it_is_deleted(
    client: Client, registry: Registry, log: Log
) -> None:
    """Each version is in force for events that come after it."""
    await put(registry, "block")
    assert (await client.post("/v1/track", BAD)).json()["results"][0]["path"] == "properties.order_id"
    await registry.put(KIND, "shop", {"mode": "block", "events": {}})
    assert "results" not in (await client.post("/v1/track", BAD)).json()
    await put(registry, "block")
    await registry.delete(KIND, "shop")
    assert "results" not in (await client.post("/v1/track", BAD)).json()


async def test_a_repeat_is_the_same_violation(client: Client, registry: Registry, log: Log) -> None:
    """Who sends an event again adds a record, not a violation: both have the same key."""
    await put(registry, "quarantine")
    for _ in range(2):
        await client.post("/v1/batch", BATCH)
    keys = [(one.source, one.message_id, one.path, one.keyword) for one in await noted(log)]
    assert (len(keys), len(set(keys))) == (4, 2)


async def test_many_items_are_one_violation(client: Client, registry: Registry, log: Log) -> None:
    """What is wrong with each item of a list is noted once; the answer names the first of them."""
    await put(registry, "quarantine")
    items = [{"price": 1}, {"price": "2"}, {"price": "3"}]
    answer = (await client.post("/v1/track", order("m", order_id="o", total=1, products=items))).json()
    assert answer["results"][0]["path"] == "properties.products[1].price"
    assert [one.path for one in await noted(log)] == ["properties.products[].price"]


async def test_unplanned_events(client: Client, registry: Registry, log: Log) -> None:
    """They pass unless the plan says that they must not; pages and the like are no track events."""
    other = {"event": "Other", "userId": "lan", "messageId": "o"}
    await put(registry, "block")
    assert "results" not in (await client.post("/v1/track", other)).json()
    await put(registry, "block", unplanned="violation")
    assert (await client.post("/v1/track", other)).json()["results"][0]["path"] == "event"
    assert "results" not in (await client.post("/v1/page", {"userId": "lan"})).json()
    assert [(one.event, one.path, one.keyword) for one in await noted(log)] == [("Other", "event", "unplanned")]


async def test_traits_are_looked_at_wherever_they_stand(client: Client, registry: Registry) -> None:
    """An identify event may say its traits in the context too; its own win."""
    await put(registry, "block")
    for traits, context, broken in (
        ({"email": "x"}, {}, True),
        ({}, {"email": "x"}, True),
        ({"email": "a@b.vn"}, {"email": "x"}, False),
    ):
        event = {"userId": "lan", "messageId": "i", "traits": traits, "context": {"traits": context}}
        assert ("results" in (await client.post("/v1/identify", event)).json()) is broken


async def test_no_reason_repeats_a_value(client: Client, registry: Registry, log: Log) -> None:
    """Violations are kept and shown: what people sent must not be in them, nor in the answer."""
    await registry.put(KIND, "shop", {"mode": "quarantine", "events": {"E": SECRETIVE}})
    properties = dict.fromkeys(SECRETIVE["properties"], "lan@secret.vn") | {
        "lan@secret.vn": 1,
        "of": ["lan@secret.vn"] * 2,
    }
    answer = await client.post("/v1/track", {"event": "E", "userId": "u", "messageId": "m", "properties": properties})
    found = await noted(log)
    assert len(found) >= len(SECRETIVE["properties"])
    assert "secret" not in repr(found) + answer.body.decode()


SECRETIVE: dict[str, Any] = {
    "additionalProperties": False,
    "propertyNames": {"maxLength": 5},
    "properties": {
        "type": {"type": "number"},
        "enum": {"enum": ["a"]},
        "const": {"const": 1},
        "form": {"format": "date"},
        "patt": {"pattern": "^a$"},
        "long": {"maxLength": 1},
        "no": False,
        "any": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "one": {"oneOf": [{"type": "number"}, {"type": "null"}]},
        "not": {"not": {"type": "string"}},
        "of": {"uniqueItems": True, "items": {"type": "number"}, "contains": {"type": "number"}},
    },
}


async def test_bad_input_meets_a_plan(client: Client, registry: Registry, log: Log) -> None:
    """Whatever comes, the answer is what it would be without a plan, but for events that the plan blocks."""
    body = {"mode": "block", "unplanned": "violation", "page": SECRETIVE, "events": {"E": SECRETIVE}}
    await registry.put(KIND, "shop", body)
    told, wanted = 0, 0
    for case in CORPUS:
        reply = await client.post(case.path, case.body, case.headers)
        assert reply.status == case.expect.status, case.name
        if reply.status == 200:
            told += len(reply.json().get("results", ()))
            wanted += case.expect.accepted + len(case.expect.codes)
    assert wanted == told + len(await stored(log))
