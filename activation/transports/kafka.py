"""Produces to somebody's Kafka: acks=all, idempotent, and never waiting for ever.

aiokafka's idempotent producer keeps a batch for as long as its broker is away, and cannot recover from a lost sequence
(docs/decisions). So each send and stop has a time-out, and a producer that failed is thrown away and made anew.

The client connects to whatever brokers the cluster names. Unless private addresses are allowed, the bootstrap servers
are judged before it starts, and every broker the cluster named before anything is produced. The client resolves names
by itself afterwards: against a name that changes its address between, only a firewall helps.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from activation.addresses import Resolver, resolve, system_resolver
from activation.requests import KafkaCluster, KafkaMessage, KafkaRequest, Reply
from cdp.clock import Clock
from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import ActivationSettings
from cdp.streams.kafka_client import end

TOO_LARGE = "the message is larger than the Kafka takes"


class KafkaTransport:
    """Produces for one destination."""

    def __init__(self, settings: ActivationSettings, clock: Clock, *, resolver: Resolver = system_resolver) -> None:
        self._settings = settings
        self._clock = clock
        self._resolver = resolver
        self._producer: AIOKafkaProducer | None = None
        self._cluster: KafkaCluster | None = None
        self._opening = asyncio.Lock()
        self._endings: set[asyncio.Task[None]] = set()

    async def send(self, request: KafkaRequest) -> Reply:
        """Produce the messages and wait for all brokers' word; see `Transport`."""
        seconds = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                producer = await self._opened(request.cluster)
                sends = [self._produce(producer, request.topic, message) for message in request.messages]
                reasons = await asyncio.gather(*sends)
        except TimeoutError:
            self._discard()
            raise TransientError(f"no answer within {seconds:g} s") from None
        except (KafkaError, OSError, ssl.SSLError) as error:
            self._discard()
            raise TransientError(f"the Kafka cannot be used: {type(error).__name__}") from None
        refused = {place: reason for place, reason in enumerate(reasons) if reason}
        if refused:
            self._discard()
        return Reply(200, self._clock.now(), refused=refused)

    async def close(self) -> None:
        """Stop the producer."""
        self._discard()
        if self._endings:
            await asyncio.wait(self._endings)

    async def _produce(self, producer: AIOKafkaProducer, topic: str, message: KafkaMessage) -> str:
        """Why the message was not taken; "" if it was."""
        try:
            await producer.send_and_wait(topic, message.value, key=message.key, headers=list(message.headers))
        except UnknownTopicOrPartitionError:
            raise MisconfiguredError(f"the Kafka has no topic {topic}") from None
        except TopicAuthorizationFailedError:
            raise MisconfiguredError(f"the Kafka does not let us write to {topic}") from None
        except MessageSizeTooLargeError:
            return TOO_LARGE
        except KafkaError as error:
            return type(error).__name__
        return ""

    async def _opened(self, cluster: KafkaCluster) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None or self._cluster != cluster:
                self._discard()
                self._producer, self._cluster = await self._open(cluster), cluster
            return self._producer

    async def _open(self, cluster: KafkaCluster) -> AIOKafkaProducer:
        for server in cluster.servers.split(","):
            host, _, port = server.strip().rpartition(":")
            await self._judge(host.strip("[]"), int(port))
        producer = AIOKafkaProducer(**_options(cluster, self._settings.timeout_seconds))
        try:
            await producer.start()
            for broker in producer.client.cluster.brokers():
                await self._judge(broker.host, broker.port)
        except BaseException:
            self._end(producer)
            raise
        return producer

    async def _judge(self, host: str, port: int) -> None:
        free = self._settings.allow_private_addresses
        await resolve(host, port, resolver=self._resolver, allow_private=free)

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            self._end(producer)

    def _end(self, producer: AIOKafkaProducer) -> None:
        """Let it end beside us: that may take seconds when its brokers are away."""
        ending = asyncio.create_task(end(producer), name="destination:producer-end")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)


def _options(cluster: KafkaCluster, seconds: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": cluster.servers,
        "client_id": "streamcdp-destination",
        "acks": "all",
        "enable_idempotence": True,
        "request_timeout_ms": max(500, int(seconds * 800)),  # ends before ours, so that its reason is heard
        "compression_type": "gzip",
        "security_protocol": cluster.protocol,
    }
    if cluster.protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context()
    if cluster.protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": cluster.mechanism,
            "sasl_plain_username": cluster.username,
            "sasl_plain_password": cluster.password.get_secret_value(),
        }
    return options
