"""Observations and anchors: what an event says of a person, and the id under which that is kept for ever.

An anchor is a pure function of the event, so every process and every replay finds the same one:

    identity-bearing content ─► observation anchor = hash of the content
    anonymous activity       ─► session anchor     = hash of (device, slice of time)

What a till or an agent says of customers may fit many of them: `Nguyễn Lan`, or a telephone alone, which may be the
shop's own. So that not everybody becomes one anchor, `SESSION` or `DAY` is part of such content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from identity.identifiers import Value

Anchor = bytes  # 16 of them
ANCHOR = 16
MEMORY = 1 << 14  # sessions remembered per process: most of an hour's events are of few of them

# The attribute of who is described and not identified: the device that is not theirs, and the slice of time.
SESSION: Final = "session"
# The attribute of who is known by one telephone or mailbox alone, where that may be another's: the day in UTC.
DAY: Final = "day"

_content = msgspec.json.Encoder().encode


class Observation(Struct, array_like=True, frozen=True, gc=False):
    """Identity-bearing content. `first_seen` is when the first event that said so was received, in milliseconds."""

    identifiers: tuple[Value, ...]
    attributes: dict[str, str] = {}
    first_seen: int = 0
    source: str = ""

    @property
    def anchor(self) -> Anchor:
        """The id of the content."""
        return anchor_of(self.identifiers, self.attributes)

    @property
    def on_any_day(self) -> Anchor:
        """The id of what is said, the same for all days on which it is said."""
        return anchor_of(self.identifiers, {name: text for name, text in self.attributes.items() if name != DAY})


def anchor_of(identifiers: Iterable[Value], attributes: Mapping[str, str]) -> Anchor:
    """The anchor of this content, in whatever order it is given."""
    return blake2b(_content((sorted(set(identifiers)), sorted(attributes.items()))), digest_size=ANCHOR).digest()


@lru_cache(MEMORY)
def session_anchor(device: str, period: int) -> Anchor:
    """The anchor of a device's anonymous activity in one slice of time."""
    return blake2b(f"{period}@{device}".encode(), digest_size=ANCHOR).digest()


def to_text(anchor: Anchor) -> str:
    """16 bytes → UUID text."""
    digits = anchor.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def from_text(text: str) -> Anchor:
    """UUID text → 16 bytes. Raises `ValueError`."""
    return UUID(text).bytes
