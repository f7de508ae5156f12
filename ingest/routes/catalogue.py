"""The routes of the catalogue. Thin: what they do is in `ingest.catalogue`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from cdp import clock
from cdp.auth import Caller, require
from cdp.records import EventType
from ingest import catalogue
from ingest.routes.parameters import After, Limit, Opened

EventReader = Annotated[Caller, Depends(require("events:read"))]
OfSource = Annotated[str, Query(max_length=64, description="Only of this source.")]

router = APIRouter(prefix="/api/v1/catalogue", tags=["catalogue"])

EVENT_EXAMPLE: dict[str, Any] = {
    "source": "shop-web",
    "type": "track",
    "name": "Order Completed",
    "events": 18204,
    "first_seen": "2026-10-02T01:12:44.120Z",
    "last_seen": "2026-11-21T08:30:00.000Z",
}
FIELD_EXAMPLE: dict[str, Any] = {
    "path": "products[].price",
    "types": ["integer", "number"],
    "formats": [],
    "share": 0.97,
    "first_seen": "2026-10-02T01:12:44.120Z",
    "last_seen": "2026-11-21T08:30:00.000Z",
    "examples": ["125000", "99000.0"],
}


class EventView(BaseModel):
    """An event that was stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [EVENT_EXAMPLE]})

    source: str = Field(description="The source that sent it.")
    type: str = Field(description="Its type.")
    name: str = Field(description="The name of a track event; of other events their type.")
    events: int = Field(description="How many are stored.")
    first_seen: str = Field(description="When the first of them was received.")
    last_seen: str = Field(description="When the latest of them was received.")


class EventViews(BaseModel):
    """A page of events, by source, type and name."""

    items: list[EventView]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


class FieldView(BaseModel):
    """A field of an event: a property or a trait."""

    model_config = ConfigDict(json_schema_extra={"examples": [FIELD_EXAMPLE]})

    path: str = Field(description="Its name; a dot leads inside, `[]` stands for the items of a list.")
    types: list[str] = Field(description="The types it was seen with, as JSON Schema names them.")
    formats: list[str] = Field(description="What its texts were written as, such as `date-time` or `email`.")
    share: float = Field(description="The share of the events looked at that have it.")
    first_seen: str = Field(description="When it was first seen.")
    last_seen: str = Field(description="When it was last seen.")
    examples: list[str] = Field(description="Some values; what is or may be personal is `***`.")


class DescribedView(EventView):
    """An event and its fields."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EVENT_EXAMPLE, "looked_at": 912, "fields": [FIELD_EXAMPLE]}]}
    )

    looked_at: int = Field(description="How many of the events the fields were learnt from.")
    fields: list[FieldView] = Field(description="Its properties, or its traits.")


class DescribedViews(BaseModel):
    """An event and its fields, of each source that sends it."""

    items: list[DescribedView]


@router.get("/events", summary="List the events that there are")
async def list_events(
    opened: Opened,
    _: EventReader,
    source: OfSource = "",
    type: Annotated[EventType | None, Query(description="Only events of this type.")] = None,
    limit: Limit = 100,
    after: After = "",
) -> EventViews:
    """Every event that was stored, counted, by source, type and name."""
    found, more = await catalogue.events(opened, source=source, type=type or "", limit=limit, after=after)
    return EventViews(items=[EventView(**_event(one)) for one in found], next=more or None)


@router.get("/events/{name:path}", summary="Describe an event")
async def describe_event(
    name: Annotated[str, Path(max_length=500, description="The name of a track event, or a type such as `page`.")],
    opened: Opened,
    _: EventReader,
    source: OfSource = "",
) -> DescribedViews:
    """What the events of a name hold: types, shares, first and last seen, and examples that show nobody's data."""
    return _described(await catalogue.describe(opened, name, source=source))


@router.get("/traits", summary="Describe the traits of people")
async def describe_traits(opened: Opened, _: EventReader, source: OfSource = "") -> DescribedViews:
    """What identify events say of people, of each source; examples show nobody's data."""
    return _described(await catalogue.traits(opened, source=source))


def _event(event: catalogue.Event) -> dict[str, Any]:
    return {
        "source": event.source,
        "type": event.type,
        "name": event.event if event.type == "track" else event.type,
        "events": event.events,
        "first_seen": clock.to_text(event.first_seen),
        "last_seen": clock.to_text(event.last_seen),
    }


def _described(found: list[catalogue.Described]) -> DescribedViews:
    return DescribedViews(
        items=[
            DescribedView(**_event(one.event), looked_at=one.looked_at, fields=[_field(field) for field in one.fields])
            for one in found
        ]
    )


def _field(field: catalogue.Field) -> FieldView:
    moments = {name: clock.to_text(getattr(field, name)) for name in ("first_seen", "last_seen")}
    return FieldView(**field._asdict() | moments)
