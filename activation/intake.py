"""Reads the segments' changes and writes them into the ledgers of the destinations that want them.

Each ledger takes a change by its sequence number, so a repetition after a crash, or out of turn, changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from activation.destinations import syncs
from activation.ledger import Ledger, Wish
from cdp.records import SegmentChange, decode_segments
from cdp.service import Platform
from cdp.streams.base import Message, Partition
from cdp.topics import SEGMENTS_CHANGES, Topic

log = structlog.get_logger(__name__)

GROUP = "dispatcher"


class Intake:
    """The handler of the group `dispatcher`. `wake` is told the key of each destination that got something to do."""

    group = GROUP
    topics: Sequence[Topic] = (SEGMENTS_CHANGES,)

    def __init__(self, platform: Platform, *, wake: Callable[[str], None] = lambda destination: None) -> None:
        self._platform = platform
        self._wake = wake

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Start where the group committed."""
        return {}

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Nothing is held."""

    async def handle(self, messages: Sequence[Message]) -> None:
        """Wish, at each destination of the segment. Raises redis errors when the state is away."""
        wishes: dict[str, list[Wish]] = defaultdict(list)
        for change in _changes(messages):
            wishes[change.segment].append(_wish(change))
        for sync in syncs(self._platform.registry):
            if sync.segment in wishes:
                ledger = Ledger(self._platform.state, self._platform.settings.state.prefix, sync.destination)
                await ledger.desire(sync.segment, wishes[sync.segment], self._platform.clock.now())
                self._wake(sync.destination)


def _changes(messages: Sequence[Message]) -> list[SegmentChange]:
    found: list[SegmentChange] = []
    for message in messages:
        try:
            found += decode_segments(message.value).changes
        except msgspec.MsgspecError as error:
            # The segmenter's own mistake; the members concerned are found by the next reconciliation.
            log.error("changes.unreadable", partition=message.partition, offset=message.offset, reason=str(error))
    return found


def _wish(change: SegmentChange) -> Wish:
    action = "add" if change.change == "entered" else "remove"
    return Wish(change.profile_id, action, change.sequence, change.at, change.trace_id)  # type: ignore[arg-type]
