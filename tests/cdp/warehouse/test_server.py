"""The contract of warehouses on a server, through the real HTTP client; and what a network adds."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.warehouse.base import Warehouse
from tests.clickhouse_http import ClickHouseServer
from tests.contracts.warehouse import COLUMNS, WarehouseContract, line, stored


@pytest.fixture
def settings(clickhouse_server: ClickHouseServer) -> Settings:
    """A fresh database on the server; a second is the longest wait for an answer."""
    dsn = clickhouse_server.dsn(f"test_{uuid.uuid4().hex[:12]}", send_receive_timeout=1)
    return Settings.load(warehouse={"dsn": dsn, "handles": 2})


@pytest.fixture
async def warehouse(settings: Settings) -> AsyncIterator[Warehouse]:
    """An opened warehouse on the server."""
    opened = Warehouse(settings)
    await opened.open()
    yield opened
    await opened.close()


class TestServer(WarehouseContract):
    """clickhouse-connect over HTTP."""


async def test_a_lost_answer_stores_the_rows_once(warehouse: Warehouse, clickhouse_server: ClickHouseServer) -> None:
    """When the answer to an insert gets lost, the caller is told, and nothing is sent a second time behind its back."""
    clickhouse_server.fault(lose=1)
    with pytest.raises(TransientError):
        await warehouse.insert("events", COLUMNS, line("once"))

    await warehouse.settle()

    assert await stored(warehouse) == ["once"]


async def test_a_lost_request_stores_nothing(warehouse: Warehouse, clickhouse_server: ClickHouseServer) -> None:
    """When an insert never ran, reading back says so."""
    clickhouse_server.fault(lose_early=1)
    with pytest.raises(TransientError):
        await warehouse.insert("events", COLUMNS, line("never"))

    await warehouse.settle()

    assert await stored(warehouse) == []


async def test_a_silent_server_is_not_waited_for_for_ever(
    warehouse: Warehouse, clickhouse_server: ClickHouseServer
) -> None:
    """An answer that does not come within the time set is a passing failure."""
    clickhouse_server.fault(hang=3)
    with pytest.raises(TransientError):
        await warehouse.insert("events", COLUMNS, line("slow"))

    assert await stored(warehouse) == ["slow"]


async def test_a_busy_server_is_a_passing_failure(warehouse: Warehouse, clickhouse_server: ClickHouseServer) -> None:
    """503 means later, not wrong."""
    clickhouse_server.fault(refuse=1)
    with pytest.raises(TransientError):
        await warehouse.insert("events", COLUMNS, line("x"))

    assert await stored(warehouse) == []


async def test_the_server_may_go_and_come_back(warehouse: Warehouse, clickhouse_server: ClickHouseServer) -> None:
    """While it is away every call fails as passing; once it is back the same warehouse works on."""
    await warehouse.insert("events", COLUMNS, line("before"))
    clickhouse_server.kill()
    try:
        for _ in range(3):
            with pytest.raises(TransientError):
                await warehouse.value("SELECT 1")
    finally:
        clickhouse_server.start()

    await warehouse.insert("events", COLUMNS, line("after"))
    assert await stored(warehouse) == ["after", "before"]


async def test_opening_without_a_server_fails_as_passing() -> None:
    """Nobody listens: wait and try again; the password is not in the message."""
    warehouse = Warehouse(Settings.load(warehouse={"dsn": "clickhouse://cdp:secret@127.0.0.1:1/cdp"}))

    with pytest.raises(TransientError) as away:
        await warehouse.open()

    assert "secret" not in str(away.value)
    await warehouse.close()


async def test_opening_what_is_refused_is_a_wrong_setting(clickhouse_server: ClickHouseServer) -> None:
    """A database that cannot be made is for the operator to correct."""
    dsn = clickhouse_server.dsn("d" * 300)
    warehouse = Warehouse(Settings.load(warehouse={"dsn": dsn}))

    with pytest.raises(MisconfiguredError) as refused:
        await warehouse.open()

    assert "secret" not in str(refused.value)
    await warehouse.close()
