"""The stored events, as JSON lines.

Each line is an event as it is stored, with the profile it belongs to now, and its fields once more in the spelling of
the Segment spec, so that tools that know Segment's events can read it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import structlog
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from msgspec import Raw

from cdp import clock
from cdp.anchors import profiles_of
from cdp.auth import platform, require
from cdp.errors import InvalidError
from cdp.lines import encode_line
from cdp.parameters import Moment
from cdp.records import EMPTY_OBJECT
from cdp.service import Platform
from cdp.warehouse.sql import load

log = structlog.get_logger(__name__)

QUERIES = load("cdp")

Row = tuple[Any, ...]
Order = Literal["newest", "oldest"]

# Rows a query: the first few answer at once; then as many as make about so many bytes.
FIRST_ROWS = 200
MOST_ROWS = 20_000
CHUNK_BYTES = 4_000_000


class Filters(NamedTuple):
    """Which events: empty text means any. `since` and `until` (excluded) are moments of receipt."""

    source: str = ""
    type: str = ""
    event: str = ""
    message_id: str = ""
    since: int = clock.EARLIEST
    until: int = clock.LATEST


class Place(NamedTuple):
    """Where a page begins: the columns by which the events are ordered."""

    received: int
    log_partition: int
    log_offset: int
    log_index: int


BEGINNINGS: dict[Order, Place] = {
    "newest": Place(clock.LATEST, 2**16 - 1, 2**64 - 1, 2**32 - 1),
    "oldest": Place(clock.EARLIEST, 0, 0, 0),
}


async def read(opened: Platform, filters: Filters, *, order: Order, limit: int) -> AsyncIterator[bytes]:
    """The events as JSON lines, in chunks of some megabytes."""
    place, rows = BEGINNINGS[order], FIRST_ROWS
    while limit > 0:
        wanted = min(rows, limit)
        parameters = {**filters._asdict(), **place._asdict(), "rows": wanted}
        found = [Stored(*row) for row in await opened.warehouse.rows(QUERIES[f"events_{order}"], parameters)]
        if not found:
            return
        chunk = await lines(opened, found)
        yield chunk
        if len(found) < wanted:
            return
        limit -= len(found)
        place = found[-1].place
        rows = min(MOST_ROWS, max(1, CHUNK_BYTES * len(found) // len(chunk)))


async def lines(opened: Platform, events: Sequence[Stored]) -> bytes:
    """The events as JSON lines, each with the profile its anchor belongs to now."""
    anchors = [str(event.anchor_id) for event in events]
    profiles = await profiles_of(opened.state, opened.settings.state.prefix, anchors)
    return b"".join(
        encode_line(event.document(profile)) + b"\n" for event, profile in zip(events, profiles, strict=True)
    )


class Stored(NamedTuple):
    """A row of the queries, column by column."""

    received: int
    log_partition: int
    log_offset: int
    log_index: int
    message_id: str
    anchor_id: Any
    source: str
    type: str
    name: str
    happened: int
    user_id: str
    anonymous_id: str
    group_id: str
    trace_id: str
    properties: str
    context: str
    traits: str

    @property
    def place(self) -> Place:
        """Its place in the order."""
        return Place(*self[:4])

    def document(self, profile_id: str) -> dict[str, Any]:
        """The event as the API shows it."""
        happened, received = clock.to_text(self.happened), clock.to_text(self.received)
        own = {
            "message_id": self.message_id,
            "anchor_id": str(self.anchor_id),
            "profile_id": profile_id,
            "source": self.source,
            "type": self.type,
            "name": self.name,
            "at": happened,
            "received_at": received,
            "trace_id": self.trace_id,
            "log_partition": self.log_partition,
            "log_offset": self.log_offset,
            "log_index": self.log_index,
            "context": _object(self.context),
            **self._said(),
        }
        spelt = {
            "messageId": self.message_id,
            ("event" if self.type == "track" else "name"): self.name,
            "userId": self.user_id,
            "anonymousId": self.anonymous_id,
            "groupId": self.group_id,
            "timestamp": happened,
            "receivedAt": received,
        }
        return own | {key: value for key, value in spelt.items() if value}

    def _said(self) -> dict[str, Raw]:
        """`properties` and `traits` where the Segment spec has them; other events keep traits in their context."""
        if self.type == "group":
            return {"properties": EMPTY_OBJECT, "traits": _object(self.properties)}
        traits = _object(self.traits) if self.type == "identify" else EMPTY_OBJECT
        return {"properties": _object(self.properties), "traits": traits}


def _object(text: str) -> Raw:
    return Raw(text.encode()) if text else EMPTY_OBJECT


router = APIRouter(prefix="/api/v1/events", tags=["events"])

EXAMPLE = (
    '{"message_id":"ajs-next-1795249800000-0f9c…","anchor_id":"5e0c…","profile_id":"0b1f…","source":"default",'
    '"type":"track","name":"Order Completed","at":"2026-11-21T08:30:00.000Z","received_at":"2026-11-21T08:30:00.120Z",'
    '"trace_id":"4bf9…","log_partition":2,"log_offset":17,"log_index":0,"properties":{"total":1850000,"currency":"VND"},'
    '"context":{},"traits":{},"messageId":"ajs-next-1795249800000-0f9c…","event":"Order Completed","userId":"lan",'
    '"timestamp":"2026-11-21T08:30:00.000Z","receivedAt":"2026-11-21T08:30:00.120Z"}\n'
)


@router.get(
    "",
    summary="Read stored events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One JSON object a line.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": EXAMPLE}},
        }
    },
)
async def list_events(
    opened: Annotated[Platform, Depends(platform)],
    _: Annotated[object, Depends(require("events:read"))],
    source: Annotated[str, Query(description="Only events of this source.")] = "",
    type: Annotated[str, Query(description="Only events of this type, for example `track`.")] = "",
    event: Annotated[str, Query(description="Only events of this name, for example `Order Completed`.")] = "",
    message_id: Annotated[str, Query(description="Only events with this messageId.")] = "",
    since: Annotated[
        Moment | None, Query(description="Only events received at this moment or later (ISO 8601).")
    ] = None,
    until: Annotated[Moment | None, Query(description="Only events received before this moment (ISO 8601).")] = None,
    order: Annotated[Order, Query(description="`newest` or `oldest` received first.")] = "newest",
    limit: Annotated[int, Query(ge=1, le=100_000_000, description="Most events to return.")] = 1_000,
) -> StreamingResponse:
    """Events as they are stored, one JSON object a line, in the order of receipt; streamed, however many they are."""
    filters = Filters(source, type, event, message_id, *_span(since, until))
    if filters.since > filters.until:
        raise InvalidError("`since` lies after `until`.", path="since")
    chunks = read(opened, filters, order=order, limit=limit)
    first = await anext(chunks, b"")  # a warehouse that is away is told with a status, not by a broken stream
    return StreamingResponse(_from(first, chunks), media_type="application/x-ndjson")


async def _from(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


def _span(since: int | None, until: int | None) -> tuple[int, int]:
    return clock.EARLIEST if since is None else since, clock.LATEST if until is None else until
