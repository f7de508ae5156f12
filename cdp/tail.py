"""The live view: what happens to events, while it happens, as server-sent events.

    [events.raw] [events.quarantined] [events.resolved] [segments.changes] [deliveries]
                                   └──► one Reader ──► Tail ──► a short queue for each client

One reader outside any group serves all clients, and only while there is one. A client that reads too slowly is cut,
never waited for and never buffered without bound.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

import msgspec
import structlog
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from cdp.auth import require
from cdp.errors import TransientError
from cdp.lines import encode_line
from cdp.service import Receive, Scope, Send
from cdp.stages import TAILED, Line, Stage, lines_of
from cdp.streams.base import Log, Message

log = structlog.get_logger(__name__)

QUEUE = 2_000
FOLLOWED_TRACES = 10_000
HEARTBEAT_SECONDS = 15.0
# Seconds that one write to a client may take.
PATIENCE = 30.0


class Client:
    """One who watches. A line passes when each filter that its stage can answer agrees.

    A filter that a stage cannot answer (the source of a membership, say) lets those lines pass that belong to a trace
    of which a line has passed before: so `source=web` shows what follows from that source's events, down to the
    deliveries.
    """

    def __init__(self, filters: Mapping[str, str]) -> None:
        self._stage = filters.get("stage")
        self._filters = {field: wanted for field, wanted in filters.items() if field != "stage"}
        self._traces: OrderedDict[str, None] = OrderedDict()
        self._queue: asyncio.Queue[Line | None] = asyncio.Queue(QUEUE)
        self.cut = asyncio.Event()

    def offer(self, line: Line) -> None:
        """Take the line, if it passes."""
        if not self.cut.is_set() and self._passes(line):
            self._put(line)

    def end(self) -> None:
        """Let the client go after what it has been given."""
        self._put(None)

    async def next(self, timeout: float) -> Line | None:
        """The next line; None at the end. Raises `TimeoutError` when there is none for `timeout` seconds."""
        async with asyncio.timeout(timeout):
            return await self._queue.get()

    def waiting(self) -> list[Line | None]:
        """What else is there already."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    def _put(self, line: Line | None) -> None:
        try:
            self._queue.put_nowait(line)
        except asyncio.QueueFull:
            self.waiting()
            self.cut.set()

    def _passes(self, line: Line) -> bool:
        trace = line["trace_id"]
        if any(field in line and line[field] != wanted for field, wanted in self._filters.items()):
            return False
        if self._filters.keys() - line.keys() and trace not in self._traces:
            return False
        if self._filters and trace:
            self._follow(trace)
        return not self._stage or line["stage"] == self._stage

    def _follow(self, trace: str) -> None:
        self._traces[trace] = None
        if len(self._traces) > FOLLOWED_TRACES:
            self._traces.popitem(last=False)


class Tail:
    """Reads the log for as long as somebody watches, and shares what it reads."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._clients: set[Client] = set()
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    @contextlib.asynccontextmanager
    async def watch(self, filters: Mapping[str, str]) -> AsyncIterator[Client]:
        """A client that is told of everything from now on. Raises `TransientError` when the log cannot be read."""
        client = Client(filters)
        async with self._turn:
            if self._closed:
                raise TransientError("The service is stopping.")
            if self._task is None:
                reader = await self._log.reader(TAILED, start="latest")
                self._task = asyncio.create_task(self._follow(reader), name="tail")
            self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)
            async with self._turn:
                if not self._clients:
                    await self._rest()

    async def close(self) -> None:
        """End every client's stream."""
        self._closed = True
        for client in self._clients:
            client.end()
        async with self._turn:
            await self._rest()

    async def _rest(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow(self, reader: Any) -> None:
        try:
            while True:
                try:
                    messages = await reader.read(limit=1_000, timeout=60)
                except TransientError as error:
                    log.warning("tail.unreadable", reason=error.message)
                    await asyncio.sleep(error.retry_after)
                    continue
                for message in messages:
                    self._share(message)
        finally:
            await reader.close()

    def _share(self, message: Message) -> None:
        try:
            lines = list(lines_of(message))
        except msgspec.MsgspecError as error:
            log.warning("tail.unreadable_message", topic=message.topic, offset=message.offset, reason=str(error))
            return
        for line in lines:
            for client in self._clients:
                client.offer(line)


class Stream(Response):
    """The answer of `/api/v1/tail`: ends when the client goes, is too slow, or the service stops."""

    def __init__(self, tail: Tail, filters: Mapping[str, str]) -> None:
        super().__init__()
        self._tail = tail
        self._filters = filters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        async with self._tail.watch(self._filters) as client:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send(_chunk(b": watching\n\n", more=True))
            writer = asyncio.create_task(self._write(client, send))
            others = [asyncio.create_task(_gone(receive)), asyncio.create_task(client.cut.wait())]
            await asyncio.wait([writer, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in (writer, *others):
                task.cancel()
            await asyncio.gather(writer, *others, return_exceptions=True)
            if client.cut.is_set():
                log.info("tail.cut", reason="the client reads too slowly")
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(1):
                    await send(_chunk(b"", more=False))

    async def _write(self, client: Client, send: Send) -> None:
        while True:
            try:
                lines = [await client.next(HEARTBEAT_SECONDS), *client.waiting()]
            except TimeoutError:
                async with asyncio.timeout(PATIENCE):
                    await send(_chunk(b": heartbeat\n\n", more=True))
                continue
            body = b"".join(_event(line) for line in lines if line is not None)
            async with asyncio.timeout(PATIENCE):
                await send(_chunk(body, more=True))
            if None in lines:
                return


_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def _event(line: Line) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (line["stage"].encode(), encode_line(line))


def _chunk(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


EXAMPLE = (
    'event: membership\ndata: {"stage":"membership","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","at":1795249800000,'
    '"segment":"vip","profile_id":"0b1f…","change":"entered","sequence":1}\n\n'
)

router = APIRouter(prefix="/api/v1/tail", tags=["tail"])


@router.get(
    "",
    summary="Watch events live",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events without end: `event:` is the stage, `data:` a JSON object. Every 15 "
            "seconds without one, a comment.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": EXAMPLE,
                }
            },
        }
    },
)
async def watch(
    request: Request,
    _: Annotated[object, Depends(require("tail:read"))],
    stage: Annotated[Stage | None, Query(description="Only this stage.")] = None,
    source: Annotated[str | None, Query(description="Only events of this source, and what follows from them.")] = None,
    type: Annotated[str | None, Query(description="Only events of this type (`track`, `identify` …).")] = None,
    event: Annotated[str | None, Query(description="Only events of this name.")] = None,
    profile: Annotated[str | None, Query(description="Only this profile id.")] = None,
    segment: Annotated[str | None, Query(description="Only changes of this segment.")] = None,
    destination: Annotated[str | None, Query(description="Only deliveries to this destination.")] = None,
    trace: Annotated[str | None, Query(description="Only this trace id.")] = None,
) -> Response:
    """What happens to events, while it happens: raw → resolved → membership → delivery, and what is quarantined.

    A filter that a stage knows nothing of (the source of a membership) lets those lines pass that follow from an event
    that passed.
    """
    given = {
        "stage": stage,
        "source": source,
        "type": type,
        "event": event,
        "profile_id": profile,
        "segment": segment,
        "destination": destination,
        "trace_id": trace,
    }
    tail: Tail = request.app.state.tail
    return Stream(tail, {field: value for field, value in given.items() if value is not None})
