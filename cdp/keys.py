"""The routes of API tokens. A token is shown once, when it is made; only its hash is kept (see `cdp.auth`).

Nobody can hand out more than they have, and the last token that may do everything cannot be deleted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from cdp import clock
from cdp.auth import ADMIN, SCOPES, Caller, digest, new_token, platform, require
from cdp.errors import ConflictError, ForbiddenError, InvalidError
from cdp.parameters import Moment
from cdp.registry import Entry, Registry
from cdp.service import Platform

SLUG = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Key = Annotated[str, Path(pattern=SLUG, description="The token's key.", examples=["reporting"])]
Opened = Annotated[Platform, Depends(platform)]
Reader = Annotated[Caller, Depends(require("keys:read"))]
Writer = Annotated[Caller, Depends(require("keys:write"))]

EXAMPLE: dict[str, Any] = {
    "name": "Reporting",
    "scopes": ["profiles:read", "segments:read"],
    "expires_at": "2027-01-01T00:00:00Z",
}


class TokenDraft(BaseModel):
    """What a token may do."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    name: str = Field(min_length=1, max_length=200, description="What it is for, in words.")
    scopes: list[str] = Field(
        min_length=1,
        max_length=len(SCOPES),
        description=f"What it may do. Writing includes reading, `admin` includes everything: {', '.join(SCOPES)}.",
        json_schema_extra={"items": {"type": "string", "enum": list(SCOPES)}},
    )
    expires_at: Moment | None = Field(None, description="When it stops to work (ISO 8601); never if absent.")


class Token(BaseModel):
    """A token, without its secret."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"key": "reporting", **EXAMPLE, "created_at": "2026-11-21T08:30:00Z"}]}
    )

    key: str = Field(description="Its name in paths.")
    name: str = Field(description="What it is for, in words.")
    scopes: list[str] = Field(description="What it may do.")
    created_at: str = Field(description="When it was made.")
    expires_at: str | None = Field(None, description="When it stops to work.")


class NewToken(Token):
    """A token that was just made."""

    token: str = Field(description="The secret. It is shown this once and kept nowhere.")


class TokenList(BaseModel):
    """A page of tokens."""

    items: list[Token]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


router = APIRouter(prefix="/api/v1/keys", tags=["keys"])


@router.post("", status_code=201, summary="Make an API token")
async def create_token(draft: TokenDraft, opened: Opened, caller: Writer) -> NewToken:
    """Make a token. Its secret is in this answer and nowhere else."""
    secret = new_token()
    body = _body(draft, caller, digest(secret))
    entry = await opened.registry.put("token", f"key-{secrets.token_hex(6)}", body, by=caller.key, expected=-1)
    return NewToken(**_fields(entry), token=secret)


@router.get("", summary="List API tokens")
async def list_tokens(
    opened: Opened,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Most tokens to return.")] = 100,
    after: Annotated[str, Query(description="The cursor `next` of the page before.")] = "",
) -> TokenList:
    """The tokens by key, without their secrets."""
    entries = [entry for entry in opened.registry.all("token") if entry.key > after]
    more = entries[limit - 1].key if len(entries) > limit else None
    return TokenList(items=[_shown(entry) for entry in entries[:limit]], next=more)


@router.get("/{key}", summary="Read an API token")
async def get_token(key: Key, opened: Opened, _: Reader) -> Token:
    """One token, without its secret."""
    return _shown(opened.registry.get("token", key))


@router.put("/{key}", summary="Change what an API token may do")
async def put_token(key: Key, draft: TokenDraft, opened: Opened, caller: Writer) -> Token:
    """Change name, scopes or expiry of a token; the secret stays."""
    entry = opened.registry.get("token", key)
    _refuse_beyond(caller, entry.body["scopes"])
    body = _body(draft, caller, entry.body["sha256"])
    if ADMIN not in body["scopes"] or body["expires_at"] is not None:
        _refuse_last_admin(opened.registry, key)
    return _shown(await opened.registry.put("token", key, body, by=caller.key, expected=entry.version))


@router.delete("/{key}", status_code=204, summary="Delete an API token")
async def delete_token(key: Key, opened: Opened, caller: Writer) -> None:
    """Delete a token: it stops to work at once."""
    _refuse_beyond(caller, opened.registry.get("token", key).body["scopes"])
    _refuse_last_admin(opened.registry, key)
    await opened.registry.delete("token", key, by=caller.key)


def _body(draft: TokenDraft, caller: Caller, sha256: str) -> dict[str, Any]:
    for place, scope in enumerate(draft.scopes):
        if scope not in SCOPES:
            raise InvalidError(
                f"There is no scope {scope!r}; choose among {', '.join(SCOPES)}.", path=f"scopes[{place}]"
            )
    _refuse_beyond(caller, draft.scopes)
    scopes = sorted(set(draft.scopes))
    return {"name": draft.name, "sha256": sha256, "scopes": scopes, "expires_at": draft.expires_at}


def _refuse_beyond(caller: Caller, scopes: Iterable[str]) -> None:
    if beyond := [scope for scope in scopes if not caller.may(scope)]:
        raise ForbiddenError(f"This token lacks {', '.join(beyond)} itself, so it cannot decide about it.")


def _refuse_last_admin(registry: Registry, key: str) -> None:
    lasting = {entry.key for entry in registry.all("token") if _lasting_admin(entry)}
    if lasting == {key}:
        raise ConflictError("This is the last token that may do everything and never expires: make another one first.")


def _lasting_admin(entry: Entry) -> bool:
    return ADMIN in entry.body["scopes"] and not entry.body.get("expires_at")


def _fields(entry: Entry) -> dict[str, Any]:
    expires = entry.body.get("expires_at")
    return {
        "key": entry.key,
        "name": entry.body["name"],
        "scopes": entry.body["scopes"],
        "created_at": clock.to_text(entry.created_at),
        "expires_at": None if expires is None else clock.to_text(expires),
    }


def _shown(entry: Entry) -> Token:
    return Token(**_fields(entry))
