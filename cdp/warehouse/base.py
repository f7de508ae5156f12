"""The warehouse: ClickHouse, in-process (`chdb:`) or a server, through the same client and the same SQL.

Calls run in threads, one per handle: the client is synchronous and chdb admits one call at a time per handle.
No value ever becomes SQL text: parameters are bound by the server (`{name:Type}`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from clickhouse_connect.driver import create_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from cdp.errors import MisconfiguredError, PermanentError, TransientError
from cdp.settings import Settings
from cdp.warehouse.sql import load, statements

log = structlog.get_logger(__name__)

T = TypeVar("T")
Parameters = Mapping[str, Any]

QUERIES = load("cdp.warehouse")

# What a query written from a user's definition may cost; `readonly` also blocks file() and url().
READ_LIMITS = {
    "readonly": 2,
    "max_execution_time": 60,
    "max_memory_usage": 4_000_000_000,
    "max_result_rows": 5_000_000,
}
# Errors that pass by themselves; everything else a server says is about the statement.
PASSING_CODES = (
    "code: 159",
    "code: 202",
    "code: 209",
    "code: 210",
    "code: 241",
    "code: 243",
    "code: 252",
)


class Warehouse:
    """A pool of handles to one database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.warehouse
        self._dsn, self._database = _target(settings)
        self._threads = ThreadPoolExecutor(self._settings.handles, thread_name_prefix="warehouse")
        self._handles: asyncio.Queue[Client] = asyncio.Queue()

    @property
    def embedded(self) -> bool:
        """Whether ClickHouse runs inside this process."""
        return self._dsn.startswith("chdb:")

    async def open(self) -> None:
        """Connect and bring the tables up to date. Raises `MisconfiguredError` or `TransientError`."""
        first = await self._in_thread(self._connect, None)
        await self._in_thread(first.command, f"CREATE DATABASE IF NOT EXISTS {_quoted(self._database)}")
        await self._in_thread(first.close)
        for _ in range(self._settings.handles):
            self._handles.put_nowait(await self._in_thread(self._connect, self._database))
        await self._migrate()

    async def close(self) -> None:
        """Close every handle once its call has ended."""
        for _ in range(self._settings.handles):
            handle = await self._handles.get()
            await self._in_thread(handle.close)
        self._threads.shutdown(wait=False)

    async def rows(
        self, sql: str, parameters: Parameters | None = None, *, limited: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows of a query. `limited` runs it read-only under limits, as every user-made query must.

        Raises `TransientError` when the server is away or busy, `PermanentError` when it refuses the query.
        """
        settings = READ_LIMITS if limited else {}
        result = await self._with_handle(
            lambda client: client.query(sql, parameters=dict(parameters or {}), settings=settings)
        )
        return [tuple(row) for row in result.result_rows]

    async def dicts(
        self, sql: str, parameters: Parameters | None = None, *, limited: bool = False
    ) -> list[dict[str, Any]]:
        """The rows of a query as dictionaries by column name."""
        settings = READ_LIMITS if limited else {}
        result = await self._with_handle(
            lambda client: client.query(sql, parameters=dict(parameters or {}), settings=settings)
        )
        return [dict(row) for row in result.named_results()]

    async def value(self, sql: str, parameters: Parameters | None = None) -> Any:
        """The first column of the first row; None without rows."""
        rows = await self.rows(sql, parameters)
        return rows[0][0] if rows else None

    async def insert(self, table: str, columns: Sequence[str], lines: bytes) -> None:
        """Insert rows given as JSON lines. All rows of one call are one block per partition.

        Raises `TransientError` (the rows may be stored nevertheless: read back before repeating) or
        `PermanentError` (the rows are refused: nothing of them is stored).
        """
        await self._with_handle(
            lambda client: client.raw_insert(
                table,
                list(columns),
                lines,
                {
                    "date_time_input_format": "best_effort",
                    "input_format_json_read_objects_as_strings": 1,
                    "async_insert": 0,
                },
                "JSONEachRow",
            )
        )

    async def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement that returns nothing."""
        await self._with_handle(lambda client: client.command(sql, parameters=dict(parameters or {})))

    async def _migrate(self) -> None:
        await self.command(QUERIES["create_migrations"])
        done = {number for (number,) in await self.rows(QUERIES["migrations"])}
        for file in sorted(files("cdp.warehouse").joinpath("migrations").iterdir(), key=_name):
            number = int(file.name[:4])
            if number in done:
                continue
            log.info("warehouse.migrates", migration=file.name)
            for statement in statements(file.read_text(encoding="utf-8")):
                await self.command(statement)
            await self.command(QUERIES["record_migration"], {"number": number, "name": file.name})

    def _connect(self, database: str | None) -> Client:
        try:
            if self.embedded:
                return create_client(dsn=self._dsn, database=database)
            return create_client(dsn=self._dsn, database=database or "default", autogenerate_session_id=False)
        except ImportError:
            raise MisconfiguredError(
                "CDP_WAREHOUSE__DSN is chdb:, which needs the package chdb: "
                "pip install 'streamcdp[embedded]', or point CDP_WAREHOUSE__DSN at a ClickHouse server."
            ) from None
        except ClickHouseError as error:
            raise _sorted(error) from error

    async def _with_handle(self, call: Callable[[Client], T]) -> T:
        handle = await self._handles.get()
        try:
            return await self._in_thread(call, handle)
        except ClickHouseError as error:
            raise _sorted(error) from error
        finally:
            self._handles.put_nowait(handle)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        # Shielded: a cancelled caller must not give a handle back while its call still runs.
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, call, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise


def _target(settings: Settings) -> tuple[str, str]:
    dsn, database = settings.warehouse.dsn, settings.warehouse.database
    if dsn.startswith("chdb:"):
        path = dsn.removeprefix("chdb:").removeprefix("//")
        folder = Path(path) if path else settings.data_dir / "warehouse"
        folder.parent.mkdir(parents=True, exist_ok=True)
        return f"chdb://{folder.resolve()}", database
    parts = urlsplit(dsn)
    if parts.scheme not in (
        "clickhouse",
        "clickhouses",
        "http",
        "https",
        "clickhouse+http",
        "clickhouse+https",
    ):
        raise MisconfiguredError(
            f"CDP_WAREHOUSE__DSN {dsn!r} is neither chdb:, chdb:///path nor clickhouse://host:port/database."
        )
    return dsn, parts.path.strip("/") or database


def _quoted(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"


def _name(file: Any) -> str:
    return str(file.name)


def _sorted(error: ClickHouseError) -> TransientError | PermanentError:
    text = str(error)
    passing = isinstance(error, OperationalError) or not isinstance(error, DatabaseError)
    if passing or any(code in text.lower() for code in PASSING_CODES):
        return TransientError(f"The warehouse is away or busy: {text[:500]}", retry_after=1)
    return PermanentError(f"The warehouse refused: {text[:2000]}")
