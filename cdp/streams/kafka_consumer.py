"""Reads from Kafka: members of groups, and readers outside any group.

A rebalance happens in the background of aiokafka's client; its owner hears of it inside `poll`:

1. revoked   the client waits (a while) until the owner has finished and committed what it was given
2. rejoin    the group shares its partitions anew
3. assigned  the owner says where to start; until then nothing of the new share is given out

Where a client raises, or does not move for long although there is more to read, it is thrown away and made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import TopicPartition

from cdp.errors import TransientError
from cdp.streams.base import Assignment, Message, Partition
from cdp.streams.kafka_client import FAILURES, Cluster, ask, end, unavailable

log = structlog.get_logger(__name__)

# Seconds that a rebalance waits for a member; longer than any handover.
REBALANCE = 30.0
# Records that a message is taken to hold before the first has been seen.
USUAL_RECORDS = 16


class Patience(NamedTuple):
    """Seconds: without a heartbeat a member is put out after `session`; without a poll after `idle`.

    After `stuck` without a message, or in a rebalance, the client is checked, and replaced if it should have moved.
    In a rebalance, the others wait for `handover` until a member has finished what it was given.
    """

    session: float = 10.0
    idle: float = 300.0
    stuck: float = 30.0
    handover: float = 25.0


class Site(NamedTuple):
    """Where to read, how patiently, and all feeds that are open there, so that closing the log ends them."""

    cluster: Cluster
    patience: Patience
    feeds: set[Feed]


class Feed:
    """One aiokafka consumer, replaced when it fails: what members and readers have in common."""

    def __init__(self, site: Site, make: Callable[[], Awaitable[Any]]) -> None:
        """`make` returns a started client, ready to be polled."""
        self.client: Any = None
        self._cluster = site.cluster
        self._patience = site.patience
        self._feeds = site.feeds
        self._make = make
        self._weight = float(USUAL_RECORDS)
        self._moved_at = 0.0
        self._endings: set[asyncio.Task[None]] = set()

    async def connected(self) -> Any:
        """The client, made if there is none. Raises `TransientError`."""
        if self.client is None:
            self._feeds.add(self)
            self.client = await self._make()
            self.moved()
        return self.client

    def moved(self) -> None:
        """Something happened: the client is well."""
        self._moved_at = asyncio.get_running_loop().time()

    async def fetch(self, limit: int, timeout: float, wake: asyncio.Event) -> list[Message]:
        """About `limit` records' worth of messages; [] after `timeout` seconds or once `wake` is set."""
        client = await self.connected()
        fetching = asyncio.ensure_future(
            client.getmany(timeout_ms=int(timeout * 1000), max_records=max(1, int(limit / self._weight)))
        )
        waking = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait({fetching, waking}, timeout=timeout + 0.1, return_when=asyncio.FIRST_COMPLETED)
            found = fetching.result() if fetching.done() else {}
        except FAILURES as error:
            self.discard()
            raise unavailable(error, "reading") from error
        finally:
            # Nothing is lost by it: the client takes messages out of its buffer in the step in which it returns them.
            fetching.cancel()
            waking.cancel()
        messages = [self._message(record) for records in found.values() for record in records]
        await self._watch(messages)
        return messages

    def discard(self) -> None:
        """Throw the client away."""
        if self.client is not None:
            ending = asyncio.create_task(end(self.client), name="log:consumer-end")
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            self.client = None

    async def close(self) -> None:
        """End the client."""
        self._feeds.discard(self)
        self.discard()
        if self._endings:
            await asyncio.wait(self._endings)

    async def _watch(self, messages: Sequence[Message]) -> None:
        if messages:
            seen = sum(message.records for message in messages) / len(messages)
            self._weight = max(1.0, (self._weight + seen) / 2)
            self.moved()
        elif asyncio.get_running_loop().time() - self._moved_at > self._patience.stuck:
            await self._check()

    async def _check(self) -> None:
        try:
            stuck = await ask(self._lags(), self._cluster.timeout, "reading")
        except TransientError:
            self.discard()
            raise
        if stuck:
            log.warning("kafka.consumer_stuck")
            self.discard()
        else:
            self.moved()

    async def _lags(self) -> bool:
        assigned = list(self.client.assignment())
        ends = await self.client.end_offsets(assigned) if assigned else {}
        return any([await self.client.position(tp) < ends[tp] for tp in assigned])

    def _message(self, record: Any) -> Message:
        topic, number = self._cluster.here(TopicPartition(record.topic, record.partition))
        kept = dict(record.headers)
        count, source = kept.get("records", b"1"), kept.get("source", b"").decode(errors="replace")
        records = int(count) if count.isdigit() else 1  # whoever wrote it, it must not stop us
        return Message(topic, number, record.offset, record.timestamp, record.value or b"", records, source)


