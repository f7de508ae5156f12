"""The routes of destinations and syncs."""

from __future__ import annotations

import secrets as randomness
import time
import uuid
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from activation.catalog import connectors
from activation.connector import Batch, Change
from activation.destinations import (
    DESTINATION,
    KEY,
    SYNC,
    Definitions,
    Destination,
    DestinationBody,
    Sync,
    SyncBody,
    parsed,
    syncs,
)
from activation.exchange import build, carry
from activation.ledger import ADD, NEVER, PENDING, REMOVE, UNKNOWN, Entry, Ledger, Member
from activation.mapping import SyncMapping
from activation.outcomes import Delivered, Dropped, Failed, Outcome, Retry
from activation.parcels import Settled, packed
from activation.reconcile import Reconciler
from activation.requests import Reply
from activation.showing import shown
from activation.transports import open_transport
from cdp import profiles
from cdp.auth import Caller, platform, require
from cdp.clock import to_text
from cdp.errors import ForbiddenError, InvalidError
from cdp.registry import Entry as Definition
from cdp.service import Platform
from cdp.traits import rules_of
from cdp.vault import masked, open_vault, secrets_in
from cdp.warehouse.sql import load

QUERIES = load("activation")
LAST = 2**62
EXCERPT = 2_000

DESTINATION_EXAMPLE: dict[str, Any] = {
    "key": "crm-hook",
    "name": "CRM",
    "connector": "webhook",
    "settings": {"url": "https://shop.example/hooks/cdp", "secret": "**********", "headers": {}, "batch": 1},
    "enabled": True,
    "purposes": [],
    "version": 17,
    "created_at": "2026-11-21T08:30:00.000Z",
    "updated_at": "2026-11-21T08:30:00.000Z",
}
SYNC_EXAMPLE: dict[str, Any] = {
    "key": "vip-to-crm",
    "segment": "vip",
    "destination": "crm-hook",
    "mapping": {"identifiers": ["email"], "traits": {"city": "address.city"}},
    "audience": {},
    "version": 18,
    "created_at": "2026-11-21T08:31:00.000Z",
    "updated_at": "2026-11-21T08:31:00.000Z",
}

DestinationKey = Annotated[str, Path(pattern=KEY, description="Key of the destination.", examples=["crm-hook"])]
SyncKey = Annotated[str, Path(pattern=KEY, description="Key of the sync.", examples=["vip-to-crm"])]
Opened = Annotated[Platform, Depends(platform)]
MayRead = Annotated[Caller, Depends(require("destinations:read"))]
MayWrite = Annotated[Caller, Depends(require("destinations:write"))]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items to answer with.")]
After = Annotated[str, Query(max_length=200, description="`next` of the page before.")]


class DestinationView(BaseModel):
    """A destination as the API shows it: secrets are masked."""

    model_config = ConfigDict(json_schema_extra={"examples": [DESTINATION_EXAMPLE]})

    key: str = Field(description="Its name in paths.")
    name: str = Field(description="What people call it.")
    connector: str = Field(description="Name of the connector.")
    settings: dict[str, Any] = Field(description="The connector's settings; a secret shows as `**********`.")
    enabled: bool = Field(description="Whether anything is sent.")
    purposes: list[str] = Field(description="Purposes a person must not have denied.")
    version: int = Field(description="Grows with each change.")
    created_at: str = Field(description="When it was defined.")
    updated_at: str = Field(description="When it was changed last.")


class DefinedDestination(DestinationView):
    """A destination that was just defined."""

    made: dict[str, str] = Field(
        {}, description="Secrets that were made because none were given, by setting: shown this once."
    )


class DestinationList(BaseModel):
    """A page of destinations."""

    items: list[DestinationView]
    next: str | None = Field(None, description="Give as `after` for the next page; null at the end.")


class SyncView(SyncBody):
    """A sync as the API shows it."""

    model_config = ConfigDict(json_schema_extra={"examples": [SYNC_EXAMPLE]})

    key: str = Field(description="Its name in paths.")
    version: int = Field(description="Grows with each change.")
    created_at: str = Field(description="When it was defined.")
    updated_at: str = Field(description="When it was changed last.")


