"""The contract of warehouses on a server, through the real HTTP client; and what a network adds."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from clickhouse_connect.driver import create_client
from clickhouse_connect.driver.exceptions import DatabaseError
from redis.asyncio import Redis

from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.streams.base import Log
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import Loader
from tests.cdp.warehouse.test_loader import ALL_PLACES, event, resolved
from tests.clickhouse_http import ClickHouseServer
from tests.contracts.warehouse import COLUMNS, WarehouseContract, line, stored


@pytest.fixture
def settings(clickhouse_server: ClickHouseServer, tmp_path: Path) -> Settings:
    """A fresh database on the server; a second is the longest wait for an answer."""
    dsn = clickhouse_server.dsn(f"test_{uuid.uuid4().hex[:12]}", send_receive_timeout=1)
    return Settings.load(data_dir=tmp_path, warehouse={"dsn": dsn, "handles": 2})


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


@pytest.mark.parametrize("fault", ["lose", "lose_early", "refuse", "kill"])
async def test_the_loader_stores_each_place_once(
    fault: str, warehouse: Warehouse, clickhouse_server: ClickHouseServer, log: Log, state: Redis
) -> None:
    """Answers lost, requests lost, a busy server, a killed one: every place is in the table, once."""
    loader = Loader(log, warehouse, state, "p:", pace=0)
    expected = []
    for n in range(4):
        if n == 2:
            clickhouse_server.kill() if fault == "kill" else clickhouse_server.fault(**{fault: 2})
        turn = [resolved(n, event(2 * n), event(2 * n + 1))]
        for _ in range(5):
            try:
                await loader.handle(turn)
                break
            except TransientError:
                if fault == "kill":
                    clickhouse_server.start()
        expected += [(0, 2 * n, 0), (0, 2 * n + 1, 0)]
    clickhouse_server.fault(lose=0, lose_early=0, refuse=0)

    assert await warehouse.rows(ALL_PLACES) == expected


async def test_the_client_s_own_formats_work(clickhouse_server: ClickHouseServer) -> None:
    """Native inserts and answers, compressed; parameters too many for an address; an error with its code."""

    def use() -> None:
        client = create_client(dsn=clickhouse_server.dsn("default"), compress="lz4")
        client.command("CREATE OR REPLACE TABLE t (n UInt32, s LowCardinality(String)) ENGINE = Memory")
        client.insert("t", [[n, f"s{n % 3}"] for n in range(1_000)], column_names=["n", "s"])
        numbers = list(range(20_000))
        found = client.query("SELECT count(), max(s) FROM t WHERE n IN {n:Array(UInt32)}", parameters={"n": numbers})
        assert found.result_rows == [(1_000, "s2")]
        with pytest.raises(DatabaseError) as unknown:
            client.query("SELECT * FROM nowhere")
        assert unknown.value.code == 60
        client.close()

    await asyncio.to_thread(use)


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
