"""The catalogue: which events and traits there are, learnt from traffic.

Events are counted in the warehouse when somebody asks, so these counts are exact. What their fields look like was
learnt while they were stored, from a part of them (`cdp.warehouse.catalogue`), and is told as shares of that part.
"""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import NamedTuple

import msgspec

from cdp.errors import InvalidError, NotFoundError
from cdp.service import Platform
from cdp.warehouse.sql import load

QUERIES = load("ingest")
IDENTIFY = "identify"
# Types of events that have no name of their own.
UNNAMED = ("page", "screen", IDENTIFY, "group", "alias")
EXAMPLES = 5


class Event(NamedTuple):
    """An event of a source: `event` is the name of a track event, else empty. Moments in milliseconds."""

    source: str
    type: str
    event: str
    events: int
    first_seen: int
    last_seen: int


class Field(NamedTuple):
    """A field of an event. `share` of those looked at that have it; examples are masked. Moments in milliseconds."""

    path: str
    types: list[str]
    formats: list[str]
    share: float
    first_seen: int
    last_seen: int
    examples: list[str]


class Described(NamedTuple):
    """An event and its fields; `looked_at` is how many of it the fields were learnt from."""

    event: Event
    looked_at: int
    fields: list[Field]


class After(NamedTuple):
    """Where a page begins."""

    after_source: str = ""
    after_type: str = ""
    after_event: str = ""


async def events(
    platform: Platform, *, source: str = "", type: str = "", event: str = "", limit: int, after: str = ""
) -> tuple[list[Event], str]:
    """Events by source, type and name; and the cursor of those after, "" at the end.

    Raises `InvalidError` for an unknown cursor.
    """
    begin = _after(after) if after else After()
    wanted = {"source": source, "type": type, "event": event, "limit": limit + 1, **begin._asdict()}
    rows = await platform.warehouse.rows(QUERIES["catalogue_events"], wanted)
    found = [Event(*row) for row in rows[:limit]]
    last = found[-1] if len(rows) > limit else None
    return found, msgspec.json.encode(After(*last[:3])).hex() if last else ""


async def describe(platform: Platform, name: str, *, source: str = "") -> list[Described]:
    """A track event by its name, or a type of events without names (`page`), of each source. Raises `NotFoundError`."""
    kinds = [("track", name), *([(name, "")] if name in UNNAMED else [])]
    found = [one for kind, event in kinds for one in await _described(platform, kind, event, source)]
    if not found:
        raise NotFoundError(f"No event {name!r} was ever stored.")
    return found


async def traits(platform: Platform, *, source: str = "") -> list[Described]:
    """What identify events say of people, of each source."""
    return await _described(platform, IDENTIFY, "", source)


async def _described(platform: Platform, kind: str, event: str, source: str) -> list[Described]:
    (counted, _), rows = await asyncio.gather(
        events(platform, source=source, type=kind, event=event, limit=10_000),
        platform.warehouse.rows(QUERIES["catalogue_fields"], {"source": source, "type": kind, "event": event}),
    )
    fields = {place: list(some) for place, some in groupby(rows, key=lambda row: row[0])}
    return [_fields(one, fields.get(one.source, [])) for one in counted]


def _fields(event: Event, rows: list[tuple[str, str, int, int, int, list[str], list[str], list[str]]]) -> Described:
    looked_at = next((seen for _, path, seen, *_ in rows if not path), 0)
    fields = [
        Field(path, types, formats, round(min(1.0, seen / max(looked_at, 1)), 4), first, last, examples[:EXAMPLES])
        for _, path, seen, first, last, types, formats, examples in rows
        if path
    ]
    return Described(event, looked_at, fields)


def _after(cursor: str) -> After:
    try:
        return msgspec.json.decode(bytes.fromhex(cursor), type=After)
    except (ValueError, msgspec.MsgspecError):
        raise InvalidError("This cursor was not given by an earlier page.", path="after") from None
