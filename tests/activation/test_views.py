"""Two views, from the resolver's records to a destination: sent is what surely is a person's, shown what likely is.

The resolver is played by a stupid model: each anchor is surely somebody's, and each of these is likely one with others.
All else is real: loader, warehouse, segmenter, intake, ledger and courier.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from activation.courier import Courier
from activation.destinations import SEGMENT
from activation.dispatcher import sure_people
from activation.intake import Intake
from activation.ledger import Ledger
from activation.requests import HttpRequest, Reply
from cdp import profiles
from cdp.anchors import anchor_key, pack_owner
from cdp.cache import Cache
from cdp.errors import InvalidError
from cdp.records import (
    AnchorAssigned,
    Identifier,
    IdentityChanges,
    ObservationAdded,
    ResolvedBatch,
    ResolvedEvent,
    encode,
)
from cdp.service import Platform
from cdp.streams.base import Message, Partition
from cdp.topics import EVENTS_RESOLVED, IDENTITY_CHANGES, PROFILES_TOUCHED, SEGMENTS_CHANGES, Topic
from cdp.views import LIKELY
from cdp.warehouse.loader import Loader
from segments.segmenter import Segmenter
from tests.activation.house import define, definitions

TABLES = ("events", "trait_values", "identity_map", "sure_map", "observations", "segment_changes")
ANCHORS = [str(uuid.UUID(int=number + 1)) for number in range(4)]
PEOPLE = [str(uuid.UUID(int=number + 101)) for number in range(4)]
ORDERED = {"event": "Order Completed"}
TWICE = {"event": "Order Completed", "count": {"at_least": 2}}


class Town:
    """Four observations, their people in both views, and a destination that takes the segment `buyers`."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.cache = Cache(platform.state, platform.settings.state.prefix, seconds=600)
        self.ledger = Ledger(platform.state, platform.settings.state.prefix, "hook")

    async def open(self) -> None:
        """Nobody is known, and nothing was sent."""
        self.sent: list[dict[str, Any]] = []
        self.leaks: list[dict[str, Any]] = []
        self.sure: dict[str, str] = {}  # anchor → sure person
        self.group: dict[str, int] = {}  # sure person → the likely person
        self.orders: Counter[str] = Counter()  # by anchor
        self.consent: dict[str, bool] = {}  # by anchor, the last one said last
        self._told: dict[str, tuple[str, str]] = {}
        self._read_to: dict[Partition, int] = {}
        self._version = self._offset = 0
        platform = self.platform
        for table in TABLES:
            await platform.warehouse.command(f"TRUNCATE TABLE {table}")
        await platform.state.flushall()
        self.loader = Loader(platform.log, platform.warehouse, platform.state, platform.settings.state.prefix, pace=0)
        self.segmenter = Segmenter(platform)
        count = platform.log.partitions(PROFILES_TOUCHED)
        await self.segmenter.assigned([Partition(PROFILES_TOUCHED.name, number) for number in range(count)])
        for topic in (PROFILES_TOUCHED, SEGMENTS_CHANGES):
            ends = await platform.log.end_offsets(topic)
            self._read_to |= {Partition(topic.name, number): end for number, end in ends.items()}
        await platform.state.set(self.ledger.lease_key, "us")
        self.courier = Courier(
            platform,
            definitions(platform).destination("hook"),
            ledger=self.ledger,
            token="us",
            transport=self,
            read=functools.partial(sure_people, platform),
        )

    async def send(self, request: HttpRequest) -> Reply:
        """The transport."""
        body = json.loads(request.body)
        if body["type"] == "segment.entered" and not self._may_be_added(body["data"]):
            self.leaks.append(body)
        self.sent.append(body)
        return Reply(200, self.platform.clock.now())

    def _may_be_added(self, data: dict[str, Any]) -> bool:
        """Whether it is a sure person's own, for what that person did, and nobody denies who may be the same."""
        own = self.anchors(data["profile_id"])
        emails = data["identifiers"].get("email")
        ordered = any(self.orders[anchor] for anchor in own)
        return emails == sorted(map(email, own)) and ordered and not self.denies(data["profile_id"])

    async def close(self) -> None:
        """The transport is let go."""

    def anchors(self, person: str) -> list[str]:
        """What is surely a person's."""
        return sorted(anchor for anchor, owner in self.sure.items() if owner == person)

    def likely(self, person: str) -> set[str]:
        """The sure people who are likely one with this one, and known at all."""
        return {one for one in set(self.sure.values()) if self._group(one) == self._group(person)}

    def denies(self, person: str) -> bool:
        """Whether anybody who is likely this person said no last."""
        said = {self.sure[anchor]: allowed for anchor, allowed in self.consent.items()}
        return any(said.get(one) is False for one in self.likely(person))

    async def happen(self, doing: tuple[Any, ...]) -> None:
        """Something happens; the resolver tells of it."""
        match doing:
            case ("surely", anchor, person):
                messages = [] if anchor in self.sure else [_observed(anchor)]
                self.sure[anchor] = person
                await self.load(*messages, *await self._assigned())
            case ("likely", person, number):
                self.group[person] = number
                await self.load(*await self._assigned())
            case ("orders", anchor) if anchor in self.sure:
                self.orders[anchor] += 1
                await self.load(self._event(anchor, type="track", name="Order Completed"))
            case ("consents", anchor, allowed) if anchor in self.sure:
                self.consent.pop(anchor, None)
                self.consent[anchor] = allowed
                traits = Raw(json.dumps({"consent": {"advertising": allowed}}).encode())
                await self.load(self._event(anchor, type="identify", traits=traits))

    async def load(self, *messages: Message) -> None:
        """The loader stores it, and everybody does what follows from that."""
        await self.loader.handle(messages)
        await self.segmenter.handle(await self._new(PROFILES_TOUCHED))
        while await self.segmenter.turn():
            pass
        if changes := await self._new(SEGMENTS_CHANGES):
            await self.loader.handle(changes)
            await Intake(self.platform).handle(changes)
        await self.ledger.review("buyers", self.platform.clock.now())
        for _ in range(10):
            await self.courier.turn()
            await self.courier.landed()
            if await self.ledger.next_due() is None:
                break
        assert not self.leaks and await self.ledger.next_due() is None

    def received(self) -> set[str]:
        """Who is at the destination, by what it was told last of each."""
        last = {body["data"]["profile_id"]: body["type"] for body in self.sent}
        return {person for person, kind in last.items() if kind == "segment.entered"}

    async def members(self, segment: str) -> set[str]:
        """Who is in a segment, by the warehouse."""
        sql = (
            "SELECT profile_id FROM segment_changes WHERE segment = {segment:String} "
            "GROUP BY profile_id HAVING argMax(change, sequence) = 'entered'"
        )
        return {str(one) for (one,) in await self.platform.warehouse.rows(sql, {"segment": segment})}

    def _group(self, person: str) -> int:
        return self.group.get(person, PEOPLE.index(person) + 100)

    def owners(self) -> dict[str, tuple[str, str]]:
        """Of each anchor the likely profile and the sure person: the profile has the id of one of its people."""
        return {anchor: (min(self.likely(person)), person) for anchor, person in self.sure.items()}

    async def _assigned(self) -> list[Message]:
        changes = []
        self._version += 1
        for anchor, owner in self.owners().items():
            before = self._told.get(anchor, ("", ""))
            if owner != before:
                self._told[anchor] = owner
                key = anchor_key(self.platform.settings.state.prefix, anchor)
                await self.platform.state.set(key, pack_owner(*(uuid.UUID(one).bytes for one in owner)))
                changes.append(
                    AnchorAssigned(
                        anchor,
                        owner[0],
                        self._version,
                        0,
                        previous_id=before[0],
                        sure_id=owner[1] if owner[1] != owner[0] else "",
                        previous_sure_id=before[1] if before[1] != before[0] else "",
                    )
                )
        return [_identity(*changes)] if changes else []

    def _event(self, anchor: str, **fields: Any) -> Message:
        self._offset += 1
        event = ResolvedEvent(
            offset=self._offset,
            index=0,
            source="web",
            trace_id="",
            received_at=self._offset,
            id=f"m{self._offset}",
            at=self._offset,
            anchor_id=anchor,
            profile_id=self._told[anchor][0],
            **fields,
        )
        return Message(EVENTS_RESOLVED.name, 0, self._offset, 0, encode(ResolvedBatch([event])))

    async def _new(self, topic: Topic) -> list[Message]:
        places = {place: offset for place, offset in self._read_to.items() if place.topic == topic.name}
        reader = await self.platform.log.reader([topic], start=places)
        found = list(await reader.read(limit=10_000, timeout=0.01))
        await reader.close()
        for message in found:
            self._read_to[Partition(topic.name, message.partition)] = message.offset + 1
        return found


