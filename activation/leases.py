"""Which dispatcher has which destination: a lease each, and a common idea of who should have it.

Every dispatcher says that it lives and hears who else does. The one that a destination's name and its own hash
highest with (rendezvous hashing) takes the lease; so destinations spread evenly, and few move when a dispatcher comes
or goes. The lease decides: whoever has none sends nothing, and the ledger takes no word from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from redis.asyncio import Redis

from activation.ledger import SCRIPTS


class Lease:
    """The right to send to one destination, for a while."""

    def __init__(self, state: Redis, key: str, token: str, seconds: float) -> None:
        """`token` names the dispatcher."""
        self.token = token
        self._key = key
        self._milliseconds = int(seconds * 1000)
        self._take = state.register_script(SCRIPTS["hold"])
        self._release = state.register_script(SCRIPTS["release"])

    async def hold(self) -> bool:
        """Take it, or make it last for its whole time again. False when another dispatcher has it."""
        return bool(await self._take([self._key], [self.token, self._milliseconds]))

    async def release(self) -> None:
        """Give it back."""
        await self._release([self._key], [self.token])


class Presence:
    """Who lives."""

    def __init__(self, state: Redis, prefix: str, token: str, seconds: float) -> None:
        self.token = token
        self._state = state
        self._key = f"{prefix}activation:dispatchers"
        self._milliseconds = int(seconds * 1000)
        self._attend = state.register_script(SCRIPTS["attend"])

    async def attend(self) -> list[str]:
        """Say that this dispatcher lives; returns all that do."""
        living = await self._attend([self._key], [self.token, self._milliseconds])
        return [name.decode() for name in living]

    async def leave(self) -> None:
        """Say that it lives no longer."""
        await self._state.zrem(self._key, self.token)


def preferred(destination: str, dispatchers: Iterable[str]) -> str:
    """The dispatcher that should have the destination; the same answer wherever it is asked."""
    return max(dispatchers, key=lambda name: hashlib.sha256(f"{destination} {name}".encode()).digest(), default="")
