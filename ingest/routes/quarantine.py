"""The routes of quarantine. Thin: what they do is in `ingest.quarantine`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from cdp import clock
from cdp.auth import Caller, require
from cdp.errors import CdpError, ConflictError, InvalidError, TransientError
from cdp.parameters import Moment
from cdp.records import QuarantinedEvent
from ingest.quarantine import Filter, Quarantine, edited_text
from ingest.routes.parameters import After, Limit, Opened

QuarantineReader = Annotated[Caller, Depends(require("quarantine:read"))]
QuarantineWriter = Annotated[Caller, Depends(require("quarantine:write"))]
EventId = Annotated[str, Path(max_length=100, description="The quarantined event's id.", examples=["5c1f0e9a7d"])]

router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

EVENT_EXAMPLE: dict[str, Any] = {
    "id": "5c1f0e9a7d3b4c2e8f6a1b0c9d8e7f60",
    "source": "shop-web",
    "status": "quarantined",
    "code": "missing_event",
    "reason": "A track event needs the name of its `event`.",
    "path": "batch[3].event",
    "message_id": "ajs-next-1795292094065-22b789c7",
    "received_at": "2026-11-21T08:30:00.000Z",
    "changed_at": "2026-11-21T08:30:00.000Z",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "body": '{"type":"track","userId":"lan"}',
}
EDIT_EXAMPLE: dict[str, Any] = {"body": {"type": "track", "userId": "lan", "event": "Order Completed"}}


class QuarantinedView(BaseModel):
    """An event kept aside."""

    model_config = ConfigDict(json_schema_extra={"examples": [EVENT_EXAMPLE]})

    id: str = Field(description="Its name in paths.")
    source: str = Field(description="Key of the source it came from.")
    status: str = Field(description="`quarantined`, `replayed` or `discarded`.")
    code: str = Field(description="Why, as a stable word.")
    reason: str = Field(description="Why, in words.")
    path: str = Field(description="Where the fault is, in the request.")
    message_id: str = Field(description="Its messageId; empty without one.")
    received_at: str = Field(description="When it was received.")
    changed_at: str = Field(description="When its status changed.")
    trace_id: str = Field(description="The trace of its request.")
    body: str = Field(
        description="The event as it was received; it may be no JSON. Lists show its first 1,000 characters."
    )


class QuarantinedList(BaseModel):
    """A page of events kept aside, the latest received first."""

    items: list[QuarantinedView]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


class Edit(BaseModel):
    """The corrected event."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EDIT_EXAMPLE]})

    body: dict[str, Any] | str | None = Field(
        None, description="The whole event, as JSON or as JSON text; as it is if absent."
    )


class Chosen(BaseModel):
    """Several events."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [EVENT_EXAMPLE["id"]]}]})

    ids: list[Annotated[str, Field(max_length=100)]] = Field(
        min_length=1, max_length=1_000, description="Their ids; at most 1,000 at once."
    )


class Outcome(BaseModel):
    """What became of one of several events."""

    id: str = Field(description="Which event.")
    status: Literal["replayed", "discarded", "refused"] = Field(description="`refused`: nothing changed.")
    code: str = Field("", description="Why it was refused, as a stable word.")
    message: str = Field("", description="Why it was refused, in words.")
    path: str = Field("", description="Where the fault is, in the event.")


class Outcomes(BaseModel):
    """What became of each event, in the order asked."""

    results: list[Outcome]


def _quarantine(opened: Opened) -> Quarantine:
    return Quarantine(opened)


Kept = Annotated[Quarantine, Depends(_quarantine)]


@router.get("", summary="List events kept aside")
async def list_quarantined(
    kept: Kept,
    _: QuarantineReader,
    source: Annotated[str, Query(max_length=64, description="Only of this source.")] = "",
    code: Annotated[str, Query(max_length=100, description="Only for this reason.")] = "",
    status: Annotated[
        Literal["quarantined", "replayed", "discarded", "any"], Query(description="Only of this status.")
    ] = "quarantined",
    since: Annotated[Moment | None, Query(description="Received at or after this moment.")] = None,
    until: Annotated[Moment | None, Query(description="Received before this moment.")] = None,
    limit: Limit = 100,
    after: After = "",
) -> QuarantinedList:
    """Events kept aside, the latest received first; those that wait for a decision unless `status` says otherwise."""
    wanted = Filter(source, code, "" if status == "any" else status)
    if since is not None:
        wanted = wanted._replace(since=since)
    if until is not None:
        wanted = wanted._replace(until=until)
    found = await kept.page(wanted, limit=limit, after=after)
    return QuarantinedList(items=[_event(event, 1_000) for event in found.events], next=found.after or None)


@router.post("/replay", summary="Send several events in again")
async def replay_several(chosen: Chosen, kept: Kept, _: QuarantineWriter) -> Outcomes:
    """Send events in again as they are, each judged alone: useful after a limit was raised."""
    return Outcomes(results=[await _outcome(one, kept, "replayed") for one in chosen.ids])


@router.post("/discard", summary="Set several events aside for good")
async def discard_several(chosen: Chosen, kept: Kept, _: QuarantineWriter) -> Outcomes:
    """Mark events as decided about. They are kept."""
    return Outcomes(results=[await _outcome(one, kept, "discarded") for one in chosen.ids])


@router.get("/{event_id}", summary="Read an event kept aside")
async def get_quarantined(event_id: EventId, kept: Kept, _: QuarantineReader) -> QuarantinedView:
    """One event, whole."""
    return _event(await kept.get(event_id))


@router.post("/{event_id}/replay", summary="Correct an event and send it in again")
async def replay_quarantined(
    event_id: EventId, kept: Kept, _: QuarantineWriter, edit: Edit | None = None
) -> QuarantinedView:
    """Send an event in again, corrected or as it is. It is judged like a fresh one: 400 tells the path of a fault, and
    nothing has changed. Its time stays what it was."""
    return _event(await kept.replay(event_id, edited_text(edit.body) if edit else None))


@router.post("/{event_id}/discard", summary="Set an event aside for good")
async def discard_quarantined(event_id: EventId, kept: Kept, _: QuarantineWriter) -> QuarantinedView:
    """Mark an event as decided about. It is kept, and can still be replayed."""
    return _event(await kept.discard(event_id))


async def _outcome(event_id: str, kept: Quarantine, status: Literal["replayed", "discarded"]) -> Outcome:
    try:
        await (kept.replay(event_id) if status == "replayed" else kept.discard(event_id))
    except TransientError:
        raise
    except (InvalidError, ConflictError) as error:
        return Outcome(id=event_id, status="refused", code=error.code, message=error.message, path=_path(error))
    return Outcome(id=event_id, status=status)


def _path(error: CdpError) -> str:
    return error.path if isinstance(error, InvalidError) else ""


def _event(event: QuarantinedEvent, characters: int | None = None) -> QuarantinedView:
    return QuarantinedView(
        id=event.id,
        source=event.source,
        status=event.status,
        code=event.code,
        reason=event.reason,
        path=event.path,
        message_id=event.message_id,
        received_at=clock.to_text(event.received_at),
        changed_at=clock.to_text(event.changed_at),
        trace_id=event.trace_id,
        body=event.body[:characters],
    )
