"""Carries members to one destination: takes who is due, sends them, and notes what became of each.

A turn:

1. hand on   what happened since, from the outbox to the topic `deliveries`
2. take      who is due; read their profiles; see whether anything is to be sent at all
3. launch    flights, as many as the destination may have under way

A flight:

1. begin     note that these are being sent: from now on the destination may have them
2. send      build, carry, interpret
3. settle    note what became of each, in one transaction with the records for `deliveries`

A crash after 1 repeats the flight under the same ids. Steps 1 and 3 fail for whoever has lost the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError

from activation import metrics
from activation.connector import Batch
from activation.destinations import Destination, segments_of, syncs
from activation.exchange import build, carry
from activation.ledger import ADD, UNKNOWN, LeaseLostError, Ledger, Member, Start, Verdict
from activation.outcomes import Delivered, Dropped, Failed, Outcome, Retry
from activation.pace import Breaker, Position, Rate, backoff
from activation.parcels import Parcel, Settled, packed
from activation.reporter import Reporter
from activation.requests import Request
from activation.transports.base import Transport
from cdp.clock import HOUR
from cdp.errors import CdpError
from cdp.profiles import Profile
from cdp.records import Delivery
from cdp.service import Platform

log = structlog.get_logger(__name__)

ReadProfiles = Callable[[Sequence[str]], Awaitable[Mapping[str, Profile]]]
Judged = tuple[Parcel, Outcome]

# Seconds after which somebody else's changes are looked for; our own dispatcher wakes us.
POLL = 0.5
# Members whose profiles are read together, and seconds after which they are read again before they are sent.
FILL = 500
FRESH = 30.0
WORDS = {Delivered: "delivered", Retry: "retrying", Failed: "failed", Dropped: "dropped"}


class Courier:
    """Serves one destination, while its dispatcher has the lease. `token` proves that to the ledger."""

    def __init__(
        self,
        platform: Platform,
        destination: Destination,
        *,
        ledger: Ledger,
        token: str,
        transport: Transport[Any],
        read: ReadProfiles,
        rng: random.Random | None = None,
    ) -> None:
        self.destination = destination
        self._platform = platform
        self._settings = platform.settings.activation
        self._ledger = ledger
        self._token = token
        self._transport = transport
        self._read = read
        self._rng = rng or random.Random()
        self._breaker = Breaker(self._settings, self._rng)
        self._reporter = Reporter(platform, destination.key, ledger=ledger, token=token)
        self._rate = Rate(destination.connector.capabilities.per_second)
        self._ready: deque[Parcel] = deque()
        self._read_at = 0.0
        self._claimed: set[Member] = set()
        self._flights: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._lost = False
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Somebody may be due."""
        self._wake.set()

    @property
    def position(self) -> Position:
        """Where the circuit breaker stands."""
        return self._breaker.position(self._now())

    async def run(self) -> None:
        """Turn after turn, until `stop`. Raises `LeaseLostError` when another dispatcher has the destination."""
        while not self._stopping:
            wait = 1.0
            try:
                wait = await self.turn()
            except LeaseLostError:
                raise
            except (CdpError, RedisError, OSError) as error:
                log.warning("courier.waits", destination=self.destination.key, reason=str(error))
            except Exception:
                log.exception("courier.failed", destination=self.destination.key)
            await self._rest(wait)

    async def stop(self, seconds: float) -> None:
        """Launch nothing more, give what is under way some seconds, and hand on what happened."""
        self._stopping = True
        self.wake()
        if self._flights:
            await asyncio.wait(self._flights, timeout=seconds)
        await self.abort()
        with contextlib.suppress(CdpError, RedisError, OSError):
            await self._reporter.hand_on()

    async def abort(self) -> None:
        """Break off what is under way; whoever serves the destination next sends it again."""
        self._stopping = True
        self.wake()
        flights = list(self._flights)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self._transport.close()

    async def landed(self) -> None:
        """Wait until nothing is under way."""
        while self._flights:
            await asyncio.wait(self._flights)

    async def turn(self) -> float:
        """One turn; returns the seconds after which the next may find something to do, if nobody wakes us before."""
        if self._lost:
            raise LeaseLostError("Another dispatcher has this destination now.")
        await self._reporter.hand_on()
        await self._reporter.show(self.position)
        free = self._breaker.admits(self._now(), self._concurrency) - len(self._flights)
        if self.position != "closed" or time.monotonic() - self._read_at > FRESH:
            self._drop_ready()
        if free <= 0:
            return max(0.02, min(POLL, self._breaker.remaining(self._now()) or POLL))
        if not self._ready:
            await self._take(max(FILL, free * self._batch))
        while self._ready and free > 0 and not self._stopping:
            self._launch()
            free -= 1
        return POLL if self._flights else await self._until_due()

    @property
    def _concurrency(self) -> int:
        return self.destination.connector.capabilities.concurrency

    @property
    def _batch(self) -> int:
        return self.destination.connector.batch_size(self.destination.settings)

    def _now(self) -> int:
        return self._platform.clock.now()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _until_due(self) -> float:
        due = await self._ledger.next_due()
        now = self._now()
        return POLL if due is None or due <= now else min(POLL, (due - now) / 1000)

    # -- take

    async def _take(self, limit: int) -> None:
        """Fill `_ready` with those who are due and to be sent; settle those who are not."""
        due = await self._ledger.due(self._now(), limit=limit, skip=self._claimed)
        known = {sync.segment: sync for sync in syncs(self._platform.registry, destination=self.destination.key)}
        if strangers := {member.segment for member, _ in due} - set(known):
            for segment in strangers - segments_of(self._platform.registry, self.destination.key):
                await self._ledger.forget(segment)
        due = [(member, entry) for member, entry in due if member.segment in known]
        profiles = await self._read(sorted({member.profile_id for member, _ in due})) if due else {}
        self._read_at = time.monotonic()
        results = [
            packed(self.destination, known[member.segment], member, entry, profiles.get(member.profile_id))
            for member, entry in due
        ]
        parcels = [result for result in results if isinstance(result, Parcel)]
        self._claimed |= {parcel.member for parcel in parcels}
        self._ready.extend(sorted(parcels, key=lambda parcel: parcel.member.segment))
        await self._settle_unsent([result for result in results if isinstance(result, Settled)])

    async def _settle_unsent(self, settled: Sequence[Settled]) -> None:
        for group in _grouped(settled, lambda one: one.parcel.member.segment):
            verdicts = [Verdict(one.parcel.member.profile_id, one.parcel.entry.sequence, "done") for one in group]
            told = [self._delivery(one.parcel, Dropped(one.reason), attempt=0) for one in group if one.reason]
            await self._write(group[0].parcel.member.segment, verdicts, told)

    def _drop_ready(self) -> None:
        self._claimed -= {parcel.member for parcel in self._ready}
        self._ready.clear()

    # -- fly

    def _launch(self) -> None:
        segment = self._ready[0].member.segment
        parcels: list[Parcel] = []
        while self._ready and len(parcels) < self._batch and self._ready[0].member.segment == segment:
            parcels.append(self._ready.popleft())
        flight = asyncio.create_task(self._fly(parcels), name=f"flight:{self.destination.key}")
        self._flights.add(flight)
        flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self.wake()

    async def _fly(self, parcels: Sequence[Parcel]) -> None:
        try:
            if kept := await self._begin(parcels):
                changes = [parcel.change for parcel in kept]
                batch = Batch(self.destination.key, changes, self._now(), kept[0].sync.audience)
                for item, places in build(self.destination, batch):
                    await self._exchange(item, [kept[place] for place in places])
        except LeaseLostError:
            self._lost = True
        except (CdpError, RedisError, OSError) as error:
            log.warning("flight.broken", destination=self.destination.key, reason=str(error))
            self._breaker.failed(self._now())  # what cannot be noted must not be sent again and again
        except Exception:
            log.exception("flight.failed", destination=self.destination.key)
            self._breaker.failed(self._now())
        finally:
            self._claimed -= {parcel.member for parcel in parcels}

    async def _begin(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        starts = [Start(p.member.profile_id, p.entry.sequence, p.action, p.turns) for p in parcels]
        fresh = await self._ledger.begin(self._token, parcels[0].member.segment, starts, self._now())
        return [parcel for parcel, is_fresh in zip(parcels, fresh, strict=True) if is_fresh]

    async def _exchange(self, item: Request | Outcome, parcels: Sequence[Parcel]) -> None:
        outcomes: Sequence[Outcome]
        if isinstance(item, (Delivered, Retry, Failed, Dropped)):
            outcomes = [item] * len(parcels)
        else:
            await self._rate.turn()
            started = time.perf_counter()
            outcomes, _ = await carry(self.destination, self._transport, item)
            metrics.SECONDS.labels(self.destination.key).observe(time.perf_counter() - started)
            self._judge(outcomes)
        await self._settle(list(zip(parcels, outcomes, strict=True)))
        await self._reporter.show(self.position)

    def _judge(self, outcomes: Sequence[Outcome]) -> None:
        """A request that helped nobody, though nobody was refused, speaks against the destination."""
        retries = [outcome for outcome in outcomes if isinstance(outcome, Retry)]
        if len(retries) < len(outcomes):
            self._breaker.worked()
            return
        waits = [retry.after for retry in retries if retry.after is not None]
        self._breaker.failed(self._now(), max(waits) if waits else None)

    # -- settle

    async def _settle(self, judged: Sequence[Judged]) -> None:
        now = self._now()
        final = [(parcel, self._final(parcel, outcome, now)) for parcel, outcome in judged]
        verdicts = [self._verdict(parcel, outcome, now) for parcel, outcome in final]
        told = [self._delivery(parcel, outcome, attempt=parcel.change.attempt) for parcel, outcome in final]
        self._reporter.heard([outcome for _, outcome in final], now)
        await self._write(final[0][0].member.segment, verdicts, told)

    def _final(self, parcel: Parcel, outcome: Outcome, now: int) -> Outcome:
        """The outcome, but `Failed` for a retry whose time is over."""
        if isinstance(outcome, Retry) and now >= self._deadline(parcel, now):
            return Failed(f"given up after {self._settings.retry_hours:g} h: {outcome.reason}")
        return outcome

    def _deadline(self, parcel: Parcel, now: int) -> int:
        return parcel.first(now) + int(self._settings.retry_hours * HOUR)

    def _verdict(self, parcel: Parcel, outcome: Outcome, now: int) -> Verdict:
        who, sequence = parcel.member.profile_id, parcel.entry.sequence
        match outcome:
            case Delivered():
                return Verdict(who, sequence, "done", there=parcel.action)
            case Dropped():
                return Verdict(who, sequence, "done", there=parcel.entry.there)
            case Failed():
                return Verdict(who, sequence, "failed", there=UNKNOWN)
            case Retry(after=after):
                wait = (after or 0) + backoff(parcel.tries if not after else 1, self._settings, self._rng)
                due = min(now + int(wait * 1000), self._deadline(parcel, now))
                return Verdict(who, sequence, "retry", at=due)

    def _delivery(self, parcel: Parcel, outcome: Outcome, *, attempt: int) -> Delivery:
        change = parcel.change
        return Delivery(
            id=change.id,
            destination=self.destination.key,
            connector=self.destination.connector.name,
            segment=change.segment,
            profile_id=change.profile_id,
            sequence=change.sequence,
            action="add" if parcel.action == ADD else "remove",
            outcome=WORDS[type(outcome)],  # type: ignore[arg-type]
            attempt=attempt,
            at=self._now(),
            reason="" if isinstance(outcome, Delivered) else outcome.reason,
            trace_id=change.trace_id,
        )

    async def _write(self, segment: str, verdicts: Sequence[Verdict], told: Sequence[Delivery]) -> None:
        records = self._reporter.records(told)
        await self._ledger.settle(self._token, segment, verdicts, self._now(), records=records)
        self._reporter.happened(told)


def _grouped(items: Iterable[Any], key: Callable[[Any], str]) -> list[list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