def email(anchor: str) -> str:
    """The e-mail that an observation holds."""
    return f"an{ANCHORS.index(anchor)}@example.com"


def _identity(*changes: Any) -> Message:
    return Message(IDENTITY_CHANGES.name, 0, 0, 0, encode(IdentityChanges(list(changes))))


def _observed(anchor: str) -> Message:
    return _identity(ObservationAdded(anchor, "web", 1, [Identifier("email", email(anchor))]))


@pytest.fixture
async def town(platform: Platform) -> AsyncIterator[Town]:
    """A town with the sure segment `buyers`, which is sent, and the likely one `regulars`, which is not."""
    registry = platform.registry
    await registry.put(SEGMENT, "buyers", {"name": "Buyers", "conditions": ORDERED})
    await registry.put(SEGMENT, "regulars", {"name": "Regulars", "conditions": TWICE, "view": LIKELY})
    await define(platform, "hook", "https://shop.example/hook", segment="buyers", purposes=("advertising",))
    town = Town(platform)
    await town.open()
    yield town
    await town.courier.abort()


async def test_who_is_only_likely_the_same_is_not_sent(town: Town) -> None:
    """Hoa bought, Lan is likely Hoa: analytics see one person, the destination gets what is surely Hoa's alone."""
    lan, hoa = PEOPLE[:2]
    for doing in (
        ("surely", ANCHORS[0], lan),
        ("surely", ANCHORS[1], hoa),
        ("likely", lan, 1),
        ("likely", hoa, 1),
        ("orders", ANCHORS[1]),
    ):
        await town.happen(doing)

    assert [body["data"]["identifiers"] for body in town.sent] == [{"email": [email(ANCHORS[1])]}]
    assert town.received() == {hoa}
    shown = await profiles.recall(town.cache, town.platform.warehouse, lan)
    assert (shown.events, [one.value for one in shown.identifiers]) == (1, [email(ANCHORS[0]), email(ANCHORS[1])])
    assert shown.segments == ["buyers"]
    assert [(part.profile_id, part.segments) for part in shown.parts] == [(lan, []), (hoa, ["buyers"])]
    assert await profiles.likely_of(town.platform.warehouse, hoa) == lan
    assert await profiles.likely_of(town.platform.warehouse, PEOPLE[3]) is None

    await town.happen(("orders", ANCHORS[0]))  # each of them once: together they are regulars
    assert (await town.members("buyers"), await town.members("regulars")) == ({lan, hoa}, {lan})
    shown = await profiles.recall(town.cache, town.platform.warehouse, lan)
    assert shown.segments == ["buyers", "regulars"]
    assert [(part.profile_id, part.segments) for part in shown.parts] == [
        (lan, ["buyers", "regulars"]),
        (hoa, ["buyers"]),
    ]


