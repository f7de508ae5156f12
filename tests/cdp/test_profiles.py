"""People as read from the warehouse: the same in any order of arrival, and as a stupid reading of the facts says."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from redis.asyncio import Redis

from cdp import profiles
from cdp.profiles import KnownIdentifier, Profile, Provenance, Said
from cdp.purchases import Purchases
from cdp.records import (
    AnchorAssigned,
    Identifier,
    IdentityChanges,
    ObservationAdded,
    ResolvedBatch,
    ResolvedEvent,
    SegmentChange,
    SegmentChanges,
    ValueJudged,
    encode,
)
from cdp.streams.base import Log, Message
from cdp.testing import Statement, comparable, reconciled
from cdp.topics import EVENTS_RESOLVED, IDENTITY_CHANGES, SEGMENTS_CHANGES
from cdp.traits import USUAL, Rule, RuleName, value_of
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import Loader

START = 1_795_249_800_000
PEOPLE = [str(uuid.UUID(int=n + 1)) for n in range(3)]
ANCHORS = [str(uuid.UUID(int=n + 100)) for n in range(5)]
TABLES = ("events", "trait_values", "identity_map", "observations", "segment_changes", "generic_values")
TRAITS = ("city", "age")
SOURCES = ("web", "pos", "crm")


async def load(log: Log, warehouse: Warehouse, state: Redis, messages: Sequence[Message], *, turn: int = 1) -> None:
    """Store these messages, so many in a turn."""
    loader = Loader(log, warehouse, state, "test:", pace=0)
    for start in range(0, len(messages), turn):
        await loader.handle(messages[start : start + turn])


def identity(*changes: Any) -> Message:
    """A message of identity.changes."""
    return Message(IDENTITY_CHANGES.name, 0, 0, START, encode(IdentityChanges(list(changes))))


def stored(offset: int, anchor: str, at: int, **fields: Any) -> Message:
    """A message with one event, in a partition of its own so that any order of arrival is stored."""
    event = ResolvedEvent(
        offset=offset,
        index=0,
        **{"source": "web", "type": "identify"} | fields,
        trace_id="",
        received_at=START,
        id=f"m{offset}",
        at=START + at,
        anchor_id=anchor,
        profile_id=anchor,
    )
    return Message(EVENTS_RESOLVED.name, offset, offset, START, encode(ResolvedBatch([event])))


def said(
    offset: int, anchor: str, at: int, traits: dict[str, Any], source: str = "web", *, verified: bool = False
) -> Message:
    """Somebody says something of a person."""
    return stored(offset, anchor, at, traits=raw(traits), source=source, verified=verified)


def raw(value: Any) -> Raw:
    """JSON, as it travels."""
    return Raw(json.dumps(value).encode())


async def test_a_person_is_read_whole(log: Log, warehouse: Warehouse, state: Redis) -> None:
    """Identifiers with sources, latest traits, current segments, first and last event, over all anchors."""
    lan, other = PEOPLE[:2]
    one, two, gone = ANCHORS[:3]
    await load(
        log,
        warehouse,
        state,
        [
            identity(
                ObservationAdded(
                    one, "web", START + 5, [Identifier("email", "lan@x.vn"), Identifier("phone", "+84901")]
                ),
                ObservationAdded(two, "pos", START + 3, [Identifier("email", "lan@x.vn")]),
                ObservationAdded(gone, "pos", START, [Identifier("email", "other@x.vn")]),
                AnchorAssigned(one, lan, 1, START),
                AnchorAssigned(two, other, 1, START),
                AnchorAssigned(two, lan, 2, START, previous_id=other),
                AnchorAssigned(gone, lan, 1, START),
                AnchorAssigned(gone, other, 2, START, previous_id=lan),
            ),
            said(0, one, 10, {"city": "Huế", "age": 30, "vip": True, "tags": ["a"]}),
            said(1, two, 20, {"city": "Đà Nẵng", "age": None}),
            said(2, gone, 90, {"city": "Hà Nội"}),
            Message(
                SEGMENTS_CHANGES.name,
                0,
                0,
                START,
                encode(
                    SegmentChanges(
                        [
                            SegmentChange("vip", lan, "entered", 1, START),
                            SegmentChange("cart", lan, "entered", 1, START),
                            SegmentChange("cart", lan, "exited", 2, START),
                        ]
                    )
                ),
            ),
        ],
    )

    def origin(anchor: str, at: int, message_id: str) -> Provenance:
        return Provenance("web", START + at, False, "most_recent_verified", anchor, message_id)

    found = await profiles.read(warehouse, [lan, PEOPLE[2]])

    assert found == {
        lan: Profile(
            lan,
            [
                KnownIdentifier("email", "lan@x.vn", START + 3, ["pos", "web"]),
                KnownIdentifier("phone", "+84901", START + 5, ["web"]),
            ],
            {"city": "Đà Nẵng", "tags": ["a"], "vip": True},
            ["vip"],
            START + 10,
            START + 20,
            2,
            {"city": origin(two, 20, "m1"), "tags": origin(one, 10, "m0"), "vip": origin(one, 10, "m0")},
        )
    }
    assert await profiles.read(warehouse, []) == {}


async def test_a_profile_is_known_before_its_first_event(log: Log, warehouse: Warehouse, state: Redis) -> None:
    """An anchor that is assigned makes a profile, though nothing else of it has been loaded."""
    await load(log, warehouse, state, [identity(AnchorAssigned(ANCHORS[0], PEOPLE[0], 1, START))])

    assert await profiles.read(warehouse, PEOPLE) == {
        PEOPLE[0]: Profile(PEOPLE[0], first_seen=START, last_seen=START, events=0)
    }


async def test_a_generic_value_identifies_nobody(log: Log, warehouse: Warehouse, state: Redis) -> None:
    """What so many share that it says nothing of who somebody is, is left out, until it is judged otherwise."""
    lan, anchor = PEOPLE[0], ANCHORS[0]
    hotline, own = Identifier("phone", "+84281900"), Identifier("email", "lan@x.vn")
    history = [
        identity(ObservationAdded(anchor, "web", START, [hotline, own]), AnchorAssigned(anchor, lan, 1, START)),
        identity(ValueJudged("phone", hotline.value, True, 5, START)),
        identity(ValueJudged("phone", own.value, True, 6, START)),  # another type has no say
    ]
    await load(log, warehouse, state, history[::-1])

    assert [one.type for one in (await profiles.read(warehouse, [lan]))[lan].identifiers] == ["email"]
    await load(log, warehouse, state, [identity(ValueJudged("phone", hotline.value, False, 7, START)), *history])
    assert [one.type for one in (await profiles.read(warehouse, [lan]))[lan].identifiers] == ["email", "phone"]


async def test_what_was_ever_said_is_told_with_who_and_how_often(log: Log, warehouse: Warehouse, state: Redis) -> None:
    """Each value of each source is there, the latest first, with its count, its moments and its last message."""
    lan, one, two = PEOPLE[0], *ANCHORS[:2]
    await load(
        log,
        warehouse,
        state,
        [
            identity(AnchorAssigned(one, lan, 1, START), AnchorAssigned(two, lan, 1, START)),
            said(0, one, 1, {"city": "Huế"}),
            said(1, two, 2, {"city": "Huế"}),
            said(2, two, 3, {"city": "Huế"}, "pos", verified=True),
            said(3, one, 4, {"city": None}),
        ],
    )

    assert await profiles.said(warehouse, lan) == [
        Said("city", None, "web", False, 1, START + 4, START + 4, one, "m3"),
        Said("city", "Huế", "pos", True, 1, START + 3, START + 3, two, "m2"),
        Said("city", "Huế", "web", False, 2, START + 1, START + 2, two, "m1"),
    ]


@pytest.mark.parametrize("padding", [0, 1_100_000], ids=["usual", "very many bytes"])
async def test_purchases_are_those_of_all_anchors(log: Log, warehouse: Warehouse, state: Redis, padding: int) -> None:
    """An order told under one anchor and refunded under another is one; what an anchor takes away is gone."""
    lan, other = PEOPLE[:2]
    one, two = ANCHORS[:2]
    order = {"order_id": "1", "total": 100, "currency": "VND", "note": "x" * padding}

    told = [
        (one, "Order Completed", order),
        (two, "Order Refunded", {"order_id": "1", "total": 40}),
        (two, "Product Viewed", {"category": "Áo"}),
    ]
    events = [
        stored(n, anchor, n, type="track", name=name, properties=raw(properties))
        for n, (anchor, name, properties) in enumerate(told)
    ]
    together = identity(AnchorAssigned(one, lan, 1, START), AnchorAssigned(two, lan, 1, START))
    await load(log, warehouse, state, [*events, together], turn=9)
    found = (await profiles.read_whole(warehouse, lan)).purchases
    assert (found.orders, found.ltv, found.favourite_category) == (1, {"VND": 60}, "Áo")

    await load(log, warehouse, state, [identity(AnchorAssigned(two, other, 2, START, previous_id=lan))])
    found = (await profiles.read_whole(warehouse, lan)).purchases
    assert (found.orders, found.ltv, found.favourite_category) == (1, {"VND": 100}, None)
    assert (await profiles.read_whole(warehouse, other)).purchases == Purchases(favourite_category="Áo")
    assert await profiles.read_whole(warehouse, PEOPLE[2]) == Profile(PEOPLE[2])


def test_a_trait_that_nothing_can_hold_is_its_text() -> None:
    """A number or a nesting beyond what Python's reader takes comes back as it was written."""
    assert value_of('{"a": [1, "b", null, 1.5]}') == {"a": [1, "b", None, 1.5]}
    assert value_of("18446744073709551616") == 18446744073709551616.0
    deep = "[" * 5_000 + "]" * 5_000
    assert value_of(deep) == deep
    assert value_of("1e999") == "1e999"


