"""Who is behind an identifier, as the live graph knows it at this moment: to read, never to change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from cdp.anchors import ID
from cdp.errors import InvalidError, NotFoundError
from identity import keys
from identity.identifiers import Value, type_of
from identity.keys import Keys, Profile, Slice
from identity.links import EVIDENCE, Link, Refusal
from identity.observations import Anchor, Observation, from_text, session_anchor, to_text
from identity.policy import Policy
from identity.succession import ProfileId
from identity.ties import OBSERVATION

PROFILE = "profile_id"
LONGEST_CHAIN = 1_000
MOST_DEVICES = 100
DOUBT = "likely one person, not surely: one profile here, two for destinations"


class Sighted(NamedTuple):
    """A value of a person, since when it is known (milliseconds) and which sources said it."""

    type: str
    value: str
    first_seen: int
    sources: list[str]


class Person(NamedTuple):
    """A profile as the graph has it.

    `asked`: the identifier that was asked for, as it is compared; `holding`: the observations that hold it; `others`:
    the profiles that share it.
    """

    id: ProfileId
    record: Profile
    observations: dict[Anchor, Observation]
    devices: list[str]
    asked: Value | None = None
    holding: tuple[Anchor, ...] = ()
    others: tuple[ProfileId, ...] = ()

    @property
    def identifiers(self) -> list[Sighted]:
        """What identifies the person, the strongest type first."""
        first: dict[Value, int] = {}
        sources: dict[Value, set[str]] = defaultdict(set)
        for one in self.observations.values():
            for value in one.identifiers:
                first[value] = min(first.get(value, one.first_seen), one.first_seen)
                sources[value].add(one.source)
        ordered = sorted(
            (value for value in first if type_of(value[0]).kind != "alias"),
            key=lambda value: (type_of(value[0]).rank, value),
        )
        return [Sighted(*value, first[value], sorted(sources[value])) for value in ordered]

    @property
    def links(self) -> Sequence[Link]:
        """What makes them one person."""
        return self.record.links

    @property
    def oldest(self) -> Anchor | None:
        """The observation that is known longest, among those that hold what was asked for."""
        candidates = self.holding or self.observations
        return min(candidates, key=lambda anchor: (self.observations[anchor].first_seen, anchor), default=None)


class Review(NamedTuple):
    """Two observations that may be one person: kept apart, and why; or in one profile, and not surely."""

    version: int
    left_profile: ProfileId
    right_profile: ProfileId
    refusal: Refusal


def doubts_of(links: Iterable[Link], policy: Policy) -> list[Refusal]:
    """The links that are likely and not sure: they hold in one view, and are refused in the other."""
    return [
        Refusal(link.left, link.right, link.rule, link.value, DOUBT, link.probability)
        for link in links
        if link.rule == EVIDENCE and link.probability < policy.views.sure
    ]


class People:
    """Reads the graph."""

    def __init__(self, state: Redis, prefix: str, policy: Policy) -> None:
        self._state = state
        self._where = Keys(prefix)
        self._policy = policy

    async def find(self, name: str, raw: str) -> Person:
        """The person behind an identifier, written in any way that events may write it.

        A profile id that was absorbed answers with the profile it is part of now. Raises `NotFoundError`, or
        `InvalidError` for a profile id that is none.
        """
        if name == PROFILE:
            return await self._person(await self._resolve(_uuid(name, raw)))
        if name == OBSERVATION:
            anchor = _uuid(name, raw)
            owner = (await self.owners([anchor]))[0]
            if owner is None:
                raise NotFoundError(f"There is no observation {raw}.")
            return await self._person(owner, (name, to_text(anchor)), [anchor])
        value = self._policy.identifiers.read(name, raw)
        if value is None:
            raise NotFoundError(f"{raw!r} identifies nobody: it is empty, a placeholder, or no {name}.")
        if type_of(value[0]).kind == "device":
            return await self._person(await self._user(value))
        return await self._holder(value)

    async def review(self, *, before: int | None, limit: int) -> list[Review]:
        """Refused and doubtful links of at least `limit` profiles, if there are so many below a version; the latest
        first."""
        found: list[Review] = []
        top = "+inf" if before is None else f"({before}"
        rows: Any = await self._state.zrevrangebyscore(
            self._where.review, top, "-inf", start=0, num=limit, withscores=True
        )
        if rows:  # all of the last version, so that a page never cuts through one
            last = rows[-1][1]
            rows = [row for row in rows if row[1] != last]
            rows += await self._state.zrevrangebyscore(self._where.review, last, last, withscores=True)
        for profile, version in rows:
            record = await self._record(profile)
            if record:
                found += await self._refusals(int(version), profile, record)
        return found

    async def observations(self, anchors: Collection[Anchor]) -> dict[Anchor, Observation]:
        """These observations, as far as they are known."""
        if not anchors:
            return {}
        wanted = sorted(anchors)
        found: Any = await self._state.mget([self._where.observation(anchor) for anchor in wanted])
        return {
            anchor: keys.decode_observation(packed)
            for anchor, packed in zip(wanted, found, strict=True)
            if packed is not None
        }

    async def owners(self, anchors: Sequence[Anchor]) -> list[ProfileId | None]:
        """The profiles of these anchors."""
        if not anchors:
            return []
        found: Any = await self._state.mget([self._where.owner(anchor) for anchor in anchors])
        return [None if owner is None else owner[:ID] for owner in found]

    async def _holder(self, value: Value) -> Person:
        """Of all who share a value, the one with most observations that say so, then the one known longest."""
        anchors = keys.anchors(await self._string(self._where.posting(value)))
        held = [(a, owner) for a, owner in zip(anchors, await self.owners(anchors), strict=True) if owner]
        if not held:
            raise NotFoundError(f"Nobody is known by the {value[0]} {value[1]!r}.")
        counts = Counter(owner for _, owner in held)
        people = [await self._person(owner, value, [a for a, o in held if o == owner]) for owner in sorted(counts)]
        first, *rest = sorted(people, key=lambda person: (-counts[person.id], person.record.since, person.id))
        return first._replace(others=tuple(person.id for person in rest))

    async def _user(self, device: Value) -> ProfileId:
        """Who used the device last."""
        text = f"{device[0]}:{device[1]}"
        fields: Any = await self._state.hgetall(self._where.device(text))
        slices = {keys.unpack(f): keys.decode_slice(v) for f, v in fields.items() if f != keys.EVERYONE}
        for period in sorted(slices, reverse=True):
            for anchor in _used(text, period, slices[period]):
                if owner := (await self.owners([anchor]))[0]:
                    return owner
        raise NotFoundError(f"No device is known by the {device[0]} {device[1]!r}.")

    async def _resolve(self, profile: ProfileId) -> ProfileId:
        current = profile
        for _ in range(LONGEST_CHAIN):
            if await self._record(current):
                return current
            absorber = await self._string(self._where.absorbed(current))
            if absorber is None:
                break
            current = absorber
        raise NotFoundError(f"There is no profile {to_text(profile)}.")

    async def _person(self, profile: ProfileId, asked: Value | None = None, holding: Collection[Anchor] = ()) -> Person:
        record = await self._record(profile)
        if record is None:
            raise NotFoundError(f"There is no profile {to_text(profile)}.")
        devices = {record.device} if record.device else await self._devices(record.members)
        observations = await self.observations(record.members)
        known = tuple(anchor for anchor in holding if anchor in observations)
        return Person(profile, record, observations, sorted(devices), asked, known)

    async def _devices(self, members: Sequence[Anchor]) -> set[str]:
        async with self._state.pipeline(transaction=False) as pipe:
            for anchor in members:
                pipe.srandmember(self._where.visited(anchor), MOST_DEVICES)
            found: Any = await pipe.execute()
        return {device.decode() for some in found for device in some}

    async def _refusals(self, version: int, profile: ProfileId, record: Profile) -> list[Review]:
        rights = await self.owners([refusal.right for refusal in record.refusals])
        lefts = await self.owners([refusal.left for refusal in record.refusals])
        doubts = [Review(version, profile, profile, doubt) for doubt in doubts_of(record.links, self._policy)]
        return doubts + [
            Review(version, left, right, refusal)
            for refusal, left, right in zip(record.refusals, lefts, rights, strict=True)
            if left and right and left != right
        ]

    async def _record(self, profile: ProfileId) -> Profile | None:
        packed = await self._string(self._where.profile(profile))
        return None if packed is None else keys.decode_profile(packed)

    async def _string(self, key: bytes) -> bytes | None:
        found: Any = await self._state.get(key)
        return found if isinstance(found, bytes) else None


def _used(device: str, period: int, piece: Slice) -> Iterable[Anchor]:
    """The anchors of a slice, the one that tells best who used the device first."""
    if piece.session:
        yield session_anchor(device, period)
    for anchor, _ in sorted(piece.signins.items(), key=lambda item: (item[1], item[0]), reverse=True):
        yield anchor


def _uuid(name: str, raw: str) -> bytes:
    try:
        return from_text(raw)
    except ValueError:
        raise InvalidError(f"A {name} is a UUID; {raw!r} is none.", path=name) from None
