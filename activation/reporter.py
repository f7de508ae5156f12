"""Tells what a courier did: to the topic `deliveries`, to the destination's status, and to Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from activation import metrics
from activation.ledger import Ledger
from activation.outcomes import Delivered, Outcome
from activation.pace import Position
from cdp.records import Deliveries, Delivery, decode_deliveries, encode, partition_of
from cdp.service import Platform
from cdp.streams.base import Draft
from cdp.topics import DELIVERIES

# Seconds after which figures are counted anew, and moments that changed are written down.
OFTEN = 1.0


class Reporter:
    """Of one destination. `token` is the holder of its lease."""

    def __init__(self, platform: Platform, destination: str, *, ledger: Ledger, token: str) -> None:
        self._log = platform.log
        self._destination = destination
        self._ledger = ledger
        self._token = token
        self._handing = asyncio.Lock()
        self._untold = True  # whoever had the destination before may have left something
        self._facts: dict[str, str | int] = {"holder": token}
        self._shown: tuple[Position, object, bool] | None = None
        self._shown_at = 0.0

    def records(self, deliveries: Iterable[Delivery]) -> list[bytes]:
        """The deliveries as they go onto the log: those of one partition together."""
        count = self._log.partitions(DELIVERIES)
        by_partition: dict[int, list[Delivery]] = {}
        for delivery in deliveries:
            by_partition.setdefault(partition_of(delivery.profile_id, count), []).append(delivery)
        return [encode(Deliveries(group)) for group in by_partition.values()]

    def happened(self, deliveries: Sequence[Delivery]) -> None:
        """These are in the outbox: hand them on at the next turn."""
        self._untold = True
        for delivery in deliveries:
            metrics.OUTCOMES.labels(self._destination, delivery.outcome).inc()

    def heard(self, outcomes: Iterable[Outcome], now: int) -> None:
        """Keep what the destination said last, good or bad."""
        for outcome in outcomes:
            if isinstance(outcome, Delivered):
                self._facts["delivered_at"] = now
            else:
                self._facts |= {"error": outcome.reason, "error_at": now}

    async def hand_on(self) -> None:
        """Put what is in the outbox onto the log. Raises `TransientError` or `LeaseLostError`."""
        async with self._handing:
            if not (self._untold or self._is_time()):
                return
            self._untold = False
            if waiting := await self._ledger.outgoing():
                self._untold = True
                await self._log.append([self._draft(value) for value in waiting])
                await self._ledger.handed_on(self._token, len(waiting))
                self._untold = False

    async def show(self, position: Position) -> None:
        """Write down what changed (moments alone: not more than once a second), and count who waits."""
        metrics.BREAKER.labels(self._destination).set(metrics.POSITIONS[position])
        shown = (position, self._facts.get("error"), "delivered_at" in self._facts)
        if shown == self._shown and not self._is_time():
            return
        self._shown, self._shown_at = shown, time.monotonic()
        await self._ledger.note({**self._facts, "breaker": position})
        metrics.PENDING.labels(self._destination).set((await self._ledger.standing()).pending)

    def _is_time(self) -> bool:
        return time.monotonic() - self._shown_at > OFTEN

    def _draft(self, value: bytes) -> Draft:
        told = decode_deliveries(value).deliveries
        partition = partition_of(told[0].profile_id, self._log.partitions(DELIVERIES))
        return Draft(DELIVERIES.name, partition, value, records=len(told))
