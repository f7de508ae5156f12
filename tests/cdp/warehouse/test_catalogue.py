"""The catalogue learns every field, masks every example, costs little, and is stored with the events."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from redis.asyncio import Redis

from cdp.records import ResolvedBatch, ResolvedEvent, encode
from cdp.settings import Settings
from cdp.shapes import places, text_of, type_of
from cdp.streams.base import Log, Message
from cdp.topics import EVENTS_RESOLVED
from cdp.warehouse.base import Warehouse
from cdp.warehouse.catalogue import FAMILIAR, LOOKS, MOST_FIELDS, NEW_LOOKS, Learner
from cdp.warehouse.loader import Loader
from cdp.warehouse.rows import CatalogueRow
from tests.waiting import eventually

RECEIVED = 1_795_249_800_000
ANCHOR = str(uuid.UUID(int=7))


def event(number: int, said: Any, **fields: Any) -> ResolvedEvent:
    """A stored event."""
    given_ = {"source": "web", "trace_id": "", "received_at": RECEIVED + number, "id": f"m{number}", "type": "track"}
    given_ |= {"at": RECEIVED, "anchor_id": ANCHOR, "profile_id": ANCHOR, "name": "Order Completed"}
    part = "traits" if fields.get("type") == "identify" else "properties"
    return ResolvedEvent(number, 0, **(given_ | {part: Raw(encode(said))} | fields))


def fields(rows: list[CatalogueRow]) -> dict[str, CatalogueRow]:
    """The rows by path."""
    return {row.path: row for row in rows}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["VND", "2026-11-21"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1, max_size=10))
def test_every_field_is_learnt(said: list[dict[str, Any]]) -> None:
    """Of a few events all are looked at: each field with its types, and in how many events it was."""
    learner = Learner()
    learner.learn(event(number, one) for number, one in enumerate(said))
    found = fields(learner.take())

    expected: dict[str, set[str]] = {}
    seen: dict[str, int] = {}
    for one in said:
        own = {text_of(path) for path, _ in places(one)}
        seen |= {name: seen.get(name, 0) + 1 for name in own}
        for path, value in places(one):
            expected.setdefault(text_of(path), set()).add(type_of(value))
    assert found.pop("").seen == len(said)
    assert {name: set(row.types) for name, row in found.items()} == expected
    assert {name: row.seen for name, row in found.items()} == seen


def test_examples_show_nobody() -> None:
    """Personal values are masked before anything is stored; some harmless ones stay."""
    said = {
        "email": "lan@shop.vn",
        "total": 5,
        "currency": "VND",
        "to": "Lan Nguyễn",
        "who": "0912 345 678",
        "a@b.vn": 1,
    }
    learner = Learner()
    learner.learn([event(1, said), event(2, said, type="identify")])
    rows = learner.take()
    track = {row.path: row.examples for row in rows if row.type == "track" and row.path}
    assert track == {
        "email": ["***"],
        "total": ["5"],
        "currency": ["VND"],
        "to": ["Lan Nguyễn"],
        "who": ["***"],
        "*": ["1"],
    }
    assert {row.path: row.examples for row in rows if row.type == "identify"}["to"] == ["***"]
    assert "lan@" not in repr(rows)


def test_a_large_turn_is_looked_at_in_part() -> None:
    """New names first and all of them, then a few events, however many come."""
    learner = Learner()
    common = [event(number, {"a": 1}) for number in range(5_000)]
    rare = [event(number, {"b": number}, name=f"Rare {number}") for number in range(5)]
    learner.learn([*common, *rare])
    names = {row.event for row in learner.take()}
    assert names == {"Order Completed", *(f"Rare {number}" for number in range(5))}
    learner.learn(common)
    assert fields(learner.take())[""].seen == LOOKS
    assert FAMILIAR < NEW_LOOKS


def test_what_is_new_is_urgent() -> None:
    """A new event, field or type must not wait; more of the same may."""
    learner = Learner()
    for said, urgent in (
        ({"a": 1}, True),
        ({"a": 2}, False),
        ({"a": "x"}, True),
        ({"a": 1, "b": 1}, True),
        ({}, False),
    ):
        learner.learn([event(1, said)])
        assert (learner.urgent, learner.waits) == (urgent, True)
        learner.take()
        assert not learner.waits


def test_data_in_place_of_names_is_bounded() -> None:
    """An object keyed by ids, or an event named after its order, fills neither memory nor table."""
    learner = Learner()
    learner.learn([event(number, {f"{'kq' * number}w": number}) for number in range(30)])
    learner.learn([event(1, {f"a{chr(97 + number % 26)}{chr(97 + number // 26)}x": 1 for number in range(600)})])
    assert len(fields(learner.take())) <= MOST_FIELDS + 1
    learner.learn([event(number, {"a": 1}, name=f"Order {number}") for number in range(7_000)])
    assert len({row.event for row in learner.take()}) <= 5_000


async def test_the_loader_stores_what_it_learns(
    warehouse: Warehouse, log: Log, state: Redis, settings: Settings
) -> None:
    """With the events; the rest follows by itself within moments, and repeats are not counted."""
    loader = Loader(log, warehouse, state, settings.state.prefix, pace=0)

    def message(offset: int, *events: ResolvedEvent) -> Message:
        return Message(EVENTS_RESOLVED.name, 0, offset, RECEIVED, encode(ResolvedBatch(list(events))))

    first = message(0, event(1, {"total": 5}), event(2, {"total": 6, "coupon": "TET"}))
    await loader.handle([first])
    query = "SELECT path, sum(seen) FROM catalogue GROUP BY path ORDER BY path"
    assert await warehouse.rows(query) == [("", 2), ("coupon", 1), ("total", 2)]
    await loader.handle([first])
    await loader.handle([message(1, event(3, {"total": 7}))])
    await eventually(lambda: _rows(warehouse, query, [("", 3), ("coupon", 1), ("total", 3)]))
    await loader.revoked([])


async def _rows(warehouse: Warehouse, query: str, expected: list[tuple[str, int]]) -> bool:
    return await warehouse.rows(query) == expected
