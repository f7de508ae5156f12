"""The file of the embedded log: one table of messages, and the one thread that writes to it.

A message's id is its topic's number, its partition and its offset, packed into 63 bits, so that a partition is a range
of ids and reading on is a range scan. Offsets are given inside the writing transaction: they are dense however many
processes write.

    tasks ─► queue ─► Writer: BEGIN IMMEDIATE, all that wait, COMMIT (one fsync) ─► settle(outcomes, news)
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from cdp.errors import MisconfiguredError, TransientError
from cdp.streams.base import Draft
from cdp.streams.presence import locked
from cdp.warehouse.sql import load

log = structlog.get_logger(__name__)

QUERIES = load("cdp.streams")
SCHEMA_VERSION = 1

OFFSET_BITS = 44
PARTITION_BITS = 10
SPAN = 1 << OFFSET_BITS
MOST_TOPICS = 1 << (63 - OFFSET_BITS - PARTITION_BITS)
MOST_PARTITIONS = 1 << PARTITION_BITS

# Measured 30 % less CPU for batches of 100 KB than with 4 KiB, and no more for single events.
PAGE_BYTES = 16_384
# The write-ahead log is folded into the file when it has grown to this: rarer costs less, but each time takes longer.
FOLD_BYTES = 16_000_000
# Seconds between looks for other processes; while there is none, also between looks for their news.
COMPANY_EVERY = 0.25
# What one transaction takes at most, so that its first member does not wait for a hundred megabytes.
MOST_BYTES = 32_000_000
CACHE_KIB = 8_000

Work = Callable[["Transaction"], Any]
Rows = list[tuple[int, int, int, str, bytes]]


class Shelf(NamedTuple):
    """A topic as the file knows it."""

    number: int
    partitions: int

    def places(self) -> list[int]:
        """The first id of each partition."""
        return [place_of(self.number, partition) for partition in range(self.partitions)]


class Task:
    """Work waiting for the writer; `outcome` holds its result or its error once the transaction has ended."""

    __slots__ = ("abandoned", "outcome", "ready", "size", "work")

    def __init__(self, work: Work, ready: Callable[[Any], None], size: int = 0) -> None:
        self.work = work
        self.ready = ready
        self.size = size
        self.abandoned = False
        self.outcome: Any = None


class News(NamedTuple):
    """What a transaction, of this process or another, has changed: next offsets by place, versions by group."""

    ends: Mapping[int, int]
    versions: Mapping[str, int]


class Transaction:
    """One open transaction: the connection, and what it has changed so far."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.ends: dict[int, int] = {}
        self.versions: dict[str, int] = {}

    def append(self, drafts: Sequence[Draft], places: Sequence[int], timestamp: int) -> list[int]:
        """Add the drafts, each at its place (the first id of its partition), and return their offsets."""
        offsets = [self._next(place) for place in places]
        rows = (
            (place + offset, timestamp, draft.records, draft.source, draft.value)
            for draft, place, offset in zip(drafts, places, offsets, strict=True)
        )
        self.connection.executemany(QUERIES["append"], rows)
        return offsets

    def bump(self, group: str) -> int:
        """Tell the group's members that its partitions are to be shared anew; returns the new version."""
        self.connection.execute(QUERIES["bump"], (group,))
        [version] = self.connection.execute(QUERIES["version"], (group,)).fetchone()
        self.versions[group] = version
        return int(version)

    def _next(self, place: int) -> int:
        offset = self.ends.get(place)
        if offset is None:
            offset = end_of(self.connection, place)
        self.ends[place] = offset + 1
        return offset


