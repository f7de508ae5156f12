"""The log on a real Apache Kafka: the contract, and what happens when the broker goes away."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import OutOfOrderSequenceNumber

from cdp.clock import SystemClock
from cdp.errors import MisconfiguredError, PermanentError, TransientError
from cdp.settings import Settings
from cdp.streams.base import LARGEST
from cdp.streams.kafka import KafkaLog
from cdp.streams.kafka_consumer import Patience
from cdp.topics import DEFINITIONS, EVENTS_RAW
from tests.contracts.log import PARTITIONS, TOPICS, LogContract, Owner, draft, take
from tests.kafka import start_broker
from tests.waiting import eventually

pytestmark = pytest.mark.kafka

PATIENT = Patience(session=6.0, idle=60.0, stuck=2.0, handover=10.0)
IMPATIENT = PATIENT._replace(handover=0.3)

Opener = Callable[..., Any]


@pytest.fixture
async def opener(kafka_bootstrap: str) -> AsyncIterator[Opener]:
    """Opens the log of this test: topics of its own on the session's broker."""
    logs: list[KafkaLog] = []
    prefix = f"t{uuid.uuid4().hex[:8]}."

    async def opened(*, impatient: bool = False, bootstrap: str = kafka_bootstrap, **options: Any) -> KafkaLog:
        known = {"url": f"kafka://{bootstrap}", "topic_prefix": prefix, "partitions": PARTITIONS, **options}
        log = KafkaLog(Settings(log=known), SystemClock(), topics=TOPICS, patience=IMPATIENT if impatient else PATIENT)
        logs.append(log)
        await log.start()
        return log

    yield opened
    for log in logs:
        await log.close()


class TestContract(LogContract):
    """The log on Kafka obeys the contract."""


async def test_topics_are_made_to_lose_nothing(opener: Opener, kafka_bootstrap: str) -> None:
    """Retention follows the settings, except for what is kept forever; large messages fit; no unclean election."""
    log = await opener(retention_hours=2)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    names = {topic: log._cluster.name(topic.name) for topic in (EVENTS_RAW, DEFINITIONS)}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names.values()])
    await admin.close()
    found = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }

    assert found[names[EVENTS_RAW]]["retention.ms"] == "7200000"
    assert found[names[DEFINITIONS]]["retention.ms"] == "-1"
    assert int(found[names[EVENTS_RAW]]["max.message.bytes"]) > LARGEST
    assert found[names[EVENTS_RAW]]["unclean.leader.election.enable"] == "false"


async def test_a_replication_that_the_cluster_lacks_is_explained(opener: Opener) -> None:
    """More replicas than brokers is the operator's to mend."""
    with pytest.raises(MisconfiguredError, match="CDP_LOG__REPLICATION"):
        await opener(replication=3)


async def test_a_broker_that_is_not_there_is_transient(opener: Opener) -> None:
    """A cluster that cannot be reached may come yet."""
    with pytest.raises(TransientError):
        await opener(bootstrap="127.0.0.1:1", timeout_seconds=1)


