"""The change as JSON, the way the generic connectors tell it."""

from __future__ import annotations

from typing import Any

from activation.connector import Change
from cdp.clock import to_text

TYPES = {"add": "segment.entered", "remove": "segment.exited"}


def payload(change: Change) -> dict[str, Any]:
    """`{type, timestamp, data}` as Standard Webhooks has it; `timestamp` is when the membership changed."""
    return {
        "type": TYPES[change.action],
        "timestamp": to_text(change.at),
        "data": {
            "segment": change.segment,
            "profile_id": change.profile_id,
            "sequence": change.sequence,
            "identifiers": change.identifiers,
            "traits": change.traits,
            "trace_id": change.trace_id,
        },
    }
