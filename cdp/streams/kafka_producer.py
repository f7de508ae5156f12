"""Appends to Kafka: durable on all in-sync replicas, without duplicates by retries, and never waiting for ever.

    drafts ─► lane of the partition ─► one batch at a time, of whatever has gathered ─► offsets

While a batch is under way the next one gathers, so many appends share one; a lone append waits for nobody.

An idempotent producer numbers its batches. One that failed leaves a gap that the broker answers with errors from then
on, and one that waits for a broker which is away never gives up. So after any failure, and after a batch that took too
long, the producer is thrown away and the next append makes a new one.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from cdp.clock import Clock
from cdp.errors import CdpError, PermanentError, TransientError
from cdp.streams.base import LARGEST, Draft, Partition, Trouble
from cdp.streams.kafka_client import Cluster, ask, end, unavailable

# A batch of several messages stays below what a topic takes by default.
BATCH_BYTES = 900_000
# Most bytes under way at once, since a broker refuses requests above 100 MB, and waiting in the lanes.
SENDING_BYTES = 64_000_000
WAITING_BYTES = 256_000_000
# Seconds after a failed attempt to connect in which no other is made.
PAUSE = 0.5


class Parcel:
    """A draft on its way; `outcome` becomes its offset or an error."""

    __slots__ = ("abandoned", "draft", "outcome", "timestamp")

    def __init__(self, draft: Draft, timestamp: int) -> None:
        self.draft = draft
        self.timestamp = timestamp
        self.abandoned = False
        self.outcome: asyncio.Future[int | Exception] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: int | Exception) -> None:
        """Tell whoever waits."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Producer:
    """All appends of this process."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lanes: dict[Partition, deque[Parcel]] = {}
        self._drivers: dict[Partition, asyncio.Task[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._producer: Any = None
        self._connecting = asyncio.Lock()
        self._failed: tuple[float, TransientError] | None = None
        self._waiting = 0
        self._sending = 0
        self._room = asyncio.Event()
        self._closed = False
        self.trouble = Trouble()

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Append all, and return their offsets. Raises `TransientError` or `PermanentError`."""
        size = sum(len(draft.value) for draft in drafts)
        if self._closed:
            raise TransientError("The log is closed.")
        if self._waiting and self._waiting + size > WAITING_BYTES:
            raise TransientError("Kafka cannot keep up.", retry_after=1)
        now = self._clock.now()
        parcels = [Parcel(draft, now) for draft in drafts]
        self._waiting += size
        for parcel in parcels:
            self._enqueue(parcel)
        try:
            async with asyncio.timeout(self._cluster.timeout):
                outcomes = [await parcel.outcome for parcel in parcels]
        except TimeoutError as error:
            failure = unavailable(error, "appending")
            self.trouble.note(failure.message)
            raise failure from error
        finally:
            self._waiting -= size
            for parcel in parcels:
                parcel.abandoned = True
        return [_offset(outcome) for outcome in outcomes]

    async def close(self, *, timeout: float = 5.0) -> None:
        """Finish what is under way within `timeout` seconds, then let go."""
        self._closed = True
        drivers = set(self._drivers.values())
        if drivers:
            _, late = await asyncio.wait(drivers, timeout=timeout)
            for driver in late:
                driver.cancel()
        self._discard(self._producer)
        if self._endings:
            await asyncio.wait(self._endings)

    def _enqueue(self, parcel: Parcel) -> None:
        key = Partition(parcel.draft.topic, parcel.draft.partition)
        self._lanes.setdefault(key, deque()).append(parcel)
        if key not in self._drivers:
            self._drivers[key] = asyncio.create_task(self._drive(key), name=f"log:{key.topic}:{key.number}")

    async def _drive(self, key: Partition) -> None:
        lane = self._lanes[key]
        try:
            while lane:
                await self._send_next(key, lane)
        finally:
            settle(lane, TransientError("The log was closed."))
            del self._drivers[key], self._lanes[key]

    async def _send_next(self, key: Partition, lane: deque[Parcel]) -> None:
        try:
            producer = await self._connected()
        except TransientError as error:
            settle(lane, error)
            lane.clear()
            return
        parcels, builder = load(producer.create_batch(), lane)
        if not parcels:
            return
        try:
            settle(parcels, await self._send(producer, key, builder, builder.size()))
            self.trouble.note("")
        except Exception as error:
            settle(parcels, self._failure(error, builder.size()))
            self._discard(producer)
        except asyncio.CancelledError:
            settle(parcels, TransientError("The log was closed."))
            raise

    async def _send(self, producer: Any, key: Partition, builder: Any, size: int) -> int:
        async with asyncio.timeout(self._cluster.timeout):
            while self._sending and self._sending + size > SENDING_BYTES:
                self._room.clear()
                await self._room.wait()
            self._sending += size
            try:
                sent = await producer.send_batch(builder, self._cluster.name(key.topic), partition=key.number)
                offset: int = (await sent).offset
            finally:
                self._sending -= size
                self._room.set()
        if offset < 0:  # the broker has it from an earlier attempt and no longer knows where
            raise TransientError("Kafka has stored a batch twice sent, but does not say where.")
        return offset

    def _failure(self, error: Exception, size: int) -> CdpError:
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            return PermanentError(
                f"Kafka refuses a batch of {size} bytes: raise the topic's max.message.bytes to {LARGEST}, or split it."
            )
        failure = error if isinstance(error, CdpError) else unavailable(error, "appending")
        self.trouble.note(failure.message)
        return failure

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._producer is None:
                loop = asyncio.get_running_loop()
                if self._failed and loop.time() - self._failed[0] < PAUSE:
                    raise self._failed[1]
                try:
                    self._producer = await self._connect()
                except TransientError as error:
                    self._failed = loop.time(), error
                    self.trouble.note(error.message)
                    raise
            return self._producer

    async def _connect(self) -> Any:
        timeout = self._cluster.timeout
        producer = AIOKafkaProducer(
            bootstrap_servers=self._cluster.bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            max_batch_size=BATCH_BYTES,
            max_request_size=LARGEST,
            request_timeout_ms=int(timeout * 1000),
        )
        try:
            await ask(producer.start(), timeout, "connecting")
        except BaseException:
            self._discard(producer)
            raise
        return producer

    def _discard(self, producer: Any) -> None:
        if producer is None:
            return
        if self._producer is producer:
            self._producer = None
        ending = asyncio.create_task(end(producer), name="log:producer-end")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)


def load(builder: Any, lane: deque[Parcel]) -> tuple[list[Parcel], Any]:
    """Move parcels from the lane into the batch while they fit."""
    parcels: list[Parcel] = []
    while lane:
        parcel = lane[0]
        if not parcel.abandoned:
            draft = parcel.draft
            if builder.append(timestamp=parcel.timestamp, key=None, value=draft.value, headers=headers(draft)) is None:
                break
            parcels.append(parcel)
        lane.popleft()
    return parcels, builder


def headers(draft: Draft) -> list[tuple[str, bytes]]:
    """What is known of the value without decoding it; the default is left out."""
    found = [] if draft.records == 1 else [("records", b"%d" % draft.records)]
    return [*found, ("source", draft.source.encode())] if draft.source else found


def settle(parcels: Sequence[Parcel] | deque[Parcel], outcome: int | Exception) -> None:
    """Tell all who wait for these parcels: an error, or the first one's offset."""
    for index, parcel in enumerate(parcels):
        parcel.settle(outcome if isinstance(outcome, Exception) else outcome + index)


def _offset(outcome: int | Exception) -> int:
    if isinstance(outcome, Exception):
        raise copy.copy(outcome)  # several may wait for the same one, and each raise adds to its traceback
    return outcome
