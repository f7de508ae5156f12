"""The routes of imports and mappings. Thin: whoever does the work follows the definitions that are written here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from cdp import clock
from cdp.auth import Caller, authenticate, bearer, require
from cdp.errors import ForbiddenError, InvalidError
from cdp.http import MOST_BYTES
from cdp.service import Platform
from ingest.imports.fields import FIELDS, Kind
from ingest.imports.importer import Importer
from ingest.imports.job import (
    KIND,
    MAPPING_KIND,
    STATES,
    Counts,
    Job,
    Jobs,
    State,
    discard,
    folder_of,
    job_of,
    report_of,
)
from ingest.imports.mapping import Format, Mapping, read_mapping
from ingest.imports.uploads import Wish, take
from ingest.routes.parameters import SLUG, After, Limit, Opened
from ingest.routes.tracking import handed_over
from ingest.source import KIND as SOURCE

ImportReader = Annotated[Caller, Depends(require("imports:read"))]
ImportWriter = Annotated[Caller, Depends(require("imports:write"))]
ImportKey = Annotated[str, Path(pattern=SLUG, description="The import's key.", examples=["20261121-083000000-5c1f0e"])]
MappingKey = Annotated[str, Path(pattern=SLUG, description="The mapping's key.", examples=["kiotviet-customers"])]

router = APIRouter()
imports = APIRouter(prefix="/api/v1/imports", tags=["imports"])
mappings = APIRouter(prefix="/api/v1/mappings", tags=["mappings"])

MAPPING_EXAMPLE: dict[str, Any] = {
    "kind": "customers",
    "columns": {
        "Họ tên": "name",
        "SĐT": "phone",
        "Ngày sinh": {"field": "birthday", "order": "dmy"},
        "Hạng": "traits.hang",
        "STT": "skip",
    },
}
EXAMPLE: dict[str, Any] = {
    "key": "20261121-083000000-5c1f0e",
    "name": "khach-hang.xlsx",
    "source": "pos",
    "kind": "customers",
    "state": "finished",
    "bytes": 48_213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "rows": 1_000,
    "events": 988,
    "rows_read": 1_000,
    "sent": 988,
    "accepted": 980,
    "updated": 0,
    "unchanged": 5,
    "quarantined": 3,
    "problems": [],
    "reason": "",
    "earlier": None,
    "dry_run": False,
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "started_at": "2026-11-21T08:30:00.000Z",
    "ended_at": "2026-11-21T08:30:09.000Z",
    "mapping": MAPPING_EXAMPLE,
}
FIELD_NAMES = "; ".join(f"{kind}: {', '.join(fields)}" for kind, fields in FIELDS.items())


class Import(BaseModel):
    """The import of a file."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    key: str = Field(description="Its name in paths.")
    name: str = Field(description="The file's name.")
    source: str = Field(description="The source that its events are of.")
    kind: str = Field(description="What its rows are; empty until that is known.")
    state: State = Field(
        description="`reading` the file, `ready` to be started, `sending` events, `settling` until all are stored; "
        "`finished`, `failed` (see `reason`) or `cancelled`."
    )
    bytes: int = Field(description="The file's size.")
    sha256: str = Field(description="The file's digest.")
    rows: int = Field(description="Rows in it; 0 until it is read.")
    events: int = Field(description="Events that they are.")
    rows_read: int = Field(description="Rows read so far.")
    sent: int = Field(description="Events dealt with so far: `accepted`, `unchanged` or `quarantined`.")
    accepted: int = Field(description="Events that went in.")
    updated: int = Field(description="Those of them that changed an order of an earlier file.")
    unchanged: int = Field(description="Events that an earlier import stored already.")
    quarantined: int = Field(description="Events kept aside; see /api/v1/quarantine.")
    problems: list[str] = Field(description="What keeps it from being started.")
    reason: str = Field(description="Why it is in its state, where that needs words.")
    earlier: str | None = Field(description="The import that had brought the same already.")
    already: bool = Field(False, description="Whether this is an earlier import of the file that was brought now.")
    dry_run: bool = Field(description="Whether it waits to be started.")
    trace_id: str = Field(description="The trace of all of its events.")
    started_at: str = Field(description="When the file came.")
    ended_at: str | None = Field(description="When it ended.")
    mapping: dict[str, Any] = Field(description="How the file is read; whole once it was read.")


