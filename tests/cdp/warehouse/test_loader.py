"""The loader: every place of events.raw is stored exactly once, whatever is repeated, refused, lost or killed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from redis.asyncio import Redis

from cdp.anchors import anchor_key, owners_of, pack_owner, profiles_of
from cdp.errors import PermanentError, TransientError
from cdp.records import (
    AnchorAssigned,
    Deliveries,
    Delivery,
    Identifier,
    IdentityChange,
    IdentityChanges,
    LinkChanged,
    ObservationAdded,
    ProfileChanged,
    QuarantinedBatch,
    QuarantinedEvent,
    ResolvedBatch,
    ResolvedEvent,
    SegmentChange,
    SegmentChanges,
    TouchedProfile,
    decode_quarantined,
    decode_touched,
    encode,
    partition_of,
)
from cdp.settings import Settings
from cdp.streams.base import Log, Message, Partition
from cdp.topics import (
    DELIVERIES,
    EVENTS_QUARANTINED,
    EVENTS_RESOLVED,
    IDENTITY_CHANGES,
    PROFILES_TOUCHED,
    SEGMENTS_CHANGES,
    Topic,
)
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import Loader, Turn
from tests.waiting import eventually

RECEIVED = 1_795_249_800_000
ALL_PLACES = "SELECT log_partition, log_offset, log_index FROM events ORDER BY ALL"


def uuid_of(text: str) -> str:
    """A stable UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


def event(offset: int, index: int = 0, **fields: Any) -> ResolvedEvent:
    """An event at a place of events.raw."""
    given = {
        "source": "web",
        "trace_id": f"{offset:032x}",
        "received_at": RECEIVED + offset,
        "id": f"m{offset}-{index}",
        "type": "track",
        "at": RECEIVED + offset,
        "anchor_id": uuid_of(f"anchor {offset % 3}"),
        "profile_id": uuid_of(f"anchor {offset % 3}"),
        "name": "Product Added",
    }
    return ResolvedEvent(offset, index, **(given | fields))


def message(topic: Topic, offset: int, value: Any, partition: int = 0) -> Message:
    """A message as the log would bring it."""
    return Message(topic.name, partition, offset, RECEIVED, encode(value))


def resolved(offset: int, *events: ResolvedEvent, partition: int = 0) -> Message:
    """A message of events.resolved."""
    return message(EVENTS_RESOLVED, offset, ResolvedBatch(list(events)), partition)


def changes(*given: IdentityChange) -> Message:
    """A message of identity.changes."""
    return message(IDENTITY_CHANGES, 0, IdentityChanges(list(given)))


class Unreliable:
    """A warehouse whose next inserts into events fail: `before` they run, or `after`, or not (`well`)."""

    def __init__(self, warehouse: Warehouse, script: Iterable[str]) -> None:
        self._warehouse = warehouse
        self._script = iter(script)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    async def insert(self, table: str, columns: Sequence[str], lines: bytes) -> None:
        step = next(self._script, "well") if table == "events" else "well"
        if step == "before":
            raise TransientError("the request got lost")
        await self._warehouse.insert(table, columns, lines)
        if step == "after":
            raise TransientError("the answer got lost")


@pytest.fixture
def loader(log: Log, warehouse: Warehouse, state: Redis, settings: Settings) -> Loader:
    """A loader that does not pace itself."""
    return Loader(log, warehouse, state, settings.state.prefix, pace=0)


async def touched(log: Log) -> list[TouchedProfile]:
    """Everything on profiles.touched; each must lie in its profile's partition."""
    reader = await log.reader([PROFILES_TOUCHED], start="earliest")
    messages = await reader.read(limit=10_000, timeout=0.05)
    await reader.close()
    found = []
    for each in messages:
        for profile in decode_touched(each.value).profiles:
            assert partition_of(profile.profile_id, log.partitions(PROFILES_TOUCHED)) == each.partition
            found.append(profile)
    return found


async def ids(warehouse: Warehouse, sql: str) -> list[str]:
    """The first column as text."""
    return [str(value) for (value,) in await warehouse.rows(sql)]


