"""The one consume loop. Every role that reads the log is a `Worker` around its own `Handler`.

One turn:

1. poll    messages of the partitions this member has
2. handle  the handler does its work; when it returns, the work is durable
3. commit  the offsets, explicitly, of partitions still held

A crash between 2 and 3 repeats the work, so every handler is idempotent. A handler that raises is tried again with
growing waits and the health turns red: nothing is skipped. A record that can never work is the handler's to set aside.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from cdp.errors import TransientError
from cdp.service import Health
from cdp.streams.base import Consumer, Log, Message, Partition
from cdp.topics import Topic

log = structlog.get_logger(__name__)

LONGEST_WAIT = 30.0


class Handler(Protocol):
    """The work of a role."""

    group: str
    topics: Sequence[Topic]

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Partitions gained; returns offsets to start from instead of the committed ones."""
        ...

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Partitions lost."""
        ...

    async def handle(self, messages: Sequence[Message]) -> None:
        """Do the work of these messages; return when it is durable.

        Raises `TransientError` to be called again with the same messages after `retry_after` seconds.
        """
        ...


class Worker:
    """Runs a handler for as long as the process lives."""

    def __init__(
        self,
        log: Log,
        handler: Handler,
        *,
        limit: int = 2_000,
        linger: float = 0.5,
        close: float = 10.0,
    ) -> None:
        """`limit`: records a turn; `linger`: seconds to wait for the first; `close`: seconds to finish in."""
        self.name = handler.group
        self._log = log
        self._handler = handler
        self._limit = limit
        self._linger = linger
        self._close = close
        self._consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._trouble = ""

    async def start(self) -> None:
        """Join the group and begin."""
        self._consumer = await self._log.consumer(self._handler.group, self._handler.topics, self._handler)
        self._task = asyncio.create_task(self._run(), name=f"worker:{self.name}")

    async def stop(self) -> None:
        """Finish the turn under way, then leave the group."""
        self._stopping.set()
        if self._task is not None:
            _, pending = await asyncio.wait([self._task], timeout=self._close)
            for task in pending:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._consumer is not None:
            await self._consumer.close()

    def health(self) -> Health:
        """Red while the same messages keep failing, or when the loop ended by itself."""
        if self._task is None or self._task.done():
            ended = self._stopping.is_set() or self._task is None
            return Health(False, "not running" if ended else "stopped unexpectedly: see the log")
        return Health(not self._trouble, self._trouble)

    async def _run(self) -> None:
        wait = 0.0
        messages: list[Message] = []
        while not self._stopping.is_set():
            try:
                if not messages:
                    messages = await self._poll()
                if messages:
                    await self._handler.handle(messages)
                    await self._commit(messages)
                messages, wait, self._trouble = [], 0.0, ""
            except TransientError as error:
                wait = max(error.retry_after, min(wait * 2, LONGEST_WAIT))
                await self._rest(wait, error.message)
            except Exception as error:
                log.exception("worker.failed", role=self.name)
                wait = min(max(wait * 2, 0.5), LONGEST_WAIT)
                await self._rest(wait, f"{type(error).__name__}: {error}")

    async def _poll(self) -> list[Message]:
        assert self._consumer is not None
        return await self._consumer.poll(limit=self._limit, timeout=self._linger)

    async def _commit(self, messages: Sequence[Message]) -> None:
        assert self._consumer is not None
        await self._consumer.commit({message.place: message.offset + 1 for message in messages})

    async def _rest(self, seconds: float, reason: str) -> None:
        self._trouble = reason
        log.warning("worker.waits", role=self.name, seconds=round(seconds, 2), reason=reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
