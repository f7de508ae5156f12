"""The log of an installation, opened by its URL."""

from __future__ import annotations

from pathlib import Path

from cdp.clock import Clock, SystemClock
from cdp.errors import MisconfiguredError
from cdp.settings import Settings
from cdp.streams.base import Log
from cdp.streams.sqlite import SqliteLog


def open_log(settings: Settings, clock: Clock | None = None) -> Log:
    """The log that `CDP_LOG__URL` names; call its `start` next. Raises `MisconfiguredError`."""
    url = settings.log.url
    scheme, _, rest = url.partition(":")
    clock = clock or SystemClock()
    if scheme == "sqlite":
        return SqliteLog(_path(rest, settings.data_dir), settings, clock)
    if scheme == "kafka":
        from cdp.streams.kafka import KafkaLog  # only who uses Kafka waits for its client to load

        return KafkaLog(settings, clock)
    raise MisconfiguredError(
        f"CDP_LOG__URL {url!r} is not a log: use `sqlite:` for a file in the data folder, `sqlite:///path/log.db`, "
        "or `kafka://host:9092[,host:9092]`."
    )


def _path(rest: str, folder: Path) -> Path:
    if not rest:
        return folder / "log.db"
    if rest.startswith("///") and len(rest) > 3:
        return Path(rest[2:])
    raise MisconfiguredError(f"CDP_LOG__URL 'sqlite:{rest}' needs three slashes and a path: `sqlite:///path/log.db`.")
