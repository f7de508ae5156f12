"""The routes of quarantine. Thin: what they do is in `ingest.quarantine`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from cdp import clock
from cdp.auth import Caller, require
from cdp.errors import CdpError, InvalidError
from cdp.parameters import Moment
from cdp.records import QuarantinedEvent
from ingest.edits import AnyEdit
from ingest.quarantine import Filter, Group, Outcome, Quarantine, named_in, unknown
from ingest.routes.parameters import After, Limit, Opened, encoded

QuarantineReader = Annotated[Caller, Depends(require("quarantine:read"))]
QuarantineWriter = Annotated[Caller, Depends(require("quarantine:write"))]
EventId = Annotated[str, Path(max_length=100, description="The quarantined event's id.", examples=["5c1f0e9a7d"])]

router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

EVENT_EXAMPLE: dict[str, Any] = {
    "id": "5c1f0e9a7d3b4c2e8f6a1b0c9d8e7f60",
    "source": "shop-web",
    "status": "quarantined",
    "type": "track",
    "event": "",
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
WHERE_EXAMPLE: dict[str, Any] = {"code": "plan_violation", "event": "Order Completed", "path": "properties.total"}
EDITS_EXAMPLE: Any = [
    {"op": "rename", "path": "properties.amount", "to": "properties.total"},
    {"op": "convert", "path": "properties.total", "to": "number"},
]
# Of so many events an edit shows the bodies before and after.
SHOWN = 20
# Ids and edits of one request.
MOST_AT_ONCE, MOST_EDITS = 1_000, 50

StatusOrAny = Literal["quarantined", "replayed", "discarded", "any"]
By = Literal["source", "code", "type", "event", "path", "status"]


class QuarantinedView(BaseModel):
    """An event kept aside."""

    model_config = ConfigDict(json_schema_extra={"examples": [EVENT_EXAMPLE]})

    id: str = Field(description="Its name in paths.")
    source: str = Field(description="Key of the source it came from.")
    status: str = Field(description="`quarantined`, `replayed` or `discarded`.")
    type: str = Field(description="The event's type; empty where it cannot be told.")
    event: str = Field(description="The event's name; empty where it has none that can be told.")
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
    vouch: StrictBool = Field(
        False,
        description="Whether you know that it comes from whom it names, also where the source asks for proof.",
    )


class Where(BaseModel):
    """Which events."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [WHERE_EXAMPLE]})

    source: str = Field("", max_length=64, description="Only of this source.")
    code: str = Field("", max_length=100, description="Only for this reason.")
    status: StatusOrAny = Field("quarantined", description="Only of this status.")
    since: Moment | None = Field(None, description="Received at or after this moment.")
    until: Moment | None = Field(None, description="Received before this moment.")
    type: str = Field("", max_length=100, description="Only events of this type.")
    event: str = Field("", max_length=500, description="Only events of this name.")
    path: str = Field(
        "",
        max_length=1_000,
        description="Only faults at this path in the event, such as `properties.products[].price`.",
    )
    message_id: str = Field("", max_length=500, description="Only with this messageId.")
    text: str = Field("", max_length=500, description="Only where the event or the reason holds this text.")

    def filter(self) -> Filter:
        """The same, for the warehouse."""
        given = self.model_dump(exclude_none=True)
        return Filter(**given | {"status": "" if self.status == "any" else self.status})


class Chosen(BaseModel):
    """Several events: by their ids, or a part of those that pass a filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [EVENT_EXAMPLE["id"]]}, {"where": WHERE_EXAMPLE, "limit": 500}]},
    )

    ids: list[Annotated[str, Field(max_length=100)]] | None = Field(
        None, min_length=1, max_length=MOST_AT_ONCE, description="Their ids."
    )
    where: Where | None = Field(None, description="Or which: those that pass this filter, the latest received first.")
    limit: int = Field(500, ge=1, le=MOST_AT_ONCE, description="How many of them are taken in this call.")
    after: str = Field("", max_length=200, description="`next` of the call before: go on from there.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Chosen:
        if (self.ids is None) == (self.where is None):
            raise ValueError("give either `ids` or `where`")
        return self


class Replays(Chosen):
    """Which events to send in again."""

    vouch: StrictBool = Field(
        False,
        description="Whether you know that they come from whom they name, also where the source asks for proof.",
    )


class Edits(Chosen):
    """Which events to change, and how."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"where": WHERE_EXAMPLE, "edits": EDITS_EXAMPLE, "dry_run": True}]},
    )

    edits: list[AnyEdit] = Field(
        min_length=1, max_length=MOST_EDITS, description="What is done to each, one after the other."
    )
    dry_run: StrictBool = Field(False, description="Whether to tell only what would be.")
    replay: StrictBool = Field(
        False, description="Whether to send them in again at once. Those that would still be refused stay as they are."
    )


