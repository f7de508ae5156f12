"""Which events were seen before: what is remembered of each messageId, and what follows when it comes again.

Of a source's messageId a record is kept: the place in events.raw of the event that had it first, and a fingerprint of
what that event said. When the id comes again, then

    from the same place, saying the same       it is that event, read again after a crash: new
    from another place, saying the same        it is a duplicate: a sender who got no answer sent it once more
    saying something else                      the id was reused: by mistake, or by somebody who wants the other lost

Write keys are public, so an event whose sender was verified takes the id over from one whose sender was not; then both
records are kept. Why it is done this way, and what it costs: docs/decisions/0014-message-ids-in-three-hashes.md.

The records lie in the state, in a hash for each generation of half a week. The newest generation is written to, those
before it are looked at for as long as an event of theirs may be asked for, and then they are dropped whole.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from struct import Struct as Layout
from struct import pack
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import MsgspecError, Raw, Struct
from redis.asyncio import Redis
from siphashc import siphash

from cdp.clock import DAY, HOUR, MINUTE, SECOND, Clock
from cdp.records import NOTHING, RawBatch, RawEvent, encode
from identity import metrics
from identity.facts import Cause
from identity.identifiers import scalar
from identity.keys import Keys

Verdict = Literal["new", "duplicate", "reused"]
Sighting = tuple[int, bytes]  # the digest of a messageId and its source, and the record of the event that has it

# Two of them are a week and two hours: clocks may differ a little.
GENERATION = 85 * HOUR
# How many messageIds are looked up in one call. Lua hands on less than 8,000 arguments, and each new id takes two.
CHUNK = 1_000

# A record is the place of an event's message in events.raw, then the fingerprint of what the event says. The bits of
# the partition and the offset that are left out differ only between events that are weeks apart.
SECRET, PLACE, RECORD = 16, 6, 10
PARTITION, VERIFIED = 0x7FFF, 0x8000
BITS = 0xFFFF_FFFF

# KEYS: the secret; then generations, the latest first: the one to come, the present one, and those before it.
# ARGV: the secret; seconds for which a generation is kept; digests of 8 bytes; for each of them a record of 10 bytes.
# Answers, for each digest that was known, its number and all that is known of it now; nil if the secret is another.
# The generation to come exists when another process has a faster clock: then it is the newest for everybody.
MEET = """
local call, sub, byte = redis.call, string.sub, string.byte
if call('GET', KEYS[1]) ~= ARGV[1] then return false end
local newest = call('EXISTS', KEYS[2]) == 1 and 2 or 3
local joined, records, count = ARGV[3], ARGV[4], #ARGV[3] / 8
local digests, known = {}, {}
for n = 1, count do digests[n] = sub(joined, n * 8 - 7, n * 8) end
for generation = newest, #KEYS do
  local found = call('HMGET', KEYS[generation], unpack(digests))
  for n = 1, count do known[n] = known[n] or found[n] end