async def test_an_event_is_stored_as_it_came(loader: Loader, warehouse: Warehouse) -> None:
    """Every field of the record is in its column, raw parts byte for byte."""
    anchor = uuid_of("anchor")
    properties, context = Raw(b'{ "price": 1e2, "a":1,"a":2 }'), Raw('{"locale":"vi-VN","tên":"Áo"}'.encode())
    await loader.handle(
        [
            resolved(
                0,
                event(
                    7,
                    3,
                    anchor_id=anchor,
                    type="group",
                    name="n",
                    user_id="u",
                    anonymous_id="a",
                    group_id="g",
                    properties=properties,
                    context=context,
                    traits=Raw(b'{"city":"Hu\xe1\xba\xbf"}'),
                    at=1,
                    verified=True,
                ),
                partition=2,
            )
        ]
    )

    [row] = await warehouse.dicts("SELECT * EXCEPT (at, received_at), toUnixTimestamp64Milli(at) AS at FROM events")

    assert row == {
        "anchor_id": uuid.UUID(anchor),
        "source": "web",
        "message_id": "m7-3",
        "type": "group",
        "name": "n",
        "user_id": "u",
        "anonymous_id": "a",
        "group_id": "g",
        "properties": bytes(properties).decode(),
        "context": bytes(context).decode(),
        "traits": '{"city":"Huế"}',
        "verified": 1,
        "trace_id": f"{7:032x}",
        "log_partition": 2,
        "log_offset": 7,
        "log_index": 3,
        "at": 1,
    }


async def test_the_other_records_are_stored(loader: Loader, warehouse: Warehouse) -> None:
    """Changes of identity and of segments, deliveries and quarantined events each have their row, repeats replace."""
    left, right = uuid_of("left"), uuid_of("right")
    profile = uuid_of("profile")
    messages = [
        changes(
            ObservationAdded(left, "web", 5, [Identifier("email", "lan@x.vn")], {"name": "lan"}, "m1", "t"),
            LinkChanged(left, right, "email", 0.99, 6, 1, value="lan@x.vn", message_id="m1"),
            ProfileChanged(profile, right, "merged", "email", 2, 7),
        ),
        message(SEGMENTS_CHANGES, 0, SegmentChanges([SegmentChange("vip", profile, "entered", 1, 8)])),
        message(
            DELIVERIES,
            0,
            Deliveries([Delivery("d1", "crm", "webhook", "vip", profile, 1, "add", "delivered", 1, 9)]),
        ),
        message(
            EVENTS_QUARANTINED,
            0,
            QuarantinedBatch([QuarantinedEvent("q1", "web", "t", RECEIVED, "invalid", "no type", "{not json")]),
        ),
    ]
    await loader.handle(messages)
    await loader.handle(messages)

    observations = "SELECT anchor_id, identifier_types, identifier_values, attributes FROM observations FINAL"
    assert await warehouse.rows(observations) == [(uuid.UUID(left), ["email"], ["lan@x.vn"], {"name": "lan"})]
    links = "SELECT left, right, rule, value, probability, withdrawn, version FROM links FINAL"
    assert await warehouse.rows(links) == [(uuid.UUID(left), uuid.UUID(right), "email", "lan@x.vn", 0.99, 0, 1)]
    assert await warehouse.rows("SELECT kind, reason, version FROM profile_changes FINAL") == [("merged", "email", 2)]
    assert await warehouse.rows("SELECT segment, change, sequence FROM segment_changes FINAL") == [
        ("vip", "entered", 1)
    ]
    assert await warehouse.rows("SELECT id, outcome, attempt FROM deliveries FINAL") == [("d1", "delivered", 1)]
    quarantine = "SELECT id, code, body, status FROM quarantine FINAL"
    assert await warehouse.rows(quarantine) == [("q1", "invalid", "{not json", "quarantined")]


