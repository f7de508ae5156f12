"""How fast a destination is sent to, and when again: waits that grow, a rate, a circuit breaker. Pure but for `Rate`.

Of the breaker:

    closed ──(too many failures in a row)──► open ──(the wait is over)──► half-open ──(a probe works)──► closed
                                              ▲                               │
                                              └────────(the probe fails)──────┘
"""

from __future__ import annotations

import asyncio
import random
from typing import Literal

from cdp.settings import ActivationSettings

Position = Literal["closed", "half-open", "open"]

# Requests in a row that must fail before a destination is left alone for a while.
PATIENCE = 5


def backoff(tries: int, settings: ActivationSettings, rng: random.Random) -> float:
    """Seconds before the next try: exponential with full jitter. `tries` counts from 1."""
    ceiling = min(settings.retry_max_seconds, settings.retry_base_seconds * 2 ** min(tries - 1, 40))
    return rng.uniform(0, ceiling)


class Breaker:
    """Leaves a destination alone that fails, and tries it with one request at a time until it works again.

    Moments are milliseconds, waits are seconds.
    """

    def __init__(self, settings: ActivationSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._failures = 0
        self._openings = 0
        self._until = 0

    def position(self, now: int) -> Position:
        """Where it stands."""
        if now < self._until:
            return "open"
        return "half-open" if self._openings else "closed"

    def admits(self, now: int, concurrency: int) -> int:
        """How many requests may be under way."""
        return {"closed": concurrency, "half-open": 1, "open": 0}[self.position(now)]

    def remaining(self, now: int) -> float:
        """Seconds until it may be tried again; 0 when it may."""
        return max(0, self._until - now) / 1000

    def worked(self) -> None:
        """A request was answered."""
        self._failures = self._openings = self._until = 0

    def failed(self, now: int, after: float | None = None) -> None:
        """A request found the destination away, busy or wrongly set up; `after` is the wait in seconds it asked for."""
        self._failures += 1
        already_open = self.position(now) == "open"  # what was under way when it opened tells nothing new
        if not already_open and (self._openings or self._failures >= PATIENCE):
            self._openings += 1
            ceiling = min(
                self._settings.retry_max_seconds, self._settings.retry_base_seconds * 2 ** min(self._openings, 40)
            )
            self._rest(now, ceiling / 2 + self._rng.uniform(0, ceiling / 2))
        if after is not None:
            self._rest(now, min(after, self._settings.retry_hours * 3600))

    def _rest(self, now: int, seconds: float) -> None:
        self._until = max(self._until, now + int(seconds * 1000))


class Rate:
    """At most so many requests a second, evenly."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next free place."""
        if not self._gap:
            return
        now = asyncio.get_running_loop().time()
        place = max(self._next, now)
        self._next = place + self._gap
        await asyncio.sleep(place - now)
