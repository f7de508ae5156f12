"""The first source, for what is set up by hand or by a test. `cdp.bootstrap` writes the same definition."""

from __future__ import annotations

from typing import Any

from cdp.clock import Clock
from cdp.registry import Entry, Registry
from ingest.keys import KIND

DEFAULT = "default"


async def ensure_source(registry: Registry, write_key: str, by: str, *, clock: Clock, key: str = DEFAULT) -> Entry:
    """Make sure that the source `key` exists and has the write key; what it has already stays."""
    entry = registry.find(KIND, key)
    body: dict[str, Any] = dict(entry.body) if entry else {"name": key.capitalize(), "write_keys": [], "enabled": True}
    if entry and any(one["key"] == write_key for one in body["write_keys"]):
        return entry
    body["write_keys"] = [*body["write_keys"], {"key": write_key, "created_at": clock.now()}]
    return await registry.put(KIND, key, body, by=by)