async def test_the_latest_about_a_quarantined_event_counts(loader: Loader, warehouse: Warehouse) -> None:
    """A later record with the same id replaces the earlier one, in any order of arrival."""
    first = QuarantinedEvent("q1", "web", "t", RECEIVED, "invalid", "no type", "{}")
    later = QuarantinedEvent(
        "q1", "web", "t", RECEIVED, "invalid", "no type", "{}", status="replayed", changed_at=RECEIVED + 1
    )
    for record in (later, first):
        await loader.handle([message(EVENTS_QUARANTINED, 0, QuarantinedBatch([record]))])

    assert await ids(warehouse, "SELECT status FROM quarantine FINAL") == ["replayed"]


async def test_traits_are_json_text_and_the_latest_wins(loader: Loader, warehouse: Warehouse) -> None:
    """Each top-level trait is a row; a later value replaces it, a late earlier one does not; null counts."""
    anchor = uuid_of("anchor")

    def says(offset: int, traits: str, at: int, kind: str = "identify") -> ResolvedEvent:
        return event(offset, anchor_id=anchor, type=kind, traits=Raw(traits.encode()), at=RECEIVED + at)

    await loader.handle([resolved(0, says(0, '{"city":"Huế","age":30,"tags":["a", 1],"plan":"pro"}', 5))])
    await loader.handle([resolved(1, says(1, '{"city":"Đà Nẵng","age":29}', 4), says(2, '{"age":31}', 6, "track"))])
    await loader.handle([resolved(2, says(3, '{"plan":null}', 7), says(4, "{}", 9))])

    rows = await warehouse.rows("SELECT name, value FROM trait_values FINAL ORDER BY name")

    assert rows == [("age", "31"), ("city", '"Huế"'), ("plan", "null"), ("tags", '["a", 1]')]


async def test_a_moved_anchor_leaves_its_old_profile(loader: Loader, warehouse: Warehouse) -> None:
    """The map has the anchor under the profile of the highest version only, whatever is repeated in whatever order."""
    anchor, one, two = uuid_of("anchor"), uuid_of("one"), uuid_of("two")
    assigned = AnchorAssigned(anchor, one, 1, RECEIVED)
    moved = AnchorAssigned(anchor, two, 2, RECEIVED, previous_id=one)
    back = AnchorAssigned(anchor, one, 3, RECEIVED, previous_id=two)
    present = "SELECT profile_id FROM identity_map FINAL WHERE present = 1"

    await loader.handle([changes(assigned)])
    await loader.handle([changes(moved)])
    assert await ids(warehouse, present) == [two]
    await loader.handle([changes(back)])
    assert await ids(warehouse, present) == [one]
    await loader.handle([changes(moved, assigned)])
    assert await ids(warehouse, present) == [one]


async def test_an_anchor_is_surely_somebody_s_and_likely_somebody_s(loader: Loader, warehouse: Warehouse) -> None:
    """Each map has the anchor once, under who it is there, in any order; whoever a step concerns in a view is told."""
    anchor, likely, sure, other = (uuid_of(name) for name in ("anchor", "likely", "sure", "other"))
    steps = [
        AnchorAssigned(anchor, likely, 1, RECEIVED),
        AnchorAssigned(anchor, likely, 2, RECEIVED, previous_id=likely, sure_id=sure),
        AnchorAssigned(anchor, other, 3, RECEIVED, previous_id=likely, sure_id=sure, previous_sure_id=sure),
        AnchorAssigned(anchor, other, 4, RECEIVED, previous_id=other, previous_sure_id=sure),
    ]
    owners = [(likely, likely), (likely, sure), (other, sure), (other, other)]

    async def stored() -> tuple[list[tuple[uuid.UUID, uuid.UUID]], list[tuple[uuid.UUID, uuid.UUID]]]:
        return (
            await warehouse.rows("SELECT profile_id, sure_id FROM identity_map FINAL WHERE present = 1"),
            await warehouse.rows("SELECT likely_id, profile_id FROM sure_map FINAL WHERE present = 1"),
        )

    touched = [{likely}, {likely, sure}, {likely, sure, other}, {sure, other}]
    for step, owner, concerned in zip(steps, owners, touched, strict=True):
        await loader.handle([changes(step)])
        known = [tuple(map(uuid.UUID, owner))]
        assert await stored() == (known, known)
        assert Turn([changes(step)]).profiles.keys() == concerned
    for table in ("identity_map", "sure_map"):
        await warehouse.command(f"TRUNCATE TABLE {table}")
    await loader.handle([changes(*steps[::-1])])
    assert await stored() == (known, known)


