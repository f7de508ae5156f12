"""The first source and the first token: made at first start, so that there is something to begin with.

A key or token given by `CDP_BOOTSTRAP__…` is added on every start where it is missing. One that is made here is kept in
the data folder (`cdp.credentials`).
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

import structlog
from pydantic import SecretStr

from cdp.auth import ADMIN, digest, new_token
from cdp.clock import Clock
from cdp.credentials import Credentials
from cdp.registry import Registry
from cdp.settings import BootstrapSettings

log = structlog.get_logger(__name__)

SOURCE = "default"
KEY_PREFIX = "wk_"
AUTHOR = "bootstrap"


async def ensure(registry: Registry, settings: BootstrapSettings, clock: Clock, kept: Credentials) -> Credentials:
    """Make sure that there is a source and a token that may do everything. Returns them, as far as they are known.

    `kept` is what the data folder remembers of an earlier start.
    """
    await given(registry, settings, clock)
    if not registry.all("source"):
        await _add_write_key(registry, KEY_PREFIX + secrets.token_urlsafe(24), clock)
    if not _admin_digests(registry):
        kept.admin_token = new_token()
        await _add_admin(registry, kept.admin_token)
    if settings.admin_token is not None:
        kept.admin_token = settings.admin_token.get_secret_value()
    elif digest(kept.admin_token) not in _admin_digests(registry):
        kept.admin_token = ""
    kept.write_key = _plain(settings.write_key) or _first_write_key(registry)
    return kept


async def given(registry: Registry, settings: BootstrapSettings, clock: Clock) -> None:
    """Add the write key and the token that the settings give, where they are missing."""
    write_key, token = _plain(settings.write_key), _plain(settings.admin_token)
    if write_key and write_key not in _write_keys(registry):
        await _add_write_key(registry, write_key, clock)
    if token and digest(token) not in _admin_digests(registry):
        await _add_admin(registry, token)


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


async def _add_write_key(registry: Registry, write_key: str, clock: Clock) -> None:
    entry = registry.find("source", SOURCE)
    body: dict[str, Any] = dict(entry.body) if entry else {"name": "Default", "write_keys": [], "enabled": True}
    body["write_keys"] = [*body["write_keys"], {"key": write_key, "created_at": clock.now()}]
    await registry.put("source", SOURCE, body, by=AUTHOR)
    log.info("source.made", source=SOURCE)


async def _add_admin(registry: Registry, token: str) -> None:
    hashed = digest(token)
    key = ADMIN if registry.find("token", ADMIN) is None else f"{ADMIN}-{hashed[:8]}"
    body = {"name": "Administrator", "sha256": hashed, "scopes": [ADMIN], "expires_at": None}
    await registry.put("token", key, body, by=AUTHOR)
    log.info("admin.made", key=key)


def _write_keys(registry: Registry) -> list[str]:
    return [one["key"] for entry in registry.all("source") for one in entry.body["write_keys"]]


def _first_write_key(registry: Registry) -> str:
    entry = registry.find("source", SOURCE)
    with contextlib.suppress(IndexError):
        return str(entry.body["write_keys"][0]["key"]) if entry else ""
    return ""


def _admin_digests(registry: Registry) -> list[str]:
    return [entry.body["sha256"] for entry in registry.all("token") if ADMIN in entry.body["scopes"]]


def greeting(credentials: Credentials, *, public_url: str | None = None) -> str:
    """What to do first, for people."""
    url, key = credentials.url, credentials.write_key
    token = credentials.admin_token or "(only its hash is kept; set CDP_BOOTSTRAP__ADMIN_TOKEN to add another)"
    event = '{"userId": "lan", "event": "Order Completed", "properties": {"total": 1850000, "currency": "VND"}}'
    bearer = credentials.admin_token or "YOUR_TOKEN"
    return f"""
streamcdp runs at {url}

  write key     {key}
  admin token   {token}

Paste into a web page:

  <script async src="{public_url or url}/cdp.js" data-write-key="{key}"></script>

Send a first event:

  curl {url}/v1/track -u {key}: -H 'Content-Type: application/json' \\
    -d '{event}'

Read the profile back:

  curl {url}/api/v1/profiles/user_id:lan -H 'Authorization: Bearer {bearer}'

The API is described at {url}/docs; `cdp tail` shows events live. Ctrl-C stops.
"""
