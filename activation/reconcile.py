"""Compares a destination's ledger with the warehouse: who should be there by the segments' history.

The same comparison is the initial sync of a new sync, the periodic repair, and the way back after the state was lost:
the newest change of each profile is wished again, and the ledger takes what it does not know. What it has never heard
of is filled in from the recorded deliveries, so nobody is sent twice and everybody who must leave does.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from redis.exceptions import RedisError

from activation.destinations import Destination, Sync, syncs
from activation.ledger import ABSENT, PRESENT, UNKNOWN, Ledger, Wish
from cdp.clock import DAY, HOUR, to_decimal
from cdp.errors import CdpError
from cdp.service import Platform
from cdp.topics import SEGMENTS_CHANGES, Topic
from cdp.warehouse.sql import load

log = structlog.get_logger(__name__)

QUERIES = load("activation")
PAGE = 5_000
ZERO = "00000000-0000-0000-0000-000000000000"
# Seconds between looks whether a comparison is due, and the longest wait for the loader to have caught up.
LOOK = 5.0
PATIENCE = 60.0
# How long a member who left is remembered, so that a late repetition of an older change counts for nothing.
MEMORY = 30 * DAY


class Difference(NamedTuple):
    """What a comparison found: profiles with a history in the segments, and how many of them now wait to be sent."""

    checked: int
    enqueued: int


class Reconciler:
    """Keeps the ledger of one destination equal to the warehouse. `wake` is called when members became due."""

    def __init__(
        self, platform: Platform, destination: Destination, ledger: Ledger, *, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._platform = platform
        self._destination = destination
        self._ledger = ledger
        self._wake = wake
        self._look = asyncio.Event()

    def look(self) -> None:
        """A sync may be new or changed."""
        self._look.set()

    async def run(self) -> None:
        """Compare what is due for it, for as long as nobody cancels."""
        while True:
            try:
                await self.turn()
            except (CdpError, RedisError, OSError) as error:
                log.warning("reconcile.waits", destination=self._destination.key, reason=str(error))
            except Exception:
                log.exception("reconcile.failed", destination=self._destination.key)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._look.wait()
            self._look.clear()

    async def turn(self) -> None:
        """Compare each sync that is new, was changed, or was compared too long ago.

        A new sync is compared twice: at once, and when the loader has stored every change that this process read
        before it knew of the sync.
        """
        done = await self._ledger.synced()
        oldest = self._platform.clock.now() - int(self._platform.settings.activation.reconcile_hours * HOUR)
        for sync in self._syncs():
            version, at = done.get(sync.segment, (-1, 0))
            if version == sync.version and at > oldest:
                continue
            ends = await self._platform.log.end_offsets(SEGMENTS_CHANGES)
            await self.compare(sync)
            if version != sync.version:
                await self._loaded(SEGMENTS_CHANGES, ends)
                await self.compare(sync)
            now = self._platform.clock.now()
            await self._ledger.tidy(sync.segment, now - MEMORY)
            await self._ledger.mark_synced(sync.segment, sync.version, now)

    async def compare_all(self) -> Difference:
        """Compare every sync now."""
        found = [await self.compare(sync) for sync in self._syncs()]
        return Difference(sum(one.checked for one in found), sum(one.enqueued for one in found))

    async def compare(self, sync: Sync) -> Difference:
        """Compare one sync now."""
        checked = enqueued = 0
        after = ZERO
        while True:
            wishes = await self._page(sync.segment, after)
            if not wishes:
                break
            checked += len(wishes)
            enqueued += await self._ledger.desire(sync.segment, wishes, self._platform.clock.now())
            after = wishes[-1].profile_id
            self._wake()
        if self._destination.purposes or self._destination.connector.capabilities.identifiers or not sync.sure:
            await self._ledger.review(sync.segment, self._platform.clock.now())
        log.info("sync.compared", sync=sync.key, checked=checked, enqueued=enqueued)
        return Difference(checked, enqueued)

    def _syncs(self) -> list[Sync]:
        return syncs(self._platform.registry, destination=self._destination.key)

    async def _page(self, segment: str, after: str) -> list[Wish]:
        warehouse = self._platform.warehouse
        asked: dict[str, Any] = {"segment": segment, "after": after, "limit": PAGE}
        rows = await warehouse.rows(QUERIES["memberships"], asked)
        if not rows:
            return []
        asked |= {
            "destination": self._destination.key,
            "first": rows[0][0],
            "last": rows[-1][0],
            "since": to_decimal(self._destination.created_at),
        }
        there = {profile: _there(*said) for profile, *said in await warehouse.rows(QUERIES["acknowledged"], asked)}
        return [
            Wish(
                profile,
                "add" if change == "entered" else "remove",
                sequence,
                at,
                trace_id,
                there.get(profile, ABSENT),
            )
            for profile, change, sequence, at, trace_id in rows
        ]

    async def _loaded(self, topic: Topic, ends: dict[int, int]) -> None:
        """Wait until the loader has stored what lies before these offsets, but not for ever."""
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(CdpError):
            while time.monotonic() < until:
                committed = await self._platform.log.committed("loader", topic)
                if all(committed.get(number, 0) >= end for number, end in ends.items()):
                    return
                await asyncio.sleep(0.2)


def _there(action: str, outcome: str) -> int:
    if outcome != "delivered":
        return UNKNOWN
    return PRESENT if action == "add" else ABSENT
