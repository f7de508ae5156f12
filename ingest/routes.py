"""The routes of sources and of quarantine. Thin: what they do is in `ingest.keys` and `ingest.quarantine`."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from cdp import clock
from cdp.auth import Caller, platform, require
from cdp.errors import CdpError, ConflictError, InvalidError, TransientError
from cdp.parameters import Moment
from cdp.records import QuarantinedEvent
from cdp.registry import Entry
from cdp.service import Platform
from ingest.keys import KIND, LIVE_KEYS, check_unused, new_write_key, rotated
from ingest.quarantine import Filter, Quarantine, edited_text

SLUG = r"^[a-z0-9][a-z0-9_-]{0,63}$"
# Printable, and no colon: it ends the user name in Basic authorization.
WRITE_KEY = r"^[!-9;-~]{8,200}$"
ORIGIN = r"^(https?://[^\s/]+|null)$"

Opened = Annotated[Platform, Depends(platform)]
SourceReader = Annotated[Caller, Depends(require("sources:read"))]
SourceWriter = Annotated[Caller, Depends(require("sources:write"))]
QuarantineReader = Annotated[Caller, Depends(require("quarantine:read"))]
QuarantineWriter = Annotated[Caller, Depends(require("quarantine:write"))]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Most items to return.")]
After = Annotated[str, Query(max_length=200, description="The cursor `next` of the page before.")]
SourceKey = Annotated[str, Path(pattern=SLUG, description="The source's key.", examples=["shop-web"])]
EventId = Annotated[str, Path(max_length=100, description="The quarantined event's id.", examples=["5c1f0e9a7d"])]

sources = APIRouter(prefix="/api/v1/sources", tags=["sources"])
quarantine = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

KEY_EXAMPLE: dict[str, Any] = {
    "key": "wk_Qm9uam91ciBsZSBtb25kZSE0MjQy",
    "created_at": "2026-11-21T08:30:00.000Z",
    "expires_at": None,
}
DRAFT_EXAMPLE: dict[str, Any] = {"name": "Shop, web", "enabled": True, "allowed_origins": ["https://shop.vn"]}
SNIPPET = '<script async src="{address}/cdp.js" data-write-key="{key}"></script>'


class WriteKey(BaseModel):
    """A write key. It is public: it only says where an event comes from."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [KEY_EXAMPLE]})

    key: str = Field(pattern=WRITE_KEY, description="What SDKs send.")
    created_at: datetime.datetime | None = Field(None, description="When it was made.")
    expires_at: datetime.datetime | None = Field(None, description="When it stops to work; never if absent.")


class SourceDraft(BaseModel):
    """What a source is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [DRAFT_EXAMPLE]})

    name: str = Field(min_length=1, max_length=200, description="What people call it.")
    enabled: StrictBool = Field(True, description="Whether its events are taken.")
    allowed_origins: list[Annotated[str, Field(pattern=ORIGIN, max_length=300)]] = Field(
        [],
        max_length=100,
        description="Web pages that may send, as origins (`https://shop.vn`); empty lets all. Keeps mistakes out, not "
        "attackers: who is no browser sends any origin.",
    )
    write_keys: list[WriteKey] | None = Field(
        None,
        min_length=1,
        max_length=LIVE_KEYS,
        description="Write keys to take over, for example from another platform; one is made when there is none.",
    )
    snippet: str | None = Field(None, description="Told by the service; ignored here.")


class NewSource(SourceDraft):
    """A source to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "shop-web", **DRAFT_EXAMPLE}]})

    key: str = Field(pattern=SLUG, description="Its name in paths, on events and in metrics.")


