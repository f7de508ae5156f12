"""What one transaction has read of the live graph. Everything read is watched, so the transaction fails if it changes.

facts ─► postings of their identifiers ─► observations ─► their identifiers ─► …   until the components are whole
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from redis.asyncio.client import Pipeline

from identity import cluster, keys
from identity.cluster import Content
from identity.generic import is_generic
from identity.identifiers import Value
from identity.keys import Keys, Profile, Slice
from identity.observations import Anchor, Observation
from identity.policy import ACCOUNT, ALIASED, ALL, NOTHING, Policy
from identity.succession import ProfileId
from identity.ties import Ties

# Runs one command on each key and returns the answers. ARGV, for each key: the command, how many arguments, these.
MANY = """
local answers, place = {}, 1
for number, key in ipairs(KEYS) do
  local last = place + 1 + ARGV[place + 1]
  answers[number] = redis.call(ARGV[place], key, unpack(ARGV, place + 2, last)) or false
  place = last + 1
end
return answers
"""
# Devices, for each whether it was read whole, then fields and values, or else the values of the fields wanted. ARGV: up
# to how many fields a device is read whole, or -1; for each device how many fields are wanted otherwise, these.
DEVICES = """
local answers, place, few = {}, 2, tonumber(ARGV[1])
for number, key in ipairs(KEYS) do
  local last, answer = place + ARGV[place], nil
  if few < 0 or redis.call('HLEN', key) <= few then
    answer = redis.call('HGETALL', key)
    table.insert(answer, 1, 1)
  else
    answer = redis.call('HMGET', key, unpack(ARGV, place + 1, last))
    table.insert(answer, 1, 0)
  end
  answers[number] = answer
  place = last + 1
