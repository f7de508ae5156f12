"""How many events a write key may bring: a token bucket for each key, one for all collectors, kept in Valkey.

    request ─► spend, from memory ─┬─► let in
                    ▲              └─► RateLimitedError ─► 429
                    │ a slice, ahead of need
    Valkey ─► take ─┘

No request waits for Valkey. A collector takes tokens beside its requests, and until they come it lends itself half a
slice (a slice is a quarter of the burst), if by what it last heard the bucket has them. So in the first milliseconds of
a burst a request may be sent away that a moment later is let in. One that is larger than what is left is let in whole,
and the key waits until it is paid for: no batch is too large for ever, and singles do not starve it.

What is let in is what was taken from the bucket, plus what the collector's balance fell; and that lies between half a
slice, and minus half a slice and one request. So in any t seconds a key brings at most

    events_per_second × t + burst + for each collector: one slice and its largest request

Where Valkey is away, or the process has none, each collector counts alone with the whole limit: senders are not made to
pay for our trouble.
"""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cdp.clock import SECOND, Clock
from cdp.errors import TransientError
from cdp.settings import CollectorSettings
from ingest.metrics import FIGURES

log = structlog.get_logger(__name__)

# How many slices the burst has.
SLICES = 4
# A burst that nobody set lasts so many seconds at full rate.
BURST_SECONDS = 10
# Seconds that Valkey may take to answer, and after which it is asked again when it did not.
PATIENCE = 0.5
AGAIN = 1 * SECOND
# Shortest and longest time between two looks at an empty bucket, in seconds.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0

# In: rate per second, burst, most to take. Out: taken, left. By the server's clock, which collectors share.
TAKE = """
local rate, burst, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local since = math.max(0, now - (tonumber(kept[2]) or now))
local tokens = math.min(burst, (tonumber(kept[1]) or burst) + since * rate / 1000)
local taken = math.max(0, math.min(most, tokens))
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens - taken), 'at', string.format('%.17g', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return {string.format('%.17g', taken), string.format('%.17g', tokens - taken)}
"""


