"""The intake: the one way from a door to the log. Events of one source, judged alone, durable when `take` returns.

door (tracking API, pixel, webhook, file …) ─► Opened ─► judge ─► inspect ─┬─► events.raw ─────────┐
                                                                          ├─► events.quarantined ─┼─► Taken
                                                                          └─► plans.violated ─────┘
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import structlog

from cdp.errors import CdpError
from cdp.service import Platform
from cdp.streams.base import Draft
from ingest.envelopes import (
    Partitions,
    Receipt,
    quarantine_drafts,
    quarantined,
    raw_drafts,
    results,
    violation_drafts,
)
from ingest.limits import Rates, Standing
from ingest.metrics import FIGURES
from ingest.source import Source
from ingest.sources.segment import Limits, Opened, Reading, SegmentReader

log = structlog.get_logger(__name__)


class Taken(NamedTuple):
    """What became of the events: how many were accepted, and of each other one why not (see `envelopes.results`).

    `standing` tells how the write key stands where it has a limit.
    """

    accepted: int
    results: list[dict[str, Any]]
    standing: Standing | None = None


class Inspection(Protocol):
    """Looks at accepted events of sources that ask for it; what it objects to becomes a fault."""

    def wanted(self, source: Source) -> bool:
        """Whether the source asks for it. Cheap: asked for each request."""
        ...

    def inspect(self, source: Source, opened: Opened, reading: Reading) -> Reading:
        """The reading, with objections among its faults (`Reading.places` tells where accepted events stood)."""
        ...


class Intake:
    """Takes events of any door."""

    def __init__(self, platform: Platform, inspections: Sequence[Inspection] = (), rates: Rates | None = None) -> None:
        """Without `rates` it takes whatever comes: an operator's files are nobody's flood."""
        self.reader = SegmentReader(Limits.of(platform.settings.collector))
        self.trouble = ""
        self._log = platform.log
        self._partitions = Partitions.of(platform.log)
        self._inspections = tuple(inspections)
        self._rates = rates

    async def take(self, source: Source, opened: Opened, receipt: Receipt) -> Taken:
        """Judge each event, and return once those accepted and those set aside are durable.

        Raises `TransientError` when the log does not take them: the sender must come again; `RateLimitedError` when
        the write key brings too many.
        """
        standing = None
        if source.limit is not None and self._rates is not None:
            events = len(opened.events or opened.pieces)
            standing = self._rates.spend(source.key, source.write_key, source.limit, events)
        reading = self.reader.read(opened)
        for inspection in self._inspections:
            if inspection.wanted(source):
                reading = inspection.inspect(source, opened, reading)
        drafts = list(raw_drafts(reading.accepted, opened, receipt, self._partitions))
        kept = [fault for fault in reading.faults if fault.status == "quarantined"]
        aside = quarantined(kept, opened, receipt) if kept else []
        if aside:
            drafts += quarantine_drafts(aside, [fault.key for fault in kept], self._partitions.quarantined)
        if reading.remarks:
            drafts += violation_drafts(reading.remarks, receipt, self._partitions.violated)
        if drafts:
            await self._append(drafts)
        FIGURES.events[source.key, "accepted"] += len(reading.accepted)
        FIGURES.events[source.key, "quarantined"] += len(aside)
        if len(kept) < len(reading.faults):
            FIGURES.events[source.key, "blocked"] += len(reading.faults) - len(kept)
        for remark in reading.remarks:
            FIGURES.violations[source.key, remark.mode] += 1
        return Taken(len(reading.accepted), results(aside, reading.faults) if reading.faults else [], standing)

    async def _append(self, drafts: list[Draft]) -> None:
        start = time.perf_counter()
        try:
            await self._log.append(drafts)
        except CdpError as error:
            self.trouble = error.message
            log.warning("intake.not_durable", reason=error.message)
            raise
        self.trouble = ""
        FIGURES.appended(time.perf_counter() - start)