end
return answers
"""
FEW = 8  # fields of a device that are rather read at once than chosen from
NO_DEVICES: Mapping[str, Iterable[int]] = MappingProxyType({})
MOST_ARGUMENTS = 1_000  # of one command: a script cannot unpack many thousands

Take = Callable[[Any, Any], None]  # keeps what was found of a subject
Command = tuple[str, bytes, Sequence[bytes]]  # name, key, arguments


class When(Enum):
    """Which graph is meant: as it was, as it becomes, or what is in either."""

    BEFORE = 1
    AFTER = 2
    EITHER = 3


class DivideError(Exception):
    """The facts concern more observations than may be looked at together, and may be divided."""


class View:
    """Reads through one connection. `ties` are those in force; a change of ties has `ties_before` too."""

    def __init__(
        self,
        pipe: Pipeline,
        where: Keys,
        policy: Policy,
        ties: Ties,
        *,
        ties_before: Ties | None = None,
        known: dict[Anchor, Observation] | None = None,
        divisible: bool = False,
    ) -> None:
        """`known`: observations remembered from before, for an anchor's content never changes.

        `divisible`: raise `DivideError` rather than look at components that are too large together.
        """
        self.pipe = pipe
        self.where = where
        self.policy = policy
        self.ties = ties
        self.ties_before = ties_before or ties
        self._known = {} if known is None else known
        self._divisible = divisible
        self.observations: dict[Anchor, Observation] = {}
        self.owners: dict[Anchor, ProfileId] = {}
        self.profiles: dict[ProfileId, Profile | None] = {}
        self.slices: dict[str, dict[int, Slice]] = {}
        self.everyone: dict[str, list[Anchor]] = {}
        self.partly: set[str] = set()  # devices of which only a part was read
        self.added: set[Anchor] = set()
        self._postings: dict[Value, list[Anchor]] = {}
        self._stored: dict[Value, int] = {}  # how many observations a posting holds in the state
        self._asked: set[bytes] = set()
        self.oversize = 0
        self._generic: dict[tuple[Value, bool], bool] = {}

    async def read(
        self,
        *,
        anchors: Collection[Anchor] = (),
        values: Iterable[Value] = (),
        owners: Iterable[Anchor] = (),
        profiles: Iterable[ProfileId] = (),
        devices: Mapping[str, Iterable[int]] = NO_DEVICES,
    ) -> None:
        """Read what is not read yet: observations and their owners, postings, owners alone, records of profiles.

        Of a device with more than a few slices only the given ones are read, and who was ever seen on it.
        """
        where = self.where
        kinds: list[tuple[Callable[[Any], bytes], Take, Iterable[Any]]] = [
            (where.observation, self._take_observation, anchors),
            (where.owner, self._take_owner, (*anchors, *owners)),
            (where.posting, self._take_posting, values),
            (where.profile, self._take_profile, profiles),
        ]
        wanted = {key_of(subject): (take, subject) for key_of, take, subjects in kinds for subject in subjects}
        fresh = [key for key in wanted if key not in self._asked]
        self._asked.update(fresh)
        if fresh or devices:
            await self.pipe.watch(*fresh, *map(where.device, devices))
        if fresh:
            for key, found in zip(fresh, await self.pipe.mget(fresh), strict=True):
                take, subject = wanted[key]
                take(subject, found)
        await self._read_devices(devices, FEW)

    @property
    def sample(self) -> int:
        """How many of a device's observations suffice to see that a crowd uses it."""
        return 4 * (self.policy.limit + 1)

    async def read_whole(self, devices: Iterable[str]) -> None:
        """Read all of these devices."""
        unread = {device: () for device in devices if device not in self.slices or device in self.partly}
        if unread:
            await self.pipe.watch(*map(self.where.device, unread))
        await self._read_devices(unread, -1)

    async def _read_devices(self, periods: Mapping[str, Iterable[int]], few: int) -> None:
        if not periods:
            return
        where = [self.where.device(device) for device in periods]
        fields = [[keys.EVERYONE, *map(keys.pack, sorted(some))] for some in periods.values()]
        arguments: list[Any] = [part for some in fields for part in (len(some), *some)]
        found: Any = await self.pipe.eval(DEVICES, len(where), *where, few, *arguments)
        for device, asked, (whole, *flat) in zip(periods, fields, found, strict=True):
            known = keys.pairs(flat) if whole else {f: v for f, v in zip(asked, flat, strict=True) if v is not None}
            self._take_device(device, known, whole=bool(whole))

    async def read_visited(self, anchors: Collection[Anchor]) -> set[str]:
        """The devices on which these observations were made."""
        if not anchors:
            return set()
        await self.pipe.watch(*(self.where.visited(anchor) for anchor in anchors))
        found = await self._many([(anchor, ("SMEMBERS", self.where.visited(anchor), ())) for anchor in anchors])
        return {device.decode() for _, devices in found for device in devices}

    def add(self, anchor: Anchor, observation: Observation) -> None:
        """Let an observation be part of the graph that becomes."""
        self.observations[anchor] = observation
        self.added.add(anchor)
        for value in observation.identifiers:
            posting = self._postings.setdefault(value, [])
            if anchor not in posting:
                posting.append(anchor)

    def generic(self) -> Container[Value]:
        """The values that link nothing in the graph that becomes."""
        return _Generic(self, When.AFTER)

    def posting(self, value: Value) -> list[Anchor]:
        """The observations that hold the value, as far as they are kept."""
        return self._postings.get(value, [])

    def is_generic(self, value: Value, when: When) -> bool:
        """Whether the value links nothing."""
        if len(self.posting(value)) <= min(self.policy.limit, self.policy.most_observations(value[0])):
            return False
        if when is When.EITHER:
            return self.is_generic(value, When.BEFORE) and self.is_generic(value, When.AFTER)
        key = value, when is When.BEFORE
        if (known := self._generic.get(key)) is None:
            holders = self.holders(value, when)
            known = len(holders) > self.policy.most_observations(value[0]) or is_generic(
                value, [self.observations[anchor] for anchor in holders if anchor in self.observations], self.policy
            )
            self._generic[key] = known
        return known

    def holders(self, value: Value, when: When) -> Sequence[Anchor]:
        """The observations that hold the value, in the graph that is meant."""
        posting = self.posting(value)
        return posting if when is not When.BEFORE else [anchor for anchor in posting if anchor not in self.added]

    def grown(self, again: Iterable[Anchor]) -> Iterator[tuple[Value, list[Anchor]]]:
        """The postings that hold something new (or hold one of `again`), each as it is to be kept.

        One that is generic by number keeps just enough to show it.
        """
        values = {value for anchor in (*self.added, *again) for value in self.observations[anchor].identifiers}
        for value in values:
            most = self.policy.most_observations(value[0]) + 1
            stored = self._stored.get(value, 0)
            posting = self.posting(value)
            for anchor in again:
                if value in self.observations[anchor].identifiers and anchor not in posting:
                    posting.append(anchor)
            if len(posting) > stored and stored < most:
                yield value, posting[:most]

    def flipped(self) -> int:
        """How many values became generic."""
        values = {value for value, _ in self._generic}
        return sum(
            self._generic.get((value, False), False) and not self._generic.get((value, True), True) for value in values
        )

    def is_alone(self, anchor: Anchor) -> bool:
        """Whether nothing that was read can be linked to the observation, in the graph as it was and as it becomes."""
        if any(anchor in ties.joined for ties in (self.ties, self.ties_before)):
            return False
        for own in self.observations[anchor].identifiers:
            if self._postings.get(own) != [anchor]:
                return False
            if any(self._postings.get(other) != [] for other in asked_with(own)[1:]):
                return False
        return True

    async def parts(self, changed: Collection[Anchor]) -> list[tuple[Content, int]]:
        """What must be clustered anew because these observations changed: whole components, and down to which rank.

        Most of the time all of them together are small, and one walk finds them.
        """
        whole, complete = await self._reach(changed, ALL, When.EITHER)
        if complete:
            parts = [(self._content(whole), ALL)] if whole else []
            await self._read_owners(content for content, _ in parts)
            return parts
        if self._divisible:
            raise DivideError
        self.oversize += 1
        await self._read_around(changed)
        beside = {other for anchor in changed for other in self._beside(anchor, ALL, When.EITHER)}
        seeds = set(changed) | beside
        for found, _ in await self._settle(seeds - self.added, When.BEFORE):
            seeds |= found
        parts = [(self._content(found), rank) for found, rank in await self._settle(seeds, When.AFTER)]
        await self._read_owners(content for content, _ in parts)
        return parts

    async def _settle(self, seeds: Collection[Anchor], when: When) -> list[tuple[set[Anchor], int]]:
        """The components of the seeds, each by the weakest links with which it is small enough."""
        settled: list[tuple[set[Anchor], int]] = []
        done: set[Anchor] = set()
        rest = sorted(seeds)
        for rank in self.policy.ranks:
            large: set[Anchor] = set()
            waiting, rest = rest, []
            for anchor in waiting:
                if anchor in done:
                    continue
                if anchor not in large:
                    found, complete = await self._reach([anchor], rank, when)
                    if complete or rank == NOTHING:
                        settled.append((found, rank))
                        done |= found
                        continue
                    large |= found
                rest.append(anchor)
        return settled

    async def _reach(self, starts: Iterable[Anchor], rank: int, when: When) -> tuple[set[Anchor], bool]:
        """What hangs together with these through links of the rank; False when it is more than may be looked at."""
        frontier = list(starts)
        seen = set(frontier)
        while frontier and len(seen) <= self.policy.component_limit:
            await self._read_around(frontier)
            reached: list[Anchor] = []
            for anchor in frontier:
                for other in self._beside(anchor, rank, when):
                    if other not in seen:
                        seen.add(other)
                        reached.append(other)
            frontier = reached
        return seen, len(seen) <= self.policy.component_limit

    async def _read_around(self, anchors: Iterable[Anchor]) -> None:
        anchors = list(anchors)
        await self._read_observations(anchors)
        said = {
            value for anchor in anchors for own in self.observations[anchor].identifiers for value in asked_with(own)
        }
        values = {value for value in said if cluster.links(value, self.policy)}
        await self.read(values=values)
        ties = (self.ties, self.ties_before)
        tied = {other for anchor in anchors for some in ties for other in some.joined.get(anchor, ())}
        # What was generic by number before is so now; what becomes so must be looked at once more.
        believed = (v for v in values if self._stored.get(v, 0) <= self.policy.most_observations(v[0]))
        await self._read_observations(tied | {anchor for value in believed for anchor in self.posting(value)})

    async def _read_observations(self, anchors: Iterable[Anchor]) -> None:
        """Read observations that postings or ties name: those are watched, and an anchor's content never changes."""
        wanted = [anchor for anchor in anchors if anchor not in self.observations]
        self.observations |= {anchor: self._known[anchor] for anchor in wanted if anchor in self._known}
        unread = [anchor for anchor in wanted if anchor not in self._known]
        if not unread:
            return
        found: Any = await self.pipe.mget([self.where.observation(anchor) for anchor in unread])
        for anchor, packed in zip(unread, found, strict=True):
            self._take_observation(anchor, packed)

    async def _read_owners(self, parts: Iterable[Content]) -> None:
        """Whose these observations are. It changes only with their component, which is watched."""
        unread = [a for content in parts for a in content if self.where.owner(a) not in self._asked]
        if unread:
            found: Any = await self.pipe.mget([self.where.owner(anchor) for anchor in unread])
            for anchor, owner in zip(unread, found, strict=True):
                self._take_owner(anchor, owner)

    def _beside(self, anchor: Anchor, rank: int, when: When) -> Iterator[Anchor]:
        generic = _Generic(self, when)

        def holding(value: Value) -> Sequence[Anchor]:
            return self.holders(value, when)

        for ties in self._ties_of(when):
            for other in cluster.neighbours(
                anchor,
                self.observations[anchor].identifiers,
                holding,
                self.policy,
                generic=generic,
                ties=ties,
                rank=rank,
            ):
                if other in self.observations and not (when is When.BEFORE and other in self.added):
                    yield other

    def _ties_of(self, when: When) -> list[Ties]:
        if when is When.BEFORE or self.ties is self.ties_before:
            return [self.ties_before]
        return [self.ties] if when is When.AFTER else [self.ties, self.ties_before]

    def _content(self, anchors: Iterable[Anchor]) -> Content:
        return {anchor: self.observations[anchor] for anchor in sorted(anchors)}

    async def _many(self, asked: Sequence[tuple[Any, Command]]) -> list[tuple[Any, Any]]:
        answers = await many(self.pipe, [command for _, command in asked])
        return [(subject, answer) for (subject, _), answer in zip(asked, answers, strict=True)]

    def _take_observation(self, anchor: Anchor, found: bytes | None) -> None:
        if found is not None:
            self.observations.setdefault(anchor, keys.decode_observation(found))
            self._known[anchor] = self.observations[anchor]

    def _take_owner(self, anchor: Anchor, found: bytes | None) -> None:
        if found is not None:
            self.owners[anchor] = found

    def _take_posting(self, value: Value, found: bytes | None) -> None:
        stored, added = keys.anchors(found), self._postings.get(value, ())
        self._stored[value] = len(stored)
        self._postings[value] = stored + [anchor for anchor in added if anchor not in stored] if added else stored

    def _take_profile(self, profile: ProfileId, found: bytes | None) -> None:
        self.profiles[profile] = None if found is None else keys.decode_profile(found)

    def _take_device(self, device: str, fields: dict[bytes, bytes], *, whole: bool) -> None:
        self.everyone[device] = keys.anchors(fields.pop(keys.EVERYONE, None))
        self.slices[device] = {keys.unpack(field): keys.decode_slice(value) for field, value in fields.items()}
        (self.partly.discard if whole else self.partly.add)(device)


class _Generic:
    """The generic values, to be asked."""

    def __init__(self, view: View, when: When) -> None:
        self._view = view
        self._when = when

    def __contains__(self, value: object) -> bool:
        return self._view.is_generic(value, self._when)  # type: ignore[arg-type]


async def many(pipe: Pipeline, commands: Sequence[Command]) -> list[Any]:
    """Run the commands in one go and return their answers; as part of a transaction, queue them."""
    if not commands:
        return []
    arguments: list[Any] = [part for name, _, given in commands for part in (name, len(given), *given)]
    answer: Any = pipe.eval(MANY, len(commands), *(key for _, key, _ in commands), *arguments)
    return list(await answer) if pipe.watching and not pipe.explicit_transaction else []


def asked_with(value: Value) -> tuple[Value, ...]:
    """The value, and what an alias may connect it with."""
    name, text = value
    if name == ACCOUNT:
        return value, (ALIASED, text)
    return (value, (ACCOUNT, text)) if name == ALIASED else (value,)