class Limit(BaseModel):
    """How many events each write key of a source may bring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events_per_second: float = Field(gt=0, le=10_000_000, description="Events that a write key may bring each second.")
    burst: int | None = Field(
        None, ge=1, le=1_000_000_000, description="Most events at once; ten seconds' worth if absent."
    )

    @property
    def most(self) -> int:
        """The burst, in events."""
        return self.burst or math.ceil(self.events_per_second * BURST_SECONDS)


class Standing(NamedTuple):
    """How a write key stands: most events at once, those left now, and seconds.

    The seconds are those until all can be sent again; of a request that is sent away, until it may come again.
    """

    limit: int
    remaining: int
    reset: int


class RateLimitedError(TransientError):
    """The write key brings more than its source allows. Nothing of the request was taken."""

    code = "rate_limited"

    def __init__(self, message: str, standing: Standing) -> None:
        super().__init__(message, retry_after=standing.reset)
        self.standing = standing


class Bucket:
    """Tokens that come with time, in memory: what Valkey keeps for all, for one process."""

    def __init__(self, limit: Limit, now: int) -> None:
        """Full. `now` in milliseconds."""
        self._rate = limit.events_per_second
        self._most = float(limit.most)
        self._tokens, self._at = self._most, now

    def take(self, most: float, now: int) -> float:
        """Take up to `most`, which was owed before; returns how many there were. What is left then is capped."""
        grown = self._grown(now)
        taken = max(0.0, min(most, grown))
        self._tokens, self._at = min(self._most, grown - taken), now
        return taken

    def left(self, now: int) -> float:
        """How many there are."""
        return min(self._most, self._grown(now))

    def set(self, tokens: float, now: int) -> None:
        """Put so many in, in place of those that were there."""
        self._tokens, self._at = tokens, now

    def _grown(self, now: int) -> float:
        return self._tokens + max(0, now - self._at) * self._rate / SECOND


class Lease:
    """A write key's tokens at one collector. `held` is what was taken for it less what it spent; negative on credit.

    `credit` is half a slice, both the most that is taken ahead and the most that is lent; below `low` more is taken.
    """

    def __init__(self, key: str, limit: Limit, now: int) -> None:
        self.key = key
        self.limit = limit
        self.credit = limit.most / SLICES / 2
        self.low = min(1.0, self.credit / 2)
        self.held = 0.0
        self.own = Bucket(limit, now)
        # What Valkey had left, and what has come there since unless others took it.
        self.shared = Bucket(limit, now)
        self.filling: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> float:
        """What is lacking to a full lease."""
        return self.credit - self.held

    @property
    def pause(self) -> float:
        """Seconds in which an empty bucket has something again that is worth asking for."""
        return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, self.credit / self.limit.events_per_second))

    def standing(self, left: float) -> Standing:
        """How the key stands, with so many tokens left in the bucket."""
        most, free = self.limit.most, max(0.0, self.held + left)
        full = math.ceil((most - free) / self.limit.events_per_second)
        return Standing(most, min(most, math.floor(free)), max(0, full))

    def refusal(self, left: float) -> RateLimitedError:
        """What a request is sent away with."""
        rate = self.limit.events_per_second
        seconds = max(1, math.ceil((1 - self.held - left) / rate))
        return RateLimitedError(
            f"This write key may bring {rate:g} events a second and {self.limit.most} at once, and brought more. "
            f"Nothing was taken: send the same again in {seconds} s.",
            self.standing(left)._replace(reset=seconds),
        )


class Rates:
    """The limits of an installation, at one collector."""

    def __init__(self, state: Redis | None, clock: Clock, prefix: str) -> None:
        """Without a state it counts alone."""
        self._clock = clock
        self._prefix = f"{prefix}limit:"
        self._take = state.register_script(TAKE) if state is not None else None
        self._leases: dict[tuple[str, str], Lease] = {}
        self._away = False
        self._ask_again = 0
        FIGURES.alone = lambda: self._alone and bool(self._leases)

    @property
    def _alone(self) -> bool:
        return self._away or self._take is None

    def spend(self, source: str, write_key: str, limit: Limit, events: int) -> Standing:
        """Let a request of so many events in. Raises `RateLimitedError`. Never waits."""
        now = self._clock.now()
        lease = self._lease(source, write_key, limit, now)
        if self._alone:
            lease.held += lease.own.take(-lease.held, now)
            left = lease.own.left(now)
        else:
            left = lease.shared.left(now)
        free = lease.held > -lease.credit and lease.held + left >= 1
        if free:
            lease.held -= events
        if lease.held < lease.low or self._alone:
            self._refill(lease, now)
        if free or not events:
            return lease.standing(left)
        FIGURES.limited[source] += events
        raise lease.refusal(left)

    async def stop(self) -> None:
        """Take no more."""
        tasks = [lease.filling for lease in self._leases.values() if lease.filling is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _lease(self, source: str, write_key: str, limit: Limit, now: int) -> Lease:
        lease = self._leases.get((source, write_key))
        if lease is None or lease.limit != limit:
            if lease is not None and lease.filling is not None:
                lease.filling.cancel()
            lease = Lease(f"{self._prefix}{source}:{write_key}", limit, now)
            self._leases[source, write_key] = lease
        return lease

    def _refill(self, lease: Lease, now: int) -> None:
        if self._take is None or (self._away and now < self._ask_again):
            return
        if lease.filling is None or lease.filling.done():
            self._ask_again = now + AGAIN
            lease.filling = asyncio.get_running_loop().create_task(self._fill(lease), name="limit")

    async def _fill(self, lease: Lease) -> None:
        """Take a slice, and while the bucket has too little, what has come meanwhile."""
        assert self._take is not None
        while lease.held < lease.low or self._away:
            arguments: list[float] = [lease.limit.events_per_second, lease.limit.most, lease.wanted]
            try:
                async with asyncio.timeout(PATIENCE):
                    taken, left = await self._take(keys=[lease.key], args=arguments)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                self._part(error)
                return
            self._rejoin()
            lease.held += float(taken)
            lease.shared.set(float(left), self._clock.now())
            if lease.held < lease.low:
                await asyncio.sleep(lease.pause)

    def _part(self, error: Exception) -> None:
        if not self._away:
            log.warning("limits.alone", reason=str(error) or type(error).__name__)
        self._away = True

    def _rejoin(self) -> None:
        if self._away:
            log.info("limits.shared")
        self._away = False


def default_limit(settings: CollectorSettings) -> Limit | None:
    """The limit of sources that set none of their own; None for no limit."""
    rate = settings.limit_events_per_second
    return None if rate is None else Limit(events_per_second=rate, burst=settings.limit_burst)
