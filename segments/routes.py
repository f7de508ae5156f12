"""The routes of segments: define them, try them out, see who is in, who came and who went, and when."""

from __future__ import annotations

import contextlib
import re
import uuid
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from cdp import clock
from cdp.auth import Caller, platform, require
from cdp.errors import ConflictError, InvalidError, PermanentError, TransientError
from cdp.parameters import Moment
from cdp.records import ProfilesTouched, encode, new_trace_id
from cdp.registry import Entry
from cdp.service import Platform
from cdp.streams.base import Draft
from cdp.topics import PROFILES_TOUCHED
from cdp.traits import Rules, rules_of
from cdp.views import LIKELY, SURE, View
from cdp.warehouse.sql import load
from segments.compile import SAMPLE, compile_nodes, compile_preview
from segments.definitions import SEGMENT, segment_of
from segments.nodes import Node, walk
from segments.overview import Overview, is_ready
from segments.parse import ROOT, parse
from segments.recounts import Recount
from segments.schema import EXAMPLES, VIP, schema

log = structlog.get_logger(__name__)

QUERIES = load("segments")
SLUG = r"^[a-z0-9][a-z0-9_-]{0,63}$"
SYNC = "sync"
NOBODY = str(uuid.UUID(int=0))
# Words that stand in the place of a key in the paths below.
TAKEN = ("schema", "preview")
# One part of a cursor over changes each: moment, profile, sequence.
CURSOR = re.compile(r"([0-9]{1,15})\.([0-9a-f-]{36})\.([0-9]{1,10})")
NEWEST = f"{10**15 - 1}.ffffffff-ffff-ffff-ffff-ffffffffffff.4294967295"

Json = dict[str, Any]

Key = Annotated[str, Path(pattern=SLUG, description="The segment's key.", examples=["vip"])]
Opened = Annotated[Platform, Depends(platform)]
Reader = Annotated[Caller, Depends(require("segments:read"))]
Writer = Annotated[Caller, Depends(require("segments:write"))]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Most items to return.")]
After = Annotated[str, Query(description="The cursor `next` of the page before.")]

CONDITIONS = Field(
    description="Who is in: a tree of `all`, `any` and `not` over traits and events. "
    "`GET /api/v1/segments/schema` has its JSON Schema and says what each operator means."
)
VIEW = Field(
    SURE,
    description="Who counts as one person. `sure`: observations that surely are; only such a segment can be sent to "
    "destinations. `likely`: those that probably are, for analytics.",
)


class SegmentBody(BaseModel):
    """A segment as people define it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": list(EXAMPLES.values())})

    name: str = Field("", max_length=200, description="What people call it; the key, if not said.")
    description: str = Field("", max_length=2_000, description="Whom it is meant to hold, in words.")
    conditions: Json = CONDITIONS
    view: View = VIEW


class SegmentView(SegmentBody):
    """A segment, and how it is."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "key": "vip",
                    **VIP,
                    "view": "sure",
                    "version": 12,
                    "members": 431,
                    "ready": True,
                    "created_at": "2026-11-21T08:30:00.000Z",
                    "updated_at": "2026-11-21T08:30:00.000Z",
                }
            ]
        },
    )

    key: str = Field(description="Its name in paths.")
    version: int = Field(description="Changes with each definition; give it as `If-Match` to change this one only.")
    members: int = Field(description="How many are in it now.")
    ready: bool = Field(description="Whether everybody has been looked at since its conditions last changed.")
    created_at: str = Field(description="When it was first defined.")
    updated_at: str = Field(description="When it was last defined.")


class SegmentList(BaseModel):
    """A page of segments."""

    items: list[SegmentView]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


class Member(BaseModel):
    """Somebody who is in."""

    profile_id: str = Field(description="The profile, or one of its sure people, as the segment's `view` has it.")
    since: str = Field(description="When it came in.")


class MemberList(BaseModel):
    """A page of members."""

    items: list[Member]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


class Change(BaseModel):
    """Somebody came or went."""

    profile_id: str = Field(description="The profile.")
    change: Literal["entered", "exited"] = Field(description="What happened.")
    sequence: int = Field(description="Counts from 1 for each profile; odd numbers are entries.")
    at: str = Field(description="When.")
    reason: str = Field(
        description="What brought it about: an `event`, `identity` (people were joined or parted), a `timer` (time "
        "went by) or the `definition` (it was changed)."
    )
    trace_id: str = Field(
        description="The trace of what brought it about; the one of the event's request, for example."
    )


class ChangeList(BaseModel):
    """A page of changes, the latest first."""

    items: list[Change]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


