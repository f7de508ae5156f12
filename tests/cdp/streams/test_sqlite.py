"""The log in a SQLite file: the contract, and what only a file can be asked."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cdp.clock import HOUR, SystemClock
from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.streams import open_log, store
from cdp.streams.base import Backlog, Message, Trouble
from cdp.streams.groups import assign
from cdp.streams.sqlite import SqliteConsumer, SqliteLog
from cdp.streams.store import Shelf
from cdp.testing import FrozenClock
from cdp.topics import DEFINITIONS, DELIVERIES, EVENTS_RAW, TOPICS
from tests.contracts.log import PARTITIONS, LogContract, Owner, draft, raw, take
from tests.waiting import eventually

IMPATIENT = {"lease": 0.5, "patience": 0.2}


def settings_of(**log: Any) -> Settings:
    """Settings of a log that only this test uses."""
    return Settings(log={"partitions": PARTITIONS, **log})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log's file is."""
    return tmp_path / "log.db"


@pytest.fixture
async def opener(path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Opens the log of this test; all that are open are closed at the end."""
    logs: list[SqliteLog] = []

    async def opened(*, impatient: bool = False, clock: Any = None, **options: Any) -> SqliteLog:
        known = {name: options.pop(name) for name in ("tidy_every",) if name in options}
        log = SqliteLog(
            path, settings_of(**options), clock or SystemClock(), **(IMPATIENT if impatient else {}), **known
        )
        await log.start()
        logs.append(log)
        return log

    yield opened
    for log in logs:
        await log.close()


class TestContract(LogContract):
    """The log in a SQLite file obeys the contract."""


def appender(path: Path, name: str, count: int, *more: object) -> subprocess.Popen[str]:
    """A process that appends to the file."""
    return python("-m", "tests.cdp.streams.appender", path, name, count, *more)


def python(*arguments: object) -> subprocess.Popen[str]:
    """A process of its own, its output readable."""
    return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


async def stored(log: SqliteLog) -> set[tuple[int, int, str]]:
    """Everything in events.raw: partition, offset, value without its padding."""
    reader = await log.reader([EVENTS_RAW], start="earliest")
    found: set[tuple[int, int, str]] = set()
    while messages := await reader.read(limit=10_000, timeout=0.2):
        found |= {(m.partition, m.offset, m.value.rstrip(b".").decode()) for m in messages}
    await reader.close()
    return found


def acknowledged(lines: list[str]) -> set[tuple[int, int, str]]:
    """What an appender said it got."""
    entries = (line.split() for line in lines if line.startswith("stored") and line.endswith("\n"))
    return {(int(partition), int(offset), value) for _, partition, offset, value in entries}


async def test_two_processes_get_dense_offsets(path: Path, opener: Callable[..., Any]) -> None:
    """Processes that append at the same time share one count per partition."""
    log = await opener()
    processes = [appender(path, name, 200) for name in ("one", "two")]
    outputs = await asyncio.gather(*(asyncio.to_thread(process.communicate) for process in processes))
    said = set().union(*(acknowledged(output.splitlines(keepends=True)) for output, _ in outputs))

    assert said == await stored(log)
    assert dict.fromkeys(range(PARTITIONS), 100) == await log.end_offsets(EVENTS_RAW)


async def test_kill_loses_nothing_acknowledged(path: Path, opener: Callable[..., Any]) -> None:
    """kill -9 while appending: what was acknowledged is there, offsets go on densely, and its partitions are free."""
    process = appender(path, "victim", 100_000)
    assert process.stdout is not None
    lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(200)]
    process.kill()
    lines += (await asyncio.to_thread(process.communicate))[0].splitlines(keepends=True)
    log = await opener()
    found = await stored(log)

    assert len(acknowledged(lines)) >= 200
    assert acknowledged(lines) <= found
    for partition in range(PARTITIONS):
        offsets = sorted(offset for number, offset, _ in found if number == partition)
        assert list(range(len(offsets))) == offsets


async def test_a_dead_process_hands_over_at_once(path: Path, opener: Callable[..., Any]) -> None:
    """The partitions of a process that was killed are taken over without waiting for its lease."""
    code = (
        "import asyncio, sys; from tests.cdp.streams.test_sqlite import *\n"
        "async def main():\n"
        "    log = SqliteLog(Path(sys.argv[1]), settings_of(), SystemClock(), lease=1000); await log.start()\n"
        "    consumer = await log.consumer('group', [EVENTS_RAW], Owner()); await consumer.poll(limit=1, timeout=0)\n"
        "    print('joined', flush=True); await asyncio.sleep(1000)\n"
        "asyncio.run(main())\n"
    )
    process = python("-c", code, path)
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "joined\n"
    process.kill()
    process.communicate()
    log = await opener()
    owner = Owner()
    consumer = await log.consumer("group", [EVENTS_RAW], owner)
    await consumer.poll(limit=1, timeout=0)

    assert {raw(number) for number in range(PARTITIONS)} == owner.held
    await consumer.close()


async def test_full_disk_refuses_and_recovers(path: Path, opener: Callable[..., Any]) -> None:
    """Where the file cannot grow, appends are refused; what was acknowledged stays, and later appends work."""
    process = appender(path, "full", 4_000, 2_000_000)
    lines = (await asyncio.to_thread(process.communicate))[0].splitlines(keepends=True)
    log = await opener()

    assert process.returncode == 0
    assert any(line.startswith("refused") and "The log cannot be written" in line for line in lines)
    assert acknowledged(lines)
    assert acknowledged(lines) <= await stored(log)
    await log.append([draft(b"room again")])


async def test_full_file_turns_red_and_green_again(path: Path, opener: Callable[..., Any]) -> None:
    """`trouble` says why nothing can be appended, until something can."""
    log = await opener()
    await log.append([draft(b"x")])
    log._writer._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(TransientError, match="SQLITE_FULL"):
        await log.append([draft(b"x" * 1_000_000)])
    assert "full" in log.trouble()

    log._writer._connection.execute("PRAGMA max_page_count = 1000000")
    assert await log.append([draft(b"x" * 1_000_000)]) == [1]
    assert log.trouble() == ""


async def test_a_stalled_disk_refuses_in_time(path: Path, opener: Callable[..., Any]) -> None:
    """While another process holds the file, appends are refused after the timeout and are not stored later."""
    log = await opener(timeout_seconds=0.4)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError):
            await log.append([draft(b"refused")])
        other.execute("ROLLBACK")
    await eventually(lambda: log.append([draft(b"stored")]))
    assert {(0, 0, "stored")} == await stored(log)


async def test_a_poll_wakes_for_another_process(opener: Callable[..., Any]) -> None:
    """What another opening of the file appends is seen while waiting."""
    one, two = await opener(), await opener()
    consumer = await one.consumer("group", [EVENTS_RAW], Owner())
    waiting = asyncio.create_task(take(consumer, 1))
    await asyncio.sleep(0.05)
    await two.append([draft(b"news")])

    assert [message.value for message in await waiting] == [b"news"]
    await consumer.close()


async def test_consumed_messages_leave_when_old(opener: Callable[..., Any]) -> None:
    """Age removes only what every group has consumed, never the newest, and never what is kept forever."""
    clock = FrozenClock()
    log = await opener(clock=clock, tidy_every=0.01, retention_hours=1)
    await log.append([draft(b"%d" % number) for number in range(10)])
    await log.append([draft(b"kept", topic=DEFINITIONS.name) for _ in range(3)])
    consumer = await log.consumer("group", [EVENTS_RAW], Owner())
    await take(consumer, 10, commit=False)
    await consumer.commit({raw(0): 4})
    clock.advance(2 * HOUR)
    await eventually(lambda: _offsets(log, EVENTS_RAW, [4, 5, 6, 7, 8, 9]))
    await consumer.commit({raw(0): 10})
    await eventually(lambda: _offsets(log, EVENTS_RAW, [9]))

    assert await _offsets(log, DEFINITIONS, [0, 1, 2])
    assert await log.append([draft(b"next")]) == [10]
    assert Backlog(1, {"": 1}) == await log.backlog("group", EVENTS_RAW)
    await consumer.close()


async def test_a_topic_nobody_reads_leaves_by_age(opener: Callable[..., Any]) -> None:
    """Where no group ever read, nothing is waited for."""
    clock = FrozenClock()
    log = await opener(clock=clock, tidy_every=0.01, retention_hours=1)
    await log.append([draft(b"x", topic=DELIVERIES.name) for _ in range(5)])
    clock.advance(2 * HOUR)
    await eventually(lambda: _offsets(log, DELIVERIES, [4]))


async def test_a_full_log_drops_the_oldest(path: Path, opener: Callable[..., Any]) -> None:
    """Over its size the log drops what is consumed, then the oldest; a consumer reads on at what is left."""
    log = await opener(tidy_every=0.01, retention_bytes=3_000_000)
    consumer = await log.consumer("group", [EVENTS_RAW], Owner())
    await log.append([draft(b"consumed" * 10_000, 1) for _ in range(20)])
    await take(consumer, 20)
    for _ in range(60):
        await log.append([draft(b"x" * 100_000)])
    await eventually(lambda: _pages(path) * store.PAGE_BYTES <= 3_000_000)
    found = await take(consumer, 1)

    assert (await log.end_offsets(EVENTS_RAW))[0] == 60
    assert 20 < found[0].offset < 60
    assert found[-1].offset == 59 or await take(consumer, 59 - found[-1].offset)
    await consumer.close()


async def _offsets(log: SqliteLog, topic: Any, expected: list[int]) -> bool:
    reader = await log.reader([topic], start="earliest")
    found = [message.offset for message in await reader.read(limit=1_000, timeout=0)]
    await reader.close()
    assert expected == found
    return True


def _pages(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        [free] = connection.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free)


def test_trouble_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure counts until an append works, or until nobody has tried for a while."""
    trouble = Trouble()
    assert not str(trouble)
    trouble.note("the disk is full")
    assert str(trouble) == "the disk is full"
    trouble.note("")
    assert not str(trouble)
    trouble.note("again")
    monkeypatch.setattr(Trouble, "LASTS", 0.0)
    assert not str(trouble)


def test_shares_are_even_and_complete() -> None:
    """Each place has exactly one member, and no member has two more than another."""
    shelves = [Shelf(1, 4), Shelf(2, 3)]
    due = assign({"b": [1, 2], "a": [1, 2], "c": [1, 2]}, shelves)

    assert {place for shelf in shelves for place in shelf.places()} == due.keys()
    assert sorted(list(due.values()).count(name) for name in "abc") == [2, 2, 3]
    assert assign({}, shelves) == {}
    assert {"a"} == set(assign({"a": [1], "b": [9]}, shelves).values())


async def test_a_file_of_a_newer_version_is_refused(path: Path, opener: Callable[..., Any]) -> None:
    """A file that this version does not know is left alone."""
    await (await opener()).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(MisconfiguredError, match="newer version"):
        await opener()


def test_no_file_of_ours_is_refused(path: Path) -> None:
    """Something else at that path is not overwritten."""
    path.write_text("this is not a log" * 100)
    with pytest.raises(MisconfiguredError, match="cannot be used"):
        store.prepare(path, {}, busy=1)
    assert path.read_text().startswith("this is not a log")


@pytest.mark.parametrize(
    "url", ["mysql://x", "sqlite://relative", "sqlite:///", "kafka://", "kafka://host", "kafka:x:y"]
)
def test_wrong_urls_are_explained(url: str, tmp_path: Path) -> None:
    """A URL that is none says what one looks like."""
    with pytest.raises(MisconfiguredError, match="CDP_LOG__URL"):
        open_log(Settings(data_dir=tmp_path, log={"url": url}))


async def test_urls_name_files(tmp_path: Path) -> None:
    """`sqlite:` is a file in the data folder, `sqlite:///path` any other."""
    for url, path in (("sqlite:", tmp_path / "data" / "log.db"), (f"sqlite://{tmp_path}/x/y.db", tmp_path / "x/y.db")):
        log = open_log(Settings(data_dir=tmp_path / "data", log={"url": url}))
        await log.start()
        assert TOPICS.keys() <= {topic.name for topic in TOPICS.values() if log.partitions(topic)}
        await log.close()
        assert path.is_file()


def entry(message: Message) -> tuple[bytes, int, str]:
    """What the oracle keeps of a message."""
    return message.value, message.records, message.source


class Oracle(RuleBasedStateMachine):
    """The log against lists: one per partition, and a position per group."""

    @initialize()
    def begin(self) -> None:
        """An empty log."""
        self.runner = asyncio.Runner()
        self.folder = contextlib.ExitStack()
        self.path = Path(self.folder.enter_context(tempfile.TemporaryDirectory())) / "log.db"
        self.stored: list[list[tuple[bytes, int, str]]] = [[] for _ in range(PARTITIONS)]
        self.next = [0] * PARTITIONS
        self.committed = [0] * PARTITIONS
        self.consumer: SqliteConsumer | None = None
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.log = SqliteLog(self.path, settings_of(), SystemClock())
        await self.log.start()

    @rule(
        drafts=st.lists(
            st.tuples(
                st.integers(0, PARTITIONS - 1), st.binary(max_size=40), st.integers(0, 9), st.sampled_from(["", "web"])
            ),
            max_size=8,
        )
    )
    def append(self, drafts: list[tuple[int, bytes, int, str]]) -> None:
        """Each draft goes to the end of its list."""
        offsets = self.runner.run(self.log.append([draft(v, p, r, s) for p, v, r, s in drafts]))
        expected = []
        for partition, value, records, source in drafts:
            expected.append(len(self.stored[partition]))
            self.stored[partition].append((value, records, source))
        assert expected == offsets

    @rule(limit=st.integers(1, 20), commit=st.booleans())
    def poll(self, limit: int, commit: bool) -> None:
        """A poll brings the next of each list, in order."""
        messages = self.runner.run(self._poll(limit, commit))
        for message in messages:
            assert self.next[message.partition] == message.offset
            assert entry(message) == self.stored[message.partition][message.offset]
            self.next[message.partition] += 1
        if commit:
            for message in messages:
                self.committed[message.partition] = message.offset + 1
        assert messages or self.next == [len(stored) for stored in self.stored]

    async def _poll(self, limit: int, commit: bool) -> list[Message]:
        if self.consumer is None:
            self.consumer = await self.log.consumer("group", [EVENTS_RAW], Owner())
            self.next = list(self.committed)
        messages = await self.consumer.poll(limit=limit, timeout=0)
        if commit:
            await self.consumer.commit({message.place: message.offset + 1 for message in messages})
        return messages

    @rule(partition=st.integers(0, PARTITIONS - 1), offset=st.integers(0, 12))
    def seek(self, partition: int, offset: int) -> None:
        """A seek moves the position; beyond the end it goes to the beginning."""
        if self.consumer is not None:
            self.next[partition] = offset if offset <= len(self.stored[partition]) else 0
            self.runner.run(self.consumer.seek({raw(partition): offset}))

    @rule()
    def restart(self) -> None:
        """A restart forgets positions, and nothing else."""
        self.consumer = None
        self.runner.run(self.log.close())
        self.runner.run(self._open())

    @rule(partition=st.integers(0, PARTITIONS - 1), offset=st.integers(0, 12))
    def read(self, partition: int, offset: int) -> None:
        """A reader sees the list from any offset on."""
        found = self.runner.run(self._read(partition, offset))
        start = offset if offset <= len(self.stored[partition]) else 0
        assert self.stored[partition][start:] == [entry(message) for message in found]

    async def _read(self, partition: int, offset: int) -> list[Message]:
        reader = await self.log.reader([EVENTS_RAW], start={raw(partition): offset})
        found = await reader.read(limit=1_000_000, timeout=0)
        await reader.close()
        return found

    @invariant()
    def counts_agree(self) -> None:
        """Ends, committed offsets and the backlog are those of the lists."""
        if not hasattr(self, "log"):
            return
        ends = self.runner.run(self.log.end_offsets(EVENTS_RAW))
        assert {number: len(stored) for number, stored in enumerate(self.stored)} == ends
        assert dict(enumerate(self.committed)) == self.runner.run(self.log.committed("group", EVENTS_RAW))
        waiting = [item for number, stored in enumerate(self.stored) for item in stored[self.committed[number] :]]
        records: dict[str, int] = {}
        for _, count, source in waiting:
            records[source] = records.get(source, 0) + count
        assert Backlog(len(waiting), records) == self.runner.run(self.log.backlog("group", EVENTS_RAW))

    def teardown(self) -> None:
        """Close and delete."""
        if hasattr(self, "log"):
            self.runner.run(self.log.close())
            self.runner.close()
            self.folder.close()


TestOracle = Oracle.TestCase
TestOracle.settings = hypothesis_settings(max_examples=25, stateful_step_count=25, deadline=None)
