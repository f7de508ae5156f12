"""Where an address is, by a file of MaxMind's format: what `context.location` says."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from msgspec import json

log = structlog.get_logger(__name__)

# Seconds between two looks at whether the file is another one.
AGAIN = 30.0
MEMORY = 1 << 16


class Places:
    """Looks addresses up. A file that is missing or broken finds nothing, and harms nothing; `known` tells of one.

    The file is copied before it is read: who writes a new one over it cannot cut it off under the reader's feet.
    """

    def __init__(self, file: Path | None, folder: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """`folder` is where the copy is made; it has no name there once it is open."""
        self.known = file is not None
        self._file = file
        self._folder = folder
        self._now = now
        self._reader: Any = None
        self._seen: tuple[int, int] | None = None
        self._look_at = 0.0
        self._known: dict[str, bytes] = {}
        self._trouble = ""
        if self.known:
            self._look()

    def of(self, address: str) -> bytes:
        """The location as JSON; nothing for an address that is not in the file, or is none."""
        if self._file is None:
            return b""
        if self._now() >= self._look_at:
            self._look()
        found = self._known.get(address)
        if found is None:
            if len(self._known) >= MEMORY:
                self._known.clear()
            found = self._known[address] = self._location(address)
        return found

    def _look(self) -> None:
        """Open the file anew, if it is another one than before."""
        assert self._file is not None
        self._look_at = self._now() + AGAIN
        try:
            state = self._file.stat()
            seen = (state.st_mtime_ns, state.st_size)
            if seen == self._seen:
                return
            self._seen = seen
            self._reader = _opened(self._file, self._folder)
        except (OSError, ValueError) as error:
            if str(error) != self._trouble:
                log.error("places.unreadable", file=str(self._file), reason=str(error))
            self._trouble = str(error)
            return
        self._trouble = ""
        self._known.clear()
        log.info("places.opened", file=str(self._file))

    def _location(self, address: str) -> bytes:
        if self._reader is None:
            return b""
        try:
            found = self._reader.get(address)
            location = location_of(found) if found else {}
        except Exception:  # no address, a damaged part, another layout: no request fails for what a file holds
            return b""
        return json.encode(location) if location else b""


# One of a kind in a process: the collector and the resolver look into the same file.
places = lru_cache(4)(Places)


def location_of(found: dict[str, Any]) -> dict[str, str]:
    """An entry of a country or city file → what is kept of it. No coordinates: they tell no more, and look as if."""
    country = found.get("country") or {}
    regions = found.get("subdivisions") or [{}]
    given = {
        "country": _name(country),
        "country_code": country.get("iso_code"),
        "region": _name(regions[0]),
        "region_code": regions[0].get("iso_code"),
        "city": _name(found.get("city") or {}),
        "timezone": (found.get("location") or {}).get("time_zone"),
    }
    return {key: value for key, value in given.items() if isinstance(value, str) and value}


def _name(entry: dict[str, Any]) -> Any:
    return (entry.get("names") or {}).get("en")


def _opened(file: Path, folder: Path) -> Any:
    """A reader of a copy of the file. Raises `OSError`, and `ValueError` for what is no such file."""
    import maxminddb

    with tempfile.NamedTemporaryFile(dir=folder, prefix="geo-") as copy, file.open("rb") as original:
        shutil.copyfileobj(original, copy, 1 << 20)
        copy.flush()
        try:
            return maxminddb.open_database(copy.name, maxminddb.MODE_AUTO)
        except maxminddb.InvalidDatabaseError as error:
            raise ValueError(str(error)) from error
