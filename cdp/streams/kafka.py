"""The log on Apache Kafka: for more events, more processes and more machines than one SQLite file serves.

A message's `records` and `source` travel as headers. Partitions are chosen by us (`records.partition_of`), never by a
client's hash. Topics are made with these settings; one that exists already is used as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from aiokafka.structs import TopicPartition

from cdp.clock import HOUR, Clock
from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.streams.base import LARGEST, Assignment, Backlog, Draft, Partition, check
from cdp.streams.kafka_client import ask, end, opened, parse
from cdp.streams.kafka_consumer import KafkaConsumer, KafkaReader, Patience, Site, started
from cdp.streams.kafka_producer import Producer
from cdp.topics import TOPICS, Topic

TOPIC_EXISTS = 36
# Answers to "make this topic" that only the operator can change: replication factor, authorization, policy.
OPERATOR_CODES = {29, 31, 37, 38, 40, 44}
# Seconds that counting a backlog's records may take; the rest is estimated.
COUNTING = 2.0
COUNTED_AT_ONCE = 10_000


class KafkaLog:
    """The log on a Kafka cluster. One per process."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        topics: Iterable[Topic] = tuple(TOPICS.values()),
        patience: Patience | None = None,
    ) -> None:
        """`patience`: how long silence is borne, of members and of clients. Raises `MisconfiguredError`."""
        self._settings = settings.log
        self._topics = tuple(topics)
        self._cluster = parse(
            self._settings.url, prefix=self._settings.topic_prefix, timeout=self._settings.timeout_seconds
        )
        self._site = Site(self._cluster, patience or Patience(), set())
        self._producer = Producer(self._cluster, clock)
        self._partitions: dict[str, int] = {}
        self._probe: Any = None
        self._admin: Any = None
        self._asking = asyncio.Lock()

    async def start(self) -> None:
        """Connect and make missing topics. Raises `MisconfiguredError` or `TransientError`."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._cluster.bootstrap)
        timeout = self._cluster.timeout
        async with opened(admin, timeout, "connecting"):
            await ask(self._make_topics(admin), timeout * 2, "making topics")
            self._partitions = await ask(self._count_partitions(admin), timeout * 2, "waiting for topics")

    async def close(self) -> None:
        """Finish the appends under way within a few seconds, then let go."""
        await self._producer.close()
        asked = [end(client) for client in (self._probe, self._admin) if client is not None]
        await asyncio.gather(*asked, *(feed.close() for feed in set(self._site.feeds)))
        self._probe = self._admin = None

    def trouble(self) -> str:
        """Why it could not be appended to lately; empty while all is well."""
        return str(self._producer.trouble)

    def partitions(self, topic: Topic) -> int:
        """How many partitions the topic has in the cluster."""
        return self._partitions[topic.name]

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Append all drafts, and return their offsets once all in-sync replicas have them.

        Raises `TransientError` when that did not happen in time; some of them may then be stored nevertheless.
        """
        check(drafts, lambda topic: self._partitions.get(topic, 0))
        return await self._producer.append(drafts) if drafts else []

    async def consumer(self, group: str, topics: Sequence[Topic], owner: Assignment) -> KafkaConsumer:
        """A member of a group; it joins at its first poll."""
        return KafkaConsumer(self._site, group, [topic.name for topic in topics], owner)

    async def reader(
        self,
        topics: Sequence[Topic],
        *,
        start: Mapping[Partition, int] | str = "latest",
    ) -> KafkaReader:
        """Read outside any group, from `"earliest"`, `"latest"`, or given offsets (absent: latest)."""
        places = [Partition(topic.name, number) for topic in topics for number in range(self.partitions(topic))]
        if start == "earliest":
            return KafkaReader(self._site, dict.fromkeys(places, 0))
        ends = await self._ends(places)
        given = {} if isinstance(start, str) else {place: offset for place, offset in start.items() if place in ends}
        valid = {place: offset if offset <= ends[place] else 0 for place, offset in given.items()}
        return KafkaReader(self._site, {**ends, **valid})

    async def end_offsets(self, topic: Topic) -> dict[int, int]:
        """The offset that the next message of each partition will get."""
        ends = await self._ends(self._places(topic))
        return {place.number: offset for place, offset in ends.items()}

    async def committed(self, group: str, topic: Topic) -> dict[int, int]:
        """The group's committed offset of each partition; 0 where it has none."""
        name, places = self._cluster.name(group), [self._cluster.there(place) for place in self._places(topic)]
        async with self._asking:
            if self._admin is None:
                self._admin = await self._opened(AIOKafkaAdminClient(bootstrap_servers=self._cluster.bootstrap))
            try:
                asked = self._admin.list_consumer_group_offsets(name, partitions=places)
                found = await ask(asked, self._cluster.timeout, "asking for offsets")
            except TransientError:
                await end(self._admin)
                self._admin = None
                raise
        return {place.partition: max(0, found[place].offset) if place in found else 0 for place in places}

    async def backlog(self, group: str, topic: Topic) -> Backlog:
        """What the group has not committed yet.

        Records are counted by reading from the committed offset on, for two seconds at most; the rest is estimated.
        """
        committed = await self.committed(group, topic)
        places = self._places(topic)
        ends, begins = await self._ends(places), await self._begins(places)
        starts = {place: max(committed[place.number], begins[place]) for place in places}
        waiting = {place: ends[place] - starts[place] for place in places if ends[place] > starts[place]}
        if not waiting:
            return Backlog(0, {})
        counted, records = await self._count({place: (starts[place], ends[place]) for place in waiting})
        total = sum(waiting.values())
        if counted < total:
            records = {source: round(count * total / max(1, counted)) for source, count in records.items()}
        return Backlog(total, records, exact=counted >= total)

    async def _count(self, ranges: Mapping[Partition, tuple[int, int]]) -> tuple[int, dict[str, int]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + COUNTING
        counted, records = 0, dict[str, int]()
        left = {place: end - start for place, (start, end) in ranges.items()}
        reader = KafkaReader(self._site, {place: start for place, (start, _) in ranges.items()})
        try:
            while any(left.values()) and (timeout := deadline - loop.time()) > 0:
                for message in await reader.read(limit=COUNTED_AT_ONCE, timeout=timeout):
                    _, stop = ranges[message.place]
                    if message.offset < stop:
                        counted += 1
                        left[message.place] = stop - message.offset - 1
                        records[message.source] = records.get(message.source, 0) + message.records
        finally:
            await reader.close()
        return counted, records

    def _places(self, topic: Topic) -> list[Partition]:
        return [Partition(topic.name, number) for number in range(self.partitions(topic))]

    async def _ends(self, places: Iterable[Partition]) -> dict[Partition, int]:
        return await self._offsets("end_offsets", places)

    async def _begins(self, places: Iterable[Partition]) -> dict[Partition, int]:
        return await self._offsets("beginning_offsets", places)

    async def _offsets(self, question: str, places: Iterable[Partition]) -> dict[Partition, int]:
        ours = [self._cluster.there(place) for place in places]
        async with self._asking:
            if self._probe is None:
                self._probe = await started(self._cluster)
            try:
                asked = getattr(self._probe, question)(ours)
                found: dict[TopicPartition, int] = await ask(asked, self._cluster.timeout, "asking for offsets")
            except TransientError:
                await end(self._probe)
                self._probe = None
                raise
        return {self._cluster.here(place): offset for place, offset in found.items()}

    async def _opened(self, client: Any) -> Any:
        try:
            await ask(client.start(), self._cluster.timeout, "connecting")
        except TransientError:
            await end(client)
            raise
        return client

    async def _make_topics(self, admin: Any) -> None:
        there = set(await admin.list_topics())
        missing = [topic for topic in self._topics if self._cluster.name(topic.name) not in there]
        if not missing:
            return
        response = await admin.create_topics([self._new(topic) for topic in missing])
        for name, code, *rest in response.topic_errors:
            if code in OPERATOR_CODES:
                reason = next(filter(None, rest), for_code(code).__name__)
                raise MisconfiguredError(
                    f"Kafka refuses to make the topic {name}: {reason} (see CDP_LOG__REPLICATION)."
                )
            if code not in (0, TOPIC_EXISTS):
                raise for_code(code)(name)

    def _new(self, topic: Topic) -> NewTopic:
        replication = self._settings.replication
        configs = {
            "retention.ms": "-1" if topic.forever else str(int(self._settings.retention_hours * HOUR)),
            "cleanup.policy": "delete",
            "max.message.bytes": str(LARGEST + 1_000_000),
            "min.insync.replicas": str(max(1, replication - 1)),
            "unclean.leader.election.enable": "false",
        }
        name, partitions = self._cluster.name(topic.name), topic.partitions or self._settings.partitions
        return NewTopic(name, partitions, replication, topic_configs=configs)

    async def _count_partitions(self, admin: Any) -> dict[str, int]:
        names = {self._cluster.name(topic.name): topic.name for topic in self._topics}
        while True:
            found = await admin.describe_topics(list(names))
            ready = {
                names[topic["topic"]]: len(topic["partitions"])
                for topic in found
                if topic["partitions"] and all(part["leader"] >= 0 for part in topic["partitions"])
            }
            if len(ready) == len(names):
                return ready
            await asyncio.sleep(0.1)
