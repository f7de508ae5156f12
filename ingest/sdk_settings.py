"""What browser and mobile SDKs fetch before they send: where to send to. The least that makes each of them work.

Segment's SDKs ignore the host given in code unless `Segment.io` is there, and take the write key from here.
RudderStack's sends nothing without `source.config`. A fork looks under its own name; that entry says no more than
where to send, because Segment's own SDK would take a `versionSettings` there for a script to load, and wait for it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from cdp import clock
from ingest.keys import Source

ALL_ALLOWED: dict[str, Any] = {"__default": {"enabled": True, "integrations": {}}}
FORK = "Customer.io Data Pipelines"


def settings(write_key: str, address: str) -> dict[str, Any]:
    """For Segment's SDKs. `address` is this service's URL as the SDK reaches it."""
    parts = urlsplit(address)
    where = {
        "apiKey": write_key,
        "apiHost": f"{parts.netloc}{parts.path.rstrip('/')}/v1",
        "protocol": parts.scheme,
    }
    bundled = {"versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]}}
    return {
        "integrations": {"Segment.io": where | bundled, FORK: where},
        "plan": dict.fromkeys(("track", "identify", "group"), ALL_ALLOWED),
        "analyticsNextEnabled": True,
        "metrics": {"sampleRate": 0},
    }


def source_config(source: Source, write_key: str, now: int) -> dict[str, Any]:
    """For RudderStack's browser SDK."""
    moment = clock.to_text(now)
    return {
        "source": {
            "id": source.key,
            "name": source.name,
            "writeKey": write_key,
            "workspaceId": "streamcdp",
            "enabled": True,
            "config": {},
            "connections": [],
            "destinations": [],
            "updatedAt": moment,
        },
        "updatedAt": moment,
    }
