"""Segments as people define them: kind `segment` in the registry, `{"name", "description", "conditions", "view"}`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import structlog

from cdp.errors import InvalidError
from cdp.registry import Entry, Registry
from cdp.traits import Rule, Rules, rules_of
from cdp.views import SURE, View
from segments.nodes import Node, TraitIs, conditions
from segments.parse import parse

log = structlog.get_logger(__name__)

SEGMENT = "segment"
OwnRules = tuple[tuple[str, Rule], ...]


class Segment(NamedTuple):
    """A segment, ready to be evaluated. `fingerprint` changes with its conditions, `rules` and `view`, nothing else.

    `rules`: which value of the traits that it asks for counts, by name, where that is not the usual one. `view`: in
    which view its members are people.
    """

    key: str
    root: Node
    fingerprint: str
    rules: OwnRules = ()
    view: View = SURE


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
        self._parsed: dict[str, tuple[int, Rules, Segment | None]] = {}

    def live(self) -> Live:
        """What is in force now."""
        rules = rules_of(self._registry)
        found = {entry.key: self._read(entry, rules) for entry in self._registry.all(SEGMENT)}
        segments = {key: segment for key, segment in found.items() if segment is not None}
        return Live(segments, frozenset(found.keys() - segments.keys()))

    def _read(self, entry: Entry, rules: Rules) -> Segment | None:
        version, before, segment = self._parsed.get(entry.key, (-1, rules, None))
        if version != entry.version or before != rules:
            segment = _readable(entry, rules)
            self._parsed[entry.key] = entry.version, rules, segment
        return segment


def segment_of(entry: Entry, rules: Rules) -> Segment:
    """The segment as it is evaluated under these rules. Raises `InvalidError` where this version cannot read it."""
    written, view = entry.body.get("conditions"), entry.body.get("view", SURE)
    root = parse(written)
    if view not in get_args(View):
        raise InvalidError(f"There is no view {view!r}.", path="view")
    asked = {leaf.path[0] for leaf in conditions(root) if isinstance(leaf, TraitIs)}
    own = tuple(sorted((name, rule) for name, rule in rules.items() if name in asked))
    return Segment(entry.key, root, fingerprint(written, own, view=view), own, view)


def fingerprint(written: Any, rules: OwnRules = (), *, view: View = SURE) -> str:
    """A short text that is the same for the same conditions under the same rules in the same view."""
    text = json.dumps([written, rules] if rules else written, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    if view != SURE:
        text = f"{view} {text}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _readable(entry: Entry, rules: Rules) -> Segment | None:
    try:
        return segment_of(entry, rules)
    except InvalidError as error:
        log.error("segment.unreadable", segment=entry.key, path=error.path, reason=error.message)
        return None
