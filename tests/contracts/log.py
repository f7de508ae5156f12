"""What every log must do: the same tests run against SQLite and against a real Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest

from cdp.errors import PermanentError, TransientError
from cdp.streams.base import LARGEST, Backlog, Consumer, Draft, Log, Message, Partition
from cdp.topics import DEFINITIONS, DELIVERIES, EVENTS_RAW
from tests.waiting import eventually

TOPICS = (EVENTS_RAW, DELIVERIES, DEFINITIONS)
PARTITIONS = 4

Opener = Callable[..., Awaitable[Log]]


class Owner:
    """Notes what a consumer tells it, and says where to start."""

    def __init__(self, starts: Mapping[Partition, int] | None = None) -> None:
        self.starts = starts or {}
        self.held: set[Partition] = set()
        self.history: list[tuple[str, frozenset[Partition]]] = []

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Gained."""
        assert self.held.isdisjoint(places)
        self.held.update(places)
        self.history.append(("assigned", frozenset(places)))
        return {place: offset for place, offset in self.starts.items() if place in places}

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Lost."""
        assert self.held.issuperset(places)
        self.held.difference_update(places)
        self.history.append(("revoked", frozenset(places)))


def raw(number: int) -> Partition:
    """A partition of events.raw."""
    return Partition(EVENTS_RAW.name, number)


def draft(value: bytes, partition: int = 0, records: int = 1, source: str = "", topic: str = EVENTS_RAW.name) -> Draft:
    """A draft for events.raw."""
    return Draft(topic, partition, value, records, source)


async def take(consumer: Consumer, count: int, *, commit: bool = True, timeout: float = 20) -> list[Message]:
    """Poll until there are `count` messages."""
    found: list[Message] = []
    async with asyncio.timeout(timeout):
        while len(found) < count:
            messages = await consumer.poll(limit=1_000, timeout=0.2)
            if commit and messages:
                await consumer.commit({message.place: message.offset + 1 for message in messages})
            found += messages
    return found


@contextlib.asynccontextmanager
async def polling(*consumers: Consumer) -> AsyncIterator[list[list[Message]]]:
    """Poll and commit in the background, as workers do; yields a growing list of messages per consumer."""
    found: list[list[Message]] = [[] for _ in consumers]

    async def work(consumer: Consumer, messages: list[Message]) -> None:
        while True:
            messages += await take(consumer, 1, timeout=60)

    tasks = [asyncio.create_task(work(*pair)) for pair in zip(consumers, found, strict=True)]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()


class LogContract:
    """Inherit it, and give a fixture `opener`: each call opens the same log, as another process would."""

    @pytest.fixture
    async def log(self, opener: Opener) -> Log:
        """The log, opened once."""
        return await opener()

    async def test_offsets_are_dense_and_returned(self, log: Log) -> None:
        """Each partition counts its messages from 0 without a gap, and append says which number each draft got."""
        first = await log.append([draft(b"a", 0), draft(b"b", 1), draft(b"c", 0)])
        second = await log.append([draft(b"d", 1), draft(b"e", 0)])

        assert first == [0, 0, 1]
        assert second == [1, 2]
        assert await log.end_offsets(EVENTS_RAW) == {0: 3, 1: 2, 2: 0, 3: 0}

    async def test_nothing_is_appended_by_nothing(self, log: Log) -> None:
        """An empty append is no append."""
        assert await log.append([]) == []
        assert dict.fromkeys(range(PARTITIONS), 0) == await log.end_offsets(EVENTS_RAW)

    async def test_appended_is_durable(self, opener: Opener) -> None:
        """What was appended is there, whole and in order, when the log is opened again."""
        log = await opener()
        before = log.trouble()
        await log.append([draft(b"%d" % number, number % PARTITIONS, number + 1, "shop") for number in range(100)])
        await log.close()

        reader = await (await opener()).reader([EVENTS_RAW], start="earliest")
        found = await self._read(reader, 100)

        assert before == ""
        for partition in range(PARTITIONS):
            mine = [message for message in found if message.partition == partition]
            assert [(b"%d" % n, n + 1, "shop") for n in range(partition, 100, PARTITIONS)] == [
                (message.value, message.records, message.source) for message in mine
            ]
            assert list(range(25)) == [message.offset for message in mine]
        await reader.close()

    async def test_partitions_of_an_existing_topic_stay(self, opener: Opener) -> None:
        """The setting counts for new topics only; a topic may say its own number."""
        log = await opener(partitions=2)
        await log.close()
        again = await opener(partitions=8)

        assert again.partitions(EVENTS_RAW) == 2
        assert again.partitions(DEFINITIONS) == 1

    async def test_refuses_what_no_log_can_take(self, log: Log) -> None:
        """An unknown topic, a partition that does not exist and a value that is too large are refused for good."""
        for wrong in (draft(b"", 99), draft(b"", -1), draft(b"", topic="nonsense"), draft(bytes(LARGEST + 1))):
            with pytest.raises(PermanentError):
                await log.append([draft(b"fine"), wrong])
        assert (await log.end_offsets(EVENTS_RAW))[0] == 0

    async def test_big_values(self, log: Log) -> None:
        """Values of several megabytes, several at once, come back as they were."""
        values = [bytes([number]) * 5_000_000 for number in range(3)]
        await log.append([draft(value) for value in values])
        consumer = await log.consumer("group", [EVENTS_RAW], Owner())

        assert values == [message.value for message in await take(consumer, 3)]
        await consumer.close()

    async def test_any_bytes_are_a_value(self, log: Log) -> None:
        """Values and sources are taken as they are."""
        values = [b"", b"\0", bytes(range(256)), b'{"a": 1}\n']
        await log.append([draft(value, source="cửa hàng") for value in values])
        reader = await log.reader([EVENTS_RAW], start="earliest")

        assert [(value, "cửa hàng") for value in values] == [(m.value, m.source) for m in await self._read(reader, 4)]
        await reader.close()

    async def test_many_appenders_lose_nothing(self, opener: Opener) -> None:
        """Appends of many tasks through two openings of the log all get offsets of their own."""
        logs = [await opener(), await opener()]

        async def work(number: int) -> list[tuple[int, int, bytes]]:
            done = []
            for turn in range(10):
                drafts = [draft(b"%d-%d-%d" % (number, turn, part), (number + part) % PARTITIONS) for part in range(3)]
                offsets = await logs[number % 2].append(drafts)
                done += [(item.partition, offset, item.value) for item, offset in zip(drafts, offsets, strict=True)]
            return done

        acknowledged = [entry for done in await asyncio.gather(*map(work, range(20))) for entry in done]
        reader = await logs[0].reader([EVENTS_RAW], start="earliest")
        found = await self._read(reader, 600)

        assert sorted(acknowledged) == sorted((m.partition, m.offset, m.value) for m in found)
        await reader.close()

    async def test_close_during_appends(self, opener: Opener) -> None:
        """Closing finishes or refuses the appends under way; what was acknowledged is stored."""
        log = await opener()
        appends = [asyncio.create_task(log.append([draft(b"%d" % number)])) for number in range(200)]
        await asyncio.sleep(0)
        await log.close()
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        again = await opener()
        end = (await again.end_offsets(EVENTS_RAW))[0]

        offsets = [outcome[0] for outcome in outcomes if isinstance(outcome, list)]
        assert all(isinstance(outcome, list | TransientError) for outcome in outcomes)
        assert sorted(offsets) == sorted(set(offsets))
        assert end >= len(offsets)
        with pytest.raises(TransientError):
            await log.append([draft(b"late")])

    async def test_a_group_starts_at_the_beginning_and_goes_on_where_it_was(self, opener: Opener) -> None:
        """A new group reads everything; after a commit and a restart it reads on from there."""
        log = await opener()
        await log.append([draft(b"%d" % number) for number in range(5)])
        consumer = await log.consumer("group", [EVENTS_RAW], Owner())
        found = await take(consumer, 5, commit=False)
        await consumer.commit({raw(0): found[2].offset + 1})
        await consumer.close()
        await log.close()

        again = await opener()
        assert (await again.committed("group", EVENTS_RAW))[0] == 3
        consumer = await again.consumer("group", [EVENTS_RAW], Owner())
        assert [message.value for message in await take(consumer, 2)] == [b"3", b"4"]
        await consumer.close()

    async def test_groups_are_independent(self, log: Log) -> None:
        """Each group has everything."""
        await log.append([draft(b"x", number % PARTITIONS) for number in range(8)])
        for group in ("one", "two"):
            consumer = await log.consumer(group, [EVENTS_RAW], Owner())
            assert len(await take(consumer, 8)) == 8
            await consumer.close()
        assert dict.fromkeys(range(PARTITIONS), 0) == await log.committed("three", EVENTS_RAW)

    async def test_poll_waits_for_news(self, log: Log) -> None:
        """A poll returns at once when something is appended, and empty-handed when its time is up."""
        consumer = await log.consumer("group", [EVENTS_RAW], Owner())
        assert await consumer.poll(limit=10, timeout=0.1) == []
        waiting = asyncio.create_task(take(consumer, 1, timeout=30))
        await asyncio.sleep(0.1)
        await log.append([draft(b"news", 2)])

        assert [message.value for message in await waiting] == [b"news"]
        await consumer.close()

    async def test_poll_is_about_as_large_as_asked(self, log: Log) -> None:
        """A poll brings about `limit` records, in order, and the following polls the rest, without a gap."""
        for _ in range(3):
            await log.append([draft(b"x" * 1000, number % PARTITIONS, 10) for number in range(120)])
        consumer = await log.consumer("group", [EVENTS_RAW], Owner())
        found: list[Message] = []
        sizes = []
        async with asyncio.timeout(30):
            while len(found) < 360:
                messages = await consumer.poll(limit=100, timeout=1)
                sizes.append(sum(message.records for message in messages))
                found += messages

        assert max(sizes) <= 200
        for partition in range(PARTITIONS):
            assert list(range(90)) == [message.offset for message in found if message.partition == partition]
        await consumer.close()

    async def test_members_share_the_partitions(self, opener: Opener) -> None:
        """Two members, of two processes, have every partition between them, none twice; each message goes to one."""
        one, two = await opener(), await opener()
        owners = Owner(), Owner()
        first = await one.consumer("group", [EVENTS_RAW], owners[0])
        second = await two.consumer("group", [EVENTS_RAW], owners[1])
        async with polling(first, second) as found:
            everything = {raw(number) for number in range(PARTITIONS)}
            await eventually(
                lambda: (
                    owners[0].held | owners[1].held == everything
                    and not owners[0].held & owners[1].held
                    and len(owners[0].held) == 2
                ),
                timeout=30,
            )
            await one.append([draft(b"%d" % number, number % PARTITIONS) for number in range(40)])
            await eventually(lambda: sum(map(len, found)) >= 40, timeout=30)

            assert [len(messages) for messages in found] == [20, 20]
            assert {message.place for message in found[0]} == owners[0].held
        await first.close()
        await second.close()

    async def test_a_member_that_leaves_hands_over(self, opener: Opener) -> None:
        """What a leaving member had goes to the others, from its committed offset on."""
        one, two = await opener(), await opener()
        owners = Owner(), Owner()
        first = await one.consumer("group", [EVENTS_RAW], owners[0])
        second = await two.consumer("group", [EVENTS_RAW], owners[1])
        await one.append([draft(b"before", number) for number in range(PARTITIONS)])
        async with polling(second) as found:
            async with polling(first) as others:
                await eventually(lambda: owners[0].held and owners[1].held and found[0] + others[0], timeout=30)
            await first.close()
            await one.append([draft(b"after", number) for number in range(PARTITIONS)])
            await eventually(lambda: len([m for m in found[0] if m.value == b"after"]) == PARTITIONS, timeout=30)

            assert not owners[0].held
            assert {raw(number) for number in range(PARTITIONS)} == owners[1].held
        assert dict.fromkeys(range(PARTITIONS), 2) == await one.committed("group", EVENTS_RAW)
        await second.close()

    async def test_a_stale_member_cannot_commit(self, opener: Opener) -> None:
        """A member that was silent for too long loses its partitions, and its late commit of them is void."""
        one, two = await opener(impatient=True), await opener(impatient=True)
        await one.append([draft(b"x", number) for number in range(PARTITIONS)])
        stale, fresh = Owner(), Owner()
        first = await one.consumer("group", [EVENTS_RAW], stale)
        given = await take(first, PARTITIONS, commit=False)
        second = await two.consumer("group", [EVENTS_RAW], fresh)
        async with asyncio.timeout(40):
            while not fresh.held:
                await second.poll(limit=1, timeout=0.1)
        await first.commit({message.place: message.offset + 1 for message in given})

        committed = await two.committed("group", EVENTS_RAW)
        assert {0} == {committed[place.number] for place in fresh.held}
        await first.poll(limit=1, timeout=0.1)  # hears that they are gone
        assert not stale.held & fresh.held
        await first.close()
        await second.close()

    async def test_seek(self, log: Log) -> None:
        """Reading goes on from where it was told to, back and forth."""
        await log.append([draft(b"%d" % number) for number in range(10)])
        consumer = await log.consumer("group", [EVENTS_RAW], Owner())
        await take(consumer, 10)
        await consumer.seek({raw(0): 7})
        assert [message.offset for message in await take(consumer, 3)] == [7, 8, 9]
        await consumer.seek({raw(0): 2})
        assert [message.offset for message in await take(consumer, 8)][:2] == [2, 3]
        await consumer.close()

    async def test_seek_beyond_the_end(self, log: Log) -> None:
        """An offset that the log does not have yet means that the log was lost: everything is read again."""
        await log.append([draft(b"%d" % number) for number in range(3)])
        consumer = await log.consumer("group", [EVENTS_RAW], Owner({raw(0): 500}))
        assert [message.offset for message in await take(consumer, 3)] == [0, 1, 2]
        await consumer.close()

    async def test_owner_says_where_to_start(self, log: Log) -> None:
        """What `assigned` returns counts more than what was committed."""
        await log.append([draft(b"%d" % number, number % 2) for number in range(10)])
        consumer = await log.consumer("group", [EVENTS_RAW], Owner())
        await take(consumer, 10)
        await consumer.close()
        consumer = await log.consumer("group", [EVENTS_RAW], Owner({raw(1): 3}))

        assert [(message.partition, message.offset) for message in await take(consumer, 2)] == [(1, 3), (1, 4)]
        assert await consumer.poll(limit=10, timeout=0.1) == []
        await consumer.close()

    async def test_an_owner_that_is_not_ready_is_asked_again(self, log: Log) -> None:
        """Where `assigned` raises, the poll raises the same; the next one asks again, and nothing was skipped."""

        class Late(Owner):
            async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
                if not self.history:
                    self.history.append(("refused", frozenset(places)))
                    raise TransientError("not yet")
                return await super().assigned(places)

        await log.append([draft(b"x", number) for number in range(PARTITIONS)])
        owner = Late()
        consumer = await log.consumer("group", [EVENTS_RAW], owner)
        with pytest.raises(TransientError, match="not yet"):
            await take(consumer, 1)
        assert len(await take(consumer, PARTITIONS)) == PARTITIONS
        assert [what for what, _ in owner.history] == ["refused", "assigned"]
        await consumer.close()

    async def test_several_topics(self, log: Log) -> None:
        """A member reads several topics, and each message says which it is of."""
        await log.append([draft(b"raw"), draft(b"delivery", topic=DELIVERIES.name)])
        consumer = await log.consumer("group", [EVENTS_RAW, DELIVERIES], Owner())
        found = {(message.topic, message.value) for message in await take(consumer, 2)}
        await consumer.close()

        assert {(EVENTS_RAW.name, b"raw"), (DELIVERIES.name, b"delivery")} == found
        assert (await log.committed("group", DELIVERIES))[0] == 1

    async def test_readers(self, log: Log) -> None:
        """A reader starts at the beginning, at the end or where it is told to, and then follows."""
        await log.append([draft(b"%d" % number, number % 2) for number in range(4)])
        earliest = await log.reader([EVENTS_RAW], start="earliest")
        latest = await log.reader([EVENTS_RAW])
        chosen = await log.reader([EVENTS_RAW], start={raw(0): 1})
        assert await latest.read(limit=10, timeout=0.1) == []
        await log.append([draft(b"new", 1)])

        assert sorted(m.value for m in await self._read(earliest, 5)) == [b"0", b"1", b"2", b"3", b"new"]
        assert [message.value for message in await self._read(latest, 1)] == [b"new"]
        assert sorted(message.value for message in await self._read(chosen, 2)) == [b"2", b"new"]
        for reader in (earliest, latest, chosen):
            assert await reader.read(limit=10, timeout=0.05) == []
            await reader.close()

    async def test_backlog_counts_records_by_source(self, log: Log) -> None:
        """The backlog is what lies between a group's committed offsets and the ends."""
        await log.append([draft(b"x", number % 2, number + 1, ("web", "app")[number % 2]) for number in range(4)])
        assert Backlog(4, {"web": 4, "app": 6}) == await log.backlog("group", EVENTS_RAW)
        consumer = await log.consumer("group", [EVENTS_RAW], Owner())
        await take(consumer, 4, commit=False)
        await consumer.commit({raw(1): 1})
        assert Backlog(3, {"web": 4, "app": 4}) == await log.backlog("group", EVENTS_RAW)
        await consumer.commit({raw(0): 2, raw(1): 2})
        assert Backlog(0, {}) == await log.backlog("group", EVENTS_RAW)
        await consumer.close()

    async def _read(self, reader: object, count: int) -> list[Message]:
        found: list[Message] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                found += await reader.read(limit=1_000, timeout=1)  # type: ignore[attr-defined]
        return found
