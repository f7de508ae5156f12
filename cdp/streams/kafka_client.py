"""What every Kafka client of ours shares: where the cluster is, how topics are named in it, and how a client ends.

aiokafka's clients may wait for ever for a broker that is away, even to stop; here nothing waits longer than told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, NamedTuple, TypeVar

import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from cdp.errors import MisconfiguredError, TransientError
from cdp.streams.base import Partition

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Seconds that a client may take to end by itself before it is torn down.
GRACE = 3.0
# What a call to a client may fail with when the broker is away, busy or unwilling.
FAILURES = (KafkaError, OSError, TimeoutError, AssertionError)


class Cluster(NamedTuple):
    """A Kafka cluster as this installation uses it. `timeout`: seconds that any call may take."""

    bootstrap: str
    prefix: str
    timeout: float

    def name(self, name: str) -> str:
        """A topic's or a group's name in the cluster."""
        return self.prefix + name

    def there(self, partition: Partition) -> TopicPartition:
        """Our partition → the cluster's."""
        return TopicPartition(self.prefix + partition.topic, partition.number)

    def here(self, partition: TopicPartition) -> Partition:
        """The cluster's partition → ours."""
        return Partition(partition.topic.removeprefix(self.prefix), partition.partition)


def parse(url: str, *, prefix: str, timeout: float) -> Cluster:
    """`kafka://host:port[,host:port]` → the cluster. Raises `MisconfiguredError`."""
    hosts = [host.strip() for host in url.removeprefix("kafka:").removeprefix("//").rstrip("/").split(",")]
    for host in hosts:
        name, _, port = host.rpartition(":")
        if not name or not port.isdigit() or not 0 < int(port) < 65536 or "/" in host:
            raise MisconfiguredError(f"CDP_LOG__URL {url!r} must look like `kafka://host:9092[,host:9092]`.")
    return Cluster(",".join(hosts), prefix, timeout)


def unavailable(error: BaseException, doing: str) -> TransientError:
    """The error to raise when Kafka did not do what it was asked to."""
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return TransientError(f"Kafka is away or busy ({doing}): {reason}", retry_after=1, code="log_unavailable")


async def ask(answer: Awaitable[T], timeout: float, doing: str) -> T:
    """The answer, within `timeout` seconds. Raises `TransientError`."""
    try:
        async with asyncio.timeout(timeout):
            return await answer
    except FAILURES as error:
        raise unavailable(error, doing) from error


@contextlib.asynccontextmanager
async def opened(client: Any, timeout: float, doing: str) -> AsyncIterator[Any]:
    """A client for a few questions: started, and ended afterwards. Raises `TransientError`."""
    try:
        await ask(client.start(), timeout, doing)
        yield client
    except FAILURES as error:
        raise unavailable(error, doing) from error
    finally:
        await end(client)


async def end(client: Any) -> None:
    """Stop a producer, a consumer or an admin client; where that takes too long, tear it down."""
    stop = client.close if hasattr(client, "close") else client.stop
    try:
        async with asyncio.timeout(GRACE):
            await stop()
    except FAILURES as error:
        log.info("kafka.torn_down", client=type(client).__name__, reason=str(error) or type(error).__name__)
        await _tear_down(client)


async def _tear_down(client: Any) -> None:
    # A stopped broker leaves aiokafka's own tasks waiting for ever, and it offers no way to end them.
    parts = [getattr(client, name, None) for name in ("_sender", "_coordinator", "_fetcher")]
    names = ("_sender_task", "_coordination_task", "_heartbeat_task", "_commit_refresh_task", "_fetch_task")
    tasks = {task for part in parts for name in names if (task := getattr(part, name, None)) and not task.done()}
    for task in tasks:
        task.cancel()
    network = getattr(client, "client", None) or client._client
    with contextlib.suppress(*FAILURES):
        async with asyncio.timeout(GRACE):
            await network.close()
    waiting = network._md_update_fut
    if waiting is not None and not waiting.done():
        waiting.set_result(False)
    for _ in range(3):
        if not tasks:
            return
        _, tasks = await asyncio.wait(tasks, timeout=GRACE / 3)
        for task in tasks:
            task.cancel()