end
local answers, changes, last = {}, {}, 0
for n = 1, count do
  local record, before = sub(records, n * 10 - 9, n * 10), known[n]
  local overtakes = before and byte(record) > 127 and byte(before, -10) < 128
  if overtakes then record = before .. record end
  if overtakes or not before then
    changes[last + 1], changes[last + 2], last = digests[n], record, last + 2
  end
  if before then
    answers[#answers + 1] = n
    answers[#answers + 1] = overtakes and record or before
  end
end
if last > 0 then
  call('HSET', KEYS[newest], unpack(changes))
  if call('TTL', KEYS[newest]) < 0 then call('EXPIRE', KEYS[newest], ARGV[2]) end
end
return answers
"""


class Taken(NamedTuple):
    """An event at its place in events.raw, with what stood around it."""

    partition: int
    offset: int
    number: int
    event: RawEvent
    batch: RawBatch

    @property
    def cause(self) -> Cause:
        """The event as the cause of a change."""
        return Cause(self.event.id, self.batch.trace_id)


class Memory:
    """Remembers messageIds in the state for some days, shared by every resolver."""

    def __init__(self, state: Redis, where: Keys, clock: Clock, days: float) -> None:
        """`days`: for how long at least; it may be half a week longer."""
        self._state = state
        self._where = where
        self._clock = clock
        self._past = math.ceil(days * DAY / GENERATION)  # generations looked at before the present one
        self._secret = b""
        self._counted_at = -math.inf

    async def judge(self, events: Sequence[Taken]) -> list[Verdict]:
        """Which of these events are new; those are remembered from now on. The same events again: the same verdicts.

        The events of one message of events.raw are to be judged in one call, in their order.
        """
        if self._clock.now() - self._counted_at >= MINUTE:
            await self._keep_house()
        while True:
            self._secret = self._secret or await self._agree()
            try:
                return await self._judge(list(_sightings(events, self._secret)))
            except _OtherSecretError:
                self._secret = b""

    async def _judge(self, sightings: Sequence[Sighting]) -> list[Verdict]:
        verdicts: list[Verdict] = ["new"] * len(sightings)
        first = dict(reversed(sightings))
        known = first | await self._ask(first)
        again = {digest for digest, record in sightings if known[digest] is not record}
        if not again:
            return verdicts
        met: set[Sighting] = set()
        for number, (digest, record) in enumerate(sightings):
            if digest not in again:
                continue
            if _overtakes(record, known[digest]):
                known |= {digest: record} | await self._ask({digest: record})
            verdicts[number] = verdict(record, split(known[digest]), again=(digest, record) in met)
            met.add((digest, record))
        return verdicts

    async def _ask(self, wanted: Mapping[int, bytes]) -> dict[int, bytes]:
        """Digests, each with the record that it gets if it is new → the records of those that are not.

        Among them is the one given, where it was a verified event's and those known were not.
        """
        known: dict[int, bytes] = {}
        all_digests, all_records = list(wanted), list(wanted.values())
        keys, kept = self._keys(), (self._past + 2) * GENERATION // SECOND
        for start in range(0, len(wanted), CHUNK):
            digests = all_digests[start : start + CHUNK]
            records = all_records[start : start + CHUNK]
            packed = pack(f">{len(digests)}Q", *digests)
            answers: Any = await self._state.eval(MEET, len(keys), *keys, self._secret, kept, packed, b"".join(records))
            if answers is None:
                raise _OtherSecretError
            known |= {digests[n - 1]: found for n, found in zip(answers[::2], answers[1::2], strict=True)}
        return known

    def _keys(self) -> list[bytes]:
        return [self._where.message_secret, *self._generations()]

    def _generations(self) -> list[bytes]:
        """The one to come, the present one, and those before it that are looked at."""
        present = self._clock.now() // GENERATION
        return [self._where.messages(present - age) for age in range(-1, self._past + 1)]

    async def _agree(self) -> bytes:
        """The secret in this installation's digests. Who needs it first makes it; it is lost only with the records."""
        key = self._where.message_secret
        async with self._state.pipeline(transaction=True) as pipe:
            pipe.set(key, secrets.token_bytes(SECRET), nx=True)
            pipe.get(key)
            _, secret = await pipe.execute()
        return bytes(secret)

    async def _keep_house(self) -> None:
        """Count what is remembered, and drop the generation that nobody looks at any more.

        That one would expire by itself later, but some servers stand still while a large hash expires. That it is old
        enough is told by what is left of its time to live, because our clock may be wrong.
        """
        now = self._clock.now()
        past = self._where.messages(now // GENERATION - self._past - 1)
        async with self._state.pipeline(transaction=False) as pipe:
            for generation in self._generations():
                pipe.hlen(generation)
            pipe.pttl(past)
            *sizes, left = await pipe.execute()
        if 0 <= left <= GENERATION:
            await self._state.unlink(past)
        metrics.REMEMBERED.set(sum(sizes))
        self._counted_at = now


class _OtherSecretError(Exception):
    """The state was emptied, and a secret with it that this process still goes by."""


def verdict(record: bytes, known: Sequence[bytes], *, again: bool) -> Verdict:
    """What an event is, by its record and those known of its id. `again`: an equal one stands before it in its message.

    It is held against that of an event as verified as itself, where there is one: what was said of it stays true when
    another takes the id over.
    """
    if record in known and not again:
        return "new"
    peers = [one for one in known if _verified(one) == _verified(record)] or known
    return "duplicate" if any(one[PLACE:] == record[PLACE:] for one in peers) else "reused"


def split(records: bytes) -> list[bytes]:
    """Records as they lie in the state → each of them; that of a verified event is the last."""
    return [records[place : place + RECORD] for place in range(0, len(records), RECORD)]


def _overtakes(record: bytes, known: bytes) -> bool:
    return _verified(record) and not _verified(known[-RECORD:])


def _verified(record: bytes) -> bool:
    return record[0] > 127


# --- sightings ------------------------------------------------------------------------------------

_record = Layout(">HII").pack
_parts = attrgetter(
    "type", "user_id", "anonymous_id", "previous_id", "group_id", "event", "name", "properties", "traits"
)


def _sightings(events: Sequence[Taken], secret: bytes) -> Iterator[Sighting]:
    for partition, offset, _, event, batch in events:
        place = partition & PARTITION | VERIFIED if event.verified else partition & PARTITION
        digest = siphash(secret, f"{batch.source}\0{event.id}")
        yield digest, _record(place, offset & BITS, fingerprint(event, secret))


def fingerprint(event: RawEvent, secret: bytes) -> int:
    """What an event says, as 32 bits that nobody can foretell: not what sending it again changes, as `sentAt`.

    The parts count as they were sent: with another order of keys it says something else.
    """
    said: Any = _parts(event)
    if event.category is not None or event.type == "identify":
        said = said, scalar(event.category), event.traits or _inner_traits(event)
    return siphash(secret, encode(said)) & BITS


class _Context(Struct):
    traits: Raw = NOTHING


_context = msgspec.json.Decoder(_Context).decode


def _inner_traits(event: RawEvent) -> Raw:
    """The traits of an identify that are in its context only, where some SDKs put them."""
    try:
        return _context(event.context).traits if event.type == "identify" else NOTHING
    except (MsgspecError, UnicodeError, RecursionError):
        return NOTHING
