"""What people define (sources, keys, segments, destinations …): a table kept on the log.

Each change is a whole definition on the topic `definitions`; each process reads that topic from its beginning and has
the table in memory, so every role sees a change within moments, nothing else must be backed up, and the history is the
audit.

    put ─► [definitions] ─► every process's table
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from cdp.clock import Clock
from cdp.errors import ConflictError, NotFoundError, TransientError
from cdp.records import Definition, decode_definition, encode
from cdp.streams.base import Draft, Log, Message, Reader
from cdp.topics import DEFINITIONS

log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """A definition in force. `version` is its offset on the log; `created_at`/`updated_at` are moments."""

    kind: str
    key: str
    body: dict[str, Any]
    version: int
    created_at: int
    updated_at: int
    by: str


Watcher = Callable[[str, str, Entry | None], None]


class Registry:
    """The table of definitions. Reads are from memory; writes return once this process sees them."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._table: dict[str, dict[str, Entry]] = {}
        self._offset = -1
        self._moved = asyncio.Condition()
        self._writing = asyncio.Lock()
        self._watchers: list[Watcher] = []
        self._reader: Reader | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read everything that is there, then follow."""
        end = (await self._log.end_offsets(DEFINITIONS)).get(0, 0)
        self._reader = await self._log.reader([DEFINITIONS], start="earliest")
        self._task = asyncio.create_task(self._follow(), name="registry")
        await self.reached(end - 1)

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._reader is not None:
            await self._reader.close()

    def get(self, kind: str, key: str) -> Entry:
        """The definition. Raises `NotFoundError`."""
        if (entry := self.find(kind, key)) is None:
            raise NotFoundError(f"There is no {kind} called {key!r}.")
        return entry

    def find(self, kind: str, key: str) -> Entry | None:
        """The definition, or None."""
        return self._table.get(kind, {}).get(key)

    def all(self, kind: str) -> list[Entry]:
        """All definitions of a kind, by key."""
        return [entry for _, entry in sorted(self._table.get(kind, {}).items())]

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher(kind, key, entry or None)` after each change that arrives from now on."""
        self._watchers.append(watcher)

    async def put(
        self,
        kind: str,
        key: str,
        body: dict[str, Any],
        *,
        by: str = "",
        expected: int | None = None,
    ) -> Entry:
        """Define. With `expected`, only if the version in force is that (-1: does not exist yet).

        Raises `ConflictError` when it is not. Two processes that write the same key at the same moment are told apart
        by the log: the later one wins, whole.
        """
        async with self._writing:
            self._expect(kind, key, expected)
            await self._write(Definition(kind, key, body, self._clock.now(), by))
            return self.get(kind, key)

    async def delete(self, kind: str, key: str, *, by: str = "") -> int:
        """Remove. Returns the version of the removal. Raises `NotFoundError`."""
        async with self._writing:
            self.get(kind, key)
            return await self._write(Definition(kind, key, None, self._clock.now(), by))

    async def reached(self, version: int, *, timeout: float = 30.0) -> None:
        """Wait until this process has seen the version. Raises `TransientError` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(lambda: self._offset >= version)
        except TimeoutError:
            raise TransientError(f"The definitions could not be read up to {version} within {timeout:g} s.") from None

    def _expect(self, kind: str, key: str, expected: int | None) -> None:
        entry = self.find(kind, key)
        if expected is not None and expected != (entry.version if entry else -1):
            raise ConflictError(
                f"The {kind} {key!r} exists already."
                if expected == -1
                else f"The {kind} {key!r} was changed meanwhile: read it again, then retry."
            )

    async def _write(self, definition: Definition) -> int:
        draft = Draft(DEFINITIONS.name, 0, encode(definition))
        [offset] = await self._log.append([draft])
        await self.reached(offset)
        return offset

    async def _follow(self) -> None:
        assert self._reader is not None
        while True:
            try:
                messages = await self._reader.read(limit=1_000, timeout=60)
            except TransientError as error:
                log.warning("registry.unreadable", reason=error.message)
                await asyncio.sleep(error.retry_after)
                continue
            for message in messages:
                self._read(message)
            if messages:
                async with self._moved:
                    self._offset = messages[-1].offset
                    self._moved.notify_all()

    def _read(self, message: Message) -> None:
        try:
            definition = decode_definition(message.value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # A newer version may have written it; one that nobody here can read must not hide those that follow.
            log.error("registry.unreadable_definition", offset=message.offset, reason=str(error))
            return
        self._apply(definition, message.offset)

    def _apply(self, definition: Definition, offset: int) -> None:
        kind = self._table.setdefault(definition.kind, {})
        before = kind.pop(definition.key, None)
        entry = None
        if definition.body is not None:
            created = before.created_at if before else definition.at
            entry = kind[definition.key] = Entry(
                definition.kind,
                definition.key,
                definition.body,
                offset,
                created,
                definition.at,
                definition.by,
            )
        for watcher in self._watchers:
            try:
                watcher(definition.kind, definition.key, entry)
            except Exception:
                log.exception("registry.watcher_failed", kind=definition.kind, key=definition.key)