class PreviewBody(BaseModel):
    """Conditions to try out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"conditions": example["conditions"]} for example in EXAMPLES.values()]},
    )

    conditions: Json = CONDITIONS
    view: View = VIEW


class Explained(BaseModel):
    """A part of the conditions."""

    path: str = Field(description="Where it stands.", examples=["conditions.all[0]"])
    profiles: int = Field(description="How many profiles meet this part, taken alone.")


class Preview(BaseModel):
    """Who would be in, now."""

    profiles: int = Field(description="How many would be in.")
    of: int = Field(description="How many profiles there are.")
    sample: list[str] = Field(description=f"Up to {SAMPLE} of them.")
    explain: list[Explained] = Field(description="How many meet each part.")


router = APIRouter(prefix="/api/v1/segments", tags=["segments"])


@router.get("/schema", summary="How conditions are written")
async def get_schema(_: Reader) -> Json:
    """The JSON Schema of `conditions`, with the meaning of every operator."""
    return schema()


@router.post("/preview", summary="Try conditions out")
async def preview(body: PreviewBody, opened: Opened, _: Reader) -> Preview:
    """Who would be in at this moment, and how many meet each part. Nothing is stored."""
    parts = list(walk(await _read(opened, body.conditions, body.view), ROOT))
    plan = compile_preview([node for _, node in parts], rules_of(opened.registry), view=body.view)
    now = opened.clock.now()
    [(of, counts, sample)] = await opened.warehouse.rows(plan.sql, {**plan.parameters, "now": now}, limited=True)
    counts = counts or [0] * len(parts)
    explain = [Explained(path=path, profiles=count) for (path, _), count in zip(parts, counts, strict=True)]
    return Preview(profiles=counts[0], of=of, sample=[str(one) for one in sample], explain=explain)


@router.get("", summary="List segments")
async def list_segments(opened: Opened, _: Reader, limit: Limit = 100, after: After = "") -> SegmentList:
    """The segments by key."""
    entries = [entry for entry in opened.registry.all(SEGMENT) if entry.key > after]
    more = entries[limit - 1].key if len(entries) > limit else None
    return SegmentList(items=await _views(opened, entries[:limit]), next=more)


@router.get("/{key}", summary="Read a segment")
async def get_segment(key: Key, opened: Opened, response: Response, _: Reader) -> SegmentView:
    """A segment, how many are in it, and whether it is ready."""
    return await _answer(opened, opened.registry.get(SEGMENT, key), response)


@router.put(
    "/{key}",
    summary="Define a segment",
    responses={201: {"model": SegmentView, "description": "It is new."}},
)
async def put_segment(
    key: Key,
    body: SegmentBody,
    opened: Opened,
    request: Request,
    response: Response,
    caller: Writer,
    if_match: Annotated[str | None, Header(description="Only if this is the version in force.")] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: only if there is no such segment yet.")] = None,
) -> SegmentView:
    """Define, or replace. Members come and go at once, as `ready` tells."""
    if key in TAKEN:
        raise InvalidError(f"A segment cannot be called {key!r}.", path="key")
    await _read(opened, body.conditions, body.view)
    _refuse_to_send(opened, key, body.view)
    is_new = opened.registry.find(SEGMENT, key) is None
    definition = body.model_dump() | {"name": body.name or key}
    expected = _expected(if_match, if_none_match)
    entry = await opened.registry.put(SEGMENT, key, definition, by=caller.key, expected=expected)
    await _announce(opened, key, entry.version, request)
    response.status_code = 201 if is_new else 200
    return await _answer(opened, entry, response)


@router.delete("/{key}", status_code=204, summary="Delete a segment")
async def delete_segment(key: Key, opened: Opened, request: Request, caller: Writer) -> None:
    """Delete. Everybody leaves it; its history stays."""
    version = await opened.registry.delete(SEGMENT, key, by=caller.key)
    await _announce(opened, key, version, request)


@router.get("/{key}/members", summary="Who is in a segment")
async def list_members(
    key: Key,
    opened: Opened,
    _: Reader,
    at: Annotated[Moment | None, Query(description="Who was in at that moment (ISO 8601); now, if not said.")] = None,
    limit: Limit = 100,
    after: After = "",
) -> MemberList:
    """The members, by profile id."""
    opened.registry.get(SEGMENT, key)
    moment = clock.LATEST if at is None else at
    place = {"segment": key, "at": moment, "after": _profile(after or NOBODY, "after"), "limit": limit + 1}
    rows = await opened.warehouse.rows(QUERIES["members"], place)
    items = [Member(profile_id=str(profile_id), since=clock.to_text(since)) for profile_id, since in rows[:limit]]
    return MemberList(items=items, next=items[-1].profile_id if len(rows) > limit else None)


@router.get("/{key}/changes", summary="Who came and who went")
async def list_changes(
    key: Key,
    opened: Opened,
    _: Reader,
    profile_id: Annotated[str | None, Query(description="Only changes of this profile.")] = None,
    limit: Limit = 100,
    after: After = "",
) -> ChangeList:
    """The changes, the latest first."""
    opened.registry.get(SEGMENT, key)
    place = _cursor(after or NEWEST) | {"segment": key, "limit": limit + 1}
    if profile_id is not None:
        place["profile"] = _profile(profile_id, "profile_id")
    rows = await opened.warehouse.dicts(QUERIES["changes" if profile_id is None else "changes_of_profile"], place)
    more = "{moment}.{profile_id}.{sequence}".format(**rows[limit - 1]) if len(rows) > limit else None
    return ChangeList(items=[_change(row) for row in rows[:limit]], next=more)


def _refuse_to_send(opened: Platform, key: str, view: View) -> None:
    """Nobody is sent anywhere for what somebody did who is only likely the same. Raises `ConflictError`."""
    for sync in opened.registry.all(SYNC) if view == LIKELY else ():
        if sync.body.get("segment") == key:
            raise ConflictError(
                f"The sync {sync.key!r} sends {key!r}, so its people must be sure: keep the view, or delete the sync."
            )


async def _read(opened: Platform, conditions: Json, view: View) -> Node:
    """The tree. Raises `InvalidError` also when the warehouse would refuse the query, which it is asked for nobody."""
    root = parse(conditions)
    sql, parameters = plan = compile_nodes([root], rules_of(opened.registry), view=view)
    try:
        if plan.fits:
            with contextlib.suppress(TransientError):
                await opened.warehouse.rows(sql, {**parameters, "profiles": [], "now": 0}, limited=True)
            return root
    except PermanentError as error:
        log.warning("definition.refused", reason=error.message)
    raise InvalidError("Together these conditions are too much for one query: use fewer, shorter ones.", path=ROOT)


async def _announce(opened: Platform, key: str, version: int, request: Request) -> None:
    """Have the segment evaluated over everybody."""
    trace_id = getattr(request.state, "trace_id", None) or new_trace_id()
    value = encode(ProfilesTouched(segment=key, definition_offset=version, trace_id=trace_id))
    partitions = opened.log.partitions(PROFILES_TOUCHED)
    await opened.log.append([Draft(PROFILES_TOUCHED.name, partition, value) for partition in range(partitions)])


async def _answer(opened: Platform, entry: Entry, response: Response) -> SegmentView:
    [view] = await _views(opened, [entry])
    response.headers["ETag"] = f'"{entry.version}"'
    return view


async def _views(opened: Platform, entries: list[Entry]) -> list[SegmentView]:
    partitions = opened.log.partitions(PROFILES_TOUCHED)
    overview = Overview(opened.state, opened.settings.state.prefix, partitions)
    members, counted, rules = await overview.members(), await overview.counted(), rules_of(opened.registry)
    return [
        SegmentView(
            **{"name": entry.key, **entry.body},
            key=entry.key,
            version=entry.version,
            members=members[entry.key],
            ready=_is_ready(counted, entry, rules),
            created_at=clock.to_text(entry.created_at),
            updated_at=clock.to_text(entry.updated_at),
        )
        for entry in entries
    ]


def _is_ready(counted: list[dict[str, Recount]], entry: Entry, rules: Rules) -> bool:
    try:
        return is_ready(counted, entry.key, segment_of(entry, rules).fingerprint)
    except InvalidError:  # another version of the product wrote it
        return False


def _change(row: Json) -> Change:
    row["profile_id"] = str(row["profile_id"])
    return Change(at=clock.to_text(row.pop("moment")), **row)


def _expected(if_match: str | None, if_none_match: str | None) -> int | None:
    if if_none_match == "*":
        return -1
    if if_match is None:
        return None
    version = if_match.strip().removeprefix("W/").strip('"')
    if not version.isascii() or not version.isdigit():
        raise InvalidError("If-Match must be the version of a segment.", path="If-Match")
    return int(version)


def _profile(text: str, path: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidError("A profile id is needed here.", path=path) from None


def _cursor(after: str) -> Json:
    if (found := CURSOR.fullmatch(after)) is None:
        raise InvalidError("This is no cursor: give the `next` of the page before.", path="after")
    return {
        "moment": int(found[1]),
        "profile_id": _profile(found[2], "after"),
        "sequence": min(int(found[3]), 2**32 - 1),
    }
