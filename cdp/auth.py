"""Who may call the API: bearer tokens with scopes. Only a token's SHA-256 is kept, and it is compared in constant time.

A token is 256 random bits, so a fast hash is right (slow hashes are for passwords). Definitions of kind `token`:
`{"name", "sha256", "scopes", "expires_at"}`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from cdp.errors import ForbiddenError
from cdp.registry import Entry, Registry
from cdp.service import Platform

TOKEN_PREFIX = "cdp_"  # noqa: S105 - the visible beginning of each token, for secret scanners
ADMIN = "admin"
AREAS = (
    "sources",
    "keys",
    "quarantine",
    "imports",
    "events",
    "profiles",
    "identity",
    "segments",
    "destinations",
    "status",
    "tail",
)
SCOPES = (ADMIN, *(f"{area}:{action}" for area in AREAS for action in ("read", "write")))

bearer = HTTPBearer(auto_error=False, description="A token made by `POST /api/v1/keys`, or the admin token.")


class Caller(NamedTuple):
    """Who calls: the token's key and what it may do."""

    key: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the scope is granted; writing includes reading, `admin` includes everything."""
        return bool({ADMIN, scope, scope.replace(":read", ":write")} & self.scopes)


class UnauthenticatedError(ForbiddenError):
    """No token, or an unknown or expired one: the same words for each, so that nobody learns which."""

    code = "unauthenticated"


def new_token() -> str:
    """A fresh token."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a token: its SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def authenticate(registry: Registry, token: str, now: int) -> Caller:
    """The caller that the token stands for. Raises `UnauthenticatedError`."""
    given = digest(token)
    found: Entry | None = None
    for entry in registry.all("token"):  # every token is looked at, so that time tells nothing
        if hmac.compare_digest(given, str(entry.body["sha256"])):
            found = entry
    if found is None or (found.body.get("expires_at") or now + 1) <= now:
        raise UnauthenticatedError("A valid bearer token is needed: `Authorization: Bearer cdp_…`.")
    return Caller(found.key, frozenset(found.body["scopes"]))


def platform(request: Request) -> Platform:
    """The opened parts, for routes."""
    opened: Platform = request.app.state.platform
    return opened


def require(scope: str) -> Callable[..., Awaitable[Caller]]:
    """A FastAPI dependency: the caller, who has this scope. 401 without a valid token, 403 without the scope."""

    async def caller(
        opened: Annotated[Platform, Depends(platform)],
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    ) -> Caller:
        found = authenticate(opened.registry, credentials.credentials if credentials else "", opened.clock.now())
        if not found.may(scope):
            raise ForbiddenError(f"This token lacks the scope {scope}.")
        return found

    return caller
