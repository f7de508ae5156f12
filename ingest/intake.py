"""The intake: the one way from a door to the log. Events of one source, judged alone, durable when `take` returns.

door (tracking API, pixel, webhook, file …) ─► Opened ─► judge ─► inspect ─┬─► events.raw ─────────┐
                                                                          ├─► events.quarantined ─┼─► Taken
                                                                          └─► plans.violated ─────┘
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from cdp.service import Platform
from cdp.streams.base import Draft
from ingest.enrichment.places import places
from ingest.envelopes import (
    Partitions,
    Receipt,
    quarantine_drafts,
    quarantined,
    raw_batches,
    results,
    seen_from,
    violation_drafts,
)
from ingest.group_commit import GroupCommit
from ingest.identities import SignedIdentities
from ingest.limits import Rates, Standing
from ingest.metrics import FIGURES
from ingest.plans.inspection import plans_of
from ingest.source import Source
from ingest.sources.segment import Limits, Opened, Reading, SegmentReader

NONE: Sequence[Any] = ()


class Taken(NamedTuple):
    """What became of the events: how many were accepted, and of each other one why not (see `envelopes.results`).

    `standing` tells how the write key stands where it has a limit.
    """

    accepted: int
    results: Sequence[dict[str, Any]]
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
        """Without `rates` it takes whatever comes: an operator's files are nobody's flood.

        Every event is held to its source's rules of identity and tracking plan, then to the `inspections`.
        """
        self.reader = SegmentReader(Limits.of(platform.settings.collector))
        self._log = GroupCommit(platform.log)
        self._partitions = Partitions.of(platform.log)
        first: tuple[Inspection, ...] = (SignedIdentities(platform.clock.now), plans_of(platform.registry))
        self._inspections = (*first, *inspections)
        self._rates = rates
        self._places = places(platform.settings.enrichment.geo_file, platform.settings.data_dir)

    @property
    def trouble(self) -> str:
        """Why the log did not take what was brought last; empty when it did."""
        return self._log.trouble

    async def take(self, source: Source, opened: Opened, receipt: Receipt) -> Taken:
        """Judge each event, and return once those accepted and those set aside are durable.

        Raises `TransientError` when the log does not take them: the sender must come again; `RateLimitedError` when
        the write key brings too many.
        """
        standing = None
        if source.limit is not None and self._rates is not None:
            events = len(opened.events or opened.pieces)
            standing = self._rates.spend(source.key, source.write_key, source.limit, events)
        if receipt.ip is not None:
            receipt = seen_from(receipt, source.body.enrichment, self._places)
        reading = self.reader.read(opened)
        if opened.vouched:
            for _, event in reading.accepted:
                event.verified = True
        for inspection in self._inspections:
            if inspection.wanted(source):
                reading = inspection.inspect(source, opened, reading)
        taken = reading.accepted
        batches = raw_batches(taken, opened, receipt, self._partitions.raw)
        results, drafts = self._set_aside(source, reading, opened, receipt) if reading.is_mixed else (NONE, NONE)
        if batches or drafts:
            error = await self._log.append(source.key, batches, drafts, size=opened.size)
            if error is not None:
                raise error
        FIGURES.events[source.key, "accepted"] += len(taken)
        return Taken(len(taken), results, standing)

    def _set_aside(
        self, source: Source, reading: Reading, opened: Opened, receipt: Receipt
    ) -> tuple[Sequence[dict[str, Any]], list[Draft]]:
        """What the sender is told of events that were not accepted, and what goes to the log of them."""
        kept = [fault for fault in reading.faults if fault.status == "quarantined"]
        aside = quarantined(kept, opened, receipt) if kept else []
        drafts = list(quarantine_drafts(aside, [fault.key for fault in kept], self._partitions.quarantined))
        if reading.remarks:
            drafts += violation_drafts(reading.remarks, receipt, self._partitions.violated)
        FIGURES.events[source.key, "quarantined"] += len(aside)
        FIGURES.events[source.key, "blocked"] += len(reading.faults) - len(kept)
        for remark in reading.remarks:
            FIGURES.violations[source.key, remark.mode] += 1
        return results(aside, reading.faults), drafts
