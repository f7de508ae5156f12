"""Tests of how the product tells how it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cdp.records import encode
from cdp.service import Health, Platform
from cdp.settings import Settings
from cdp.status import consumer_lags, oldest_waiting, part_health
from cdp.streams import open_log
from cdp.streams.base import Draft, Log, Partition
from cdp.testing import FrozenClock
from cdp.topics import EVENTS_RAW, PROFILES_TOUCHED
from tests.cdp.apps import api


@pytest.fixture
async def log(settings: Settings, clock: FrozenClock) -> AsyncIterator[Log]:
    """The embedded log by the frozen clock, because ages are compared here."""
    opened = open_log(settings, clock)
    await opened.start()
    yield opened
    await opened.close()


class Idle:
    """A role that is as told."""

    def __init__(self, name: str, health: Health) -> None:
        self.name = name
        self._health = health

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    def health(self) -> Health:
        """As told."""
        return self._health


class Owner:
    """Takes every partition from the committed offset."""

    async def assigned(self, places: Any) -> dict[Partition, int]:
        """Nothing else."""
        return {}

    async def revoked(self, places: Any) -> None:
        """Nothing else."""


async def append(platform: Platform, *partitions: int, records: int = 1) -> None:
    """A message of some records to each partition of events.raw."""
    await platform.log.append([Draft(EVENTS_RAW.name, n, encode({}), records, "web") for n in partitions])


async def test_the_parts_are_named_with_their_versions(platform: Platform) -> None:
    """Each open part answers, says what it is, and its clock is ours: they run on this machine."""
    parts = {part.name: part for part in await part_health(platform)}

    assert {name: (part.kind, part.ok) for name, part in parts.items()} == {
        "log": ("sqlite", True),
        "state": ("embedded", True),
        "warehouse": ("chdb", True),
    }
    assert parts["state"].version.count(".") == 2
    assert parts["warehouse"].version.count(".") >= 2
    assert abs(parts["state"].skew_ms or 0) < 100
    assert abs(parts["warehouse"].skew_ms or 0) < 100


async def test_a_part_that_is_away_is_told_and_not_raised(platform: Platform) -> None:
    """A broken part turns /readyz to 503 and `cdp_part_up` to 0; /healthz and /metrics go on answering."""
    async with api(platform) as http:
        assert (await http.get("/readyz")).status_code == 200

        async def broken() -> None:
            raise ConnectionError("no route to host")

        platform.state.time = broken  # type: ignore[method-assign]
        ready, alive, metrics = await http.get("/readyz"), await http.get("/healthz"), await http.get("/metrics")

    assert ready.status_code == 503
    state = next(part for part in ready.json()["parts"] if part["name"] == "state")
    assert (state["ok"], state["detail"]) == (False, "no route to host")
    assert (alive.status_code, metrics.status_code) == (200, 200)
    assert 'cdp_part_up{kind="embedded",part="state"} 0.0' in metrics.text
    assert 'cdp_part_up{kind="sqlite",part="log"} 1.0' in metrics.text


async def test_a_role_that_cannot_work_is_told(platform: Platform) -> None:
    """It degrades /healthz, turns /readyz to 503, and its figures are on /metrics."""
    platform.roles.append(Idle("resolver", Health(True, figures={"people": 3})))
    platform.roles.append(Idle("loader", Health(False, "the disk is full")))
    async with api(platform) as http:
        alive, ready, metrics = await http.get("/healthz"), await http.get("/readyz"), await http.get("/metrics")

    assert (alive.status_code, alive.json()["status"]) == (200, "degraded")
    assert alive.json()["roles"][1] == {"name": "loader", "ok": False, "detail": "the disk is full", "figures": {}}
    assert ready.status_code == 503
    assert 'cdp_role_up{role="resolver"} 1.0' in metrics.text
    assert 'cdp_role_up{role="loader"} 0.0' in metrics.text
    assert 'cdp_role_figure{figure="people",role="resolver"} 3.0' in metrics.text


async def test_lag_counts_what_a_group_has_not_committed(platform: Platform) -> None:
    """Messages, records, and the age of the oldest waiting message, over all partitions."""
    readers = {"resolver": (EVENTS_RAW,), "segmenter": (PROFILES_TOUCHED,)}
    await append(platform, 1, records=10)
    platform.clock.advance(5_000)  # type: ignore[attr-defined]
    await append(platform, 1, 2, records=5)
    before = await consumer_lags(platform, readers)

    consumer = await platform.log.consumer("resolver", [EVENTS_RAW], Owner())
    while not await consumer.poll(limit=1, timeout=1):
        pass
    await consumer.commit({Partition(EVENTS_RAW.name, 1): 1})
    after, oldest = await consumer_lags(platform, readers), await oldest_waiting(platform.log, "resolver", EVENTS_RAW)
    await consumer.close()

    shown = [(lag.group, lag.topic, lag.messages, lag.records, lag.oldest_ms) for lag in before]
    assert shown == [("resolver", "events.raw", 3, 20, 5_000), ("segmenter", "profiles.touched", 0, 0, 0)]
    assert [(lag.messages, lag.records, lag.oldest_ms) for lag in after] == [(2, 10, 0), (0, 0, 0)]
    assert oldest == platform.clock.now()


async def test_status_shows_everything(platform: Platform) -> None:
    """Parts, roles, consumers, and the conservation counts of each source."""
    await platform.registry.put("source", "web", {"name": "Web", "write_keys": [], "enabled": True})
    platform.roles.append(Idle("resolver", Health(True)))
    await append(platform, 0, records=4)
    async with api(platform, readers={"resolver": (EVENTS_RAW,)}) as http:
        status, metrics = (await http.get("/api/v1/status")).json(), (await http.get("/metrics")).text

    assert [part["name"] for part in status["parts"]] == ["log", "state", "warehouse"]
    assert [role["name"] for role in status["roles"]] == ["resolver"]
    assert status["consumers"][0]["records"] == 4
    [web] = status["conservation"]
    assert (web["source"], web["accepted"], web["in_flight"], web["difference"]) == ("web", 4, 4, 0)
    assert 'cdp_lag_records{group="resolver",topic="events.raw"} 4.0' in metrics
    assert 'cdp_events_total{outcome="in_flight",source="web"} 4.0' in metrics
    assert 'cdp_conservation_difference{source="web"} 0.0' in metrics


async def test_a_process_without_state_and_warehouse_tells_what_it_has(platform: Platform) -> None:
    """A lone collector's /metrics and /readyz speak of the log alone."""
    alone = Platform(platform.settings, platform.clock, platform.log, platform.registry)
    async with api(alone, routers=[]) as http:
        ready, metrics = await http.get("/readyz"), await http.get("/metrics")

    assert [part["name"] for part in ready.json()["parts"]] == ["log"]
    assert "cdp_events_total" not in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")
