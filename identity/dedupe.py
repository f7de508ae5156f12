"""Which events were seen before: a messageId is remembered per source, with the place of its first event in events.raw.

The same place again is a replay after a crash and counts as new; another place is a duplicate.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct as Layout
from typing import Any, NamedTuple

from redis.asyncio import Redis

from identity.keys import Keys

DIGEST = 16

# KEYS: messages. ARGV: seconds to remember, then the place of each. Answers 1 for a message first seen elsewhere.
SEE = """
local answers = {}
for number, key in ipairs(KEYS) do
  local place = ARGV[number + 1]
  if redis.call('SET', key, place, 'NX', 'EX', ARGV[1]) then answers[number] = 0
  elseif redis.call('GET', key) == place then answers[number] = 0
  else answers[number] = 1 end
end
return answers
"""

_place = Layout(">HQI")


class Sighting(NamedTuple):
    """A message at a place of events.raw: the `number`-th event of the message at `offset`."""

    source: str
    message_id: str
    partition: int
    offset: int
    number: int


class Memory:
    """Remembers messages in the state for some days, shared by every resolver."""

    def __init__(self, state: Redis, where: Keys, days: float) -> None:
        self._state = state
        self._where = where
        self._seconds = max(1, int(days * 86_400))

    async def duplicates(self, sightings: Sequence[Sighting]) -> list[bool]:
        """Which of these messages were seen at another place before; one call of the state for all."""
        if not sightings:
            return []
        messages = [self._where.message(_digest(one)) for one in sightings]
        places = [_place.pack(one.partition, one.offset, one.number) for one in sightings]
        found: Any = await self._state.eval(SEE, len(messages), *messages, self._seconds, *places)
        return [bool(answer) for answer in found]

    async def forget(self, sightings: Sequence[Sighting]) -> None:
        """Let these messages be new when they come again."""
        if sightings:
            await self._state.delete(*(self._where.message(_digest(one)) for one in sightings))


def _digest(one: Sighting) -> bytes:
    return blake2b(f"{one.source}\0{one.message_id}".encode(errors="surrogatepass"), digest_size=DIGEST).digest()