class ImportList(BaseModel):
    """A page of imports."""

    items: list[Import]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


class MappingView(Mapping):
    """A saved mapping."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key": "kiotviet-customers", **MAPPING_EXAMPLE}]})

    key: str = Field(description="Its name.")
    version: int = Field(description="Changes with each change.")
    updated_at: str = Field(description="When it was changed.")


class MappingList(BaseModel):
    """A page of mappings."""

    items: list[MappingView]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


Name = Annotated[str, Query(max_length=300, description="The file's name, to be shown.")]
AnyKind = Annotated[Kind | None, Query(description="What the rows are; guessed if absent.")]
SourceName = Annotated[str, Query(max_length=64, description="Key of the source; may be left out where there is one.")]
DryRun = Annotated[bool, Query(description="Read and report only: it waits for `/start`.")]
Again = Annotated[bool, Query(description="Import it though the same file was imported before.")]
FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Layout(NamedTuple):
    """What the query tells of a file."""

    mapping: str
    fields: dict[str, str]


def _layout(
    mapping: Annotated[
        str,
        Query(max_length=30_000, description="What its columns mean: a saved mapping's key, or a mapping as JSON."),
    ] = "",
    format: Annotated[Format, Query(description="The kind of file; its content tells if absent.")] = "",
    sheet: Annotated[str, Query(max_length=100, description="XLSX: the sheet.")] = "",
    encoding: Annotated[str, Query(max_length=40, description="CSV: how letters are written.")] = "",
    delimiter: Annotated[str, Query(max_length=1, description="CSV: what stands between cells.")] = "",
    event: Annotated[str, Query(max_length=500, description="Events: the name of each, where no column says it.")] = "",
) -> Layout:
    given = {"format": format, "sheet": sheet, "encoding": encoding, "delimiter": delimiter, "event": event}
    return Layout(mapping, {name: value for name, value in given.items() if value})


Laid = Annotated[Layout, Depends(_layout)]


@imports.post(
    "",
    status_code=201,
    summary="Bring a file",
    openapi_extra=FILE_BODY,
    responses={200: {"model": Import, "description": "It was imported already."}},
)
async def create_import(
    request: Request,
    response: Response,
    opened: Opened,
    caller: ImportWriter,
    layout: Laid,
    kind: AnyKind = None,
    source: SourceName = "",
    name: Name = "",
    dry_run: DryRun = False,
    again: Again = False,
) -> Import:
    """The body is the file itself (CSV, XLSX, JSONL or Parquet), `curl --data-binary @FILE`; it goes to the disk.

    It is read, its columns are guessed, and it is sent in, unless `dry_run` says that it waits or no column says whose
    its rows are. A file that was imported before answers 200 with that import, and nothing is done.
    `POST /v1/import?kind=…` is the same.
    """
    told = _told(opened, layout, kind)
    wish = Wish(name or "file", _source(opened, source), told, dry_run, again, caller.key)
    request.scope["state"][MOST_BYTES] = opened.settings.imports.max_file_bytes
    _refuse_forms(request)
    key, already = await take(opened, _parts(request), wish)
    response.status_code = 200 if already else 201
    return _shown(opened, key, Jobs(opened.registry).get(key)).model_copy(update={"already": already})


@router.post("/v1/import", include_in_schema=False)
async def legacy_import(
    request: Request,
    opened: Opened,
    layout: Laid,
    kind: AnyKind = None,
    source: SourceName = "",
    name: Name = "",
    dry_run: DryRun = False,
    again: Again = False,
) -> Response:
    """A file where `kind` says what is in it; else Segment's batches, which the collector answers."""
    if kind is None:
        return handed_over(opened)
    credentials = await bearer(request)
    token = credentials.credentials if credentials else ""
    caller = authenticate(opened.registry, token, opened.clock.now())
    if not caller.may("imports:write"):
        raise ForbiddenError("This token lacks the scope imports:write.")
    answer = Response(media_type="application/json")
    made = await create_import(request, answer, opened, caller, layout, kind, source, name, dry_run, again)
    return Response(made.model_dump_json(), answer.status_code, media_type="application/json")