async def test_appends_share_batches(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends that wait at the same time travel in few batches, each to its own offsets."""
    log = await opener()
    batches = []
    send = AIOKafkaProducer.send_batch

    async def counted(self: Any, batch: Any, topic: str, *, partition: int) -> Any:
        batches.append(partition)
        return await send(self, batch, topic, partition=partition)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", counted)
    offsets = await asyncio.gather(*(log.append([draft(b"x" * 100, 0), draft(b"y", 1)]) for _ in range(500)))

    assert [[number, number] for number in range(500)] == sorted(offsets)
    assert len(batches) < 20


async def test_a_broken_producer_is_replaced(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of sequence numbers the next append works, with another producer."""
    log = await opener()
    await log.append([draft(b"0")])
    broken = log._producer._producer
    send = AIOKafkaProducer.send_batch

    async def out_of_order(self: Any, batch: Any, topic: str, *, partition: int) -> Any:
        if self is broken:
            raise OutOfOrderSequenceNumber
        return await send(self, batch, topic, partition=partition)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", out_of_order)
    with pytest.raises(TransientError):
        await log.append([draft(b"1")])
    assert log.trouble()
    assert await log.append([draft(b"1")]) == [1]
    assert log._producer._producer is not broken
    assert not log.trouble()


async def test_a_topic_that_takes_less_says_so(opener: Opener, kafka_bootstrap: str) -> None:
    """A message that the topic's own limit refuses is refused for good; its producer goes on with others."""
    log = await opener()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    name = log._cluster.name(EVENTS_RAW.name)
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": "1000"})])
    await admin.close()

    async def refused() -> bool:
        try:
            await log.append([draft(os.urandom(16_000))])
        except PermanentError as error:
            return "max.message.bytes" in error.message
        return False

    await eventually(refused)
    await log.append([draft(b"small")])


async def test_a_consumer_that_does_not_move_is_replaced(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is more to read and nothing comes, the client is made anew and reading goes on."""
    log = await opener()
    owner = Owner()
    consumer = await log.consumer("group", [EVENTS_RAW], owner)
    await log.append([draft(b"0")])
    await take(consumer, 1)
    stuck = consumer._feed.client

    async def nothing(*_: Any, **__: Any) -> dict[Any, Any]:
        await asyncio.sleep(0.05)
        return {}

    monkeypatch.setattr(stuck, "getmany", nothing)
    await log.append([draft(b"1")])
    found = await take(consumer, 1, timeout=30)

    assert [message.value for message in found] == [b"1"]
    assert consumer._feed.client is not stuck
    assert [what for what, _ in owner.history] == ["assigned", "revoked", "assigned"]
    await consumer.close()


async def test_a_long_backlog_is_estimated(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """When counting takes too long, messages are exact and records an estimate that says so."""
    log = await opener()
    await log.append([draft(b"x", number % PARTITIONS, 5, "web") for number in range(40)])
    assert (await log.backlog("group", EVENTS_RAW)) == (40, {"web": 200}, True)
    monkeypatch.setattr("cdp.streams.kafka.COUNTING", 0.0)
    assert (await log.backlog("group", EVENTS_RAW)) == (40, {}, False)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A broker that may be killed."""
    broker = start_broker(Path(tmp_path_factory.mktemp("broker")))
    yield broker
    broker.kill()


async def test_a_broker_that_was_killed_and_came_back(opener: Opener, broker: Any) -> None:
    """While it is away appends fail in time; when it is back, the same log appends and reads, and nothing is lost."""
    log = await opener(bootstrap=broker.bootstrap, timeout_seconds=2)
    consumer = await log.consumer("group", [EVENTS_RAW], Owner())
    reader = await log.reader([EVENTS_RAW])
    acknowledged = [await log.append([draft(b"before")])]
    await take(consumer, 1)
    assert [message.value for message in await reader.read(limit=10, timeout=5)] == [b"before"]
    broker.kill()
    began = time.monotonic()
    with pytest.raises(TransientError):
        await log.append([draft(b"away")])
    assert time.monotonic() - began < 4
    assert log.trouble()
    with pytest.raises(TransientError):
        await log.end_offsets(EVENTS_RAW)

    await asyncio.to_thread(broker.start)
    acknowledged.append(await eventually(lambda: _append(log, b"after"), timeout=20))
    found: list[bytes] = []
    async with asyncio.timeout(40):
        while (await log.committed("group", EVENTS_RAW))[0] < acknowledged[1][0] + 1:
            found += [message.value for message in await take(consumer, 1)]
        while not (seen := await reader.read(limit=10, timeout=1)):
            pass

    assert acknowledged[0] == [0]
    assert acknowledged[1][0] in (1, 2)  # "away" may have been stored nevertheless
    assert b"after" in found
    assert seen[-1].value in (b"away", b"after")
    assert not log.trouble()
    await consumer.close()
    await reader.close()


async def test_a_broker_that_hangs(opener: Opener, broker: Any) -> None:
    """A broker that keeps its connections and answers nothing makes appends fail in time, and closing ends."""
    log = await opener(bootstrap=broker.bootstrap, timeout_seconds=1)
    await log.append([draft(b"before")])
    broker.pause()
    try:
        began = time.monotonic()
        with pytest.raises(TransientError):
            await log.append([draft(b"away", 1)])
        assert time.monotonic() - began < 3
    finally:
        broker.resume()
    await eventually(lambda: _append(log, b"after"), timeout=20)
    broker.pause()
    try:
        began = time.monotonic()
        await log.close()
        assert time.monotonic() - began < 15
    finally:
        broker.resume()


async def _append(log: KafkaLog, value: bytes) -> list[int] | None:
    try:
        return await log.append([draft(value)])
    except TransientError:
        return None
