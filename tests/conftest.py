"""The parts that tests of every wing stand on: a frozen clock, settings, and real embedded parts.

chdb admits one data folder per process, so all tests share one folder and each gets a database of its own; they
share one Valkey too, each under a key prefix of its own.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis

from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.state import EmbeddedValkey, connect
from cdp.testing import FrozenClock
from cdp.warehouse.base import Warehouse
from tests.clickhouse_http import ClickHouseServer

pytest_plugins = ["tests.servers", "tests.npm"]
if importlib.util.find_spec("tests.kafka"):
    pytest_plugins.append("tests.kafka")


# How long an example takes says more about the machine's other work than about the code.
hypothesis_settings.register_profile(
    "patient", hypothesis_settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many workers as there are cores for us, and one for those that wait for a process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that hold something slow come first: so no worker is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands at 2026-11-21T08:30:00Z until told otherwise."""
    return FrozenClock()


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder with a short path, because the path of a unix socket may have 108 bytes only."""
    folder = Path(tempfile.mkdtemp(prefix="cdp-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def chdb_folder(short_folder: Path) -> Iterator[Path]:
    """The one chdb folder of this process, kept open: closing the last handle would stop the engine."""
    from clickhouse_connect.driver import create_client

    folder = short_folder / "warehouse"
    keeper = create_client(dsn=f"chdb://{folder}")
    yield folder
    keeper.close()


@pytest.fixture
def settings(tmp_path: Path, chdb_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Embedded parts in a fresh data folder, with a database and a key prefix of this test alone."""
    for name in [name for name in os.environ if name.startswith("CDP_")]:
        monkeypatch.delenv(name)
    unique = uuid.uuid4().hex[:12]
    return Settings.load(
        data_dir=tmp_path / "cdp-data",
        state={"url": "embedded:", "prefix": f"{unique}:"},
        warehouse={"dsn": f"chdb://{chdb_folder}", "database": f"test_{unique}", "handles": 2},
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def state_server(short_folder: Path) -> AsyncIterator[EmbeddedValkey]:
    """One Valkey for all tests of this session."""
    server = EmbeddedValkey(short_folder / "state")
    client = await server.start()
    yield server
    await server.stop(client)


@pytest.fixture
async def state(state_server: EmbeddedValkey) -> AsyncIterator[Redis]:
    """A client of the session's Valkey; what the test leaves behind is flushed."""
    client = connect(f"unix://{state_server.socket}")
    yield client
    await client.flushall()
    await client.aclose()


@pytest.fixture
async def warehouse(settings: Settings) -> AsyncIterator[Warehouse]:
    """The session's chdb with an empty, migrated database of this test's own."""
    opened = Warehouse(settings)
    await opened.open()
    yield opened
    await opened.command("DROP DATABASE {database:Identifier}", {"database": settings.warehouse.database})
    await opened.close()


@pytest.fixture(scope="session")
def clickhouse_server(short_folder: Path) -> Iterator[ClickHouseServer]:
    """A ClickHouse-HTTP server over chdb, in a process of its own."""
    server = ClickHouseServer(short_folder / "clickhouse")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[Any]:
    """The embedded log, in this test's data folder."""
    from cdp.streams import open_log

    opened = open_log(settings)
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def registry(log: Any, clock: FrozenClock) -> AsyncIterator[Registry]:
    """The table of definitions, following this test's log."""
    opened = Registry(log, clock)
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
def platform(
    settings: Settings,
    clock: FrozenClock,
    log: Any,
    registry: Registry,
    state: Redis,
    warehouse: Warehouse,
) -> Platform:
    """All parts, opened."""
    return Platform(settings, clock, log, registry, state, warehouse)
