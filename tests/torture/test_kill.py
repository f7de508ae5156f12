"""kill -9 at random moments while events flow: nothing acknowledged is lost, nothing is counted twice."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.clickhouse_http import ClickHouseServer
from tests.processes import WRITE_KEY, Embedded, Installation, Scaled, events

EVENTS = 20_000
SEED = int(os.environ.get("TORTURE_SEED", random.randrange(10**6)))


class Sender:
    """Sends batches as an SDK does: each one again and again, the same bytes, until it is answered 200."""

    def __init__(self, installation: Installation, count: int, *, seed: int) -> None:
        self._url = f"{installation.collector_url}/v1/batch"
        self._random = random.Random(seed)
        self._left = count
        self._lock = threading.Lock()
        self.acknowledged: dict[str, int] = {}
        self.attempts = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        """Whether something is still to be sent."""
        return any(thread.is_alive() for thread in self._threads)

    def _take(self) -> list[dict[str, object]]:
        with self._lock:
            size = min(self._left, self._random.choice((1, 10, 50, 100)))
            self._left -= size
            return [self._event() for _ in range(size)]

    def _event(self) -> dict[str, object]:
        person = self._random.randrange(500)
        return {
            "type": "track",
            "event": "Order Completed",
            "messageId": str(uuid.UUID(int=self._random.getrandbits(128))),
            "userId": f"user-{person}",
            "anonymousId": f"device-{person}",
            "properties": {"total": 1},
        }

    def _run(self) -> None:
        with httpx.Client(auth=(WRITE_KEY, ""), timeout=20) as client:
            while batch := self._take():
                self._deliver(client, batch)

    def _deliver(self, client: httpx.Client, batch: list[dict[str, object]]) -> None:
        while True:
            self.attempts += 1
            try:
                if client.post(self._url, json={"batch": batch}).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        with self._lock:
            self.acknowledged.update({str(event["messageId"]): 1 for event in batch})


def torture(installation: Installation, hurt: Callable[[random.Random], None], *, kills: int) -> None:
    """Kill while events flow, then compare what was acknowledged with what is stored."""
    print(f"TORTURE_SEED={SEED}")
    choose = random.Random(SEED)
    sender = Sender(installation, EVENTS, seed=SEED)
    sender.start()
    for _ in range(kills):
        time.sleep(choose.uniform(0.2, 2.5))
        hurt(choose)
    deadline = time.monotonic() + 240
    while sender.busy:
        assert time.monotonic() < deadline, "the events could not be sent"
        time.sleep(0.1)
    installation.wait_ready()
    wait_drained(installation, len(sender.acknowledged))
    stored = Counter(event["messageId"] for event in events(installation))
    assert len(sender.acknowledged) == EVENTS
    assert not sender.acknowledged.keys() - stored.keys(), "acknowledged, but not stored"
    assert not stored.keys() - sender.acknowledged.keys(), "stored, but never sent"
    assert {message_id: count for message_id, count in stored.items() if count > 1} == {}
    assert_conserved(installation)


def wait_drained(installation: Installation, at_least: int, *, timeout: float = 180) -> None:
    """Wait until nothing is in flight and so many events are stored."""
    end = time.monotonic() + timeout
    while True:
        metrics = installation.metrics()
        if total(metrics, "stored") >= at_least and total(metrics, "in_flight") == 0:
            return
        assert time.monotonic() < end, {name: value for name, value in metrics.items() if name.startswith("cdp_events")}
        time.sleep(0.5)


def total(metrics: dict[str, float], outcome: str) -> float:
    """The events of that outcome, over all sources."""
    return sum(
        value for name, value in metrics.items() if name.startswith("cdp_events_total") and f'"{outcome}"' in name
    )


def assert_conserved(installation: Installation) -> None:
    """accepted = stored + duplicate + quarantined + suppressed + filtered + in flight, per source, on /metrics."""
    metrics = installation.metrics()
    differences = {name: value for name, value in metrics.items() if name.startswith("cdp_conservation_difference")}
    assert differences
    assert set(differences.values()) == {0.0}
    parts = sum(
        total(metrics, outcome)
        for outcome in ("stored", "duplicate", "quarantined", "suppressed", "filtered", "in_flight")
    )
    assert total(metrics, "accepted") == parts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_of_the_one_process_loses_nothing(tmp_path: Path) -> None:
    """Embedded: kill -9 of `cdp up` at random points, started again each time, loses and doubles no event."""
    installation = Embedded(tmp_path)

    def hurt(_: random.Random) -> None:
        installation.processes["up"].kill()
        installation.processes["up"].start()
        installation.wait_ready()

    installation.start()
    try:
        torture(installation, hurt, kills=6)
    finally:
        installation.stop()


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.timeout(900)
def test_kill_of_each_role_loses_nothing(
    tmp_path: Path, kafka_bootstrap: str, valkey_url: str, clickhouse_server: ClickHouseServer
) -> None:
    """Scaled: kill -9 of every role in turn and at random, on Kafka, loses and doubles no event."""
    installation = Scaled(tmp_path, kafka=kafka_bootstrap, state=valkey_url, warehouse=clickhouse_server)
    roles = list(installation.processes)

    def hurt(choose: random.Random) -> None:
        role = roles.pop() if roles else choose.choice(list(installation.processes))
        installation.processes[role].kill()
        time.sleep(choose.uniform(0, 1))
        installation.processes[role].start()

    installation.start()
    try:
        torture(installation, hurt, kills=9)
    finally:
        installation.stop()