class OutcomeView(BaseModel):
    """What became of one of several events."""

    id: str = Field(description="Which event.")
    status: Literal["replayed", "discarded", "edited", "unchanged", "refused"] = Field(
        description="`refused`: nothing changed."
    )
    code: str = Field("", description="Why it was, or would still be, refused, as a stable word.")
    message: str = Field("", description="Why, in words.")
    path: str = Field("", description="Where the fault is, in the event.")
    before: str | None = Field(None, description=f"The event before an edit; of the first {SHOWN}.")
    after: str | None = Field(None, description=f"The event after an edit; of the first {SHOWN}.")


class Outcomes(BaseModel):
    """What became of each event, in the order asked."""

    results: list[OutcomeView]
    counts: dict[str, int] = Field(description="How many, by status.")
    next: str | None = Field(
        None, description="Give it as `after` to go on with the next ones; null when all are done."
    )


class GroupView(BaseModel):
    """Events kept aside that have something in common."""

    source: str | None = Field(None, description="Their source, if asked for.")
    code: str | None = Field(None, description="Their reason, if asked for.")
    type: str | None = Field(None, description="Their type, if asked for.")
    event: str | None = Field(None, description="Their name, if asked for.")
    path: str | None = Field(None, description="Where their fault is, if asked for; `[]` stands for any item.")
    status: str | None = Field(None, description="Their status, if asked for.")
    events: int = Field(description="How many they are.")
    first_received: str = Field(description="When the first of them was received.")
    last_received: str = Field(description="When the latest of them was received.")
    example_id: str = Field(description="The latest one's id.")
    example_reason: str = Field(description="What is wrong with the latest one.")


class Summary(BaseModel):
    """How many events are kept aside, by what they have in common; most first."""

    items: list[GroupView]
    events: int = Field(description="How many events the items hold.")


def _quarantine(opened: Opened) -> Quarantine:
    return Quarantine(opened)


def _where(
    source: Annotated[str, Query(max_length=64, description="Only of this source.")] = "",
    code: Annotated[str, Query(max_length=100, description="Only for this reason.")] = "",
    status: Annotated[StatusOrAny, Query(description="Only of this status.")] = "quarantined",
    since: Annotated[Moment | None, Query(description="Received at or after this moment.")] = None,
    until: Annotated[Moment | None, Query(description="Received before this moment.")] = None,
    type: Annotated[str, Query(max_length=100, description="Only events of this type.")] = "",
    event: Annotated[str, Query(max_length=500, description="Only events of this name.")] = "",
    path: Annotated[str, Query(max_length=1_000, description="Only faults at this path in the event.")] = "",
    message_id: Annotated[str, Query(max_length=500, description="Only with this messageId.")] = "",
    text: Annotated[str, Query(max_length=500, description="Only where the event or the reason holds this.")] = "",
) -> Filter:
    wanted = Filter(
        source=source,
        code=code,
        status="" if status == "any" else status,
        type=type,
        event=event,
        path=path,
        message_id=message_id,
        text=text,
    )
    wanted = wanted if since is None else wanted._replace(since=since)
    return wanted if until is None else wanted._replace(until=until)


Kept = Annotated[Quarantine, Depends(_quarantine)]
Wanted = Annotated[Filter, Depends(_where)]


@router.get("", summary="List events kept aside")
async def list_quarantined(
    kept: Kept, _: QuarantineReader, wanted: Wanted, limit: Limit = 100, after: After = ""
) -> QuarantinedList:
    """Events kept aside, the latest received first; those that wait for a decision unless `status` says otherwise."""
    found = await kept.page(wanted, limit=limit, after=after)
    return QuarantinedList(items=[_event(event, 1_000) for event in found.events], next=found.after or None)


@router.get("/summary", summary="Count events kept aside")
async def summarise(
    kept: Kept,
    _: QuarantineReader,
    wanted: Wanted,
    by: Annotated[list[By], Query(description="What the events are counted by.")] = ["code"],  # noqa: B006
    limit: Limit = 100,
) -> Summary:
    """How many events are kept aside, by reason, source, event, path …; those that wait unless told otherwise."""
    groups = await kept.summary(wanted, by=by, limit=limit)
    return Summary(items=[_group(group, by) for group in groups], events=sum(group.events for group in groups))


