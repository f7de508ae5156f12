"""Recounts: after a definition has changed, the segment is evaluated over every profile of a partition, page by page.

Where each recount stands is kept in the state, so that it goes on after a restart, and lets others work in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

DELETED = ""
STALE = "stale"


class Recount(Struct, frozen=True, omit_defaults=True):
    """How far a recount has come. `fingerprint` is that of the definition, DELETED for one that is gone, and STALE when
    the definition changed on the way: it begins anew then.

    `after` is where the next page begins: a profile id, or for a deleted segment the cursor over the members.
    """

    fingerprint: str
    after: str = ""
    done: bool = False
    trace_id: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Recount).decode


def decode_recounts(found: Mapping[Any, Any]) -> dict[str, Recount]:
    """The recounts in a hash of the state, by segment."""
    return {segment.decode(): _decode(value) for segment, value in found.items()}


class Recounts:
    """The recounts of one partition, by segment."""

    def __init__(self, state: Redis, key: str) -> None:
        self._state = state
        self._key = key
        self.known: dict[str, Recount] = {}

    async def load(self) -> None:
        """Read them from the state."""
        self.known = decode_recounts(await self._state.hgetall(self._key))

    def next(self) -> tuple[str, Recount] | None:
        """One that is not done."""
        return next(((segment, recount) for segment, recount in self.known.items() if not recount.done), None)

    def set(self, transaction: Pipeline, segment: str, recount: Recount) -> None:
        """Note how far it is; a finished recount of a deleted segment is forgotten."""
        if recount.done and recount.fingerprint == DELETED:
            self.known.pop(segment, None)
            transaction.hdel(self._key, segment)
        else:
            self.known[segment] = recount
            transaction.hset(self._key, segment, _encode(recount))
