"""The Kafka transport, against a real broker, and against none."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from activation.connector import Batch
from activation.connectors.kafka import Kafka, KafkaSettings
from activation.requests import KafkaCluster, KafkaMessage, KafkaRequest
from activation.testing import sample_change
from activation.transports.kafka import TOO_LARGE, KafkaTransport
from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import ActivationSettings
from cdp.testing import FrozenClock

OPEN = ActivationSettings(allow_private_addresses=True, timeout_seconds=10)


def transport(settings: ActivationSettings = OPEN) -> KafkaTransport:
    """A transport."""
    return KafkaTransport(settings, FrozenClock())


def request(servers: str, *messages: KafkaMessage, topic: str = "vip") -> KafkaRequest:
    """A request."""
    return KafkaRequest(tuple(range(len(messages))), KafkaCluster(servers), topic, messages)


async def created(servers: str) -> str:
    """A topic of the test's own."""
    topic = f"t-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    await admin.close()
    return topic


@pytest.mark.kafka
async def test_messages_arrive_in_order_with_their_ids(kafka_bootstrap: str) -> None:
    """Key, value and headers are on the topic once each; a second send goes through the same producer."""
    topic, sender = await created(kafka_bootstrap), transport()
    settings = KafkaSettings(bootstrap_servers=kafka_bootstrap, topic=topic)
    for numbers in (range(3), range(3, 6)):
        changes = [sample_change(number) for number in numbers]
        [built] = Kafka().build(settings, Batch("stream", changes, 0))
        assert (await sender.send(built)).status == 200
    await sender.close()

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found = [await asyncio.wait_for(consumer.getone(), 20) for _ in range(6)]
    await consumer.stop()
    assert sorted(json.loads(one.value)["id"] for one in found) == [sample_change(number).id for number in range(6)]
    assert all(dict(one.headers)["id"].decode() == json.loads(one.value)["id"] for one in found)
    assert all(one.key.decode() == json.loads(one.value)["data"]["profile_id"] for one in found)


@pytest.mark.kafka
async def test_a_message_too_large_harms_no_neighbour(kafka_bootstrap: str) -> None:
    """It is refused by its place; the others are on the topic."""
    messages = (KafkaMessage(b"a", b"1"), KafkaMessage(b"b", b"x" * 2_000_000), KafkaMessage(b"c", b"3"))
    sender = transport()
    reply = await sender.send(request(kafka_bootstrap, *messages, topic=await created(kafka_bootstrap)))
    await sender.close()

    assert dict(reply.refused) == {1: TOO_LARGE}


@pytest.mark.kafka
async def test_a_topic_that_is_not_there_is_a_setting_s_fault(kafka_bootstrap: str) -> None:
    """It is said by its name, in time; nothing is set aside because of it."""
    sender = transport(ActivationSettings(allow_private_addresses=True, timeout_seconds=2))
    with pytest.raises(MisconfiguredError, match="no topic nowhere"):
        await sender.send(request(kafka_bootstrap, KafkaMessage(b"a", b"1"), topic="nowhere"))
    await sender.close()


@pytest.mark.kafka
async def test_private_brokers_are_refused(kafka_bootstrap: str) -> None:
    """A Kafka on loopback is not reached unless the operator allows it."""
    sender = transport(ActivationSettings())
    with pytest.raises(MisconfiguredError, match="not public"):
        await sender.send(request(kafka_bootstrap, KafkaMessage(b"a", b"1")))
    await sender.close()


async def test_brokers_named_by_the_cluster_are_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public bootstrap server that names a private broker gets nothing produced there."""
    stopped: list[bool] = []

    class Luring:
        """A producer whose cluster names a broker on loopback."""

        def __init__(self, **options: object) -> None:
            self.client = self
            self.cluster = self

        def brokers(self) -> list[object]:
            return [type("Broker", (), {"host": "127.0.0.1", "port": 6379})]

        async def start(self) -> None:
            """Started."""

        async def stop(self) -> None:
            stopped.append(True)

    monkeypatch.setattr("activation.transports.kafka.AIOKafkaProducer", Luring)
    sender = transport(ActivationSettings())
    with pytest.raises(MisconfiguredError, match="not public"):
        await sender.send(request("1.1.1.1:9092", KafkaMessage(b"a", b"1")))

    await sender.close()
    assert stopped == [True]


async def test_nobody_there_ends_in_time() -> None:
    """A Kafka that is away is transient, within the time-out."""
    sender = transport(ActivationSettings(allow_private_addresses=True, timeout_seconds=1))
    with pytest.raises(TransientError):
        await asyncio.wait_for(sender.send(request("127.0.0.1:1", KafkaMessage(b"a", b"1"))), 20)
    await sender.close()


async def test_a_server_that_never_answers_ends_in_time() -> None:
    """A listener that takes connections and says nothing holds nobody up."""
    silent: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: silent.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = transport(ActivationSettings(allow_private_addresses=True, timeout_seconds=1))
    with pytest.raises(TransientError):
        await asyncio.wait_for(sender.send(request(f"127.0.0.1:{port}", KafkaMessage(b"a", b"1"))), 20)
    await sender.close()
    for writer in silent:
        writer.transport.abort()
    server.close()
    await server.wait_closed()