@router.post("/replay", summary="Send several events in again")
async def replay_several(chosen: Replays, kept: Kept, _: QuarantineWriter) -> Outcomes:
    """Send events in again as they are, each judged alone: useful after a limit was raised or a plan was changed.

    A call does a part of a filter's events; calling again with `next` does the rest. Doing a part twice harms nothing.
    """
    events, after = await _chosen(kept, chosen)
    return _outcomes(chosen, await kept.replay_all(events, vouch=chosen.vouch), after)


@router.post("/discard", summary="Set several events aside for good")
async def discard_several(chosen: Chosen, kept: Kept, _: QuarantineWriter) -> Outcomes:
    """Mark events as decided about. They are kept."""
    events, after = await _chosen(kept, chosen)
    return _outcomes(chosen, await kept.discard_all(events), after)


@router.post("/edit", summary="Change several events")
async def edit_several(chosen: Edits, kept: Kept, _: QuarantineWriter) -> Outcomes:
    """Change events alike: `set`, `remove`, `rename`, `convert` or `merge`; and send them in again, if asked.

    With `dry_run` nothing is changed, and the answer tells what would be.
    """
    encoded([edit.model_dump() for edit in chosen.edits], "edits")
    events, after = await _chosen(kept, chosen)
    outcomes = await kept.edit_all(events, chosen.edits, replay=chosen.replay, dry=chosen.dry_run)
    return _outcomes(chosen, outcomes, after, shown=SHOWN)


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
    edit = edit or Edit(body=None, vouch=False)
    body = edit.body if edit.body is None or isinstance(edit.body, str) else encoded(edit.body, "body").decode()
    return _event(await kept.replay(event_id, body, vouch=edit.vouch))


@router.post("/{event_id}/discard", summary="Set an event aside for good")
async def discard_quarantined(event_id: EventId, kept: Kept, _: QuarantineWriter) -> QuarantinedView:
    """Mark an event as decided about. It is kept, and can still be replayed."""
    return _event(await kept.discard(event_id))


async def _chosen(kept: Quarantine, chosen: Chosen) -> tuple[list[QuarantinedEvent], str]:
    """The events, and the cursor of those after them. Unknown ids are left out here, and told by `_outcomes`."""
    if chosen.where is not None:
        found = await kept.page(chosen.where.filter(), limit=chosen.limit, after=chosen.after)
        return found.events, found.after
    return [event for event in await kept.several(chosen.ids or []) if event is not None], ""


def _outcomes(chosen: Chosen, outcomes: Sequence[Outcome], after: str, *, shown: int = 0) -> Outcomes:
    views = {outcome.id: _view(outcome, shown=number < shown) for number, outcome in enumerate(outcomes)}
    ids = [outcome.id for outcome in outcomes] if chosen.ids is None else chosen.ids
    results = [views.get(event_id) or _view(Outcome(event_id, "refused", unknown(event_id))) for event_id in ids]
    return Outcomes(results=results, counts=dict(Counter(one.status for one in results)), next=after or None)


def _view(outcome: Outcome, *, shown: bool = False) -> OutcomeView:
    view = OutcomeView(id=outcome.id, status=outcome.status)
    if (error := outcome.error) is not None:
        view = view.model_copy(update={"code": error.code, "message": error.message, "path": _path(error)})
    return view.model_copy(update={"before": outcome.before, "after": outcome.after}) if shown else view


def _path(error: CdpError) -> str:
    return error.path if isinstance(error, InvalidError) else ""


def _group(group: Group, by: Sequence[str]) -> GroupView:
    given = {name: value for name, value in group._asdict().items() if name not in BY or name in by}
    moments = {name: clock.to_text(given[name]) for name in ("first_received", "last_received")}
    return GroupView(**given | moments)


BY = ("source", "code", "type", "event", "path", "status")


def _event(event: QuarantinedEvent, characters: int | None = None) -> QuarantinedView:
    kind, name = named_in(event)
    return QuarantinedView(
        id=event.id,
        source=event.source,
        status=event.status,
        type=kind,
        event=name,
        code=event.code,
        reason=event.reason,
        path=event.path,
        message_id=event.message_id,
        received_at=clock.to_text(event.received_at),
        changed_at=clock.to_text(event.changed_at),
        trace_id=event.trace_id,
        body=event.body[:characters],
    )
