"""The role `dispatcher`: writes segment changes into the ledgers, and keeps a courier for each destination it holds.

    segments.changes ─► Intake ─► ledger ─► Post (lease, courier, reconciler), one a destination ─► deliveries

Several dispatchers share the destinations. Each destination works in tasks of its own, so one that is dead delays no
other.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError

from activation import metrics
from activation.courier import Courier, ReadProfiles
from activation.destinations import DESTINATION, SYNC, Definitions, Destination
from activation.intake import Intake
from activation.leases import Lease, Presence, preferred
from activation.ledger import LeaseLostError, Ledger
from activation.reconcile import Reconciler
from activation.transports import open_transport
from activation.transports.base import Transport
from cdp import profiles
from cdp.errors import CdpError
from cdp.profiles import Profile
from cdp.registry import Entry
from cdp.service import Health, Platform
from cdp.traits import rules_of
from cdp.vault import open_vault
from cdp.worker import Worker

log = structlog.get_logger(__name__)

# Seconds that a lease lasts unless renewed; it is renewed three times as often.
LEASE = 6.0
# Seconds that requests under way are given at a stop.
CLOSING = 8.0

OpenTransport = Callable[[Destination], Transport[Any]]


class Post:
    """One destination, for as long as this dispatcher should have it."""

    def __init__(
        self,
        platform: Platform,
        definitions: Definitions,
        entry: Entry,
        *,
        token: str,
        open_transport: OpenTransport,
        read: ReadProfiles,
        lease_seconds: float = LEASE,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.version = entry.version
        self.courier: Courier | None = None
        self.trouble = ""
        self._reconciler: Reconciler | None = None
        self._key = entry.key
        self._platform = platform
        self._definitions = definitions
        self._token = token
        self._open_transport = open_transport
        self._read = read
        self._ledger = Ledger(platform.state, platform.settings.state.prefix, entry.key)
        self._lease = Lease(platform.state, self._ledger.lease_key, token, lease_seconds)
        self._renewal = lease_seconds / 3
        self._leaving = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"post:{entry.key}")
        self._task.add_done_callback(lambda task: ended())

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._task.done()

    def leave(self) -> None:
        """Finish what is under way and give the destination back."""
        self._leaving.set()

    def look(self) -> None:
        """A sync may be new or changed."""
        if self._reconciler is not None:
            self._reconciler.look()

    async def left(self) -> None:
        """Wait until it is given back."""
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._leaving.is_set():
            try:
                if await self._lease.hold():
                    await self._serve()
                self.trouble = ""
            except (CdpError, RedisError, OSError) as error:
                await self._note_trouble(str(error) or type(error).__name__)
            except Exception as error:
                log.exception("post.failed", destination=self._key)
                await self._note_trouble(type(error).__name__)
            await _set_within(self._leaving, self._renewal)
        with contextlib.suppress(RedisError, OSError):
            await self._lease.release()
        metrics.retire(self._key)

    async def _serve(self) -> None:
        """Serve the destination until told to leave, or until the lease is lost."""
        destination = self._definitions.destination(self._key)
        self.courier = courier = Courier(
            self._platform,
            destination,
            ledger=self._ledger,
            token=self._token,
            transport=self._open_transport(destination),
            read=self._read,
        )
        self._reconciler = reconciler = Reconciler(self._platform, destination, self._ledger, wake=courier.wake)
        log.info("destination.taken", destination=self._key)
        tasks = [
            asyncio.create_task(work, name=f"{name}:{self._key}")
            for name, work in (
                ("courier", courier.run()),
                ("reconciler", reconciler.run()),
                ("lease", self._renew()),
                ("leave", self._leaving.wait()),
            )
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._leaving.is_set():
                await courier.stop(CLOSING)
            else:
                log.warning("destination.lost", destination=self._key)
        finally:
            await courier.abort()
            self.courier = self._reconciler = None
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception) and not isinstance(end, LeaseLostError):
                    log.error("post.task_failed", destination=self._key, reason=f"{type(end).__name__}: {end}")

    async def _renew(self) -> None:
        """Returns when the lease is lost, or could not be renewed until it ran out."""
        loop = asyncio.get_running_loop()
        good_until = loop.time() + 3 * self._renewal
        while loop.time() < good_until:
            await asyncio.sleep(self._renewal)
            asked = loop.time()
            try:
                if not await self._lease.hold():
                    return
                good_until = asked + 3 * self._renewal
            except (RedisError, OSError) as error:
                log.warning("lease.not_renewed", destination=self._key, reason=str(error))

    async def _note_trouble(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("post.waits", destination=self._key, reason=trouble)
        self.trouble = trouble
        with contextlib.suppress(RedisError, OSError):
            await self._ledger.note({"error": trouble, "error_at": self._platform.clock.now()})


class Dispatcher:
    """The role."""

    name = "dispatcher"

    def __init__(
        self,
        platform: Platform,
        *,
        transport: OpenTransport | None = None,
        read: ReadProfiles | None = None,
        lease_seconds: float = LEASE,
    ) -> None:
        """`transport` and `read` stand in for the real transports and profiles in tests."""
        settings = platform.settings
        token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._platform = platform
        self._definitions = Definitions(platform.registry, open_vault(settings))
        self._worker = Worker(platform.log, Intake(platform, wake=self._wake_courier))
        self._presence = Presence(platform.state, settings.state.prefix, token, lease_seconds)
        self._open_transport = transport or (
            lambda destination: open_transport(destination.connector.transport, settings, platform.clock)
        )
        self._read = read or functools.partial(sure_people, platform)
        self._lease_seconds = lease_seconds
        self._posts: dict[str, Post] = {}
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""

    async def start(self) -> None:
        """Read segment changes, and take what destinations are ours."""
        self._platform.registry.watch(self._registry_changed)
        await self._worker.start()
        self._task = asyncio.create_task(self._share(), name="dispatcher")

    async def stop(self) -> None:
        """Finish what is under way, hand it on, and give all destinations back."""
        self._stopping.set()
        self._changed.set()
        await self._worker.stop()
        if self._task is not None:
            await asyncio.wait([self._task])
        for post in self._posts.values():
            post.leave()
        await asyncio.gather(*(post.left() for post in self._posts.values()))
        with contextlib.suppress(RedisError, OSError):
            await self._presence.leave()

    def health(self) -> Health:
        """Red when segment changes cannot be read or destinations cannot be shared out.

        A destination that is away is the destination's trouble: it shows in its status and in the figures here.
        """
        worker = self._worker.health()
        open_ = sum(post.courier is not None and post.courier.position == "open" for post in self._posts.values())
        figures = {"destinations": float(len(self._posts)), "breakers_open": float(open_)}
        running = self._task is not None and not self._task.done()
        detail = worker.detail or self._trouble or ("" if running else "not running")
        return Health(worker.ok and running and not self._trouble, detail, figures)

    def _wake_courier(self, destination: str) -> None:
        post = self._posts.get(destination)
        if post is not None and post.courier is not None:
            post.courier.wake()

    def _registry_changed(self, kind: str, key: str, entry: Entry | None) -> None:
        if kind == DESTINATION:
            self._changed.set()
        elif kind == SYNC:
            for post in self._posts.values():
                post.look()

    async def _share(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._take_posts()
                self._trouble = ""
            except (RedisError, OSError) as error:
                self._trouble = f"the state is away: {error}"
                log.warning("dispatcher.waits", reason=self._trouble)
            await _set_within(self._changed, self._lease_seconds / 3)
            self._changed.clear()

    async def _take_posts(self) -> None:
        """Take what should be ours and give back what should not, or was defined anew."""
        living = await self._presence.attend()
        ours = {
            entry.key: entry
            for entry in self._platform.registry.all(DESTINATION)
            if entry.body.get("enabled", True) and preferred(entry.key, living) == self._presence.token
        }
        for key, post in list(self._posts.items()):
            if key not in ours or ours[key].version != post.version:
                post.leave()
            if post.ended:
                del self._posts[key]
                await self._forget_deleted(key)
        for key, entry in ours.items():
            if key not in self._posts:
                self._posts[key] = self._post(entry)

    async def _forget_deleted(self, key: str) -> None:
        if self._platform.registry.find(DESTINATION, key) is None:
            await Ledger(self._platform.state, self._platform.settings.state.prefix, key).forget_all()

    def _post(self, entry: Entry) -> Post:
        return Post(
            self._platform,
            self._definitions,
            entry,
            token=self._presence.token,
            open_transport=self._open_transport,
            read=self._read,
            lease_seconds=self._lease_seconds,
            ended=self._changed.set,
        )


async def sure_people(platform: Platform, profile_ids: Sequence[str]) -> dict[str, Profile]:
    """What may be known of members: who they surely are, under the rules of traits in force."""
    return await profiles.read_sure(platform.warehouse, profile_ids, rules_of(platform.registry))


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
