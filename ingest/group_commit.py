"""Group commit: what many requests bring goes to the log in one append, and each waits until that is durable.

    requests ─► waiting ─► one append, one message a source and partition ─► all of them are answered

A request that comes alone leaves at once. While appends are under way others gather, so the busier the collector, the
less an event costs, and no timer makes anybody wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

import structlog

from cdp.errors import CdpError
from cdp.records import RawBatch, encode
from cdp.streams.base import Draft, Log
from cdp.topics import EVENTS_RAW
from ingest.metrics import FIGURES

log = structlog.get_logger(__name__)

# Appends under way at the same time: one waits for the disk or the broker while the next is made ready.
MOST_UNDER_WAY = 2
# About how large a message becomes that gathers several requests.
MESSAGE_BYTES = 1_000_000

Place = tuple[str, int]


class Parcel:
    """What waits for one message: batches of one source and partition, and about how many bytes they are."""

    __slots__ = ("batches", "events", "size")

    def __init__(self) -> None:
        self.batches: list[RawBatch] = []
        self.events = 0
        self.size = 0


class GroupCommit:
    """Gathers appends. `trouble` says why the last one failed; empty when it did not."""

    def __init__(self, log: Log) -> None:
        self.trouble = ""
        self._log = log
        self._parcels: dict[Place, Parcel] = {}
        self._full: list[Draft] = []
        self._waiting: list[asyncio.Future[CdpError | None]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._called = False

    def append(
        self, source: str, batches: Sequence[tuple[int, RawBatch]], others: Sequence[Draft] = (), *, size: int = 0
    ) -> asyncio.Future[CdpError | None]:
        """Take the batches (each with its partition of events.raw) and the other drafts along.

        Returns what tells, once all of them are durable, None; or the error that `Log.append` raised. `size`: about how
        many bytes the batches are.
        """
        for partition, batch in batches:
            place = (source, partition)
            parcel = self._parcels.get(place)
            if parcel is None:
                parcel = self._parcels[place] = Parcel()
            parcel.batches.append(batch)
            parcel.events += len(batch.events)
            parcel.size += size
            if parcel.size > MESSAGE_BYTES:
                self._full.append(_message(place, self._parcels.pop(place)))
        self._full += others
        loop = asyncio.get_running_loop()
        future: asyncio.Future[CdpError | None] = loop.create_future()
        self._waiting.append(future)
        if not self._called and len(self._under_way) < MOST_UNDER_WAY:
            self._called = True
            loop.call_soon(self._leave)
        return future

    def _leave(self) -> None:
        """Append what has gathered. Called once the requests that are ready in this turn of the loop have been read."""
        self._called = False
        drafts = [*self._full, *_messages(self._parcels)]
        waiting, self._waiting, self._full, self._parcels = self._waiting, [], [], {}
        task = asyncio.get_running_loop().create_task(self._append(drafts, waiting))
        self._under_way.add(task)
        task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting and not self._called:
            self._leave()

    async def _append(self, drafts: list[Draft], waiting: list[asyncio.Future[CdpError | None]]) -> None:
        begun = time.perf_counter()
        error: CdpError | None = CdpError("The append was given up.")
        try:
            await self._log.append(drafts)
            error = None
            FIGURES.appended(time.perf_counter() - begun)
        except CdpError as failure:
            error = failure
            log.warning("collector.not_durable", reason=failure.message)
        except Exception as failure:
            log.exception("collector.append_failed")
            error = CdpError(str(failure))
        finally:
            self.trouble = error.message if error else ""
            for future in waiting:
                if not future.done():
                    future.set_result(error)


def _messages(parcels: dict[Place, Parcel]) -> Iterator[Draft]:
    for place, parcel in parcels.items():
        yield _message(place, parcel)


def _message(place: Place, parcel: Parcel) -> Draft:
    source, partition = place
    batches = parcel.batches
    value = encode(batches[0] if len(batches) == 1 else batches)
    return Draft(EVENTS_RAW.name, partition, value, parcel.events, source)
