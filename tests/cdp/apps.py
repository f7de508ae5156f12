"""The API as tests use it: on real parts, with a token for each scope, without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter

from cdp.api import GROUND, create_app
from cdp.auth import ADMIN, digest
from cdp.service import Platform
from cdp.status import Readers

TOKEN = "cdp_test_admin"


async def add_token(platform: Platform, token: str, *scopes: str) -> None:
    """Make the token known."""
    body = {"name": token, "sha256": digest(token), "scopes": list(scopes), "expires_at": None}
    await platform.registry.put("token", token.replace("cdp_", "").replace(":", "-"), body)


@asynccontextmanager
async def api(
    platform: Platform, *, routers: Sequence[APIRouter] = GROUND, readers: Readers | None = None, token: str = TOKEN
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API with the admin's token."""
    await add_token(platform, TOKEN, ADMIN)
    app = create_app(platform, readers or {}, routers)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://cdp",
        headers=headers,  # type: ignore[arg-type]
    ) as client:
        yield client