anchors = st.sampled_from(ANCHORS)
histories = st.fixed_dictionaries(
    {
        "moves": st.lists(st.tuples(anchors, st.sampled_from(PEOPLE)), max_size=10),
        "said": st.lists(
            st.tuples(
                anchors,
                st.integers(0, 3),
                st.dictionaries(st.sampled_from(TRAITS), st.sampled_from([1, "x", None, True]), max_size=2),
                st.sampled_from(SOURCES),
            ),
            max_size=12,
        ),
        "proven": st.sets(st.integers(0, 11), max_size=4),
        "rules": st.dictionaries(
            st.sampled_from(TRAITS),
            st.builds(
                Rule,
                st.sampled_from(get_args(RuleName)),
                st.lists(st.sampled_from(SOURCES), unique=True).map(tuple),
            ),
        ),
        "observed": st.lists(st.tuples(anchors, st.sampled_from("ab"), st.sampled_from("xy")), max_size=6),
        "segments": st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from("st")), max_size=8),
    }
)


def messages_of(history: dict[str, Any]) -> list[Message]:
    """The history as messages."""
    messages = []
    current: dict[str, str] = {}
    for version, (anchor, person) in enumerate(history["moves"], 1):
        assigned = AnchorAssigned(anchor, person, version, START, previous_id=current.get(anchor, ""))
        messages.append(identity(assigned))
        current[anchor] = person
    seen: set[str] = set()
    for anchor, kind, value in history["observed"]:
        if anchor not in seen:  # an observation is told once
            messages.append(identity(ObservationAdded(anchor, "web", START, [Identifier(kind, value)])))
            seen.add(anchor)
    for offset, (anchor, at, traits, source) in enumerate(history["said"]):
        messages.append(said(offset, anchor, at, traits, source, verified=offset in history["proven"]))
    sequences: dict[tuple[str, str], int] = {}
    for person, segment in history["segments"]:
        n = sequences[person, segment] = sequences.get((person, segment), 0) + 1
        change = SegmentChange(segment, person, "entered" if n % 2 else "exited", n, START)
        messages.append(Message(SEGMENTS_CHANGES.name, 0, 0, START, encode(SegmentChanges([change]))))
    return messages


