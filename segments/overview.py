"""What the segmenters keep in the state, for those who only look: members now, and whether a definition is counted."""

from __future__ import annotations

from collections import Counter

from redis.asyncio import Redis

from segments.membership import key
from segments.recounts import Recount, decode_recounts


class Overview:
    """Reads all partitions at once."""

    def __init__(self, state: Redis, prefix: str, partitions: int) -> None:
        self._state = state
        self._prefix = prefix
        self._partitions = partitions

    async def members(self) -> Counter[str]:
        """How many members each segment has."""
        counts: Counter[str] = Counter()
        for found in await self._read("counts"):
            counts.update({segment.decode(): int(count) for segment, count in found.items()})
        return counts

    async def counted(self) -> list[dict[str, Recount]]:
        """The recounts of each partition, by segment."""
        return [decode_recounts(found) for found in await self._read("recounts")]

    async def _read(self, name: str) -> list[dict[bytes, bytes]]:
        async with self._state.pipeline(transaction=False) as pipe:
            for partition in range(self._partitions):
                pipe.hgetall(key(self._prefix, partition, name))
            found: list[dict[bytes, bytes]] = await pipe.execute()
            return found


def is_ready(recounts: list[dict[str, Recount]], segment: str, fingerprint: str) -> bool:
    """Whether a definition has been evaluated over the profiles of every partition."""
    return all(
        (recount := known.get(segment)) is not None and recount.fingerprint == fingerprint and recount.done
        for known in recounts
    )
