"""What tests of any wing need from the ground: a clock that moves only when told to, events as they lie on the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cdp.records import RawEvent, encode

START = 1_795_249_800_000  # 2026-11-21T08:30:00.000Z


class FrozenClock:
    """A `Clock` that stands still. Set `moment`, or `advance` it."""

    def __init__(self, moment: int = START) -> None:
        self.moment = moment

    def now(self) -> int:
        """The moment it was set to, in milliseconds since the epoch."""
        return self.moment

    def advance(self, milliseconds: int) -> int:
        """Move on, and return the new moment."""
        self.moment += milliseconds
        return self.moment


def accepted_event(body: Mapping[str, Any], message_id: str = "m-1") -> RawEvent:
    """An event as the collector hands it on; a track event unless its `type` says otherwise."""
    return msgspec.json.decode(encode({"type": "track", "messageId": message_id, **body}), type=RawEvent)