async def test_an_event_touches_whom_it_is_about_in_both_views(
    loader: Loader, log: Log, state: Redis, settings: Settings
) -> None:
    """The likely profile and the sure person, each once, whoever else is a part of the profile."""
    likely, sure = uuid.uuid4(), uuid.uuid4()
    packed = [pack_owner(likely.bytes, one.bytes) for one in (likely, sure)]
    for number, value in enumerate(packed):
        await state.set(anchor_key(settings.state.prefix, uuid_of(f"anchor {number}")), value)
    anchors = [uuid_of(f"anchor {number}") for number in range(3)]
    assert await owners_of(state, settings.state.prefix, anchors) == [
        (str(likely), str(likely)),
        (str(likely), str(sure)),
        (anchors[2], anchors[2]),
    ]
    assert await profiles_of(state, settings.state.prefix, anchors) == [str(likely), str(likely), anchors[2]]

    await loader.handle([resolved(0, event(1))])
    assert sorted(each.profile_id for each in await touched(log)) == sorted(map(str, (likely, sure)))


async def test_profiles_are_touched_with_their_newest_trace(
    loader: Loader, log: Log, state: Redis, settings: Settings
) -> None:
    """Anchors are mapped to their current profiles; a profile is told of once a turn, by the newest event."""
    profile = uuid_of("the one both are part of")
    for anchor in (uuid_of("anchor 0"), uuid_of("anchor 1")):
        await state.set(anchor_key(settings.state.prefix, anchor), uuid.UUID(profile).bytes)

    await loader.handle([resolved(0, event(0), event(4), event(3), event(2))])

    found = {each.profile_id: each.trace_id for each in await touched(log)}
    assert found == {profile: f"{4:032x}", uuid_of("anchor 2"): f"{2:032x}"}
    assert len(await touched(log)) == 2


async def test_both_profiles_of_a_move_a_merge_and_a_split_are_touched(loader: Loader, log: Log) -> None:
    """Whoever loses an anchor and whoever gets one is evaluated again."""
    a, b, c, d, e = (uuid_of(name) for name in "abcde")
    await loader.handle(
        [
            changes(
                AnchorAssigned(e, a, 1, RECEIVED, previous_id=b),
                ProfileChanged(c, d, "split", "withdrawn", 1, RECEIVED),
            )
        ]
    )

    assert {each.profile_id for each in await touched(log)} == {a, b, c, d}
    assert {each.reason for each in await touched(log)} == {"identity"}


async def test_a_repeat_stores_nothing_new_but_touches_again(
    log: Log, warehouse: Warehouse, state: Redis, settings: Settings
) -> None:
    """A crash between insert and touch loses no touch: the repeat stores nothing and tells again."""
    batch = [resolved(0, event(0), event(1))]
    for _ in range(2):
        await Loader(log, warehouse, state, settings.state.prefix, pace=0).handle(batch)

    assert await warehouse.rows(ALL_PLACES) == [(0, 0, 0), (0, 1, 0)]
    assert len(await touched(log)) == 4


async def test_what_the_resolver_repeats_is_skipped(loader: Loader, warehouse: Warehouse) -> None:
    """Places at or below the last one stored are skipped, also within one turn, in later messages of the log."""
    await loader.handle([resolved(0, event(0), event(1)), resolved(1, event(1), event(2))])
    await loader.handle([resolved(2, event(0), event(1), event(2), event(3))])

    assert await warehouse.rows(ALL_PLACES) == [(0, offset, 0) for offset in range(4)]


