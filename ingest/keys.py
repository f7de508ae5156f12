"""Sources and their write keys: which source a write key belongs to, from memory.

A source may have two live keys, so that one replaces the other without a gap.

Write keys are public: every web page shows its own. They say where an event comes from and let nobody read anything, so
they are kept in clear and looked up in a dictionary. That look-up compares randomly seeded hashes before it compares
keys, so its time tells nothing about them either.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cdp.clock import HOUR, Clock
from cdp.errors import ConflictError, ForbiddenError
from cdp.registry import Entry, Registry
from cdp.vault import Vault
from ingest.limits import Limit
from ingest.source import KIND, Source, source_of

PREFIX = "wk_"
LIVE_KEYS = 2
# Headers remembered with the source they stand for; only good ones are, so strangers cannot fill it.
REMEMBERED = 10_000


class WriteKeyError(ForbiddenError):
    """The request's write key is missing, unknown, expired, of a disabled source, or not for this web page."""

    code = "unknown_write_key"


class Held(NamedTuple):
    """A write key's source, and when the key stops to work (None: never)."""

    source: Source
    expires_at: int | None


class Sources:
    """The sources of an installation, kept current by the registry."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        vault: Callable[[], Vault] | None = None,
        *,
        limit: Limit | None = None,
    ) -> None:
        """`vault` opens the sources' secrets; without it they are masks. `limit` is that of sources without one."""
        self._registry = registry
        self._clock = clock
        self._vault = vault
        self._limit = limit
        self._held: dict[str, Held] = {}
        self._headers: dict[bytes, str] = {}
        self._named: dict[str, Source] = {}
        registry.watch(self._changed)
        self._index()

    def of(self, write_key: str) -> Source:
        """The source that the write key belongs to. Raises `WriteKeyError`."""
        held = self._held.get(write_key)
        if held is None:
            raise WriteKeyError("No source has this write key.")
        if held.expires_at is not None and held.expires_at <= self._clock.now():
            raise WriteKeyError("This write key has expired: a newer one replaced it.", code="expired_write_key")
        if not held.source.body.enabled:
            raise WriteKeyError("The source of this write key is disabled.", code="source_disabled")
        return held.source

    def named(self, key: str) -> Source | None:
        """The source of this key, enabled or not; None where there is none."""
        return self._named.get(key)

    def all(self) -> Iterable[Source]:
        """Every source that is enabled."""
        return [source for source in self._named.values() if source.body.enabled]

    def knows(self, write_key: str) -> bool:
        """Whether it is some source's write key, working or not."""
        return write_key in self._held

    def basic(self, authorization: bytes) -> str:
        """The write key in a header `Basic base64(KEY:)`; empty when the header holds none."""
        if (known := self._headers.get(authorization)) is not None:
            return known
        write_key = basic_user(authorization)
        if write_key in self._held and len(self._headers) < REMEMBERED:
            self._headers[authorization] = write_key
        return write_key

    def _changed(self, kind: str, key: str, entry: Entry | None) -> None:
        if kind == KIND:
            self._index()

    def _index(self) -> None:
        self._headers = {}
        entries = self._registry.all(KIND)
        self._named = {entry.key: self._source(entry) for entry in entries}
        self._held = {
            one["key"]: Held(self._named[entry.key]._replace(write_key=one["key"]), one.get("expires_at"))
            for entry in entries
            for one in entry.body.get("write_keys", ())
        }

    def _source(self, entry: Entry) -> Source:
        source = source_of(entry, self._vault)
        return source if source.limit else source._replace(limit=self._limit)


def basic_user(authorization: bytes) -> str:
    """The user name of Basic credentials, with or without the colon; empty for anything else."""
    scheme, _, coded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        return base64.b64decode(coded.strip(), validate=True).partition(b":")[0].decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def new_write_key() -> str:
    """A fresh write key."""
    return PREFIX + secrets.token_urlsafe(24)


def check_unused(registry: Registry, write_keys: Iterable[str], *, but: str = "") -> None:
    """Raises `ConflictError` when a source other than `but` has one of these write keys already."""
    wanted = set(write_keys)
    for entry in registry.all(KIND):
        if entry.key != but and wanted & {one["key"] for one in entry.body.get("write_keys", ())}:
            raise ConflictError(f"The source {entry.key!r} has this write key already.")


def rotated(body: dict[str, Any], now: int, *, grace_hours: float) -> tuple[dict[str, Any], str]:
    """The definition with a fresh write key; the newest old one works for `grace_hours` more, others are gone."""
    live = [one for one in body.get("write_keys", ()) if one.get("expires_at") is None or one["expires_at"] > now]
    fresh = new_write_key()
    ends = now + round(grace_hours * HOUR)
    kept = [one | {"expires_at": min(one.get("expires_at") or ends, ends)} for one in live[-(LIVE_KEYS - 1) :]]
    keys = [*(kept if grace_hours > 0 else ()), {"key": fresh, "created_at": now}]
    return {**body, "write_keys": keys}, fresh