@imports.get("", summary="List the imports")
async def list_imports(
    opened: Opened,
    _: ImportReader,
    limit: Limit = 100,
    after: After = "",
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
) -> ImportList:
    """The imports, the latest first."""
    entries = [entry for entry in reversed(opened.registry.all(KIND)) if not after or entry.key < after]
    jobs = [(entry.key, job_of(entry)) for entry in entries]
    wanted = [(key, job) for key, job in jobs if state is None or job.state == state]
    more = wanted[limit - 1][0] if len(wanted) > limit else None
    return ImportList(items=[_shown(opened, key, job) for key, job in wanted[:limit]], next=more)


@imports.get("/{key}", summary="Read an import")
async def get_import(key: ImportKey, opened: Opened, _: ImportReader) -> Import:
    """One import, and how far it is."""
    return _shown(opened, key, Jobs(opened.registry).get(key))


@imports.get("/{key}/report", summary="Read the data-quality report")
async def get_report(key: ImportKey, opened: Opened, _: ImportReader) -> dict[str, Any]:
    """What is in the file: columns and what they were taken for, repeats, bad telephone numbers and e-mail addresses,
    what will be set aside; after a dry run also how many of its people are known already. Values are masked."""
    Jobs(opened.registry).get(key)
    return await asyncio.to_thread(report_of, opened.settings, key)


@imports.put("/{key}/mapping", summary="Correct how a file is read")
async def put_import_mapping(key: ImportKey, mapping: Mapping, opened: Opened, caller: ImportWriter) -> Import:
    """Read the file again under this mapping; columns that it leaves out are guessed. Waits for `/start` then."""
    among: frozenset[State] = frozenset({"reading", "ready", "failed"})
    told = mapping.model_dump(exclude_defaults=True)
    job = await Jobs(opened.registry).change(
        key, caller.key, among=among, state="reading", told=told, dry_run=True, mapping={}, reason="", ended_at=0
    )
    return _shown(opened, key, job)


@imports.post("/{key}/start", summary="Start an import")
async def start_import(key: ImportKey, opened: Opened, caller: ImportWriter) -> Import:
    """Send in what was read. One that failed goes on where it was."""
    jobs = Jobs(opened.registry)
    if problems := jobs.get(key).problems:
        raise InvalidError(f"Correct the mapping first: {problems[0]}", path="mapping")
    among: frozenset[State] = frozenset({"ready", "failed"})
    state: State = "sending" if jobs.get(key).mapping else "reading"
    job = await jobs.change(key, caller.key, among=among, state=state, reason="", dry_run=False, ended_at=0)
    return _shown(opened, key, job)


@imports.post("/{key}/cancel", summary="Cancel an import")
async def cancel_import(key: ImportKey, opened: Opened, caller: ImportWriter) -> Import:
    """Stop it for good. What it sent stays; its file is removed."""
    among: frozenset[State] = frozenset(STATES) - {"finished", "cancelled"}
    now = opened.clock.now()
    job = await Jobs(opened.registry).change(key, caller.key, among=among, state="cancelled", ended_at=now)
    return _shown(opened, key, job)


@imports.delete("/{key}", status_code=204, summary="Delete an import")
async def delete_import(key: ImportKey, opened: Opened, caller: ImportWriter) -> None:
    """Forget it, with its file and its report. What it sent stays; the same file can then be brought again."""
    await opened.registry.delete(KIND, key, by=caller.key)
    await asyncio.to_thread(discard, folder_of(opened.settings, key), all_of_it=True)


@mappings.get("", summary="List the saved mappings")
async def list_mappings(opened: Opened, _: ImportReader, limit: Limit = 100, after: After = "") -> MappingList:
    """The mappings by key."""
    entries = [entry for entry in opened.registry.all(MAPPING_KIND) if entry.key > after]
    more = entries[limit - 1].key if len(entries) > limit else None
    return MappingList(items=[_mapping(opened, entry.key) for entry in entries[:limit]], next=more)