class SyncList(BaseModel):
    """A page of syncs."""

    items: list[SyncView]
    next: str | None = Field(None, description="Give as `after` for the next page; null at the end.")


class ConnectorView(BaseModel):
    """A connector and what it wants to know."""

    name: str = Field(description="What a destination names it by.")
    title: str = Field(description="What people call it.")
    transport: str = Field(description="`http`, `file` or `kafka`.")
    capabilities: dict[str, Any] = Field(description="Batch size, removal, needed identifiers, rate, concurrency.")
    settings: dict[str, Any] = Field(description="JSON Schema of a destination's `settings`.")
    audience: dict[str, Any] = Field(description="JSON Schema of a sync's `audience`.")


class ConnectorList(BaseModel):
    """Every connector."""

    items: list[ConnectorView]
    next: str | None = Field(None, description="Always null: all of them fit in one page.")


class DeliveryView(BaseModel):
    """One attempt at one member."""

    id: str = Field(description="Stable over retries: what receivers dedupe on.")
    segment: str = Field(description="Key of the segment.")
    profile_id: str = Field(description="The member.")
    sequence: int = Field(description="Counts the membership's changes.")
    action: str = Field(description="`add` or `remove`.")
    outcome: str = Field(description="`delivered`, `retrying`, `failed` or `dropped`.")
    attempt: int = Field(description="Which attempt, from 1; 0 when nothing was sent.")
    at: str = Field(description="When.")
    reason: str = Field(description="Why, when it was not delivered.")
    trace_id: str = Field(description="The trace that the change belongs to.")


class DeliveryList(BaseModel):
    """A page of attempts, newest first."""

    items: list[DeliveryView]
    next: str | None = Field(None, description="Give as `after` for the next page; null at the end.")


class DestinationStatus(BaseModel):
    """How a destination is."""

    enabled: bool = Field(description="Whether anything is sent.")
    pending: int = Field(description="Members waiting to be sent.")
    oldest: str | None = Field(description="Since when the first of them waits.")
    failed: int = Field(description="Members set aside; `POST …/replay` sends them again.")
    breaker: Literal["closed", "half-open", "open", "unknown"] = Field(
        description="`open`: left alone for a while after failures; `unknown`: no dispatcher has served it yet."
    )
    last_error: str | None = Field(description="What went wrong last.")
    last_error_at: str | None = Field(description="When that was.")
    last_delivered_at: str | None = Field(description="When something was delivered last.")


class TestResult(BaseModel):
    """What became of a sample."""

    __test__ = False  # not for pytest

    outcome: Literal["delivered", "retrying", "failed", "dropped"] = Field(description="What became of the sample.")
    reason: str = Field(description="Why, when it was not delivered.")
    seconds: float = Field(description="How long it took.")
    status: int | None = Field(None, description="HTTP status of the answer, if there was one.")
    reply: str = Field("", description="The beginning of the answer.")


