"""The one consume loop, on the embedded log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from cdp.errors import TransientError
from cdp.streams.base import Draft, Log, Message, Partition
from cdp.topics import EVENTS_RAW
from cdp.worker import Worker
from tests.waiting import eventually


class Notes:
    """A handler that notes what it was given, and fails or waits when told to."""

    group = "notes"
    topics = (EVENTS_RAW,)

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self.seen: list[list[bytes]] = []
        self.failures: list[Exception] = []
        self.starts: dict[Partition, int] = {}
        self.share: list[str] = []
        self.busy = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Gained."""
        assert not self.busy
        self.share.append("assigned")
        return self.starts

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Lost."""
        assert not self.busy
        self.share.append("revoked")

    async def handle(self, messages: Sequence[Message]) -> None:
        """Note the values."""
        self.busy = True
        try:
            self.seen.append([message.value for message in messages])
            await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)
            self.done += [message.value for message in messages]
        finally:
            self.busy = False


async def append(log: Log, *values: str, partition: int = 0) -> None:
    """Append to events.raw."""
    await log.append([Draft(EVENTS_RAW.name, partition, value.encode()) for value in values])


async def committed(log: Log) -> int:
    """How far the group is in partition 0."""
    return (await log.committed(Notes.group, EVENTS_RAW))[0]


@pytest.fixture
async def handler() -> Notes:
    """What the worker works with."""
    return Notes()


@pytest.fixture
async def worker(log: Log, handler: Notes) -> Worker:
    """A worker that has not been started."""
    return Worker(log, handler, linger=0.02, close=2)


async def test_offsets_are_committed_after_the_work(log: Log, worker: Worker, handler: Notes) -> None:
    """While the handler is at work nothing is committed; once it returns, everything is."""
    handler.gate.clear()
    await worker.start()
    await append(log, "a", "b")
    await eventually(lambda: handler.seen)
    assert await committed(log) == 0
    handler.gate.set()
    await eventually(lambda: _is_committed(log, 2))
    assert handler.done == [b"a", b"b"]
    await worker.stop()


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), TransientError("away", retry_after=0.01)])
async def test_a_failure_is_retried_and_nothing_is_skipped(
    log: Log, worker: Worker, handler: Notes, failure: Exception
) -> None:
    """The same messages are handled again until that works; health says why it takes longer."""
    handler.failures = [failure, failure]
    handler.gate.clear()
    await worker.start()
    assert worker.health().ok
    await append(log, "a")
    await eventually(lambda: handler.seen)
    await append(log, "b")
    handler.gate.set()
    await eventually(lambda: not worker.health().ok)
    assert str(failure) in worker.health().detail
    await eventually(lambda: _is_committed(log, 2))

    assert handler.seen == [[b"a"], [b"a"], [b"a"], [b"b"]]
    assert handler.done == [b"a", b"b"]
    await eventually(lambda: worker.health().ok)
    await worker.stop()


async def test_stop_finishes_the_turn(log: Log, worker: Worker, handler: Notes) -> None:
    """What is being handled when the worker is told to stop is finished and committed; nothing new begins."""
    handler.gate.clear()
    await worker.start()
    await append(log, "a")
    await eventually(lambda: handler.seen)
    stopping = asyncio.create_task(worker.stop())
    await append(log, "b")
    await asyncio.sleep(0.05)
    assert not stopping.done()
    handler.gate.set()
    await stopping

    assert handler.seen == [[b"a"]]
    assert await committed(log) == 1
    assert handler.share == ["assigned", "revoked"]
    assert worker.health() == (False, "not running", {})


async def test_stop_ends_a_wait(log: Log, worker: Worker, handler: Notes) -> None:
    """A worker that waits for its next attempt stops at once, uncommitted."""
    handler.failures = [TransientError("away", retry_after=1_000)]
    await worker.start()
    await append(log, "a")
    await eventually(lambda: not worker.health().ok)
    async with asyncio.timeout(1.5):
        await worker.stop()
    assert await committed(log) == 0


async def test_stop_does_not_wait_for_ever(log: Log, handler: Notes) -> None:
    """Work that does not end in time is cut off and not committed; the next worker does it again."""
    worker = Worker(log, handler, linger=0.02, close=0.05)
    handler.gate.clear()
    await worker.start()
    await append(log, "a")
    await eventually(lambda: handler.seen)
    await worker.stop()
    assert await committed(log) == 0

    handler.gate.set()
    again = Worker(log, handler, linger=0.02)
    await again.start()
    await eventually(lambda: _is_committed(log, 1))
    assert handler.done == [b"a"]
    await again.stop()


async def test_what_was_not_committed_is_done_again(log: Log, handler: Notes) -> None:
    """A crash between the work and the commit repeats the work."""

    class Crashing(Worker):
        async def _commit(self, messages: Sequence[Message]) -> None:
            raise asyncio.CancelledError

    worker = Crashing(log, handler, linger=0.02)
    await worker.start()
    await append(log, "a")
    await eventually(lambda: worker.health().detail.startswith("stopped unexpectedly"))
    await worker.stop()
    again = Worker(log, handler, linger=0.02)
    await again.start()
    await eventually(lambda: _is_committed(log, 1))

    assert handler.done == [b"a", b"a"]
    await again.stop()


async def test_the_handler_says_where_to_start(log: Log, worker: Worker, handler: Notes) -> None:
    """Offsets returned by `assigned` count more than the committed ones."""
    await append(log, "a", "b", "c")
    handler.starts = {Partition(EVENTS_RAW.name, 0): 2}
    await worker.start()
    await eventually(lambda: handler.done == [b"c"])
    await worker.stop()


async def test_a_turn_is_limited(log: Log, handler: Notes) -> None:
    """A turn has about as many records as the worker asks for."""
    await append(log, *map(str, range(100)))
    worker = Worker(log, handler, limit=10, linger=0.02)
    await worker.start()
    await eventually(lambda: len(handler.done) == 100)
    assert max(map(len, handler.seen)) == 10
    await worker.stop()


async def _is_committed(log: Log, offset: int) -> bool:
    return await committed(log) == offset
