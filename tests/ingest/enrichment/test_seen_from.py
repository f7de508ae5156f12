"""What reaches the log of a sender's address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import EnrichmentSettings, Settings
from cdp.testing import FrozenClock
from ingest.collector import Collector
from ingest.source import KIND
from ingest.testing import Client, ensure_source, set_aside, stored
from tests.ingest.conftest import WRITE_KEY
from tests.ingest.enrichment.test_places import CITY, LOCATION, write

EVENT = {"event": "x", "userId": "lan", "messageId": "1"}


@pytest.fixture
async def sender(settings: Settings, clock: FrozenClock, log: Any, registry: Registry, tmp_path: Path) -> Client:
    """A client at 14.160.1.2, of a collector that knows where that is."""
    write(tmp_path / "geo.mmdb", {"14.160.1.2/32": CITY})
    located = settings.model_copy(update={"enrichment": EnrichmentSettings(geo_file=tmp_path / "geo.mmdb")})
    await ensure_source(registry, WRITE_KEY, "test", clock=clock, key="shop")
    located.data_dir.mkdir(exist_ok=True)
    return Client(Collector(Platform(located, clock, log, registry)), WRITE_KEY, address="14.160.1.2")


@pytest.mark.parametrize(
    ("enrichment", "ip", "location"),
    [
        ({}, "14.160.1.0", LOCATION),
        ({"ip": "keep"}, "14.160.1.2", LOCATION),
        ({"ip": "drop"}, None, LOCATION),
        ({"ip": "drop", "geo": False}, None, None),
    ],
)
async def test_no_more_than_the_source_keeps(
    sender: Client, registry: Registry, log: Any, enrichment: dict[str, Any], ip: str | None, location: Any
) -> None:
    """The whole address finds the location, and reaches the log only where the source keeps it; set aside, too."""
    await registry.put(KIND, "shop", registry.get(KIND, "shop").body | {"enrichment": enrichment})
    await sender.post("/v1/batch", {"batch": [EVENT | {"type": "track"}, {"type": "nonsense", "userId": "lan"}]})
    [one] = await stored(log)
    found = json.loads(bytes(one.batch.location)) if len(one.batch.location) else None
    assert (one.batch.ip, found) == (ip, location)
    [aside] = await set_aside(log)
    beside = json.loads(aside.beside) if aside.beside else {}
    assert (beside.get("ip"), beside.get("location")) == (ip, location)
    if ip != "14.160.1.2":
        assert "14.160.1.2" not in str((one, aside))
