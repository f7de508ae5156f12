"""What leaves the embedded log, and when.

- By age: what is older than the retention and consumed by every group that ever read its topic.
- By size, when the file has grown over it: the oldest that is consumed; if there is none, the oldest, with a warning.
- Never: topics that are kept `forever`, and the newest message of a partition, since the next offset follows from it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import structlog

from cdp.streams.store import QUERIES, SPAN, Shelf, end_of

log = structlog.get_logger(__name__)

# Messages forgotten in one transaction, so that an append never waits long behind it.
STEP = 64
# Pages given back to the file system at a time, once a quarter of the file is empty.
GIVE_BACK = 256


class Kept(NamedTuple):
    """A partition's part that may be forgotten: ids from `first` on; below `floor` all groups have consumed."""

    topic: str
    place: int
    first: int
    timestamp: int
    floor: int
    newest: int

    def unconsumed_and_age(self) -> tuple[bool, int]:
        """The order in which parts make room: consumed ones first, then by age."""
        return self.first >= self.floor, self.timestamp


class Retention:
    """Forgets a little at a time, between the writer's transactions."""

    def __init__(self, shelves: Mapping[str, Shelf], *, most_bytes: int) -> None:
        """`shelves`: the topics that forget; `most_bytes`: the size above which the file drops its oldest."""
        self._shelves = shelves
        self._most_bytes = most_bytes

    def step(self, connection: sqlite3.Connection, cutoff: int) -> bool:
        """Forget some of what may go (appended before `cutoff`, in milliseconds). True when more may be left."""
        kept = list(self._kept(connection))
        for part in kept:
            if part.timestamp < cutoff and part.first < part.floor:
                self._forget(connection, part, part.floor, cutoff)
                return True
        if _used(connection) > self._most_bytes and kept:
            self._make_room(connection, min(kept, key=Kept.unconsumed_and_age))
            return True
        return _give_back(connection)

    def _kept(self, connection: sqlite3.Connection) -> Iterator[Kept]:
        for topic, shelf in self._shelves.items():
            for place in shelf.places():
                newest = place + end_of(connection, place) - 1
                oldest = connection.execute(QUERIES["oldest"], (place, newest, 1)).fetchone()
                if oldest is not None:
                    floor = min(newest, place + _consumed(connection, shelf.number, place))
                    yield Kept(topic, place, oldest[0], oldest[1], floor, newest)

    def _make_room(self, connection: sqlite3.Connection, part: Kept) -> None:
        if part.first < part.floor:
            self._forget(connection, part, part.floor)
        else:
            log.warning("log.overflows", topic=part.topic, offset=part.first - part.place)
            self._forget(connection, part, part.newest)

    def _forget(self, connection: sqlite3.Connection, part: Kept, limit: int, cutoff: int | None = None) -> None:
        rows = connection.execute(QUERIES["oldest"], (part.first, limit, STEP)).fetchall()
        last = part.first
        for message_id, timestamp in rows:
            if cutoff is not None and timestamp >= cutoff:
                break
            last = message_id
        connection.execute(QUERIES["forget"], (part.first, last))


def _consumed(connection: sqlite3.Connection, topic: int, place: int) -> int:
    [offset] = connection.execute(QUERIES["consumed"], {"topic": topic, "place": place}).fetchone()
    return SPAN if offset is None else int(offset)


def _used(connection: sqlite3.Connection) -> int:
    pages, free, size = (_pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def _give_back(connection: sqlite3.Connection) -> bool:
    pages, free = _pragma(connection, "page_count"), _pragma(connection, "freelist_count")
    if free < max(GIVE_BACK, pages // 4):
        return False
    connection.execute(f"PRAGMA incremental_vacuum({GIVE_BACK})").fetchall()
    return True


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    [value] = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