async def test_a_log_begun_anew_over_an_old_warehouse_loses_nothing(
    log: Log, warehouse: Warehouse, state: Redis, settings: Settings
) -> None:
    """Places count from 0 again on a new log: other messages at the same places are stored."""
    await Loader(log, warehouse, state, settings.state.prefix, pace=0).handle([resolved(0, event(0), event(1))])
    new = [resolved(0, event(0, id="new 0"), event(1, id="new 1"))]
    for _ in range(2):
        await Loader(log, warehouse, state, settings.state.prefix, pace=0).handle(new)

    assert await ids(warehouse, "SELECT message_id FROM events ORDER BY 1") == ["m0-0", "m1-0", "new 0", "new 1"]


async def test_a_lost_partition_is_read_back_when_it_returns(
    loader: Loader, log: Log, warehouse: Warehouse, state: Redis, settings: Settings
) -> None:
    """While another member had the partition it stored more; the first one skips that when it gets it back."""
    place = [Partition(EVENTS_RESOLVED.name, 0)]
    other = Loader(log, warehouse, state, settings.state.prefix, pace=0)
    await loader.assigned(place)
    await loader.handle([resolved(0, event(0))])
    await loader.revoked(place)
    await other.assigned(place)
    await other.handle([resolved(1, event(1)), resolved(2, event(2))])
    await other.revoked(place)
    await loader.assigned(place)
    await loader.handle([resolved(1, event(1)), resolved(2, event(2)), resolved(3, event(3))])

    assert await warehouse.rows(ALL_PLACES) == [(0, offset, 0) for offset in range(4)]


def batches(sizes: Sequence[int]) -> list[Message]:
    """Messages of so many events each, over two partitions of events.raw, some places dropped as duplicates."""
    messages = []
    places = [0, 0]
    for number, size in enumerate(sizes):
        partition = number % 2
        events = []
        for _ in range(size):
            offset, index = divmod(places[partition], 3)
            if places[partition] % 7 != 5:
                # Two months, so that one insert makes two parts and may be stored by half.
                moment = RECEIVED + (places[partition] % 2) * 40 * 86_400_000
                events.append(event(offset, index, received_at=moment))
            places[partition] += 1
        messages.append(resolved(number // 2, *events, partition=partition))
    return messages


def expected(messages: Sequence[Message]) -> list[tuple[int, int, int]]:
    """Every place in these messages once, in order."""
    from cdp.records import decode_resolved

    return sorted({(m.partition, e.offset, e.index) for m in messages for e in decode_resolved(m.value).events})


steps = st.tuples(
    st.integers(0, 5),  # messages to go back by, as after a crash before the commit
    st.integers(1, 4),  # messages to take in this turn
    st.booleans(),  # a new process
    st.lists(st.sampled_from(["before", "after"]), max_size=2),  # failures of the insert in this turn
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 5), min_size=4, max_size=12), script=st.lists(steps, max_size=10))
async def test_each_place_is_stored_once_whatever_happens(
    log: Log,
    warehouse: Warehouse,
    state: Redis,
    settings: Settings,
    sizes: list[int],
    script: list[tuple[int, int, bool, list[str]]],
) -> None:
    """Any crashes, repeats from any earlier offset, and inserts that fail before or after they are stored."""
    await warehouse.command("TRUNCATE TABLE events")
    messages = batches(sizes)
    prefix = settings.state.prefix
    loader = Loader(log, warehouse, state, prefix, pace=0)
    position = 0
    for back, take, crashed, failures in [*script, (99, 1, True, []), *[(0, 4, False, [])] * len(messages)]:
        if crashed:
            loader = Loader(log, warehouse, state, prefix, pace=0)
            position = max(0, position - back)
        turn = messages[position : position + take]
        loader._warehouse = Unreliable(warehouse, failures)  # type: ignore[assignment]
        while True:  # the worker gives the same messages again
            try:
                await loader.handle(turn)
                break
            except TransientError:
                continue
        position += len(turn)

    assert await warehouse.rows(ALL_PLACES) == expected(messages)


