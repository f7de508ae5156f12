"""The routes of sources. Thin: what a source is stands in `ingest.source`, its write keys in `ingest.keys`."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from cdp import clock
from cdp.auth import Caller, require
from cdp.registry import Entry
from cdp.service import Platform
from cdp.vault import open_vault
from ingest.browser.builds import snippet
from ingest.keys import LIVE_KEYS, check_unused, new_write_key, rotated
from ingest.plans.plan import KIND as PLAN
from ingest.routes.parameters import SLUG, After, Limit, Opened, SourceKey
from ingest.source import KIND, SourceBody, source_of, stored

# Printable, and no colon: it ends the user name in Basic authorization.
WRITE_KEY = r"^[!-9;-~]{8,200}$"

SourceReader = Annotated[Caller, Depends(require("sources:read"))]
SourceWriter = Annotated[Caller, Depends(require("sources:write"))]

router = APIRouter(prefix="/api/v1/sources", tags=["sources"])

KEY_EXAMPLE: dict[str, Any] = {
    "key": "wk_Qm9uam91ciBsZSBtb25kZSE0MjQy",
    "created_at": "2026-11-21T08:30:00.000Z",
    "expires_at": None,
}
DRAFT_EXAMPLE: dict[str, Any] = {"name": "Shop, web", "enabled": True, "allowed_origins": ["https://shop.vn"]}


class WriteKey(BaseModel):
    """A write key. It is public: it only says where an event comes from."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [KEY_EXAMPLE]})

    key: str = Field(pattern=WRITE_KEY, description="What SDKs send.")
    created_at: datetime.datetime | None = Field(None, description="When it was made.")
    expires_at: datetime.datetime | None = Field(None, description="When it stops to work; never if absent.")


class SourceDraft(SourceBody):
    """What a source is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [DRAFT_EXAMPLE]})

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


class SourceView(SourceBody):
    """A source as the API shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "shop-web",
                    **DRAFT_EXAMPLE,
                    "write_keys": [KEY_EXAMPLE],
                    "snippet": snippet("https://cdp.shop.vn", KEY_EXAMPLE["key"]),
                    "version": 12,
                    "created_at": "2026-11-21T08:30:00.000Z",
                    "updated_at": "2026-11-21T08:30:00.000Z",
                }
            ]
        }
    )

    key: str = Field(description="Its name in paths, on events and in metrics.")
    write_keys: list[dict[str, str | None]] = Field(description="Its write keys, the newest last.")
    snippet: str = Field(description="The lines to paste into a web page.")
    version: int = Field(description="Grows with each change.")
    created_at: str = Field(description="When it was made.")
    updated_at: str = Field(description="When it was changed last.")


class SourceList(BaseModel):
    """A page of sources."""

    items: list[SourceView]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


@router.post("", status_code=201, summary="Make a source")
async def create_source(draft: NewSource, opened: Opened, caller: SourceWriter, request: Request) -> SourceView:
    """Make a source. The answer holds its write key and the lines to paste into a web page."""
    body = _body(draft, opened, draft.key, {})
    return _shown(await opened.registry.put(KIND, draft.key, body, by=caller.key, expected=-1), opened, request)


@router.get("", summary="List the sources")
async def list_sources(
    opened: Opened, _: SourceReader, request: Request, limit: Limit = 100, after: After = ""
) -> SourceList:
    """The sources by key."""
    entries = [entry for entry in opened.registry.all(KIND) if entry.key > after]
    more = entries[limit - 1].key if len(entries) > limit else None
    return SourceList(items=[_shown(entry, opened, request) for entry in entries[:limit]], next=more)


@router.get("/{key}", summary="Read a source")
async def get_source(key: SourceKey, opened: Opened, _: SourceReader, request: Request) -> SourceView:
    """One source."""
    return _shown(opened.registry.get(KIND, key), opened, request)


@router.put("/{key}", summary="Make or change a source")
async def put_source(
    key: SourceKey, draft: SourceDraft, opened: Opened, caller: SourceWriter, request: Request
) -> SourceView:
    """Define a source; it keeps its write keys unless others are given. A disabled one takes no events."""
    entry = opened.registry.find(KIND, key)
    body = _body(draft, opened, key, entry.body if entry else {})
    version = entry.version if entry else -1
    return _shown(await opened.registry.put(KIND, key, body, by=caller.key, expected=version), opened, request)


@router.post("/{key}/rotate", summary="Make a new write key")
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


@router.delete("/{key}", status_code=204, summary="Delete a source")
async def delete_source(key: SourceKey, opened: Opened, caller: SourceWriter) -> None:
    """Delete a source: its write keys stop to work at once. Its events stay."""
    await opened.registry.delete(KIND, key, by=caller.key)
    if opened.registry.find(PLAN, key) is not None:  # a source made anew under the key has a plan of its own
        await opened.registry.delete(PLAN, key, by=caller.key)


def _body(draft: SourceDraft, opened: Platform, key: str, before: dict[str, Any]) -> dict[str, Any]:
    now = opened.clock.now()
    write_keys = before.get("write_keys") or []
    if draft.write_keys is not None:
        write_keys = [_kept_key(one, now) for one in draft.write_keys]
        check_unused(opened.registry, [one["key"] for one in write_keys], but=key)
    if not write_keys:
        write_keys = [{"key": new_write_key(), "created_at": now}]
    given = SourceBody.model_validate({name: getattr(draft, name) for name in SourceBody.model_fields})
    return before | stored(given, lambda: open_vault(opened.settings), key, before) | {"write_keys": write_keys}


def _kept_key(given: WriteKey, now: int) -> dict[str, Any]:
    created = clock.from_datetime(given.created_at) if given.created_at else now
    expires = {"expires_at": clock.from_datetime(given.expires_at)} if given.expires_at else {}
    return {"key": given.key, "created_at": created, **expires}


def _shown(entry: Entry, opened: Platform, request: Request) -> SourceView:
    write_keys = entry.body.get("write_keys") or []
    address = opened.settings.http.public_url or str(request.base_url)
    newest = write_keys[-1]["key"] if write_keys else ""
    return SourceView(
        **source_of(entry).body.model_dump(),
        key=entry.key,
        write_keys=[
            {"key": one["key"], "created_at": _text(one.get("created_at")), "expires_at": _text(one.get("expires_at"))}
            for one in write_keys
        ],
        snippet=snippet(address, newest),
        version=entry.version,
        created_at=clock.to_text(entry.created_at),
        updated_at=clock.to_text(entry.updated_at),
    )


def _text(moment: int | None) -> str | None:
    return None if moment is None else clock.to_text(moment)
