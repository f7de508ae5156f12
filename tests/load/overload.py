"""What the collector does with more than it can take: measures its capacity, then offers a multiple of that.

    python -m tests.load.overload [--seconds 60] [--times 3] [--events 100]

A collector of its own in a process of its own, on the embedded log, with two sources: one without a limit, and one that
may bring a twentieth of the capacity and is offered twice that. The load is open: requests go out at their moment,
whatever became of those before, over as many connections as it takes. Afterwards the log is read and compared with the
answers:

- only 200, 429 and 503, the last two with Retry-After
- nothing that was answered 200 is missing in the log
- the memory of the process stays flat (printed over time)
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import statistics
import tempfile
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvloop

from cdp.clock import SystemClock
from cdp.records import decode_raw, encode
from cdp.registry import Registry
from cdp.settings import Settings
from cdp.streams import open_log
from cdp.topics import EVENTS_RAW
from ingest.testing import authorization, ensure_source
from tests.load import payload
from tests.load.bench import cpu_seconds, resident_bytes
from tests.processes import Process, free_port
from tests.waiting import until

FREE_KEY, LIMITED_KEY = "wk_overload_free", "wk_overload_limited"
# Requests in flight at which the collector sends others away; most connections of the load.
IN_FLIGHT, CONNECTIONS = 500, 3_000
# The limited source may bring one part of the capacity in so many, and is offered twice that.
SHARE = 20
TICK = 0.005
MARK = b"000000000000"


def main() -> None:
    """Measure, overload, compare, print; ends with an error when a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--times", type=float, default=3, help="how many times the capacity is offered")
    parser.add_argument("--events", type=int, default=100, help="events in a request")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    folder = Path(tempfile.mkdtemp(prefix="cdp-overload-"))
    try:
        report = uvloop.run(overload(folder, arguments.seconds, arguments.times, arguments.events))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.table())
    report.check()