async def ranks_of(warehouse: Warehouse, table: str) -> dict[tuple[str, str], int]:
    """How the warehouse orders statements, by message and trait: by time, and then by a hash."""
    rows = await warehouse.rows("SELECT message_id, name, rank FROM {table:Identifier}", {"table": table})
    return {(message_id, name): rank for message_id, name, rank in rows}


def check(history: dict[str, Any], person: str, profile: Profile | None, ranks: dict[str, Any]) -> None:
    """Compare with a stupid reading."""
    own = {anchor for anchor in ANCHORS if [p for a, p in history["moves"] if a == anchor][-1:] == [person]}
    if not own:
        assert profile is None
        return
    assert profile is not None
    happened = enumerate(history["said"])
    events = [(n, at, traits, source) for n, (anchor, at, traits, source) in happened if anchor in own]
    assert profile.events == len(events)
    assert profile.first_seen == START + min((at for _, at, *_ in events), default=0)
    assert profile.last_seen == START + max((at for _, at, *_ in events), default=0)
    for name in TRAITS:
        rule = history["rules"].get(name, USUAL)
        order = ranks["statements" if rule.name == "most_frequent" else "trait_values"]
        statements = [
            Statement(traits[name], source, n in history["proven"], order.get((f"m{n}", name), -1))
            for n, _, traits, source in events
            if name in traits
        ]
        value = reconciled(rule, statements)
        assert comparable(profile.traits.get(name)) == comparable(value)
        if value is not None:
            origin = profile.provenance[name]
            n = int(origin.message_id[1:])
            anchor, at, traits, source = history["said"][n]
            assert comparable(traits[name]) == comparable(value)
            assert origin == Provenance(source, START + at, n in history["proven"], rule.name, anchor, f"m{n}")
    first = {anchor: (kind, value) for anchor, kind, value in reversed(history["observed"])}
    assert [(i.type, i.value) for i in profile.identifiers] == sorted({first[a] for a in own & first.keys()})
    entered = [s for s in "st" if history["segments"].count((person, s)) % 2]
    assert profile.segments == entered


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, seed=st.integers(0, 1_000))
async def test_any_order_gives_the_same_people(
    log: Log, warehouse: Warehouse, state: Redis, history: dict[str, Any], seed: int
) -> None:
    """Loaded in any order and partly twice, the same records make the same people, and the right ones."""
    messages = messages_of(history)
    shuffled = random.Random(seed).sample(messages, len(messages)) + messages[: seed % 3]
    readings = []
    for order, turn in ((messages, len(messages) or 1), (shuffled, 1 + seed % 7)):
        for table in TABLES:
            await warehouse.command(f"TRUNCATE TABLE {table}")
        await load(log, warehouse, state, order, turn=turn)
        readings.append(await profiles.read(warehouse, PEOPLE, history["rules"]))
    ranks = {table: await ranks_of(warehouse, table) for table in ("statements", "trait_values")}

    assert readings[0] == readings[1]
    for person in PEOPLE:
        check(history, person, readings[0].get(person), ranks)
