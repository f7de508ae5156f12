"""The stage: what a file became, in a SQLite file of its own beside it. Written once, then sent from, then removed.

events        one a row or an order, in the order of the file; `sent` says how far the intake has them
identifiers   whose the rows are, to look up who is known already
lines         the lines of orders, until all of one have come together

SQLite holds what does not fit into memory: sorting, telling repeats, and the place to go on from after a kill.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from cdp.records import encode
from ingest.imports.rows import Cells, Made
from ingest.imports.tables import Trouble

SCHEMA = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY, row INTEGER NOT NULL, message_id TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
    key TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, place TEXT NOT NULL,
    updated_id TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE TABLE identifiers (value TEXT NOT NULL, row INTEGER NOT NULL);
CREATE TABLE lines (order_id TEXT NOT NULL, row INTEGER NOT NULL, cells BLOB NOT NULL);
CREATE TABLE progress (one INTEGER PRIMARY KEY CHECK (one = 1), sent INTEGER NOT NULL, counts TEXT NOT NULL);
INSERT INTO progress VALUES (1, 0, '{}');
"""
# Kilobytes of the file that SQLite keeps in memory.
CACHE = 16_384
TOGETHER = 2_000

_cells = msgspec.json.Decoder().decode


class Staged(NamedTuple):
    """An event on the stage. `trouble` has the path that people are told."""

    number: int
    row: int
    message_id: str
    body: bytes
    key: str
    trouble: Trouble | None
    updated_id: str
    digest: str


class Stage:
    """A stage's file, for one thread at a time."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """`fresh`: an empty one, which a crash may leave broken: it is made again then."""
        if fresh:
            for old in (path, path.with_name(f"{path.name}-journal")):
                old.unlink(missing_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute(f"PRAGMA cache_size = -{CACHE}")
        self._events: list[tuple[object, ...]] = []
        self._identifiers: list[tuple[str, int]] = []
        self._lines: list[tuple[str, int, bytes]] = []
        if fresh:
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(SCHEMA)
            self._connection.execute("BEGIN")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- writing

    def add(self, made: Made) -> bool:
        """Put an event on; False for one whose messageId is there already."""
        trouble = made.trouble or Trouble("", "")
        key = ":".join(made.identifiers[0]) if made.identifiers else ""
        row = (made.row, made.message_id, made.raw or encode(made.body), key, *trouble, made.updated_id, made.digest)
        added = self._connection.execute(
            "INSERT OR IGNORE INTO events (row, message_id, body, key, code, reason, place, updated_id, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        if not added.rowcount:
            return False
        self._identifiers += ((f"{kind}:{value}", made.row) for kind, value in made.identifiers)
        if len(self._identifiers) > TOGETHER:
            self._flush()
        return True

    def add_line(self, order_id: str, cells: Cells) -> None:
        """Keep a line of an order until all have come."""
        self._lines.append((order_id, cells.row, encode(cells)))
        if len(self._lines) > TOGETHER:
            self._flush()

    def orders(self) -> Iterator[list[Cells]]:
        """The lines, an order at a time, in the order in which the orders began."""
        self._flush()
        self._connection.execute("CREATE INDEX lines_by_order ON lines (order_id, row)")
        # A window over the index: no order is held in memory but the one that is given.
        found = self._connection.cursor().execute(
            "SELECT first, lines.cells FROM (SELECT order_id, min(row) AS first FROM lines GROUP BY order_id) "
            "JOIN lines USING (order_id) ORDER BY first, lines.row"
        )
        for _, lines in groupby(found, key=lambda line: line[0]):
            yield [_line(cells) for _, cells in lines]

    def finish(self) -> None:
        """All is on the stage: make it durable."""
        self._flush()
        self._connection.execute("DROP TABLE lines")
        self._connection.execute("CREATE INDEX identifiers_by_value ON identifiers (value, row)")
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("UPDATE progress SET sent = 0")

    def _flush(self) -> None:
        self._connection.executemany("INSERT INTO identifiers VALUES (?, ?)", self._identifiers)
        self._connection.executemany("INSERT INTO lines VALUES (?, ?, ?)", self._lines)
        self._identifiers, self._lines = [], []

    # --- sending

    def waiting(self, limit: int, after: int) -> list[Staged]:
        """The next events beyond a number."""
        rows = self._connection.execute(
            "SELECT number, row, message_id, body, key, code, reason, place, updated_id, digest FROM events "
            "WHERE number > ? ORDER BY number LIMIT ?",
            (after, limit),
        )
        return [_staged(row) for row in rows]

    def progress(self) -> tuple[int, dict[str, int]]:
        """The number of the last event sent, and the counts noted with it."""
        sent, counts = self._connection.execute("SELECT sent, counts FROM progress").fetchone()
        return int(sent), msgspec.json.decode(counts, type=dict[str, int])

    def sent(self, number: int, counts: dict[str, int]) -> None:
        """The intake has everything up to the number; durable when this returns."""
        self._connection.execute("UPDATE progress SET sent = ?, counts = ?", (number, encode(counts).decode()))

    # --- looking up

    def values(self, limit: int, after: str) -> list[str]:
        """Identifiers (`type:value`) beyond one, each once, in order."""
        rows = self._connection.execute(
            "SELECT DISTINCT value FROM identifiers WHERE value > ? ORDER BY value LIMIT ?", (after, limit)
        )
        return [value for (value,) in rows]

    def mark_known(self, values: Iterable[str]) -> None:
        """Note that people have these identifiers already."""
        self._connection.execute("CREATE TABLE IF NOT EXISTS known (row INTEGER PRIMARY KEY)")
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT OR IGNORE INTO known SELECT row FROM identifiers WHERE value = ?", ((value,) for value in values)
        )
        self._connection.execute("COMMIT")

    def known_rows(self) -> int:
        """How many events are of people known already."""
        self._connection.execute("CREATE TABLE IF NOT EXISTS known (row INTEGER PRIMARY KEY)")
        return int(self._connection.execute("SELECT count(*) FROM known").fetchone()[0])

    def shared(self) -> list[tuple[str, int, int]]:
        """Of each type of identifier: how many values there are, and how many events hold one that others hold too."""
        rows = self._connection.execute(
            "SELECT substr(value, 1, instr(value, ':') - 1) AS kind, count(*), sum(CASE WHEN n > 1 THEN n ELSE 0 END) "
            "FROM (SELECT value, count(*) AS n FROM identifiers GROUP BY value) GROUP BY kind"
        )
        return [(kind, count, shared) for kind, count, shared in rows]


def _staged(row: Sequence[object]) -> Staged:
    number, place, message_id, body, key, code, reason, column, updated_id, digest = row
    trouble = Trouble(str(code), str(reason), str(column)) if code else None
    return Staged(number, place, message_id, body, key, trouble, updated_id, digest)  # type: ignore[arg-type]


def _line(packed: bytes) -> Cells:
    row, fields, free, trouble = _cells(packed)
    return Cells(row, fields, free, Trouble(*trouble) if trouble else None)
