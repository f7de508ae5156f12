"""What one transaction has read of the live graph. Everything read is watched, so the transaction fails if it changes.

Of every observation that is read it is known which of its values are generic: that is stored with each value, and told
anew by whoever adds to the value, who reads all that hold it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from redis.asyncio.client import Pipeline

from cdp.anchors import ID
from identity import keys
from identity.evidence import BLOCK
from identity.generic import is_generic
from identity.identifiers import Value
from identity.keys import Keys, Profile, Slice
from identity.links import keys_of, links
from identity.observations import Anchor, Observation
from identity.policy import ACCOUNT, ALIASED, Policy
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

Named = Callable[[Any], bytes]  # a subject → its key
Take = Callable[[Any, Any], None]  # keeps what was found of a subject
Command = tuple[str, bytes, Sequence[bytes]]  # name, key, arguments


class When(Enum):
    """Which graph is meant: as it was, or as it becomes."""

    BEFORE = 1
    AFTER = 2


class Finding(NamedTuple):
    """By which keys an observation is found, and by which whatever may be linked to it."""

    own: tuple[Value, ...]
    asked: tuple[Value, ...]


class Known:
    """Observations that a process has at hand: what they say, and by what they are found under a policy, stays so."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.observations: dict[Anchor, Observation] = {}
        self._linking: dict[Anchor, tuple[Value, ...]] = {}
        self._findings: dict[Anchor, Finding] = {}

    def __len__(self) -> int:
        return len(self._linking)

    def linking(self, anchor: Anchor, observation: Observation) -> tuple[Value, ...]:
        """The values by which an observation may be linked."""
        known = self._linking.get(anchor)
        if known is None:
            known = tuple([value for value in observation.identifiers if links(value, self.policy)])
            self._linking[anchor] = known
        return known

    def finding(self, anchor: Anchor, observation: Observation) -> Finding:
        """By what an observation is found."""
        known = self._findings.get(anchor)
        if known is None:
            own, values = keys_of(anchor, observation, self.policy), observation.identifiers
            joined = [one for value in values for one in asked_with(value) if links(one, self.policy)]
            known = self._findings[anchor] = Finding(tuple(own), (*joined, *own[len(values) :]))
        return known


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
        known: Known | None = None,
    ) -> None:
        """`known`: what is at hand under this policy."""
        self.pipe = pipe
        self.where = where
        self.policy = policy
        self.ties = ties
        self.ties_before = ties_before or ties
        self.most_holders = cache(policy.most_holders)
        self._known = Known(policy) if known is None else known
        self.observations: dict[Anchor, Observation] = {}
        self.owners: dict[Anchor, ProfileId] = {}
        self.sure: dict[Anchor, ProfileId] = {}  # of those who are another person in the surer view
        self.profiles: dict[ProfileId, Profile | None] = {}
        self.slices: dict[str, dict[int, Slice]] = {}
        self.everyone: dict[str, list[Anchor]] = {}
        self.partly: set[str] = set()  # devices of which only a part was read
        self.added: set[Anchor] = set()
        self.renewed: set[Anchor] = set()  # known observations that are looked at as if they were new
        self.was_generic: set[Value] = set()  # of the values that were read
        self.becomes_generic: set[Value] = set()
        self.oversize = 0  # components that were too large to be looked at whole
        self._postings: dict[Value, list[Anchor]] = {}
        self._stored: dict[Value, int] = {}  # how many observations a posting holds in the state
        self._said: set[Value] = set()  # by what is new
        self._asked: dict[Named, set[Any]] = defaultdict(set)  # of each kind of key, whose were read

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
        kinds: list[tuple[Named, Take, Iterable[Any]]] = [
            (where.observation, self._take_observation, anchors),
            (where.owner, self._take_owner, (*anchors, *owners)),
            (where.posting, self._take_posting, values),
            (where.generic, self._take_generic, (*generic, *(value for value in values if value[0] != BLOCK))),
            (where.profile, self._take_profile, profiles),
        ]
        names: list[bytes] = []
        wanted: list[tuple[Take, Any]] = []
        for named, take, subjects in kinds:
            asked = self._asked[named]
            fresh = [subject for subject in dict.fromkeys(subjects) if subject not in asked]
            asked.update(fresh)
            names += map(named, fresh)
            wanted += [(take, subject) for subject in fresh]
        if names or devices:
            await self.pipe.watch(*names, *map(where.device, devices))
        if names:
            for (take, subject), found in zip(wanted, await self.pipe.mget(names), strict=True):
                take(subject, found)
        await self._read_devices(devices, FEW)

    async def read_observations(self, anchors: Iterable[Anchor]) -> None:
        """Read observations that postings or ties name: those are watched, and an anchor's content never changes."""
        wanted = [anchor for anchor in anchors if anchor not in self.observations]
        at_hand = self._known.observations
        self.observations |= {anchor: at_hand[anchor] for anchor in wanted if anchor in at_hand}
        unread = [anchor for anchor in wanted if anchor not in at_hand]
        if unread:
            found: Any = await self.pipe.mget([self.where.observation(anchor) for anchor in unread])
            for anchor, packed in zip(unread, found, strict=True):
                self._take_observation(anchor, packed)
        read = (anchor for anchor in wanted if anchor in self.observations)
        await self.read(generic={value for anchor in read for value in self.linking(anchor)})

    async def read_owners(self, anchors: Iterable[Anchor]) -> None:
        """Whose these observations are. It changes only with their component, which is watched."""
        unread = [anchor for anchor in anchors if anchor not in self._asked[self.where.owner]]
        if unread:
            found: Any = await self.pipe.mget([self.where.owner(anchor) for anchor in unread])
            for anchor, owner in zip(unread, found, strict=True):
                self._take_owner(anchor, owner)

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
        """Look at known observations as if they were new."""
        for anchor in anchors:
            self.renewed.add(anchor)
            self._post(anchor)

    def _post(self, anchor: Anchor) -> None:
        self._said.update(self.linking(anchor))
        for key in self.finding(anchor).own:
            posting = self._postings.setdefault(key, [])
            if anchor not in posting:
                posting.append(anchor)

    def linking(self, anchor: Anchor) -> tuple[Value, ...]:
        """The values by which an observation may be linked."""
        return self._known.linking(anchor, self.observations[anchor])

    def finding(self, anchor: Anchor) -> Finding:
        """By what an observation is found."""
        return self._known.finding(anchor, self.observations[anchor])

    def asked(self, anchor: Anchor, observation: Observation) -> tuple[Value, ...]:
        """The keys by which whatever may be linked to an observation, read or not, is found."""
        return self._known.finding(anchor, observation).asked

    def posting(self, value: Value) -> list[Anchor]:
        """The observations that hold the value, as far as they are kept."""
        return self._postings.get(value, [])

    def stored(self, value: Value) -> int:
        """How many observations hold the value in the state, as far as they are kept."""
        return self._stored.get(value, 0)

    def stored_posting(self, value: Value) -> list[Anchor]:
        """The same in the graph as it was."""
        return self.posting(value)[: self.stored(value)]

    def judge(self) -> None:
        """Tell which values of what is new become generic, when all that hold them were read."""
        self.becomes_generic -= self._said
        self.becomes_generic |= {value for value in self._said if self._is_generic(value)}

    def _is_generic(self, value: Value) -> bool:
        holders = self.posting(value)
        if len(holders) > self.most_holders(value[0]):
            return True  # and perhaps not all were read
        known = (self.observations.get(anchor) for anchor in holders)
        return is_generic(value, [one for one in known if one is not None], self.policy)

    def is_generic(self, value: Value, when: When) -> bool:
        """Whether the value links nothing."""
        return value in (self.was_generic if when is When.BEFORE else self.becomes_generic)

    def judgements(self) -> Iterator[tuple[Value, bool]]:
        """The values that became generic or no longer are."""
        return ((value, value in self.becomes_generic) for value in self.was_generic ^ self.becomes_generic)

    def grown(self) -> Iterator[tuple[Value, list[Anchor]]]:
        """The postings that hold something new, each as it is to be kept.

        One that is generic by number, or too common to be a key, keeps just enough to show it.
        """
        for key in {key for anchor in self.added | self.renewed for key in self.finding(anchor).own}:
            most = self.most_holders(key[0]) + 1
            stored, posting = self.stored(key), self.posting(key)
            if len(posting) > stored and stored < most:
                yield key, posting[:most]

    def is_alone(self, anchor: Anchor) -> bool:
        """Whether nothing that was read can be linked to the observation, in the graph as it was and as it becomes."""
        if any(anchor in ties.joined for ties in (self.ties, self.ties_before)):
            return False
        return all(self.posting(key) in ([], [anchor]) for key in self.finding(anchor).asked)

    def is_telling(self, key: Value) -> bool:
        """Whether who has a key matters: unless it is too common already, or was generic and nobody new holds it."""
        return self.stored(key) <= self.most_holders(key[0]) and (key in self._said or key not in self.was_generic)

    async def _many(self, asked: Sequence[tuple[Any, Command]]) -> list[tuple[Any, Any]]:
        answers = await many(self.pipe, [command for _, command in asked])
        return [(subject, answer) for (subject, _), answer in zip(asked, answers, strict=True)]

    def _take_observation(self, anchor: Anchor, found: bytes | None) -> None:
        if found is not None:
            self.observations.setdefault(anchor, keys.decode_observation(found))
            self._known.observations[anchor] = self.observations[anchor]

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
        if found is not None:
            self.was_generic.add(value)
            self.becomes_generic.add(value)

    def _take_profile(self, profile: ProfileId, found: bytes | None) -> None:
        self.profiles[profile] = None if found is None else keys.decode_profile(found)

    def _take_device(self, device: str, fields: dict[bytes, bytes], *, whole: bool) -> None:
        self.everyone[device] = keys.anchors(fields.pop(keys.EVERYONE, None))
        self.slices[device] = {keys.unpack(field): keys.decode_slice(value) for field, value in fields.items()}
        (self.partly.discard if whole else self.partly.add)(device)


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