async def test_what_becomes_doubtful_is_taken_back(town: Town) -> None:
    """While both surely are one person, one's order makes members of both; afterwards who did nothing leaves."""
    lan, hoa = PEOPLE[:2]
    for doing in (("surely", ANCHORS[0], lan), ("surely", ANCHORS[1], lan), ("orders", ANCHORS[1])):
        await town.happen(doing)
    assert town.sent[-1]["data"]["identifiers"] == {"email": [email(ANCHORS[0]), email(ANCHORS[1])]}

    await town.happen(("likely", hoa, PEOPLE.index(lan) + 100))
    await town.happen(("surely", ANCHORS[1], hoa))
    assert town.owners() == {ANCHORS[0]: (lan, lan), ANCHORS[1]: (lan, hoa)}
    told = {body["data"]["profile_id"]: body for body in town.sent}
    assert {one: body["type"] for one, body in told.items()} == {lan: "segment.exited", hoa: "segment.entered"}
    assert told[hoa]["data"]["identifiers"] == {"email": [email(ANCHORS[1])]}


async def test_a_no_of_somebody_likely_the_same_counts(town: Town) -> None:
    """One no takes out everybody who is likely that person; apart again, each answers alone."""
    lan, hoa = PEOPLE[:2]
    for doing in (
        ("surely", ANCHORS[0], lan),
        ("surely", ANCHORS[1], hoa),
        ("orders", ANCHORS[0]),
        ("consents", ANCHORS[0], True),
        ("consents", ANCHORS[1], False),
    ):
        await town.happen(doing)
    assert town.received() == {lan}
    await town.happen(("likely", lan, 1))
    await town.happen(("likely", hoa, 1))
    assert town.received() == set()
    await town.happen(("likely", hoa, 2))
    assert town.received() == {lan}


