"""The wing's door: the segmenter as a role, and the routes."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from cdp.errors import TransientError
from cdp.service import Health, Offer, Platform, Wing
from cdp.topics import PROFILES_TOUCHED
from cdp.worker import Worker
from segments.routes import router
from segments.segmenter import Segmenter

log = structlog.get_logger(__name__)


class SegmenterRole:
    """The worker that evaluates who was touched, and beside it the ticking that does what time brings."""

    name = "segmenter"

    def __init__(self, platform: Platform) -> None:
        settings = platform.settings.segments
        self._segmenter = Segmenter(platform)
        self._worker = Worker(platform.log, self._segmenter, limit=settings.batch_profiles)
        self._tick_seconds = settings.tick_seconds
        self._stopping = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._trouble = ""

    async def start(self) -> None:
        """Join the group and begin."""
        await self._worker.start()
        self._ticking = asyncio.create_task(self._tick(), name="segmenter:tick")

    async def stop(self) -> None:
        """Finish the pass under way, then leave the group."""
        self._stopping.set()
        if self._ticking is not None:
            await self._ticking
        await self._worker.stop()

    def health(self) -> Health:
        """Red while touches or timers cannot be worked on."""
        ok, detail, _ = self._worker.health()
        if ok and self._ticking is not None and self._ticking.done():
            ok, detail = False, "stopped ticking unexpectedly: see the log"
        if ok and self._trouble:
            ok, detail = False, self._trouble
        return Health(ok, detail, self._segmenter.figures())

    async def _tick(self) -> None:
        while not self._stopping.is_set():
            wait = self._tick_seconds
            try:
                while await self._segmenter.turn() and not self._stopping.is_set():
                    pass
                self._trouble = ""
            except TransientError as error:
                self._trouble, wait = error.message, error.retry_after
                log.warning("segmenter.waits", seconds=wait, reason=error.message)
            except Exception as error:
                self._trouble, wait = f"{type(error).__name__}: {error}", 1.0
                log.exception("segmenter.failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()


WING = Wing(
    "segments",
    roles={"segmenter": Offer(SegmenterRole, needs=frozenset({"state", "warehouse"}), reads=(PROFILES_TOUCHED,))},
    router=router,
)