class Writer(threading.Thread):
    """The thread that writes. `settle` is called in it after each transaction, `tidy` between two of them.

    A failed transaction leaves nothing behind and its tasks hold the error. After an I/O error the file is opened
    anew before the next one: an fsync that failed is never repeated.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy: float,
        settle: Callable[[Sequence[Task], News], None],
        tidy: Callable[[sqlite3.Connection], bool],
        alone: Callable[[], bool],
        watch_every: float,
        tidy_every: float,
    ) -> None:
        """`busy`: seconds to wait for another process's transaction; `watch_every`: between looks for its news.

        `alone()` tells whether there is no other process: then those looks are rarer, since each costs a wake-up.
        """
        super().__init__(name="log-writer", daemon=True)
        self._path = path
        self._busy = busy
        self._settle = settle
        self._tidy = tidy
        self._alone = alone
        self._quick = watch_every
        self._watch_every = watch_every
        self._company_at = 0.0
        self._tidy_every = tidy_every
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._seen = -1
        self._blind = False
        self._ending = False

    def put(self, task: Task) -> None:
        """Queue the task for the next transaction."""
        self._queue.put(task)

    def finish(self) -> None:
        """End once all that was put before is written."""
        self._queue.put(None)

    def run(self) -> None:
        """Write until told to finish."""
        watch = tidy = time.monotonic()
        more = False
        while not self._ending:
            if batch := self._take(0 if more else self._watch_every):
                self._write(batch)
            now = time.monotonic()
            if now >= watch:
                self._look(now)
                watch = now + self._watch_every
            if more or now >= tidy:
                tidy = now + self._tidy_every
                more = self._sweep()
        self._close()

    def _take(self, timeout: float) -> list[Task]:
        batch: list[Task] = []
        size = 0
        with contextlib.suppress(queue.Empty):
            task = self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait()
            while task is not None:
                if not task.abandoned:
                    batch.append(task)
                    size += task.size
                if size >= MOST_BYTES:
                    return batch
                task = self._queue.get_nowait()
            self._ending = True
        return batch

    def _write(self, batch: Sequence[Task]) -> None:
        news = News({}, {})
        try:
            news = self._transact(batch)
        except Exception as error:
            for task in batch:
                task.outcome = error
            self._undo(error)
        self._settle(batch, news)

    def _transact(self, batch: Sequence[Task]) -> News:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(connection)
        for task in batch:
            task.outcome = task.work(transaction)
        connection.execute("COMMIT")
        return News(transaction.ends, transaction.versions)

    def _undo(self, error: Exception) -> None:
        if self._connection is None:
            return
        if reason_of(error).startswith("SQLITE_IOERR"):
            self._close()
            return
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def _look(self, now: float) -> None:
        if now >= self._company_at:
            self._company_at = now + COMPANY_EVERY
            self._watch_every = COMPANY_EVERY if self._alone() else self._quick
        # The number moves only by what other processes (or this one's other connections) have committed.
        try:
            [seen] = self._open().execute("PRAGMA data_version").fetchone()
            if seen != self._seen:
                self._settle([], news_of(self._open()))
                self._seen = seen
            self._blind = False
        except sqlite3.Error as error:
            if not self._blind:
                log.warning("log.unreadable", reason=reason_of(error))
            self._blind = True

    def _sweep(self) -> bool:
        try:
            return self._tidy(self._open())
        except sqlite3.Error as error:
            self._undo(error)
            return False

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path, busy=self._busy)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def place_of(number: int, partition: int) -> int:
    """The id that a partition's message at offset 0 has."""
    return (number << PARTITION_BITS | partition) << OFFSET_BITS


def connect(path: Path, *, busy: float, writable: bool = True) -> sqlite3.Connection:
    """A connection that waits at most `busy` seconds for another process. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = 1")  # macOS, where fsync alone stops at the drive's cache
    connection.execute(f"PRAGMA wal_autocheckpoint = {FOLD_BYTES // PAGE_BYTES}")
    if not writable:
        connection.execute("PRAGMA query_only = 1")
    return connection


def prepare(path: Path, topics: Mapping[str, int], *, busy: float) -> dict[str, Shelf]:
    """Make the file and the topics that are missing, and return all topics by name.

    `topics` says how many partitions each new topic gets. Raises `MisconfiguredError` or `TransientError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            return _prepare(path, topics, busy)
    except (OSError, sqlite3.DatabaseError) as error:
        if reason_of(error).startswith("SQLITE_BUSY"):
            raise TransientError(f"Another process holds the log's file {path}.") from error
        raise MisconfiguredError(
            f"The log's file {path} cannot be used ({reason_of(error)}): "
            "check its folder's permissions and free space, or point CDP_LOG__URL elsewhere."
        ) from error


def _prepare(path: Path, topics: Mapping[str, int], busy: float) -> dict[str, Shelf]:
    with contextlib.closing(connect(path, busy=busy)) as connection:
        if not path.stat().st_size:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise MisconfiguredError(f"The log's file {path} was written by a newer version of this product.")
        if version < SCHEMA_VERSION:
            connection.executescript(QUERIES["schema"])
        if topics.keys() - shelves(connection):
            connection.executemany(QUERIES["add_topic"], topics.items())
        return shelves(connection)


def end_of(connection: sqlite3.Connection, place: int) -> int:
    """The offset that the partition's next message gets."""
    [newest] = connection.execute(QUERIES["newest"], (place, place + SPAN)).fetchone()
    return 0 if newest is None else int(newest) - place + 1


def shelves(connection: sqlite3.Connection) -> dict[str, Shelf]:
    """Every topic by name."""
    rows = connection.execute(QUERIES["topics"])
    return {name: Shelf(number, partitions) for name, number, partitions in rows}


def news_of(connection: sqlite3.Connection) -> News:
    """The state of everything that others may wait for."""
    places = [place for shelf in shelves(connection).values() for place in shelf.places()]
    versions = connection.execute(QUERIES["versions"]).fetchall()
    return News({place: end_of(connection, place) for place in places}, dict(versions))


def read(connection: sqlite3.Connection, starts: Iterable[tuple[int, int]], limit: int, most_bytes: int) -> Rows:
    """Rows from each (place, offset) on: about `limit` records' worth together, shared fairly."""
    found: Rows = []
    left = list(starts)
    size = 0
    while left and limit > 0 and size < most_bytes:
        place, offset = left.pop(0)
        share = max(1, limit // (len(left) + 1))
        bytes_share = max(1, (most_bytes - size) // (len(left) + 1))
        for row in connection.execute(QUERIES["read"], (place + offset, place + SPAN)):
            found.append(row)
            weight = max(1, row[2])
            limit -= weight
            share -= weight
            size += len(row[4])
            bytes_share -= len(row[4])
            if share <= 0 or bytes_share <= 0:
                break
    return found


def reason_of(error: Exception) -> str:
    """SQLite's name of the error and its words."""
    return ": ".join(filter(None, (getattr(error, "sqlite_errorname", ""), str(error))))