class Report(NamedTuple):
    """What was measured. `memory` in megabytes, once a second."""

    events: int
    capacity: float
    offered: float
    seconds: float
    answers: dict[int, int]
    without_retry: int
    unanswered: int
    held_back: int
    acknowledged: int
    stored: int
    lost: int
    partly: int
    memory: list[float]
    cpu: float

    def table(self) -> str:
        """For people."""
        total = sum(self.answers.values())
        answers = ", ".join(f"{one}: {count:,} ({count / total:.1%})" for one, count in sorted(self.answers.items()))
        offered, taken = self.offered / self.seconds, self.acknowledged / self.seconds
        later = self.memory[len(self.memory) // 4 :]
        halves = [statistics.mean(half) for half in (later[: len(later) // 2], later[len(later) // 2 :])]
        rows = {
            "capacity": f"{self.capacity:,.0f} requests/s of {self.events} events",
            "offered": f"{offered:,.0f} requests/s for {self.seconds:.0f} s: {offered / self.capacity:.1f} times that",
            "not sent in time": f"{self.held_back:,}: the load's own connections were all in use",
            "answers": f"{answers}; unanswered {self.unanswered}",
            "no Retry-After": f"{self.without_retry} of those sent away",
            "answered 200": f"{self.acknowledged:,}: {taken:,.0f}/s, {taken / self.capacity:.0%} of the capacity",
            "events stored": f"{self.stored:,}; of requests answered 200 lost {self.lost}",
            "stored, no 200": f"{self.partly} requests",
            "memory": f"{self.memory[0]:.0f} MB before; later {min(later):.0f} to {max(later):.0f}; "
            f"halves {halves[0]:.0f} and {halves[1]:.0f}",
            "over time": " ".join(f"{one:.0f}" for one in self.memory[:: max(1, len(self.memory) // 20)]),
            "CPU": f"{self.cpu:.0f} s of {self.seconds:.0f} s",
        }
        lines = [f"{name:18}{text}" for name, text in rows.items()]
        return "\n".join(lines)

    def check(self) -> None:
        """Raises `SystemExit` when a promise was not kept."""
        later = self.memory[len(self.memory) // 4 :]
        half = len(later) // 2
        promises = {
            "only 200, 429 and 503": set(self.answers) <= {200, 429, 503},
            "some of each": {200, 429, 503} <= set(self.answers),
            "each request answered": self.unanswered == 0,
            "Retry-After": self.without_retry == 0,
            "none of the 200s lost": self.lost == 0,
            "memory flat": statistics.mean(later[half:]) < statistics.mean(later[:half]) * 1.1 + 10,
        }
        broken = [name for name, kept in promises.items() if not kept]
        if broken:
            raise SystemExit(f"not kept: {', '.join(broken)}")
        print("kept: " + ", ".join(promises))


async def overload(folder: Path, seconds: float, times: float, events: int) -> Report:
    """Run it, with so many events in a request."""
    await _define(folder, FREE_KEY, "free", None)
    await _define(folder, LIMITED_KEY, "limited", None)
    process, port = _collector(folder)
    try:
        capacity = await _capacity(port, events)
        process.stop()
        rate = capacity * events / SHARE
        await _define(folder, LIMITED_KEY, "limited", {"events_per_second": rate, "burst": max(events, int(rate))})
        process, port = _collector(folder)
        load = Load(port, [FREE_KEY] * (SHARE // 2 - 1) + [LIMITED_KEY], events)
        memory: list[float] = []
        before = cpu_seconds(process.pid)
        watch = asyncio.create_task(_watch(process.pid, memory))
        start = time.monotonic()
        await load.offer(capacity * times, seconds)
        spent = time.monotonic() - start
        unanswered = await load.finish()
        cpu = cpu_seconds(process.pid) - before
        watch.cancel()
    finally:
        process.stop()
    stored = await _stored(folder, load.sent, events)
    lost = sum(1 for number in load.acknowledged if stored[number] != events)
    partly = sum(1 for count in stored if count) - (len(load.acknowledged) - lost)
    return Report(
        events,
        capacity,
        load.sent,
        spent,
        dict(load.answers),
        load.without_retry,
        unanswered,
        load.held_back,
        len(load.acknowledged),
        sum(stored),
        lost,
        partly,
        memory,
        cpu,
    )


class Load:
    """Requests at a rate, each with a number that its events carry in their messageIds."""

    def __init__(self, port: int, keys: list[str], events: int) -> None:
        self._port = port
        self._body = _body(events)
        self._heads = [_head(key, len(self._body)) for key in keys]
        self._idle: deque[Connection] = deque()
        self._open: list[Connection] = []
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.held_back = 0
        self.answers: Counter[int] = Counter()
        self.acknowledged: list[int] = []
        self.without_retry = 0

    async def offer(self, rate: float, seconds: float) -> None:
        """So many requests a second, each at its moment."""
        start = time.monotonic()
        given = 0
        while (passed := time.monotonic() - start) < seconds:
            due = int(rate * passed) - given
            given += due
            for _ in range(due):
                if not self._idle:
                    self._grow(due)
                    self.held_back += 1
                    continue
                self._idle.popleft().send(self.sent, self.request(self.sent))
                self.sent += 1
            await asyncio.sleep(TICK)

    async def finish(self) -> int:
        """Wait for what is under way; returns how many were never answered."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.answers.total() < self.sent:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for one in self._open:
            one.close()
        return self.sent - self.answers.total()

    def request(self, number: int) -> bytes:
        """The bytes of a POST."""
        return self._heads[number % len(self._heads)] + self._body.replace(MARK, b"%012d" % number)

    def answered(self, connection: Connection, number: int, head: bytes) -> None:
        """Write down an answer."""
        status = int(head[9:12])
        self.answers[status] += 1
        if status == 200:
            self.acknowledged.append(number)
        elif b"\r\nretry-after: " not in head.lower():
            self.without_retry += 1
        self._idle.append(connection)

    def _grow(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(count, 50, CONNECTIONS - len(self._open) - self._opening)):
            self._opening += 1
            task = loop.create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        finally:
            self._opening -= 1
        self._open.append(connection)
        self._idle.append(connection)


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: Any = None
        self._number = 0
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        """It is open."""
        self._transport = transport

    def send(self, number: int, request: bytes) -> None:
        """Send a request."""
        self._number = number
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or all of it."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(rest) >= length:
            self._received = rest[length:]
            self._load.answered(self, self._number, head)


def _body(count: int) -> bytes:
    """A batch, MARK in the messageId of each event."""
    events = [payload.event(number, people=1_000) for number in range(count)]
    return encode({"batch": [{**one, "messageId": f"{MARK.decode()}-{n}"} for n, one in enumerate(events)]})


def _head(write_key: str, length: int) -> bytes:
    fields = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(length),
        **authorization(write_key),
    }
    return "\r\n".join(
        ["POST /v1/batch HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "\r\n"]
    ).encode()


async def _capacity(port: int, events: int) -> float:
    """Requests a second that a load which waits for its answers gets through. Its numbers are beyond all others."""
    load = Load(port, [FREE_KEY], events)
    done: list[int] = []
    end = time.monotonic() + 5
    start = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(_closed(port, load, end, done))
    return len(done) / (time.monotonic() - start)


async def _closed(port: int, load: Load, end: float, done: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < end:
        writer.write(load.request(10**11 + len(done)))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head[9:12] == b"200", head
        await reader.readexactly(int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
        done.append(1)
    writer.close()


async def _watch(pid: int, memory: list[float]) -> None:
    while True:
        memory.append(resident_bytes(pid) / 1e6)
        await asyncio.sleep(1)


def _settings(folder: Path) -> Settings:
    return Settings.load(data_dir=folder / "data")


def _collector(folder: Path) -> tuple[Process, int]:
    port = free_port()
    environment = {
        "CDP_DATA_DIR": str(folder / "data"),
        "CDP_HTTP__PORT": str(port),
        "CDP_COLLECTOR__MAX_IN_FLIGHT": str(IN_FLIGHT),
        "CDP_LOG__RETENTION_BYTES": str(10**12),
    }
    process = Process("collector", ["run", "collector"], environment, folder)
    process.start()
    until(lambda: _is_ready(port))
    return process, port


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


async def _define(folder: Path, write_key: str, key: str, limit: dict[str, float] | None) -> None:
    """Make a source while no collector runs."""
    settings, clock = _settings(folder), SystemClock()
    settings.data_dir.mkdir(exist_ok=True)
    log = open_log(settings, clock)
    await log.start()
    registry = Registry(log, clock)
    await registry.start()
    entry = await ensure_source(registry, write_key, "overload", clock=clock, key=key)
    await registry.put("source", key, {**entry.body, "limit": limit})
    await registry.close()
    await log.close()


async def _stored(folder: Path, requests: int, events: int) -> list[int]:
    """How many different events of each request the log has."""
    seen = bytearray(requests * events)
    log = open_log(_settings(folder), SystemClock())
    await log.start()
    left = sum((await log.end_offsets(EVENTS_RAW)).values())
    reader = await log.reader([EVENTS_RAW], start="earliest")
    while left > 0 and (messages := await reader.read(limit=2_000, timeout=5)):
        left -= len(messages)
        for batch in (batch for message in messages for batch in decode_raw(message.value)):
            for number, _, place in (event.id.partition("-") for event in batch.events):
                if int(number) < requests:  # those with higher numbers measured the capacity
                    seen[int(number) * events + int(place)] = 1
    await reader.close()
    await log.close()
    return [seen.count(1, number * events, (number + 1) * events) for number in range(requests)]


if __name__ == "__main__":
    main()