async def test_likely_people_are_never_sent(town: Town) -> None:
    """No sync takes a segment of likely people; one that becomes so under a sync empties the destination."""
    with pytest.raises(InvalidError, match="likely people"):
        await define(town.platform, "hook", "https://shop.example/hook", segment="regulars")
    await town.happen(("surely", ANCHORS[0], PEOPLE[0]))
    await town.happen(("orders", ANCHORS[0]))
    assert town.received() == {PEOPLE[0]}

    body = {"name": "Buyers", "conditions": ORDERED, "view": LIKELY}  # past the route, which refuses it
    await town.platform.registry.put(SEGMENT, "buyers", body)
    await town.happen(("orders", ANCHORS[0]))
    assert town.received() == set()
    assert town.sent[-1]["type"] == "segment.exited"


anchors, people = st.sampled_from(ANCHORS), st.sampled_from(PEOPLE)
doings = st.one_of(
    st.tuples(st.just("surely"), anchors, people),
    st.tuples(st.just("likely"), people, st.integers(0, 2)),
    st.tuples(st.just("orders"), anchors),
    st.tuples(st.just("consents"), anchors, st.booleans()),
)


@settings(
    max_examples=8,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(happened=st.lists(doings, min_size=4, max_size=14))
@example(
    [("likely", PEOPLE[0], 1), ("likely", PEOPLE[1], 1), ("orders", ANCHORS[1]), ("surely", ANCHORS[1], PEOPLE[0])]
)
@example([("orders", ANCHORS[1]), ("surely", ANCHORS[0], PEOPLE[1]), ("surely", ANCHORS[1], PEOPLE[2])])
async def test_each_view_is_what_a_stupid_reading_says(town: Town, happened: list[tuple[Any, ...]]) -> None:
    """After anything: destinations have the sure people who bought and may be sent, segments and profiles both views.

    What is sent on the way is looked at as it is sent.
    """
    await town.open()
    for doing in [("surely", ANCHORS[0], PEOPLE[0]), ("surely", ANCHORS[1], PEOPLE[1]), *happened]:
        await town.happen(doing)
        orders = Counter[str]()
        for anchor, (likely, sure) in town.owners().items():
            orders.update(dict.fromkeys({likely, sure}, town.orders[anchor]))
        members = {
            "buyers": {sure for _, sure in town.owners().values() if any(map(town.orders.get, town.anchors(sure)))},
            "regulars": {likely for likely, _ in town.owners().values() if orders[likely] >= 2},
        }
        assert {segment: await town.members(segment) for segment in members} == members
        assert town.received() == {person for person in members["buyers"] if not town.denies(person)}
        for likely in {likely for likely, _ in town.owners().values()}:
            await assert_shown(town, likely, members)


async def assert_shown(town: Town, likely: str, members: Mapping[str, set[str]]) -> None:
    """A profile from the cache is the likely person, with the sure ones of whom it consists."""
    shown = await profiles.recall(town.cache, town.platform.warehouse, likely)
    people = sorted(town.likely(likely))
    emails = {one: sorted(map(email, town.anchors(one))) for one in people}
    held = {one: [segment for segment, some in members.items() if one in some] for one in people}
    assert [one.value for one in shown.identifiers] == sorted(chain.from_iterable(emails.values()))
    assert shown.segments == sorted(set(chain.from_iterable(held.values())))
    parts = [(part.profile_id, [one.value for one in part.identifiers], part.segments) for part in shown.parts]
    assert parts == ([] if people == [likely] else [(one, emails[one], held[one]) for one in people])
