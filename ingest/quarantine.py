"""Events kept aside: read them, correct them, send them in again, or set them aside for good.

What is read comes from the warehouse, where each change of an event's state is a row and the latest counts. What is
written goes to the log, so the state shown follows within moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Raw, Struct, structs

from cdp import clock
from cdp.errors import ConflictError, InvalidError, NotFoundError
from cdp.records import ACCEPTED_MARK, NOTHING, QuarantinedEvent, RawEvent, encode
from cdp.service import Platform
from cdp.warehouse.sql import load
from ingest.envelopes import Partitions, Receipt, quarantine_drafts, raw_drafts
from ingest.sources.segment import Fault, Kind, Limits, Opened, SegmentReader, message_id_of

Status = Literal["quarantined", "replayed", "discarded"]
STATUSES: tuple[Status, ...] = get_args(Status)
QUERIES = load("ingest")
END = clock.LATEST + 1


class Filter(NamedTuple):
    """Which events: "" and the whole of time let everything pass. Moments in milliseconds; `until` is excluded."""

    source: str = ""
    code: str = ""
    status: str = ""
    since: int = clock.EARLIEST
    until: int = END


class Page(NamedTuple):
    """Some events, and the cursor of those that come after; "" at the end."""

    events: list[QuarantinedEvent]
    after: str


class Beside(Struct):
    """What stood beside a quarantined event in its request."""

    type: Kind | None = None
    ip: str | None = None
    context: Raw = NOTHING
    integrations: Raw = NOTHING
    location: Raw = NOTHING


class Quarantine:
    """The quarantine of an installation."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._reader = SegmentReader(Limits.of(platform.settings.collector))
        self._partitions = Partitions.of(platform.log)

    async def page(self, wanted: Filter, *, limit: int, after: str = "") -> Page:
        """Events that pass the filter, the latest received first. Raises `InvalidError` for an unknown cursor."""
        received, event_id = _cursor(after)
        parameters = {**wanted._asdict(), "before": received, "before_id": event_id, "limit": limit + 1}
        rows = await self._platform.warehouse.dicts(QUERIES["quarantined"], parameters)
        events = [_event(row) for row in rows[:limit]]
        return Page(events, f"{events[-1].received_at}-{events[-1].id}" if len(rows) > limit else "")

    async def get(self, event_id: str) -> QuarantinedEvent:
        """One event. Raises `NotFoundError`."""
        rows = await self._platform.warehouse.dicts(QUERIES["quarantined_by_id"], {"ids": [event_id]})
        if not rows:
            raise NotFoundError(f"No event {event_id!r} is kept aside.")
        return _event(rows[0])

    async def replay(self, event_id: str, edited: str | None = None) -> QuarantinedEvent:
        """Send an event in again, corrected if `edited` (JSON text) is given. Returns its new state.

        It is judged like a fresh one and keeps the moment at which it was received, so that its own time stays right.

        1. judge      a fault changes nothing
        2. append     to events.raw, until durable
        3. mark       as replayed; a crash before this leaves it to be replayed again: its id makes that a duplicate

        Raises `InvalidError` with the path of the fault, `ConflictError` when it was replayed before, `NotFoundError`.
        """
        event = await self.get(event_id)
        if event.status == "replayed":
            raise ConflictError(f"The event {event_id!r} was replayed already.")
        body = event.body if edited is None else edited
        beside = _beside(event)
        found = self._reader.judge(body.encode(), beside.type)
        if isinstance(found, Fault):
            raise InvalidError(found.reason, path=found.path, code=found.code)
        key, accepted = found
        opened = Opened([], beside.type, "", event.sent_at, beside.context, beside.integrations)
        receipt = Receipt(event.source, event.trace_id, event.received_at, beside.ip, beside.location)
        named = [(key, _named(accepted, event.id, body))]
        await self._platform.log.append(list(raw_drafts(named, opened, receipt, self._partitions)))
        return await self._mark(event, "replayed", body)

    async def discard(self, event_id: str) -> QuarantinedEvent:
        """Set an event aside for good; it is kept, and can still be replayed. Raises as `replay` does."""
        event = await self.get(event_id)
        if event.status == "replayed":
            raise ConflictError(f"The event {event_id!r} was replayed already.")
        return await self._mark(event, "discarded", event.body)

    async def _mark(self, event: QuarantinedEvent, status: Status, body: str) -> QuarantinedEvent:
        now = max(self._platform.clock.now(), event.changed_at + 1)
        marked = structs.replace(event, status=status, body=body, changed_at=now)
        await self._platform.log.append(list(quarantine_drafts([marked], [""], self._partitions.quarantined)))
        return marked


def _named(event: RawEvent, event_id: str, body: str) -> RawEvent:
    """The event under an id that stays the same however often it is replayed.

    One that events.raw had before gets a new one, since its messageId is known already and would make it a duplicate.
    """
    fresh = event_id.startswith(ACCEPTED_MARK) or not message_id_of(body.encode())
    return structs.replace(event, id=event_id) if fresh else event


def _beside(event: QuarantinedEvent) -> Beside:
    return msgspec.json.decode(event.beside, type=Beside) if event.beside else Beside()


def _event(row: Mapping[str, Any]) -> QuarantinedEvent:
    return QuarantinedEvent(
        id=row["id"],
        source=row["source"],
        trace_id=row["trace_id"],
        received_at=row["received"],
        code=row["code"],
        reason=row["reason"],
        body=row["body"],
        path=row["path"],
        message_id=row["message_id"],
        sent_at=row["sent_at"] or None,
        beside=row["beside"],
        status=row["status"],
        changed_at=row["changed"],
    )


def _cursor(after: str) -> tuple[int, str]:
    if not after:
        return END, ""
    received, dash, event_id = after.partition("-")
    if not (dash and received.isdecimal() and len(received) < 18):
        raise InvalidError("This cursor was not given by an earlier page.", path="after")
    return int(received), event_id


def edited_text(body: Any) -> str | None:
    """An edit as the API takes it (an object, or JSON text) → JSON text."""
    return body if body is None or isinstance(body, str) else encode(body).decode()
