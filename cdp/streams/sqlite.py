"""The log in a SQLite file: durable, shared by groups, safe for several processes of one machine; nothing to install.

    append ─┐                                        ┌─► futures of the appends
    commit ─┼─► Writer (a thread, one fsync for all) ┤
    groups ─┘                                        └─► News ─► consumers and readers that wait

Reads run in threads of their own. News of other processes is looked for every few hundredths of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from cdp.clock import HOUR, Clock
from cdp.errors import TransientError
from cdp.settings import Settings
from cdp.streams import groups, store
from cdp.streams.base import Assignment, Backlog, Draft, Message, Partition, Trouble, check
from cdp.streams.groups import Member, Share
from cdp.streams.presence import Presence
from cdp.streams.retention import Retention
from cdp.streams.store import Shelf, Task, Transaction, Writer
from cdp.topics import TOPICS, Topic

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Most bytes that one poll brings, and that appends may have waiting for the disk.
POLL_BYTES = 32_000_000
WAITING_BYTES = 256_000_000
READERS = 2
# Seconds that closing waits for what is under way.
FINISH = 5.0


class SqliteLog:
    """The embedded log. One per process and file."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        clock: Clock,
        *,
        topics: Iterable[Topic] = tuple(TOPICS.values()),
        lease: float = 10.0,
        patience: float = 300.0,
        watch_every: float = 0.025,
        tidy_every: float = 5.0,
    ) -> None:
        """`lease`: seconds after which a silent member is put out; `patience`: after which one that does not poll is.

        `watch_every` and `tidy_every`: seconds between looks for other processes' news, and for what may be forgotten.
        """
        self._path = path
        self._settings = settings.log
        self._clock = clock
        self._topics = {topic.name: topic for topic in topics}
        self._lease = lease
        self._patience = patience
        self._watch_every = watch_every
        self._tidy_every = tidy_every
        self._shelves: dict[str, Shelf] = {}
        self._names: dict[int, Partition] = {}
        self._ends: dict[int, int] = {}
        self._versions: dict[str, int] = {}
        self._followers: set[Follower] = set()
        self._members: set[SqliteConsumer] = set()
        self._waiting = 0
        self._trouble = Trouble()
        self._open = False

    async def start(self) -> None:
        """Open the file, making it and missing topics. Raises `MisconfiguredError`."""
        self._loop = asyncio.get_running_loop()
        wanted = {topic.name: topic.partitions or self._settings.partitions for topic in self._topics.values()}
        busy = self._settings.timeout_seconds / 2
        self._shelves = await asyncio.to_thread(store.prepare, self._path, wanted, busy=busy)
        self._names = {
            place: Partition(name, number)
            for name, shelf in self._shelves.items()
            for number, place in enumerate(shelf.places())
        }
        self._presence = await asyncio.to_thread(Presence, self._path)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="log-reader")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._retention = Retention(self._forgetting(), most_bytes=self._settings.retention_bytes)
        self._writer = Writer(
            self._path,
            busy=busy,
            settle=self._settle,
            tidy=self._tidy,
            alone=self._presence.alone,
            watch_every=self._watch_every,
            tidy_every=self._tidy_every,
        )
        self._open = True
        self._learn(await self._read(store.news_of))
        self._writer.start()
        self._beat = asyncio.create_task(self._renew_leases(), name="log:leases")

    async def close(self) -> None:
        """Finish the appends under way and leave all groups, within a few seconds."""
        if not self._open:
            return
        self._open = False
        self._beat.cancel()
        for consumer in list(self._members):
            self._submit(partial(groups.leave, member=consumer.member))
        self._writer.finish()
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()
        await asyncio.to_thread(self._writer.join, FINISH)  # the last to close folds the write-ahead log into the file
        self._presence.end()
        await asyncio.sleep(0)  # lets the futures of the last transaction resolve

    def trouble(self) -> str:
        """Why it could not be appended to lately; empty while all is well."""
        return str(self._trouble)

    def partitions(self, topic: Topic) -> int:
        """How many partitions the topic has: fixed when the file first met it."""
        return self._shelves[topic.name].partitions

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Append all drafts in one transaction with whatever else waits, and return their offsets.

        Raises `TransientError` when the disk is full, fails or is too slow. What was refused is not stored, unless the
        time ran out, or the disk failed, while it was being written.
        """
        if not drafts:
            return []
        check(drafts, self._shelf_partitions)
        size = sum(len(draft.value) for draft in drafts)
        if self._waiting and self._waiting + size > WAITING_BYTES:
            raise TransientError("The log's disk cannot keep up.", retry_after=1)
        places = [store.place_of(self._shelves[draft.topic].number, draft.partition) for draft in drafts]
        self._waiting += size
        try:
            work = partial(Transaction.append, drafts=drafts, places=places, timestamp=self._clock.now())
            return await self._write(work, size=size)
        finally:
            self._waiting -= size

    async def consumer(self, group: str, topics: Sequence[Topic], owner: Assignment) -> SqliteConsumer:
        """Join a group; its first partitions come with the first poll."""
        numbers = tuple(sorted(self._shelves[topic.name].number for topic in topics))
        member = Member(uuid.uuid4().hex, group, self._presence.name, numbers)
        consumer = SqliteConsumer(self, member, owner)
        await consumer.join()
        return consumer

    async def reader(
        self,
        topics: Sequence[Topic],
        *,
        start: Mapping[Partition, int] | str = "latest",
    ) -> SqliteReader:
        """Read outside any group, from `"earliest"`, `"latest"`, or given offsets (absent: latest)."""
        places = [place for topic in topics for place in self._shelves[topic.name].places()]
        self._learn(await self._read(store.news_of))
        if start == "earliest":
            return SqliteReader(self, dict.fromkeys(places, 0))
        given = {} if isinstance(start, str) else start
        starts = {place: given.get(self._names[place], self._ends.get(place, 0)) for place in places}
        return SqliteReader(self, {place: self.valid(place, offset) for place, offset in starts.items()})

    async def end_offsets(self, topic: Topic) -> dict[int, int]:
        """The offset that the next message of each partition will get."""
        places = self._shelves[topic.name].places()
        return dict(enumerate(await self._read(_ends_of, places)))

    async def committed(self, group: str, topic: Topic) -> dict[int, int]:
        """The group's committed offset of each partition; 0 where it has none."""
        offsets = await self._read(_offsets_of, group)
        return {number: offsets.get(place, 0) for number, place in enumerate(self._shelves[topic.name].places())}

    async def backlog(self, group: str, topic: Topic) -> Backlog:
        """What the group has not committed yet, counted exactly."""
        return await self._read(_backlog_of, group, self._shelves[topic.name].places())

    # What follows serves the consumers and readers of this module.

    def place(self, partition: Partition) -> int:
        """Where the partition begins."""
        return store.place_of(self._shelves[partition.topic].number, partition.number)

    def partition(self, place: int) -> Partition:
        """Whose place it is."""
        return self._names[place]

    def end(self, place: int) -> int:
        """The partition's next offset, as far as this process knows."""
        return self._ends.get(place, 0)

    def valid(self, place: int, offset: int) -> int:
        """The offset; the beginning for one beyond the end, as after a log that was lost."""
        if offset <= self.end(place):
            return offset
        log.warning("log.offset_beyond_end", partition=self._names[place], offset=offset)
        return 0

    def version(self, group: str) -> int:
        """The group's version, as far as this process knows."""
        return self._versions.get(group, 0)

    def follow(self, follower: Follower) -> None:
        """Wake the follower when there is something new."""
        self._followers.add(follower)

    def unfollow(self, follower: Follower) -> None:
        """Wake it no more."""
        self._followers.discard(follower)

    async def fetch(self, positions: Iterable[tuple[int, int]], limit: int) -> list[Message]:
        """About `limit` records' worth of messages from these (place, offset) on. Raises `TransientError`."""
        messages = []
        for message_id, timestamp, records, source, value in await self._read(store.read, positions, limit, POLL_BYTES):
            offset = message_id & (store.SPAN - 1)
            topic, number = self._names[message_id - offset]
            messages.append(Message(topic, number, offset, timestamp, value, records, source))
        return messages

    async def share(self, consumer: SqliteConsumer) -> Share:
        """The consumer's part of its group's partitions, after taking what is free and due."""
        self._members.add(consumer)
        work = partial(
            groups.share,
            member=consumer.member,
            shelves=list(self._shelves.values()),
            expires=time.monotonic() + self._lease,
            alive=self._alive,
        )
        share: Share = await self._write(work)
        self._versions[consumer.member.group] = max(share.version, self.version(consumer.member.group))
        return share

    async def release(self, member: Member, surplus: Collection[int]) -> None:
        """Give places up."""
        await self._write(partial(groups.release, member=member, surplus=surplus))

    async def leave(self, consumer: SqliteConsumer) -> None:
        """End the membership."""
        self._members.discard(consumer)
        await self._write(partial(groups.leave, member=consumer.member))

    async def commit(self, member: Member, offsets: Sequence[tuple[int, int, int]]) -> None:
        """Record (place, generation, next offset)."""
        await self._write(partial(groups.commit, member=member, offsets=offsets))

    def _shelf_partitions(self, topic: str) -> int:
        shelf = self._shelves.get(topic)
        return shelf.partitions if shelf else 0

    def _forgetting(self) -> dict[str, Shelf]:
        return {name: self._shelves[name] for name, topic in self._topics.items() if not topic.forever}

    def _tidy(self, connection: sqlite3.Connection) -> bool:
        return self._retention.step(connection, self._clock.now() - int(self._settings.retention_hours * HOUR))

    def _alive(self, process: str, expires: float) -> bool:
        # A lease that ends later than any given now was given before the machine last started.
        return 0 <= expires - time.monotonic() <= self._lease * 2 and self._presence.lives(process)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            now = time.monotonic()
            active = {item.member.name: item for item in self._members if now - item.polled_at < self._patience}
            if not active:
                continue
            members = [item.member for item in active.values()]
            work = partial(groups.renew, members=members, expires=now + self._lease, alive=self._alive)
            try:
                missing = await self._write(work)
            except TransientError as error:
                log.warning("log.lease_not_renewed", reason=error.message)
                continue
            for name in missing:
                active[name].expel()

    # Writing: tasks to the writer, outcomes back.

    async def _write(self, work: Callable[[Transaction], T], *, size: int = 0) -> T:
        if not self._open:
            raise TransientError("The log is closed.")
        task, future = self._submit(work, size)
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                outcome = await future
        except TimeoutError:
            self._trouble.note("the log's disk did not answer in time")
            raise TransientError("The log's disk did not answer in time.", retry_after=1) from None
        finally:
            task.abandoned = True
        if isinstance(outcome, Exception):
            raise TransientError(f"The log cannot be written: {store.reason_of(outcome)}", retry_after=1) from outcome
        result: T = outcome
        return result

    def _submit(self, work: Callable[[Transaction], Any], size: int = 0) -> tuple[Task, asyncio.Future[Any]]:
        future: asyncio.Future[Any] = self._loop.create_future()
        task = Task(work, lambda outcome: None if future.done() else future.set_result(outcome), size)
        self._writer.put(task)
        return task, future

    def _settle(self, tasks: Sequence[Task], news: store.News) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed without closing the log
            self._loop.call_soon_threadsafe(self._settled, tasks, news)

    def _settled(self, tasks: Sequence[Task], news: store.News) -> None:
        for task in tasks:
            task.ready(task.outcome)
        if tasks:
            failed = next((task.outcome for task in tasks if isinstance(task.outcome, Exception)), None)
            self._trouble.note(f"the log cannot be written: {store.reason_of(failed)}" if failed else "")
        self._learn(news)

    def _learn(self, news: store.News) -> None:
        moved = {place for place, end in news.ends.items() if end > self._ends.get(place, 0)}
        risen = {group for group, version in news.versions.items() if version > self._versions.get(group, 0)}
        self._ends.update({place: news.ends[place] for place in moved})
        self._versions.update({group: news.versions[group] for group in risen})
        for follower in self._followers:
            if follower.group in risen or not moved.isdisjoint(follower.positions):
                follower.wake.set()

    # Reading: in threads, each with its connection.

    async def _read(self, call: Callable[..., T], *arguments: Any) -> T:
        if not self._open:
            raise TransientError("The log is closed.")
        try:
            return await self._loop.run_in_executor(self._threads, self._with_connection, call, arguments)
        except sqlite3.Error as error:
            raise TransientError(f"The log cannot be read: {store.reason_of(error)}", retry_after=1) from error

    def _with_connection(self, call: Callable[..., T], arguments: Sequence[Any]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = store.connect(self._path, busy=self._settings.timeout_seconds, writable=False)
            self._local.connection = connection
            self._connections.append(connection)
        return call(connection, *arguments)


class Follower:
    """Places read on from: what consumers and readers have in common."""

    def __init__(self, log: SqliteLog, positions: dict[int, int], group: str = "") -> None:
        self.positions = positions
        self.group = group
        self.wake = asyncio.Event()
        self._log = log
        self._turn = 0
        log.follow(self)

    async def next(self, limit: int) -> list[Message]:
        """The next messages, [] when there is none."""
        ready = [(place, offset) for place, offset in self.positions.items() if self._log.end(place) > offset]
        if not ready:
            return []
        self._turn += 1  # another partition begins each time, so that none starves
        first = self._turn % len(ready)
        messages = await self._log.fetch(ready[first:] + ready[:first], limit)
        ends = {(message.topic, message.partition): message.offset + 1 for message in messages}
        self.positions.update({self._log.place(Partition(*place)): offset for place, offset in ends.items()})
        return messages

    async def rest(self, deadline: float) -> bool:
        """Wait until there is something new; False when the deadline has passed."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.wake.wait()
        except TimeoutError:
            return False
        return True

    def end(self) -> None:
        """Follow no more."""
        self._log.unfollow(self)
        self.positions.clear()


class SqliteReader:
    """Reads on from where it was told to."""

    def __init__(self, log: SqliteLog, positions: dict[int, int]) -> None:
        self._follower = Follower(log, positions)

    async def read(self, *, limit: int, timeout: float) -> list[Message]:
        """The next messages, at most about `limit` records' worth; [] after `timeout` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            self._follower.wake.clear()
            if messages := await self._follower.next(limit):
                return messages
            if not await self._follower.rest(deadline):
                return []

    async def close(self) -> None:
        """Stop reading."""
        self._follower.end()


class SqliteConsumer:
    """One member of a group. Partitions come and go inside `poll`, never while their owner is at work."""

    def __init__(self, log: SqliteLog, member: Member, owner: Assignment) -> None:
        self.member = member
        self.polled_at = time.monotonic()
        self._log = log
        self._owner = owner
        self._follower = Follower(log, {}, member.group)
        self._held: dict[int, int] = {}
        self._version = -1
        self._closed = False

    async def join(self) -> None:
        """Become a member."""
        await self._log.share(self)

    async def poll(self, *, limit: int, timeout: float) -> list[Message]:
        """About `limit` records' worth of messages; [] after `timeout` seconds. Raises `TransientError`."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not self._closed:
            self.polled_at = time.monotonic()
            self._follower.wake.clear()
            if self._version != self._log.version(self.member.group):
                await self._share_anew()
            if messages := await self._follower.next(limit):
                return messages
            if not await self._follower.rest(deadline):
                break
        return []

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Record the next offset to read, per partition. A partition lost meanwhile is skipped in silence."""
        places = {self._log.place(partition): offset for partition, offset in offsets.items()}
        held = [(place, self._held[place], offset) for place, offset in places.items() if place in self._held]
        if held:
            await self._log.commit(self.member, held)

    async def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets; one beyond the end means the beginning, as after a log that was lost."""
        for partition, offset in offsets.items():
            place = self._log.place(partition)
            if place in self._follower.positions:
                self._follower.positions[place] = self._log.valid(place, offset)

    async def close(self) -> None:
        """Leave the group."""
        if self._closed:
            return
        self._closed = True
        await self._lose(list(self._held))
        self._follower.end()
        with contextlib.suppress(TransientError):  # the lease ends by itself
            await self._log.leave(self)

    def expel(self) -> None:
        """The lease had run out: join again at the next poll."""
        self._version = -1
        self._follower.wake.set()

    async def _share_anew(self) -> None:
        # 1 ask  2 let go of what was lost or is another's turn  3 greet what is new  4 remember the version
        share = await self._log.share(self)
        lost = [place for place, since in self._held.items() if share.held.get(place) != since]
        await self._lose([*lost, *(share.surplus & self._held.keys())])
        if share.surplus:
            await self._log.release(self.member, share.surplus)
        await self._gain({place: since for place, since in share.held.items() if place not in share.surplus}, share)
        self._version = share.version

    async def _lose(self, places: Collection[int]) -> None:
        if not places:
            return
        for place in places:
            del self._held[place]
            self._follower.positions.pop(place, None)
        try:
            await self._owner.revoked([self._log.partition(place) for place in places])
        except Exception:
            log.exception("log.revoked_failed", group=self.member.group)

    async def _gain(self, held: Mapping[int, int], share: Share) -> None:
        new = {place: since for place, since in held.items() if place not in self._held}
        if not new:
            return
        starts = await self._owner.assigned([self._log.partition(place) for place in new])
        self._held.update(new)
        for place in new:
            offset = starts.get(self._log.partition(place), share.offsets.get(place, 0))
            self._follower.positions[place] = self._log.valid(place, offset)


def _ends_of(connection: sqlite3.Connection, places: Iterable[int]) -> list[int]:
    return [store.end_of(connection, place) for place in places]


def _offsets_of(connection: sqlite3.Connection, group: str) -> dict[int, int]:
    return dict(connection.execute(store.QUERIES["committed"], (group,)).fetchall())


def _backlog_of(connection: sqlite3.Connection, group: str, places: Iterable[int]) -> Backlog:
    offsets = _offsets_of(connection, group)
    messages, records = 0, dict[str, int]()
    for place in places:
        first = place + offsets.get(place, 0)
        for source, count, weight in connection.execute(store.QUERIES["backlog"], (first, place + store.SPAN)):
            messages += count
            records[source] = records.get(source, 0) + weight
    return Backlog(messages, records)
