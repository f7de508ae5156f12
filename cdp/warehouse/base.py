"""The warehouse: ClickHouse, in-process (`chdb:`) or a server, through the same client and the same SQL.

Calls run in threads, one per handle: the client is synchronous and chdb admits one call at a time per handle.
No value ever becomes SQL text: parameters are bound by the server (`{name:Type}`).

    rows, dicts, value, command ─► a free handle ─► ClickHouse
    insert (JSON lines)         ─┘        └─ closed and made anew after a broken connection
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from clickhouse_connect.driver import create_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    DataError,
    NotSupportedError,
    ProgrammingError,
    StreamCompleteException,
)
from clickhouse_connect.driver.query import QueryResult
from urllib3.exceptions import HTTPError

from cdp.errors import MisconfiguredError, PermanentError, TransientError
from cdp.settings import Settings
from cdp.warehouse.sql import load, statements

log = structlog.get_logger(__name__)

T = TypeVar("T")
Parameters = Mapping[str, Any]

QUERIES = load("cdp.warehouse")
SCHEMES = ("clickhouse", "clickhouses", "http", "https", "clickhouse+http", "clickhouse+https")

# Seconds; a DSN may say otherwise: clickhouse://…?connect_timeout=5&send_receive_timeout=90.
CONNECT_TIMEOUT = 5
ANSWER_TIMEOUT = 90
CLOSE_TIMEOUT = 10.0

# What a query written from a user's definition may cost. `readonly` is 1 because 2 lets file() and url() read.
READ_LIMITS = {
    "readonly": 1,
    "max_execution_time": 60,
    "max_memory_usage": 4_000_000_000,
    "max_result_rows": 5_000_000,
}
INSERT_SETTINGS = {
    "date_time_input_format": "best_effort",
    "input_format_json_read_objects_as_strings": 1,  # properties and context are kept as the text that came
    "async_insert": 0,  # an answer means that the rows are stored
    "max_partitions_per_insert_block": 0,  # a replay of a long log brings many months at once
}
# An insert of fewer rows and bytes than these is one block: stored whole per partition, or refused whole.
BLOCK_ROWS = 100_000
BLOCK_BYTES = 64_000_000

# Codes of ClickHouse (src/Common/ErrorCodes.cpp) that pass by themselves: disk, memory, load, Keeper, network.
PASSING_CODES = frozenset(
    {3, 74, 75, 76, 159, 198, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 285, 319, 394, 425, 516, 999, 1000}
)
# Codes that are about the rows of an insert, so that other rows may well be taken.
ROW_CODES = frozenset({6, 25, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 321, 349, 376, 407, 441, 467, 691})
READONLY = 164
ACCESS_DENIED = 497
ROWS_REFUSED = "rows_refused"

FAILURES = (ClickHouseError, HTTPError, OSError, StreamCompleteException)
# What the client itself refuses, before or after asking ClickHouse.
CLIENT_REFUSALS = (ProgrammingError, DataError, NotSupportedError)
SELECTS = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|WITH)\b", re.IGNORECASE)


class Warehouse:
    """A pool of handles to one database."""

    def __init__(self, settings: Settings) -> None:
        self._dsn, self._database = _target(settings)
        self._size = settings.warehouse.handles
        self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="warehouse")
        self._pool: list[_Handle] = []
        self._handles: asyncio.Queue[_Handle] = asyncio.Queue()
        self._inserts: set[asyncio.Future[Any]] = set()
        self._uncertain: set[str] = set()
        self._closed = False

    @property
    def embedded(self) -> bool:
        """Whether ClickHouse runs inside this process."""
        return self._dsn.startswith("chdb:")

    async def open(self) -> None:
        """Connect and bring the tables up to date. Raises `MisconfiguredError` or `TransientError`."""
        self._pool = [_Handle(self._dsn, self._database) for _ in range(self._size)]
        for handle in self._pool:
            self._handles.put_nowait(handle)
        try:
            await self._migrate()
        except PermanentError as error:
            raise MisconfiguredError(f"CDP_WAREHOUSE__DSN {_shown(self._dsn)}: {error.message}") from error

    async def close(self) -> None:
        """Close each handle once its call has ended; a call that hangs is left behind after a few seconds."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                for _ in self._pool:
                    handle = await self._handles.get()
                    await asyncio.get_running_loop().run_in_executor(self._threads, handle.close)
        for handle in self._pool:  # whoever waits for a handle wakes, and learns that it is closed
            self._handles.put_nowait(handle)
        self._threads.shutdown(wait=False)

    async def rows(
        self, sql: str, parameters: Parameters | None = None, *, limited: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows of a query. `limited` runs it read-only under limits, as every user-made query must.

        Moments come back as naive datetimes in UTC. A limited query is a SELECT without SETTINGS of its own.
        Raises `TransientError` when the server is away or busy, `PermanentError` when it refuses the query.
        """
        query = _query(sql, parameters, limited)
        return await self._call(lambda client: [tuple(row) for row in query(client).result_rows])

    async def dicts(
        self, sql: str, parameters: Parameters | None = None, *, limited: bool = False
    ) -> list[dict[str, Any]]:
        """The rows of a query as dictionaries by column name; otherwise as `rows`."""
        query = _query(sql, parameters, limited)
        return await self._call(lambda client: [dict(row) for row in query(client).named_results()])

    async def value(self, sql: str, parameters: Parameters | None = None) -> Any:
        """The first column of the first row; None without rows."""
        rows = await self.rows(sql, parameters)
        return rows[0][0] if rows else None

    async def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement that returns nothing. Raises as `rows`."""
        await self._call(lambda client: client.command(sql, parameters=dict(parameters or {})))

    async def insert(self, table: str, columns: Sequence[str], lines: bytes) -> None:
        """Insert rows given as JSON lines; up to BLOCK_ROWS rows and BLOCK_BYTES bytes are one block per partition.

        Raises `TransientError` (the rows may be stored nevertheless: `settle`, then read back before repeating) or
        `PermanentError` (nothing of them is stored). The latter's code is ROWS_REFUSED when it is about the rows.
        """
        query_id = uuid.uuid4().hex
        settings = {**INSERT_SETTINGS, "query_id": query_id}

        def send(client: Client) -> None:
            # A stream, not bytes: bytes are sent a second time by the client itself when the answer gets lost.
            client.raw_insert(table, list(columns), io.BytesIO(lines), settings, "JSONEachRow")

        try:
            await self._call(send, self._inserts)
        except (TransientError, asyncio.CancelledError):
            self._uncertain.add(query_id)
            raise

    async def settle(self) -> None:
        """Make sure that no insert whose end is unknown still runs, so that what is read from now on is final.

        Raises `TransientError` when that cannot be told.
        """
        if self._inserts:
            await asyncio.wait(self._inserts)
        if self._uncertain and not self.embedded:
            await self.command(QUERIES["kill_inserts"], {"ids": sorted(self._uncertain)})
        self._uncertain.clear()

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

    async def _call(self, call: Callable[[Client], T], running: set[asyncio.Future[Any]] | None = None) -> T:
        handle = await self._handles.get()
        if self._closed:
            self._handles.put_nowait(handle)
            raise TransientError("The warehouse is closed.")
        future = asyncio.get_running_loop().run_in_executor(self._threads, handle.run, call)
        if running is not None:
            running.add(future)
            future.add_done_callback(running.discard)
        # The handle is free when its call has ended, which may be after a cancelled caller has gone.
        future.add_done_callback(lambda ended: self._free(handle, ended))
        return await asyncio.shield(future)

    def _free(self, handle: _Handle, ended: asyncio.Future[Any]) -> None:
        if not ended.cancelled():
            ended.exception()  # seen, also when nobody waits for it any more
        self._handles.put_nowait(handle)


class _Handle:
    """One connection, made when it is first needed and again after it broke. Used by one thread at a time."""

    def __init__(self, dsn: str, database: str) -> None:
        self._dsn = dsn
        self._database = database
        self._client: Client | None = None

    def run(self, call: Callable[[Client], T]) -> T:
        try:
            if self._client is None:
                self._client = _connect(self._dsn, self._database)
            return call(self._client)
        except FAILURES as error:
            if _breaks(error):
                self.close()
            raise _sorted(error) from error

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(*FAILURES):
                client.close()


def _connect(dsn: str, database: str) -> Client:
    """A client on the database, which is made when missing."""
    client = _embedded_client(dsn) if dsn.startswith("chdb:") else _server_client(dsn)
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS {_quoted(database)}")
    except ClickHouseError as error:
        if getattr(error, "code", None) != ACCESS_DENIED:  # somebody else has made it for us
            client.close()
            raise
    client.database = database
    return client


def _embedded_client(dsn: str) -> Client:
    try:
        return create_client(dsn=dsn)
    except ImportError:
        raise MisconfiguredError(
            "CDP_WAREHOUSE__DSN is chdb:, which needs the package chdb: "
            "pip install 'streamcdp[embedded]', or point CDP_WAREHOUSE__DSN at a ClickHouse server."
        ) from None
    except ProgrammingError as error:
        raise MisconfiguredError(
            f"The embedded warehouse {dsn} cannot be opened. One process at a time can have it open: "
            f"is another `cdp` running on this data folder? ({error})"
        ) from error


def _server_client(dsn: str) -> Client:
    return create_client(
        dsn=dsn,
        database="default",
        secure=urlsplit(dsn).scheme in ("clickhouses", "https", "clickhouse+https"),
        autogenerate_session_id=False,  # a session admits one query at a time
        dedicated_pool=True,
        connect_timeout=CONNECT_TIMEOUT,
        send_receive_timeout=ANSWER_TIMEOUT,
    )


def _query(sql: str, parameters: Parameters | None, limited: bool) -> Callable[[Client], QueryResult]:
    if limited and not SELECTS.match(sql):
        raise PermanentError("Only a SELECT can run under limits.")
    settings = READ_LIMITS if limited else {}
    return lambda client: client.query(sql, parameters=dict(parameters or {}), settings=settings)


def _target(settings: Settings) -> tuple[str, str]:
    """The address for the client, and the database."""
    dsn, database = settings.warehouse.dsn, settings.warehouse.database
    if dsn.startswith("chdb:"):
        path = dsn.removeprefix("chdb:").removeprefix("//")
        folder = Path(path) if path else settings.data_dir / "warehouse"
        folder.parent.mkdir(parents=True, exist_ok=True)
        return f"chdb://{folder.resolve()}", database
    parts = urlsplit(dsn)
    if parts.scheme not in SCHEMES:
        raise MisconfiguredError(
            f"CDP_WAREHOUSE__DSN {_shown(dsn)} is neither chdb:, chdb:///path nor clickhouse://host:port/database."
        )
    return dsn, parts.path.strip("/") or database


def _shown(dsn: str) -> str:
    """The address without user and password."""
    scheme, _, rest = dsn.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else dsn


def _quoted(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"


def _name(file: Any) -> str:
    return str(file.name)


def _breaks(error: Exception) -> bool:
    """Whether the handle is of no more use: the connection is gone, or stuck read-only after a limited statement."""
    return getattr(error, "code", None) in (None, READONLY)


def _sorted(error: Exception) -> TransientError | PermanentError:
    code = getattr(error, "code", None)
    if code in PASSING_CODES or (code is None and not isinstance(error, CLIENT_REFUSALS)):
        return TransientError(f"The warehouse is away or busy: {str(error)[:500]}", retry_after=1)
    kind = ROWS_REFUSED if code in ROW_CODES else None
    return PermanentError(f"The warehouse refused: {str(error)[:2000]}", code=kind)
