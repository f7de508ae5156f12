"""A collector on the embedded log, its client, and one source."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.testing import FrozenClock
from ingest.collector import Collector
from ingest.testing import Client, ensure_source

WRITE_KEY = "wk_shop_0123456789"


@pytest.fixture
async def ground(settings: Settings, clock: FrozenClock, log: Any, registry: Registry) -> Platform:
    """What the collector stands on: the log and the registry, with the source `shop`."""
    await ensure_source(registry, WRITE_KEY, "test", clock=clock, key="shop")
    return Platform(settings, clock, log, registry)


@pytest.fixture
async def collector(ground: Platform) -> Collector:
    """The gateway."""
    gateway = Collector(ground)
    await gateway.start()
    return gateway


@pytest.fixture
def client(collector: Collector) -> Client:
    """A client of the gateway that has the write key."""
    return Client(collector, WRITE_KEY)
