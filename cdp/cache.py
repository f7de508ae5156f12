"""Profiles as they were last read from the warehouse, kept in the state until something new is stored about them.

    loader:  hold the profiles that a turn is about ─► insert ─► release them: what was kept is gone
    reader:  what is kept, or a lease ─► read the warehouse ─► keep what was read, if the lease still stands

A key of the state holds content (`=`), a lease (`?`) or a hold (`!`). While a profile is held nothing is kept about it,
and a release takes every lease away, so what was read before an insert is never kept after it (leases: Nishtala et al.,
Scaling Memcache at Facebook, NSDI 2013, section 3.2.1). Where several loaders store something about one profile at
once, the first release ends the hold of all; the last one takes away what was kept since.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from redis.asyncio import Redis

HELD = b"!"
# Seconds after which a lease, or a hold since a reader met it first, is believed to be a dead process's.
LASTS = 60
TOGETHER = 1_000  # keys in one command
LARGEST = 256_000  # bytes of one profile that are kept

# KEYS: of a profile. ARGV: how content must begin, a lease, seconds. Returns the content, or whether the lease stands.
FINDS = """
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, #ARGV[1]) == ARGV[1] then return found end
if found == '!' then redis.call('EXPIRE', KEYS[1], ARGV[3], 'NX') return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
# KEYS: of a profile. ARGV: the lease, the content, seconds.
KEEPS = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
"""


class Found(NamedTuple):
    """What is kept of a profile (None: nothing), and the lease under which more may be kept (empty: none)."""

    content: bytes | None
    lease: bytes = b""


class Cache:
    """What is kept. `stamp` names how it was read: what was read in another way does not count."""

    def __init__(self, state: Redis, prefix: str, *, seconds: float = 0, stamp: str = "") -> None:
        """`seconds`: how long something is kept at most; 0 keeps nothing."""
        self._state = state
        self._prefix = prefix.encode() + b"pc:"
        self._seconds = int(seconds)
        self._head = b"=%s\n" % stamp.encode()

    async def find(self, profile_id: str) -> Found:
        """What is kept of a profile, or else a lease, to be had before the warehouse is asked."""
        if not self._seconds:
            return Found(None)
        lease = b"?" + secrets.token_bytes(8)
        found: Any = await self._state.eval(FINDS, 1, self._key(profile_id), self._head, lease, LASTS)
        if isinstance(found, bytes):
            return Found(found[len(self._head) :])
        return Found(None, lease if found else b"")

    async def keep(self, profile_id: str, lease: bytes, content: bytes) -> None:
        """Keep what was read, unless something was stored about the profile since the lease was given."""
        if lease and len(content) <= LARGEST:
            await self._state.eval(KEEPS, 1, self._key(profile_id), lease, self._head + content, self._seconds)

    async def hold(self, profile_ids: Collection[str]) -> None:
        """Keep nothing about these profiles until they are released."""
        for keys in self._keys(profile_ids):
            await self._state.mset(dict.fromkeys(keys, HELD))

    async def release(self, profile_ids: Collection[str]) -> None:
        """Forget what was kept about these profiles; from now on it may be kept again."""
        for keys in self._keys(profile_ids):
            await self._state.unlink(*keys)

    def _keys(self, profile_ids: Collection[str]) -> Iterator[list[bytes]]:
        keys = list(map(self._key, profile_ids))
        return (keys[start : start + TOGETHER] for start in range(0, len(keys), TOGETHER))

    def _key(self, profile_id: str) -> bytes:
        return self._prefix + bytes.fromhex(profile_id.replace("-", ""))
