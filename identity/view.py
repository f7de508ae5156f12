"""What one transaction has read of the live graph. Everything read is watched, so the transaction fails if it changes.

facts ─► postings of their keys ─► observations ─► their keys ─► …   until the components are whole

Of every observation that is read it is known which of its values are generic: that is stored with each value, and told
anew by whoever adds to the value, who reads all that hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from redis.asyncio.client import Pipeline

from cdp.anchors import ID
from identity import keys
from identity.cluster import fitting, whole_of
from identity.evidence import BLOCK
from identity.generic import is_generic
from identity.identifiers import Value
from identity.keys import Keys, Profile, Slice
from identity.links import Clustering, Whole, keys_of, links
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
SEVERAL = 4  # how many times as much is read at once, where several observations are added together
FEW = 8  # fields of a device that are rather read at once than chosen from
NO_DEVICES: Mapping[str, Iterable[int]] = MappingProxyType({})
MOST_ARGUMENTS = 1_000  # of one command: a script cannot unpack many thousands

Take = Callable[[Any, Any], None]  # keeps what was found of a subject
Command = tuple[str, bytes, Sequence[bytes]]  # name, key, arguments


class When(Enum):
    """Which graph is meant: as it was, or as it becomes."""

    BEFORE = 1
    AFTER = 2


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
        self.sure: dict[Anchor, ProfileId] = {}  # of those who are another person in the surer view
        self.profiles: dict[ProfileId, Profile | None] = {}
        self.slices: dict[str, dict[int, Slice]] = {}
        self.everyone: dict[str, list[Anchor]] = {}
        self.partly: set[str] = set()  # devices of which only a part was read
        self.added: set[Anchor] = set()
        self.renewed: set[Anchor] = set()  # known observations that are looked at as if they were new
        self._postings: dict[Value, list[Anchor]] = {}
        self._stored: dict[Value, int] = {}  # how many observations a posting holds in the state
        self._asked: set[bytes] = set()
        self.oversize = 0
        self._generic: dict[Value, bool] = {}  # as the state has it
        self._becomes: dict[Value, bool] = {}  # of values of what is new
        self._wholes: dict[When, Whole] = {}
        self._said: set[Value] = set()  # by what is new

    async def read(
        self,
        *,
        anchors: Collection[Anchor] = (),
        values: Collection[Value] = (),
        generic: Iterable[Value] = (),
        owners: Iterable[Anchor] = (),
        profiles: Iterable[ProfileId] = (),
        devices: Mapping[str, Iterable[int]] = NO_DEVICES,
    ) -> None:
        """Read what is not read yet: observations and their owners, postings, owners alone, records of profiles.

        Of `values` who holds them and whether they are generic, of others only whether they are `generic`.

        Of a device with more than a few slices only the given ones are read, and who was ever seen on it.
        """
        where = self.where
        kinds: list[tuple[Callable[[Any], bytes], Take, Iterable[Any]]] = [
            (where.observation, self._take_observation, anchors),
            (where.owner, self._take_owner, (*anchors, *owners)),
            (where.posting, self._take_posting, values),
            (where.generic, self._take_generic, (*generic, *(value for value in values if value[0] != BLOCK))),
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
        self._post(anchor)

    def renew(self, anchors: Iterable[Anchor]) -> None:
        """Look at known observations, whose keys were read, as if they were new."""
        for anchor in anchors:
            self.renewed.add(anchor)
            self._post(anchor)

    def _post(self, anchor: Anchor) -> None:
        self._said.update(self.observations[anchor].identifiers)
        for key in keys_of(anchor, self.observations[anchor], self.policy):
            posting = self._postings.setdefault(key, [])
            if anchor not in posting:
                posting.append(anchor)

    def posting(self, value: Value) -> list[Anchor]:
        """The observations that hold the value, as far as they are kept."""
        return self._postings.get(value, [])

    def is_generic(self, value: Value, when: When) -> bool:
        """Whether the value links nothing."""
        if when is When.BEFORE or value not in self._said:
            return self._generic.get(value, False)
        known = self._becomes.get(value)
        if known is None:
            known = self._becomes[value] = self._is_generic(value)
        return known

    def _is_generic(self, value: Value) -> bool:
        holders = self.posting(value)
        if len(holders) > self.policy.most_holders(value[0]):
            return True  # and perhaps not all were read
        known = (self.observations.get(anchor) for anchor in holders)
        return is_generic(value, [one for one in known if one is not None], self.policy)

    def judgements(self) -> Iterator[tuple[Value, bool]]:
        """The values that became generic or no longer are."""
        for value in self._said:
            if links(value, self.policy) and (after := self.is_generic(value, When.AFTER)) != self.is_generic(
                value, When.BEFORE
            ):
                yield value, after

    def holders(self, value: Value, when: When) -> Sequence[Anchor]:
        """The observations that hold the value, in the graph that is meant."""
        posting = self.posting(value)
        return posting if when is When.AFTER else posting[: self._stored.get(value, 0)]

    def grown(self) -> Iterator[tuple[Value, list[Anchor]]]:
        """The postings that hold something new, each as it is to be kept.

        One that is generic by number, or too common to be a key, keeps just enough to show it.
        """
        fresh = self.added | self.renewed
        for key in {key for anchor in fresh for key in keys_of(anchor, self.observations[anchor], self.policy)}:
            most = self.policy.most_holders(key[0]) + 1
            stored = self._stored.get(key, 0)
            posting = self.posting(key)
            if len(posting) > stored and stored < most:
                yield key, posting[:most]

    def is_alone(self, anchor: Anchor) -> bool:
        """Whether nothing that was read can be linked to the observation, in the graph as it was and as it becomes."""
        if any(anchor in ties.joined for ties in (self.ties, self.ties_before)):
            return False
        for own in keys_of(anchor, self.observations[anchor], self.policy):
            if self._postings.get(own) != [anchor]:
                return False
            if any(self._postings.get(other) != [] for other in asked_with(own)[1:]):
                return False
        return True

    async def parts(self, changed: Collection[Anchor]) -> list[tuple[list[Anchor], int]]:
        """What must be clustered anew because these observations changed: whole components, and down to which rank.

        Most of the time all of them together are small, and one walk finds them. Whoever was one person with any of
        them comes along, so that no profile is left to two.
        """
        seeds, found = await self._seeds(changed), list[tuple[list[Anchor], int]]()
        while seeds:
            found = await self._parts(seeds)
            covered = {anchor for part, _ in found for anchor in part}
            seeds = (seeds | missing) if (missing := await self._companions(covered)) else set()
        return found

    def cluster(self, part: Collection[Anchor], rank: int) -> Clustering:
        """The people of a whole component, in the graph that becomes."""
        return self._whole(When.AFTER).cluster(part, rank)

    async def _seeds(self, changed: Collection[Anchor]) -> set[Anchor]:
        """The observations with which a component that differs from before has at least one in common.

        Beside what changed: whoever holds a value of what is new, for how many give which name with it is evidence
        too; whoever has a key that became too common; and where more than that changed, whatever was linked to these.
        """
        await self._read_around(changed)
        seeds, more = set(changed), bool(self.renewed) or self.ties is not self.ties_before
        for anchor in (self.added | self.renewed) & seeds:
            for key in keys_of(anchor, self.observations[anchor], self.policy):
                if key[0] == BLOCK:
                    most = self.policy.most_holders(BLOCK)
                    if self._stored.get(key, 0) <= most < len(self.posting(key)):
                        seeds.update(self.posting(key))
                elif links(key, self.policy):
                    before, after = (self.is_generic(key, when) for when in When)
                    more = more or before != after
                    if not (before and after):
                        seeds.update(other for other in self.posting(key) if other in self.observations)
        if more:
            await self._read_around(seeds)
            seeds |= {other for anchor in seeds - self.added for other in self._beside(anchor, ALL, When.BEFORE)}
        return seeds

    async def _parts(self, seeds: set[Anchor]) -> list[tuple[list[Anchor], int]]:
        """The components of the seeds, taken apart where they are too large."""
        most = self.policy.component_limit * (SEVERAL if self._divisible else 1)
        whole, complete = await self._reach(seeds, ALL, When.AFTER, most)
        if complete:
            return list(fitting(sorted(whole), self._whole(When.AFTER)))
        if self._divisible:
            raise DivideError
        self.oversize += 1
        # What was small before may be a part of something large now, down to whom the new links lead.
        await self._read_around(seeds)
        seeds |= {other for anchor in seeds for other in self._beside(anchor, ALL, When.AFTER)}
        for found, _ in await self._settle(seeds - self.added, When.BEFORE):
            seeds |= found
        return [(sorted(found), rank) for found, rank in await self._settle(seeds, When.AFTER)]

    async def _companions(self, anchors: set[Anchor]) -> set[Anchor]:
        """The other observations of the profiles that these belong to."""
        await self._read_owners(anchors)
        profiles = {self.owners[anchor] for anchor in anchors if anchor in self.owners}
        await self.read(profiles=profiles)
        records = (self.profiles[profile] for profile in profiles)
        return {member for record in records if record for member in record.members} - anchors

    async def _settle(self, seeds: Collection[Anchor], when: When) -> list[tuple[set[Anchor], int]]:
        """The components of the seeds, each by the weakest links with which it is small enough."""
        settled: list[tuple[set[Anchor], int]] = []
        done: set[Anchor] = set()
        rest = sorted(seeds)
        whole = self._whole(when)
        for rank in whole.ranks:
            large: set[Anchor] = set()
            waiting, rest = rest, []
            for anchor in waiting:
                if anchor in done:
                    continue
                if anchor not in large:
                    found, complete = await self._reach([anchor], rank, when, whole.most_together(rank), whole.size)
                    if complete or rank == NOTHING:
                        settled.append((found, rank))
                        done |= found
                        continue
                    large |= found
                rest.append(anchor)
        return settled

    async def _reach(
        self,
        starts: Iterable[Anchor],
        rank: int,
        when: When,
        most: int,
        size: Callable[[Collection[Anchor]], int] = len,
    ) -> tuple[set[Anchor], bool]:
        """What hangs together with these through links of the rank; False when it is more than may be looked at."""
        frontier = list(starts)
        seen = set(frontier)
        while frontier and size(seen) <= most:
            await self._read_around(frontier)
            reached: list[Anchor] = []
            for anchor in frontier:
                for other in self._beside(anchor, rank, when):
                    if other not in seen:
                        seen.add(other)
                        reached.append(other)
            frontier = reached
        return seen, size(seen) <= most

    async def _read_around(self, anchors: Iterable[Anchor]) -> None:
        """Read who has any key of these observations."""
        anchors = list(anchors)
        await self._read_observations(anchors)
        said = {key for anchor in anchors for key in self.asked(anchor, self.observations[anchor])}
        await self.read(values=said)
        ties = (self.ties, self.ties_before)
        tied = {other for anchor in anchors for some in ties for other in some.joined.get(anchor, ())}
        telling = (key for key in said if self._is_telling(key))
        await self._read_observations(tied | {anchor for key in telling for anchor in self.posting(key)})

    def asked(self, anchor: Anchor, observation: Observation) -> Iterator[Value]:
        """The keys by which whatever may be linked to an observation is found."""
        for key in keys_of(anchor, observation, self.policy):
            for one in asked_with(key):
                if one[0] == BLOCK or links(one, self.policy):
                    yield one

    def _is_telling(self, key: Value) -> bool:
        """Whether who has a key matters: unless it is too common already, or was generic and nobody new holds it."""
        return self._stored.get(key, 0) <= self.policy.most_holders(key[0]) and (
            key in self._said or not self._generic.get(key)
        )

    async def _read_observations(self, anchors: Iterable[Anchor]) -> None:
        """Read observations that postings or ties name: those are watched, and an anchor's content never changes."""
        wanted = [anchor for anchor in anchors if anchor not in self.observations]
        self.observations |= {anchor: self._known[anchor] for anchor in wanted if anchor in self._known}
        unread = [anchor for anchor in wanted if anchor not in self._known]
        if unread:
            found: Any = await self.pipe.mget([self.where.observation(anchor) for anchor in unread])
            for anchor, packed in zip(unread, found, strict=True):
                self._take_observation(anchor, packed)
        read = (self.observations[anchor] for anchor in wanted if anchor in self.observations)
        await self.read(generic={value for one in read for value in one.identifiers if links(value, self.policy)})

    async def _read_owners(self, anchors: Iterable[Anchor]) -> None:
        """Whose these observations are. It changes only with their component, which is watched."""
        unread = [anchor for anchor in anchors if self.where.owner(anchor) not in self._asked]
        if unread:
            found: Any = await self.pipe.mget([self.where.owner(anchor) for anchor in unread])
            for anchor, owner in zip(unread, found, strict=True):
                self._take_owner(anchor, owner)

    def _beside(self, anchor: Anchor, rank: int, when: When) -> Iterator[Anchor]:
        """What a link of this rank or stronger could join to an observation, in the graph that is meant."""
        found = self._whole(when).neighbours(anchor, rank)
        return found if when is When.AFTER else (other for other in found if other not in self.added)

    def _whole(self, when: When) -> Whole:
        """What links observations in the graph that is meant: to be asked of those that were read around."""
        known = self._wholes.get(when)
        if known is None:
            ties = self.ties if when is When.AFTER else self.ties_before
            known = self._wholes[when] = whole_of(
                self.observations,
                self.policy,
                ties,
                generic=_Generic(self, when),
                holding=lambda value: self.holders(value, when),
            )
        return known

    async def _many(self, asked: Sequence[tuple[Any, Command]]) -> list[tuple[Any, Any]]:
        answers = await many(self.pipe, [command for _, command in asked])
        return [(subject, answer) for (subject, _), answer in zip(asked, answers, strict=True)]

    def _take_observation(self, anchor: Anchor, found: bytes | None) -> None:
        if found is not None:
            self.observations.setdefault(anchor, keys.decode_observation(found))
            self._known[anchor] = self.observations[anchor]

    def _take_owner(self, anchor: Anchor, found: bytes | None) -> None:
        if found is not None:
            self.owners[anchor] = found[:ID]
            if len(found) > ID:
                self.sure[anchor] = found[ID:]

    def _take_posting(self, value: Value, found: bytes | None) -> None:
        stored, added = keys.anchors(found), self._postings.get(value, ())
        self._stored[value] = len(stored)
        self._postings[value] = stored + [anchor for anchor in added if anchor not in stored] if added else stored

    def _take_generic(self, value: Value, found: bytes | None) -> None:
        self._generic[value] = found is not None

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
