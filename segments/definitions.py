"""Segments as people define them: kind `segment` in the registry, `{"name", "description", "conditions"}`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog

from cdp.errors import InvalidError
from cdp.registry import Entry, Registry
from segments.nodes import Node
from segments.parse import parse

log = structlog.get_logger(__name__)

SEGMENT = "segment"


class Segment(NamedTuple):
    """A segment, ready to be evaluated. `fingerprint` changes with its conditions, and with nothing else."""

    key: str
    root: Node
    fingerprint: str


class Live(NamedTuple):
    """The segments in force by key, and the keys of those that this version of the product cannot read.

    Nobody enters or leaves an unreadable segment.
    """

    segments: Mapping[str, Segment]
    unreadable: frozenset[str]

    def defines(self, key: str) -> bool:
        """Whether there is such a segment, readable or not."""
        return key in self.segments or key in self.unreadable


class Definitions:
    """The segments in the registry, parsed once each."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._parsed: dict[str, tuple[int, Segment | None]] = {}

    def live(self) -> Live:
        """What is in force now."""
        found = {entry.key: self._read(entry) for entry in self._registry.all(SEGMENT)}
        segments = {key: segment for key, segment in found.items() if segment is not None}
        return Live(segments, frozenset(found.keys() - segments.keys()))

    def _read(self, entry: Entry) -> Segment | None:
        version, segment = self._parsed.get(entry.key, (-1, None))
        if version != entry.version:
            segment = _segment(entry)
            self._parsed[entry.key] = entry.version, segment
        return segment


def fingerprint(conditions: Any) -> str:
    """A short text that is the same for the same conditions."""
    text = json.dumps(conditions, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _segment(entry: Entry) -> Segment | None:
    conditions = entry.body.get("conditions")
    try:
        return Segment(entry.key, parse(conditions), fingerprint(conditions))
    except InvalidError as error:
        log.error("segment.unreadable", segment=entry.key, path=error.path, reason=error.message)
        return None