class KafkaReader:
    """Reads every partition of some topics on from where it was told to."""

    def __init__(self, site: Site, positions: Mapping[Partition, int]) -> None:
        self._cluster = site.cluster
        self._positions = dict(positions)
        self._feed = Feed(site, self._make)
        self._never = asyncio.Event()

    async def read(self, *, limit: int, timeout: float) -> list[Message]:
        """The next messages, at most about `limit` records' worth; [] after `timeout` seconds."""
        messages = await self._feed.fetch(limit, timeout, self._never)
        self._positions.update({message.place: message.offset + 1 for message in messages})
        return messages

    async def close(self) -> None:
        """Stop reading."""
        await self._feed.close()

    async def _make(self) -> Any:
        client = await started(self._cluster)
        places = {self._cluster.there(place): offset for place, offset in self._positions.items()}
        client.assign(list(places))
        for place, offset in places.items():
            client.seek(place, offset)
        return client


class Notice(NamedTuple):
    """What the client has to tell the owner: a share it got, or lost."""

    gained: bool
    places: tuple[Partition, ...]


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """What one client calls when its share changes. A client that was thrown away is heard no more."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """The client is about to give these up."""
        if self._consumer.listener is self:
            await self._consumer.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """The client was given these."""
        if self._consumer.listener is self:
            self._consumer.assigned(assigned)


class KafkaConsumer:
    """One member of a group. Partitions come and go inside `poll`, never while their owner is at work."""

    def __init__(self, site: Site, group: str, topics: Sequence[str], owner: Assignment) -> None:
        self._cluster = site.cluster
        self._patience = site.patience
        self._group = group
        self._topics = topics
        self._owner = owner
        self._feed = Feed(site, self._make)
        self.listener: Listener | None = None
        self._notices: list[Notice] = []
        self._wake = asyncio.Event()
        self._held: set[Partition] = set()
        self._given: dict[Partition, int] = {}
        self._dropped: dict[Partition, int] = {}
        self._finished = asyncio.Event()
        self._shared_at: float | None = None
        self._closed = False

    async def poll(self, *, limit: int, timeout: float) -> list[Message]:
        """About `limit` records' worth of messages; [] after `timeout` seconds. Raises `TransientError`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        self._finish()
        while not self._closed:
            await self._hear()
            self._wake.clear()
            messages = await self._fetch(limit, max(0.0, deadline - loop.time()))
            if messages or (loop.time() >= deadline and not self._notices):
                self._given = {message.place: message.offset + 1 for message in messages}
                return messages
        return []

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Record the next offset to read, per partition. A partition lost meanwhile is skipped in silence."""
        ours = {self._cluster.there(place): offset for place, offset in offsets.items() if place in self._held}
        if not ours or self._feed.client is None or any(notice.gained for notice in self._notices):
            return  # what was given out belongs to an earlier share
        try:
            async with asyncio.timeout(self._cluster.timeout):
                await self._feed.client.commit(ours)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("kafka.commit_void", group=self._group, reason=str(error))
        except FAILURES as error:
            raise unavailable(error, "committing") from error
        if all(offsets.get(place, 0) >= offset for place, offset in self._given.items()):
            self._finish()

    async def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets; one beyond the end means the beginning, as after a log that was lost."""
        ours = {self._cluster.there(place): offset for place, offset in offsets.items() if place in self._held}
        if ours and self._feed.client is not None:
            await seek(self._feed.client, ours, self._cluster.timeout)

    async def close(self) -> None:
        """Leave the group."""
        if self._closed:
            return
        self._closed = True
        self._finish()
        await self._lose(tuple(self._held))
        await self._feed.close()

    # Called by the client, in its own tasks.

    async def revoked(self, places: Collection[TopicPartition]) -> None:
        """The client is about to give these up: wait until the owner is done with them."""
        self._shared_at = asyncio.get_running_loop().time()
        self._tell(gained=False, places=places)
        if self._given and not self._closed:
            self._finished.clear()
            try:
                async with asyncio.timeout(self._patience.handover):
                    await self._finished.wait()
            except TimeoutError:
                log.warning("kafka.handover_late", group=self._group)

    def assigned(self, places: Collection[TopicPartition]) -> None:
        """The client was given these."""
        self._shared_at = None
        self._tell(gained=True, places=places)

    def _tell(self, *, gained: bool, places: Collection[TopicPartition]) -> None:
        if places:
            self._notices.append(Notice(gained, tuple(sorted(map(self._cluster.here, places)))))
            self._wake.set()

    # Inside poll.

    def _finish(self) -> None:
        self._given = {}
        self._finished.set()

    async def _fetch(self, limit: int, timeout: float) -> list[Message]:
        messages = await self._feed.fetch(limit, timeout, self._wake)
        if self._notices:
            # They may be of a share that the owner has not heard of yet, so they are read again, from where it says.
            for message in reversed(messages):
                self._dropped[message.place] = message.offset
            return []
        self._check_rebalance()
        if self._feed.client is None:  # thrown away meanwhile
            await self._lose(tuple(self._held))
        return messages

    def _check_rebalance(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._shared_at is not None and now - self._shared_at > self._patience.stuck + REBALANCE:
            log.warning("kafka.rebalance_stuck", group=self._group)
            self._shared_at = None
            self._feed.discard()

    async def _hear(self) -> None:
        if self._feed.client is None:
            await self._lose(tuple(self._held))
        while self._notices:
            notice = self._notices[0]
            if notice.gained:
                await self._gain(notice.places)
            else:
                await self._lose(notice.places)
            self._notices.remove(notice)

    async def _lose(self, places: Collection[Partition]) -> None:
        lost = [place for place in places if place in self._held]
        if not lost:
            return
        self._held.difference_update(lost)
        try:
            await self._owner.revoked(lost)
        except Exception:
            log.exception("kafka.revoked_failed", group=self._group)

    async def _gain(self, places: Collection[Partition]) -> None:
        if len(self._notices) > 1:  # lost again before the owner heard of it
            return
        starts = {**self._dropped, **await self._owner.assigned(list(places))}
        ours = {self._cluster.there(place): offset for place, offset in starts.items() if place in places}
        if ours and self._feed.client is not None:
            try:
                await seek(self._feed.client, ours, self._cluster.timeout)
            except IllegalStateError:  # lost again meanwhile; another notice says so
                log.info("kafka.share_lost", group=self._group)
        self._dropped = {}
        self._held.update(places)
        self._feed.moved()

    async def _make(self) -> Any:
        self.listener = None
        self._notices.clear()
        self._dropped = {}
        self._shared_at = None
        client = await started(
            self._cluster,
            group_id=self._cluster.name(self._group),
            session_timeout_ms=int(self._patience.session * 1000),
            heartbeat_interval_ms=int(self._patience.session * 300),
            max_poll_interval_ms=int(self._patience.idle * 1000),
            rebalance_timeout_ms=int(REBALANCE * 1000),
        )
        self.listener = Listener(self)
        client.subscribe(list(map(self._cluster.name, self._topics)), listener=self.listener)
        return client


async def started(cluster: Cluster, **options: Any) -> Any:
    """A started aiokafka consumer that commits nothing by itself. Raises `TransientError`."""
    client = AIOKafkaConsumer(
        bootstrap_servers=cluster.bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **options,
    )
    try:
        await ask(client.start(), cluster.timeout, "connecting")
    except TransientError:
        await end(client)
        raise
    return client


async def seek(client: Any, offsets: Mapping[TopicPartition, int], timeout: float) -> None:
    """Let the client read on from these offsets; from the beginning where one lies beyond the end."""
    ends = await ask(client.end_offsets(list(offsets)), timeout, "seeking")
    for place, offset in offsets.items():
        if offset > ends[place]:
            log.warning("log.offset_beyond_end", partition=place, offset=offset)
        client.seek(place, offset if offset <= ends[place] else 0)