@mappings.get("/{key}", summary="Read a saved mapping")
async def get_mapping(key: MappingKey, opened: Opened, _: ImportReader) -> MappingView:
    """One mapping."""
    return _mapping(opened, key)


@mappings.put("/{key}", summary="Save a mapping")
async def put_mapping(key: MappingKey, mapping: Mapping, opened: Opened, caller: ImportWriter) -> MappingView:
    """Save a mapping under a name, for files of the same layout."""
    body = mapping.model_dump(exclude_defaults=True)
    await opened.registry.put(MAPPING_KIND, key, body, by=caller.key)
    return _mapping(opened, key)


@mappings.delete("/{key}", status_code=204, summary="Delete a saved mapping")
async def delete_mapping(key: MappingKey, opened: Opened, caller: ImportWriter) -> None:
    """Delete a mapping. Imports that used it keep theirs."""
    await opened.registry.delete(MAPPING_KIND, key, by=caller.key)


router.include_router(imports)
router.include_router(mappings)


def _told(opened: Platform, layout: Layout, kind: Kind | None) -> Mapping:
    """What is told of a file: a mapping, and over it what else the query says."""
    saved = _given(opened, layout.mapping) if layout.mapping else {}
    return read_mapping({**saved, **layout.fields, **({"kind": kind} if kind else {})}, "query")


def _given(opened: Platform, mapping: str) -> dict[str, Any]:
    if not mapping.startswith("{"):
        return opened.registry.get(MAPPING_KIND, mapping).body
    try:
        found: dict[str, Any] = msgspec.json.decode(mapping)
    except msgspec.DecodeError as error:
        raise InvalidError(f"The mapping is not valid JSON: {error}.", path="mapping") from None
    return found


def _source(opened: Platform, key: str) -> str:
    """The source that is meant. Raises `InvalidError` where that is not plain."""
    known = [entry.key for entry in opened.registry.all(SOURCE)]
    if not key and len(known) == 1:
        return known[0]
    if key in known:
        return key
    choices = f"choose among {', '.join(known[:20])}" if known else "make one first"
    raise InvalidError(f"There is no source {key!r}: {choices}." if key else f"Which source? {choices}.", path="source")


def _refuse_forms(request: Request) -> None:
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/"):
        raise InvalidError("Send the file itself as the body: curl --data-binary @FILE, not --form.", path="body")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise InvalidError("Send the file as it is, not compressed.", path="body")


async def _parts(request: Request) -> AsyncIterator[bytes]:
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect:
        raise InvalidError("The connection broke before the whole file was here.", path="body") from None


def _shown(opened: Platform, key: str, job: Job) -> Import:
    importer = next((role for role in opened.roles if isinstance(role, Importer)), None)
    progress = importer.progress(key) if importer else None
    counts = progress.counts if progress and job.state == "sending" else job.counts
    rows_read = progress.rows if progress and job.state == "reading" else job.rows
    return Import(
        key=key,
        name=job.name,
        source=job.source,
        kind=job.kind,
        state=job.state,
        bytes=job.bytes,
        sha256=job.sha256,
        rows=job.rows,
        events=job.events,
        rows_read=rows_read,
        **{name: getattr(counts, name) for name in Counts.__struct_fields__},
        problems=job.problems,
        reason=job.reason,
        earlier=job.earlier or None,
        dry_run=job.dry_run,
        trace_id=job.trace_id,
        started_at=clock.to_text(job.started_at),
        ended_at=clock.to_text(job.ended_at) if job.ended_at else None,
        mapping=job.mapping or job.told,
    )


def _mapping(opened: Platform, key: str) -> MappingView:
    entry = opened.registry.get(MAPPING_KIND, key)
    return MappingView(
        key=key,
        version=entry.version,
        updated_at=clock.to_text(entry.updated_at),
        **read_mapping(entry.body).model_dump(),
    )
