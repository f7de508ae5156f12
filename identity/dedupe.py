"""Which events were seen before: what is remembered of each messageId, and what follows when it comes again.

Of a source's messageId a record is kept: the place in events.raw of the event that had it first, and a fingerprint of
what that event said. When the id comes again, then

    from the same place, saying the same       it is that event, read again after a crash: new
    from another place, saying the same        it is a duplicate: a sender who got no answer sent it once more
    saying something else                      the id was reused: by mistake, or by somebody who wants the other lost

Write keys are public, so an event whose sender was verified takes the id over from one whose sender was not; then both
records are kept. Why it is done this way, and what it costs: docs/decisions/0014-message-ids-in-one-hash.md.

The records lie in the state, in one hash, and beside it a list of the ids in the order in which they came: whoever
asks about new ones forgets as many of the oldest as are due.
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

from cdp.clock import DAY, MINUTE, Clock
from cdp.records import NOTHING, RawBatch, RawEvent, encode
from identity import metrics
from identity.facts import Cause
from identity.identifiers import scalar
from identity.keys import Keys

Verdict = Literal["new", "duplicate", "reused"]
Sighting = tuple[int, bytes]  # the digest of a messageId and its source, and the record of the event that has it

# How many messageIds are looked up in one call. Lua hands on less than 8,000 arguments, and each new id takes two.
CHUNK = 1_000

# A record is the place of an event's message in events.raw, then the fingerprint of what the event says. The bits of
# the partition and the offset that are left out differ only between events that are weeks apart.
SECRET, PLACE, RECORD = 16, 6, 10
PARTITION, VERIFIED = 0x7FFF, 0x8000
BITS = 0xFFFF_FFFF

# KEYS: the secret, the hash of records, the list of their digests, the set of digests that are in the list twice.
# ARGV: the secret, the moment, for how long to remember (both ms), digests of 8 bytes, for each a record of 10 bytes.
# Answers, for each digest that was known, its number and all that is known of it now; nil if the secret is another.
# The list holds moments and joined digests by turns. An id that is taken over is remembered from then on: its place in
# the list that is forgotten first does not count. Of very many only some are forgotten at once: the state has others
# to serve. A moment that lies far ahead is the work of a wrong clock, and must not keep the rest from being forgotten.
MEET = """
local call, sub, byte = redis.call, string.sub, string.byte
if call('GET', KEYS[1]) ~= ARGV[1] then return false end
local now, days = tonumber(ARGV[2]), tonumber(ARGV[3])

local function split(joined)
  local digests = {}
  for n = 1, #joined / 8 do digests[n] = sub(joined, n * 8 - 7, n * 8) end
  return digests
end

local function forget(digests)
  if call('EXISTS', KEYS[4]) == 1 then
    local once = {}
    for _, digest in ipairs(digests) do
      if call('SREM', KEYS[4], digest) == 0 then once[#once + 1] = digest end
    end
    digests = once
  end
  if #digests > 0 then call('HDEL', KEYS[2], unpack(digests)) end
end

local forgotten = 0
while forgotten < 5000 do
  local since = call('LINDEX', KEYS[3], 0)
  if not since or math.abs(now - since) < days then break end
  call('LPOP', KEYS[3])
  local digests = split(call('LPOP', KEYS[3]))
  forget(digests)
  forgotten = forgotten + #digests
end

local digests, records = split(ARGV[4]), ARGV[5]
local known = call('HMGET', KEYS[2], unpack(digests))
local answers, changes, last = {}, {}, 0
for n = 1, #digests do
  local before, record = known[n], sub(records, n * 10 - 9, n * 10)
  if before then
    if byte(record) > 127 and byte(before, -10) < 128 then
      record = before .. record
      call('SADD', KEYS[4], digests[n])
    else
      record = nil
    end
    answers[#answers + 1] = n
    answers[#answers + 1] = record or before
  end
  if record then
    changes[last + 1], changes[last + 2], last = digests[n], record, last + 2
  end
end
if last > 0 then
  call('HSET', KEYS[2], unpack(changes))
  local joined = ARGV[4]
  if #answers > 0 then
    local new = {}
    for n = 1, last, 2 do new[#new + 1] = changes[n] end
    joined = table.concat(new)
  end
  call('RPUSH', KEYS[3], ARGV[2], joined)
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
        """`days`: for how long, at least; an id is forgotten with the first call after that."""
        self._state = state
        self._keys = where.messages
        self._clock = clock
        self._days = round(days * DAY)
        self._secret = b""
        self._counted_at = -math.inf

    async def judge(self, events: Sequence[Taken]) -> list[Verdict]:
        """Which of these events are new; those are remembered from now on. The same events again: the same verdicts.

        The events of one message of events.raw are to be judged in one call, in their order.
        """
        if self._clock.now() - self._counted_at >= MINUTE:
            self._counted_at = self._clock.now()
            metrics.REMEMBERED.set(await self._state.hlen(self._keys.records))
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
        met: set[Sighting] = set()
        for number in [number for number, (digest, _) in enumerate(sightings) if digest in again] if again else ():
            digest, record = sightings[number]
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
        for start in range(0, len(wanted), CHUNK):
            digests, records = all_digests[start : start + CHUNK], all_records[start : start + CHUNK]
            arguments = self._secret, self._clock.now(), self._days, pack(f">{len(digests)}Q", *digests)
            answers: Any = await self._state.eval(MEET, len(self._keys), *self._keys, *arguments, b"".join(records))
            if answers is None:
                raise _OtherSecretError
            known |= {digests[n - 1]: found for n, found in zip(answers[::2], answers[1::2], strict=True)}
        return known

    async def _agree(self) -> bytes:
        """The secret in this installation's digests. Who needs it first makes it; it is lost only with the records."""
        async with self._state.pipeline(transaction=True) as pipe:
            pipe.set(self._keys.secret, secrets.token_bytes(SECRET), nx=True)
            pipe.get(self._keys.secret)
            _, secret = await pipe.execute()
        return bytes(secret)


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