async def test_an_insert_stored_by_half_is_completed(
    loader: Loader, warehouse: Warehouse, log: Log, state: Redis, settings: Settings
) -> None:
    """A kill may come between the months of one insert: the repeat stores the places that are missing, only those."""
    await loader.handle([resolved(0, event(0), event(2), event(5))])
    later = Loader(log, warehouse, state, settings.state.prefix, pace=0)
    await later.handle([resolved(0, *(event(offset) for offset in range(8)))])

    assert await warehouse.rows(ALL_PLACES) == [(0, offset, 0) for offset in range(8)]


async def test_a_poisonous_event_is_set_aside_and_its_neighbours_are_stored(
    loader: Loader, warehouse: Warehouse, log: Log
) -> None:
    """What ClickHouse refuses is found, kept in quarantine with the reason, and told on the log; once, if repeated."""
    poison = {
        5: event(5, at=10**21, properties=Raw(b'{"price":1}'), user_id="u"),
        9: event(9, traits=Raw(b'{"\xff":1}')),
    }
    batch = [resolved(0, *(poison.get(offset) or event(offset) for offset in range(12)))]
    await loader.handle(batch)
    await loader.handle(batch)

    assert await warehouse.rows(ALL_PLACES) == [(0, offset, 0) for offset in range(12) if offset not in poison]
    rows = await warehouse.dicts("SELECT id, code, reason, body, message_id FROM quarantine FINAL ORDER BY id")
    assert [(row["id"], row["code"], row["message_id"]) for row in rows] == [
        ("raw-0-5-0", "warehouse_refused", "m5-0"),
        ("raw-0-9-0", "warehouse_refused", "m9-0"),
    ]
    assert all(row["reason"] for row in rows)
    assert '"properties":{"price":1}' in rows[0]["body"]
    assert "messageId" not in rows[0]["body"]
    reader = await log.reader([EVENTS_QUARANTINED], start="earliest")
    told = [e for m in await reader.read(limit=100, timeout=0.05) for e in decode_quarantined(m.value).events]
    await reader.close()
    assert {each.id for each in told} == {"raw-0-5-0", "raw-0-9-0"}


async def test_a_refusal_that_is_not_about_rows_sets_nothing_aside(loader: Loader, warehouse: Warehouse) -> None:
    """When the table is gone the loader stops and says so; it goes on when the table is back."""
    await warehouse.command("RENAME TABLE events TO away")
    batch = [resolved(0, event(0))]
    with pytest.raises(PermanentError):
        await loader.handle(batch)
    await warehouse.command("RENAME TABLE away TO events")
    await loader.handle(batch)

    assert await warehouse.rows(ALL_PLACES) == [(0, 0, 0)]
    assert await ids(warehouse, "SELECT id FROM quarantine") == []


async def test_the_role_loads_what_the_log_brings(platform: Any) -> None:
    """Built from its offer and run by the worker, the loader stores, touches and commits."""
    from cdp.streams.base import Draft
    from cdp.warehouse.loader import LOADER

    role = LOADER.build(platform)
    await role.start()
    await platform.log.append([Draft(EVENTS_RESOLVED.name, 1, encode(ResolvedBatch([event(0), event(1)])), 2, "web")])

    async def committed() -> bool:
        return (await platform.log.committed("loader", EVENTS_RESOLVED))[1] == 1

    await eventually(committed)
    await role.stop()
    assert await platform.warehouse.rows(ALL_PLACES) == [(1, 0, 0), (1, 1, 0)]
    assert len(await touched(platform.log)) == 2


async def test_a_state_that_is_away_delays_and_loses_no_touch(loader: Loader, warehouse: Warehouse, log: Log) -> None:
    """Without the state nobody knows whose the events are: the turn fails as passing, and its repeat tells."""
    there = loader._state
    loader._state = Redis(unix_socket_path="/nowhere")
    with pytest.raises(TransientError):
        await loader.handle([resolved(0, event(0))])
    loader._state = there
    await loader.handle([resolved(0, event(0))])

    assert await warehouse.rows(ALL_PLACES) == [(0, 0, 0)]
    assert len(await touched(log)) == 1