class SourceView(BaseModel):
    """A source as the API shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "shop-web",
                    **DRAFT_EXAMPLE,
                    "write_keys": [KEY_EXAMPLE],
                    "snippet": SNIPPET.format(address="https://cdp.shop.vn", key=KEY_EXAMPLE["key"]),
                    "version": 12,
                    "created_at": "2026-11-21T08:30:00.000Z",
                    "updated_at": "2026-11-21T08:30:00.000Z",
                }
            ]
        }
    )

    key: str = Field(description="Its name in paths, on events and in metrics.")
    name: str = Field(description="What people call it.")
    enabled: bool = Field(description="Whether its events are taken.")
    allowed_origins: list[str] = Field(description="Web pages that may send; empty lets all.")
    write_keys: list[dict[str, str | None]] = Field(description="Its write keys, the newest last.")
    snippet: str = Field(description="The line to paste into a web page.")
    version: int = Field(description="Grows with each change.")
    created_at: str = Field(description="When it was made.")
    updated_at: str = Field(description="When it was changed last.")


class SourceList(BaseModel):
    """A page of sources."""

    items: list[SourceView]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


@sources.post("", status_code=201, summary="Make a source")
async def create_source(draft: NewSource, opened: Opened, caller: SourceWriter, request: Request) -> SourceView:
    """Make a source. The answer holds its write key and the line to paste into a web page."""
    body = _body(draft, opened, draft.key, {})
    return _shown(await opened.registry.put(KIND, draft.key, body, by=caller.key, expected=-1), opened, request)


@sources.get("", summary="List the sources")
async def list_sources(
    opened: Opened, _: SourceReader, request: Request, limit: Limit = 100, after: After = ""
) -> SourceList:
    """The sources by key."""
    entries = [entry for entry in opened.registry.all(KIND) if entry.key > after]
    more = entries[limit - 1].key if len(entries) > limit else None
    return SourceList(items=[_shown(entry, opened, request) for entry in entries[:limit]], next=more)


@sources.get("/{key}", summary="Read a source")
async def get_source(key: SourceKey, opened: Opened, _: SourceReader, request: Request) -> SourceView:
    """One source."""
    return _shown(opened.registry.get(KIND, key), opened, request)


@sources.put("/{key}", summary="Make or change a source")
async def put_source(
    key: SourceKey, draft: SourceDraft, opened: Opened, caller: SourceWriter, request: Request
) -> SourceView:
    """Define a source; it keeps its write keys unless others are given. A disabled one takes no events."""
    entry = opened.registry.find(KIND, key)
    body = _body(draft, opened, key, entry.body if entry else {})
    version = entry.version if entry else -1
    return _shown(await opened.registry.put(KIND, key, body, by=caller.key, expected=version), opened, request)


@sources.post("/{key}/rotate", summary="Make a new write key")
async def rotate_write_key(
    key: SourceKey,
    opened: Opened,
    caller: SourceWriter,
    request: Request,
    grace_hours: Annotated[
        float, Query(ge=0, le=8_760, description="How long the newest of the old keys goes on working.")
    ] = 168,
) -> SourceView:
    """Make a new write key. The one before goes on working for a while, so that pages and apps can follow."""
    entry = opened.registry.get(KIND, key)
    body, _ = rotated(entry.body, opened.clock.now(), grace_hours=grace_hours)
    return _shown(await opened.registry.put(KIND, key, body, by=caller.key, expected=entry.version), opened, request)


@sources.delete("/{key}", status_code=204, summary="Delete a source")
async def delete_source(key: SourceKey, opened: Opened, caller: SourceWriter) -> None:
    """Delete a source: its write keys stop to work at once. Its events stay."""
    await opened.registry.delete(KIND, key, by=caller.key)


def _body(draft: SourceDraft, opened: Platform, key: str, before: dict[str, Any]) -> dict[str, Any]:
    now = opened.clock.now()
    write_keys = before.get("write_keys") or []
    if draft.write_keys is not None:
        write_keys = [_kept_key(one, now) for one in draft.write_keys]
        check_unused(opened.registry, [one["key"] for one in write_keys], but=key)
    if not write_keys:
        write_keys = [{"key": new_write_key(), "created_at": now}]
    origins = list(dict.fromkeys(draft.allowed_origins))
    return before | {
        "name": draft.name,
        "enabled": draft.enabled,
        "allowed_origins": origins,
        "write_keys": write_keys,
    }


def _kept_key(given: WriteKey, now: int) -> dict[str, Any]:
    created = clock.from_datetime(given.created_at) if given.created_at else now
    expires = {"expires_at": clock.from_datetime(given.expires_at)} if given.expires_at else {}
    return {"key": given.key, "created_at": created, **expires}


def _shown(entry: Entry, opened: Platform, request: Request) -> SourceView:
    write_keys = entry.body.get("write_keys") or []
    address = opened.settings.http.public_url or str(request.base_url)
    newest = write_keys[-1]["key"] if write_keys else ""
    return SourceView(
        key=entry.key,
        name=entry.body.get("name") or entry.key,
        enabled=entry.body.get("enabled", True),
        allowed_origins=entry.body.get("allowed_origins") or [],
        write_keys=[
            {"key": one["key"], "created_at": _text(one.get("created_at")), "expires_at": _text(one.get("expires_at"))}
            for one in write_keys
        ],
        snippet=SNIPPET.format(address=address.rstrip("/"), key=newest),
        version=entry.version,
        created_at=clock.to_text(entry.created_at),
        updated_at=clock.to_text(entry.updated_at),
    )


def _text(moment: int | None) -> str | None:
    return None if moment is None else clock.to_text(moment)


# --- quarantine -----------------------------------------------------------------------------------

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


@quarantine.get("", summary="List events kept aside")
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


@quarantine.post("/replay", summary="Send several events in again")
async def replay_several(chosen: Chosen, kept: Kept, _: QuarantineWriter) -> Outcomes:
    """Send events in again as they are, each judged alone: useful after a limit was raised."""
    return Outcomes(results=[await _outcome(one, kept, "replayed") for one in chosen.ids])


@quarantine.post("/discard", summary="Set several events aside for good")
async def discard_several(chosen: Chosen, kept: Kept, _: QuarantineWriter) -> Outcomes:
    """Mark events as decided about. They are kept."""
    return Outcomes(results=[await _outcome(one, kept, "discarded") for one in chosen.ids])


@quarantine.get("/{event_id}", summary="Read an event kept aside")
async def get_quarantined(event_id: EventId, kept: Kept, _: QuarantineReader) -> QuarantinedView:
    """One event, whole."""
    return _event(await kept.get(event_id))


@quarantine.post("/{event_id}/replay", summary="Correct an event and send it in again")
async def replay_quarantined(
    event_id: EventId, kept: Kept, _: QuarantineWriter, edit: Edit | None = None
) -> QuarantinedView:
    """Send an event in again, corrected or as it is. It is judged like a fresh one: 400 tells the path of a fault, and
    nothing has changed. Its time stays what it was."""
    return _event(await kept.replay(event_id, edited_text(edit.body) if edit else None))


@quarantine.post("/{event_id}/discard", summary="Set an event aside for good")
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