class DryRun(BaseModel):
    """Which change to build requests for. Without a profile, a made-up person."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"segment": "vip", "action": "add"}]})

    segment: str | None = Field(
        None, pattern=KEY, description="A segment that is sent there; its sync's mapping applies."
    )
    profile_id: uuid.UUID | None = Field(None, description="A real profile; needs the scope profiles:read too.")
    action: Literal["add", "remove"] = Field("add", description="Coming in or going out.")


class DryRunResult(BaseModel):
    """What would be sent."""

    requests: list[dict[str, Any]] = Field(description="The requests, secrets masked.")
    dropped: str = Field("", description="Why nothing would be sent.")


class Replayed(BaseModel):
    """How many were put back."""

    replayed: int = Field(description="Members that will be sent again.")


class Reconciled(BaseModel):
    """What a comparison of the ledger with the warehouse found."""

    checked: int = Field(description="Profiles with a history in the destination's segments.")
    enqueued: int = Field(description="Members that will be sent because of it.")


router = APIRouter()
destinations = APIRouter(prefix="/api/v1/destinations", tags=["destinations"])
sync_routes = APIRouter(prefix="/api/v1/syncs", tags=["syncs"])


@destinations.get("", summary="List destinations")
async def list_destinations(opened: Opened, caller: MayRead, limit: Limit = 100, after: After = "") -> DestinationList:
    """Destinations by key."""
    page, following = _page(opened.registry.all(DESTINATION), limit, after)
    return DestinationList(items=[_destination_view(entry) for entry in page], next=following)


@destinations.get("/catalog", summary="List connectors")
async def list_connectors(caller: MayRead) -> ConnectorList:
    """Every connector, with the JSON Schema of its settings."""
    found = connectors()
    return ConnectorList(
        items=[
            ConnectorView(
                name=name,
                title=found[name].title,
                transport=found[name].transport,
                capabilities=found[name].capabilities._asdict(),
                settings=found[name].Settings.model_json_schema(),
                audience=found[name].Audience.model_json_schema(),
            )
            for name in sorted(found)
        ]
    )


@destinations.get("/{key}", summary="Show a destination")
async def get_destination(key: DestinationKey, opened: Opened, caller: MayRead) -> DestinationView:
    """A destination; its secrets are masked."""
    return _destination_view(opened.registry.get(DESTINATION, key))


@destinations.put("/{key}", summary="Define a destination")
async def put_destination(
    key: DestinationKey, body: DestinationBody, opened: Opened, caller: MayWrite
) -> DefinedDestination:
    """Define a destination, or change it as a whole.

    A secret that is left out, or given as `**********`, stays what it was, unless the address changes.
    """
    entry, made = await _definitions(opened).put_destination(key, body, by=caller.key)
    return DefinedDestination(**_destination_view(entry).model_dump(), made=made)


@destinations.delete("/{key}", status_code=204, summary="Delete a destination")
async def delete_destination(key: DestinationKey, opened: Opened, caller: MayWrite) -> None:
    """Delete a destination that no sync uses. What was delivered stays where it is."""
    await _definitions(opened).delete_destination(key, by=caller.key)
    await _ledger(opened, key).forget_all()


@destinations.get("/{key}/deliveries", summary="List attempts")
async def list_deliveries(
    key: DestinationKey,
    opened: Opened,
    caller: MayRead,
    limit: Limit = 100,
    after: After = "",
    outcome: Annotated[
        Literal["delivered", "retrying", "failed", "dropped"] | None, Query(description="Only these.")
    ] = None,
    segment: Annotated[str, Query(pattern=f"{KEY}|^$", description="Only of this segment.")] = "",
    profile_id: Annotated[uuid.UUID | None, Query(description="Only of this profile.")] = None,
) -> DeliveryList:
    """Every attempt at every member, newest first."""
    opened.registry.get(DESTINATION, key)
    before, before_id, before_attempt = _cursor(after)
    rows = await opened.warehouse.dicts(
        QUERIES["deliveries"],
        {
            "destination": key,
            "segment": segment,
            "outcome": outcome or "",
            "profile": str(profile_id or ""),
            "before": before,
            "before_id": before_id,
            "before_attempt": before_attempt,
            "limit": limit,
        },
    )
    last = rows[-1] if len(rows) == limit else None
    return DeliveryList(
        items=[
            DeliveryView(
                **{name: row[name] for name in ("id", "segment", "action", "outcome", "attempt", "reason", "trace_id")},
                profile_id=row["profile"],
                sequence=row["number"],
                at=to_text(row["moment"]),
            )
            for row in rows
        ],
        next=f"{last['moment']}:{last['id']}:{last['attempt']}" if last else None,
    )


@destinations.get("/{key}/status", summary="Show how a destination is")
async def get_status(key: DestinationKey, opened: Opened, caller: MayRead) -> DestinationStatus:
    """Who waits, who was set aside, and what went wrong last."""
    entry = opened.registry.get(DESTINATION, key)
    ledger = _ledger(opened, key)
    standing, facts = await ledger.standing(), await ledger.facts()
    return DestinationStatus(
        enabled=entry.body["enabled"],
        pending=standing.pending,
        oldest=to_text(standing.oldest_at) if standing.oldest_at is not None else None,
        failed=standing.failed,
        breaker=facts.get("breaker", "unknown"),
        last_error=facts.get("error"),
        last_error_at=to_text(int(facts["error_at"])) if "error_at" in facts else None,
        last_delivered_at=to_text(int(facts["delivered_at"])) if "delivered_at" in facts else None,
    )


@destinations.post("/{key}/test", summary="Send a sample")
async def test_destination(key: DestinationKey, opened: Opened, caller: MayWrite) -> TestResult:
    """Build and send one made-up member of a segment called `test`, and say what became of it."""
    destination = _definitions(opened).destination(key)
    batch = Batch(key, [_sample("test", "add", opened)], opened.clock.now(), _audience(opened, destination))
    transport = open_transport(destination.connector.transport, opened.settings, opened.clock)
    started = time.perf_counter()
    outcome: Outcome
    reply: Reply | None = None
    try:
        [(item, _), *_] = build(destination, batch)
        if isinstance(item, (Delivered, Retry, Failed, Dropped)):
            outcome = item
        else:
            [outcome, *_], reply = await carry(destination, transport, item)
    finally:
        await transport.close()
    return _test_result(outcome, reply, time.perf_counter() - started)


@destinations.post("/{key}/dry-run", summary="Show what would be sent")
async def dry_run(key: DestinationKey, body: DryRun, opened: Opened, caller: MayWrite) -> DryRunResult:
    """Build the requests for one change and show them; nothing is sent."""
    if body.profile_id is not None and not caller.may("profiles:read"):
        raise ForbiddenError("This token lacks the scope profiles:read.")
    destination = _definitions(opened).destination(key)
    change = await _change(opened, destination, body)
    if isinstance(change, str):
        return DryRunResult(requests=[], dropped=change)
    items = [
        item for item, _ in build(destination, Batch(key, [change], opened.clock.now(), _audience(opened, destination)))
    ]
    hidden = secrets_in(destination.settings)
    return DryRunResult(
        requests=[shown(item, hidden) for item in items if not isinstance(item, (Delivered, Retry, Failed, Dropped))],
        dropped="; ".join(item.reason for item in items if isinstance(item, (Failed, Dropped))),
    )


@destinations.post("/{key}/replay", summary="Send again what was set aside")
async def replay(key: DestinationKey, opened: Opened, caller: MayWrite) -> Replayed:
    """Put every member that was set aside back into the queue."""
    opened.registry.get(DESTINATION, key)
    return Replayed(replayed=await _ledger(opened, key).replay(opened.clock.now()))


@destinations.post("/{key}/reconcile", summary="Compare with the warehouse")
async def reconcile(key: DestinationKey, opened: Opened, caller: MayWrite) -> Reconciled:
    """Compare who should be there with who is, and send the difference."""
    destination = _definitions(opened).destination(key)
    found = await Reconciler(opened, destination, _ledger(opened, key)).compare_all()
    return Reconciled(checked=found.checked, enqueued=found.enqueued)


@sync_routes.get("", summary="List syncs")
async def list_syncs(opened: Opened, caller: MayRead, limit: Limit = 100, after: After = "") -> SyncList:
    """Syncs by key."""
    page, following = _page(opened.registry.all(SYNC), limit, after)
    return SyncList(items=[_sync_view(entry) for entry in page], next=following)


@sync_routes.get("/{key}", summary="Show a sync")
async def get_sync(key: SyncKey, opened: Opened, caller: MayRead) -> SyncView:
    """A sync."""
    return _sync_view(opened.registry.get(SYNC, key))


@sync_routes.put("/{key}", summary="Send a segment to a destination")
async def put_sync(key: SyncKey, body: SyncBody, opened: Opened, caller: MayWrite) -> SyncView:
    """Send a segment to a destination: its members now, and every change from now on."""
    before = opened.registry.find(SYNC, key)
    entry = await _definitions(opened).put_sync(key, body, by=caller.key)
    if before is not None and _pair(before) != _pair(entry):
        await _forget(opened, before)
    return _sync_view(entry)


@sync_routes.delete("/{key}", status_code=204, summary="Stop sending a segment")
async def delete_sync(key: SyncKey, opened: Opened, caller: MayWrite) -> None:
    """Stop sending. Who is at the destination stays there."""
    before = opened.registry.get(SYNC, key)
    await opened.registry.delete(SYNC, key, by=caller.key)
    await _forget(opened, before)


router.include_router(destinations)
router.include_router(sync_routes)


def _definitions(opened: Platform) -> Definitions:
    return Definitions(opened.registry, open_vault(opened.settings))


def _ledger(opened: Platform, destination: str) -> Ledger:
    return Ledger(opened.state, opened.settings.state.prefix, destination)


def _pair(entry: Definition) -> tuple[str, str]:
    return entry.body["destination"], entry.body["segment"]


async def _forget(opened: Platform, sync: Definition) -> None:
    destination, segment = _pair(sync)
    await _ledger(opened, destination).forget(segment)


def _page(entries: Iterable[Definition], limit: int, after: str) -> tuple[list[Definition], str | None]:
    rest = [entry for entry in entries if entry.key > after]
    return rest[:limit], rest[limit - 1].key if len(rest) > limit else None


def _cursor(after: str) -> tuple[int, str, int]:
    if not after:
        return LAST, "", 0
    moment, id_, attempt = ([*after.split(":"), "", ""])[:3]
    if not (moment.isdecimal() and attempt.isdecimal() and len(moment) < 16 and len(attempt) < 10):
        raise InvalidError("`after` must be the `next` of a page before.", path="after")
    return int(moment), id_, int(attempt)


def _destination_view(entry: Definition) -> DestinationView:
    body = DestinationBody.model_validate(entry.body)
    return DestinationView(
        key=entry.key,
        settings=masked(body.settings),
        **body.model_dump(exclude={"settings"}),
        version=entry.version,
        created_at=to_text(entry.created_at),
        updated_at=to_text(entry.updated_at),
    )


def _sync_view(entry: Definition) -> SyncView:
    return SyncView(
        **entry.body,
        key=entry.key,
        version=entry.version,
        created_at=to_text(entry.created_at),
        updated_at=to_text(entry.updated_at),
    )


def _sample(segment: str, action: Literal["add", "remove"], opened: Platform) -> Change:
    return Change(
        id=randomness.token_hex(16),
        action=action,
        segment=segment,
        profile_id="00000000-0000-4000-8000-000000000000",
        sequence=1,
        at=opened.clock.now(),
        identifiers={"email": ["an.nguyen@example.com"], "phone": ["+84901234567"], "user_id": ["sample"]},
        traits={"name": "Nguyễn Văn An", "city": "Đà Nẵng"},
    )


def _audience(opened: Platform, destination: Destination, segment: str | None = None) -> Any:
    for sync in syncs(opened.registry, destination=destination.key):
        if segment in (None, sync.segment):
            return sync.audience
    return parsed(destination.connector.Audience, {}, "audience")


async def _change(opened: Platform, destination: Destination, wanted: DryRun) -> Change | str:
    """The change to build for, or why there would be none."""
    segment = wanted.segment or "test"
    if wanted.profile_id is None:
        return _sample(segment, wanted.action, opened)
    profile_id = str(wanted.profile_id)
    known = await profiles.read_sure(opened.warehouse, [profile_id], rules_of(opened.registry))
    action = ADD if wanted.action == "add" else REMOVE
    entry = Entry(action, 1, opened.clock.now(), "", UNKNOWN, 0, 0, 0, NEVER, 0, PENDING)
    result = packed(
        destination, _sync(opened, destination, segment), Member(segment, profile_id), entry, known.get(profile_id)
    )
    return result.reason if isinstance(result, Settled) else result.change


def _sync(opened: Platform, destination: Destination, segment: str) -> Sync:
    for sync in syncs(opened.registry, destination=destination.key):
        if sync.segment == segment:
            return sync
    return Sync("", segment, destination.key, SyncMapping(), _audience(opened, destination), -1)


def _test_result(outcome: Outcome, reply: Reply | None, seconds: float) -> TestResult:
    words: dict[type, Any] = {Delivered: "delivered", Retry: "retrying", Failed: "failed", Dropped: "dropped"}
    return TestResult(
        outcome=words[type(outcome)],
        reason="" if isinstance(outcome, Delivered) else outcome.reason,
        seconds=round(seconds, 3),
        status=reply.status if reply else None,
        reply=reply.body[:EXCERPT].decode(errors="replace") if reply else "",
    )
