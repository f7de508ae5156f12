"""The contract of warehouses on the embedded engine, and what is special about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cdp.errors import MisconfiguredError
from cdp.settings import Settings
from cdp.warehouse.base import Warehouse
from tests.contracts.warehouse import WarehouseContract

OPEN = """
import asyncio, sys
from cdp.errors import MisconfiguredError
from cdp.settings import Settings
from cdp.warehouse.base import Warehouse
warehouse = Warehouse(Settings.load(warehouse={"dsn": sys.argv[1]}))
try:
    asyncio.run(warehouse.open())
except MisconfiguredError as error:
    print(error)
"""


class TestEmbedded(WarehouseContract):
    """chdb."""


def test_a_second_process_is_told_who_has_the_folder(warehouse: Warehouse, chdb_folder: Path) -> None:
    """One process at a time can have the folder open; the other one learns what to do."""
    told = subprocess.run([sys.executable, "-c", OPEN, f"chdb://{chdb_folder}"], capture_output=True, text=True)

    assert "One process at a time" in told.stdout


@pytest.mark.parametrize("dsn", ["mysql://root:secret@host/db", "", "nonsense"])
def test_an_unknown_dsn_is_a_wrong_setting(dsn: str) -> None:
    """Anything but chdb: and clickhouse:// is refused before connecting, and no password is shown."""
    with pytest.raises(MisconfiguredError) as refused:
        Warehouse(Settings.load(warehouse={"dsn": dsn}))

    assert "CDP_WAREHOUSE__DSN" in str(refused.value)
    assert "secret" not in str(refused.value)
