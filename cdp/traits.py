"""What a person's trait is, when several values were said: the rules, and which of the candidates they choose.

    statements about the profile ─► candidates ─► the one that stands highest under the trait's rule

A rule is a definition of kind `trait`, by the trait's name: `{"rule": "source_priority", "sources": ["crm", "pos"]}`.
Every rule but `most_recent` keeps to what was proven where anything was (design, guarantee 7); of equals the latest
counts. Null takes back: the latest null beats what it stands above, and leaves the trait without a value. Profiles
choose here, segments in SQL (`segments.compile`); `cdp.testing.reconciled` says the same once more, in plain words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from cdp.registry import Entry, Registry

TRAIT = "trait"
NULL = "null"
MOST_SOURCES = 100

RuleName = Literal["most_recent_verified", "most_recent", "most_frequent", "source_priority"]


class Rule(NamedTuple):
    """How one value is chosen. `sources`: for `source_priority`, the most trusted first; all others come after them."""

    name: RuleName = "most_recent_verified"
    sources: tuple[str, ...] = ()


USUAL = Rule()
Rules = Mapping[str, Rule]


class Candidate(NamedTuple):
    """A value that may be the trait's. `value` is JSON text; `times`: how often it was said, where that matters.

    `rank` orders candidates by time: milliseconds in its upper bits, and a hash below that tells equals apart.
    """

    value: str
    source: str
    verified: bool
    rank: int
    anchor_id: str
    message_id: str
    times: int = 0

    @property
    def at(self) -> int:
        """When it was said, in milliseconds."""
        return self.rank >> 64


def chosen(rule: Rule, candidates: Iterable[Candidate]) -> Candidate | None:
    """The candidate that stands highest; None when that takes the trait back, or there is none.

    Candidates are the latest of each anchor, source and proof; under `most_frequent` each value, counted.
    """
    best = max(candidates, key=lambda one: standing(rule, one), default=None)
    return None if best is None or best.value == NULL else best


def standing(rule: Rule, one: Candidate) -> tuple[int, ...]:
    """How high a candidate stands under a rule: these compare."""
    match rule.name:
        case "most_recent":
            return (one.rank,)
        case "most_recent_verified":
            return one.verified, one.rank
        case "most_frequent":
            return one.verified, one.times, one.rank
        case "source_priority":
            return one.verified, _trust(rule, one.source), one.rank


def _trust(rule: Rule, source: str) -> int:
    return len(rule.sources) - rule.sources.index(source) if source in rule.sources else 0


def rules_of(registry: Registry) -> dict[str, Rule]:
    """The rules in force, by trait; every other trait has the usual one."""
    return {entry.key: rule_of(entry) for entry in registry.all(TRAIT)}


def stamp_of(registry: Registry) -> str:
    """A short text that changes with every change of a rule."""
    return ",".join(f"{entry.version}" for entry in registry.all(TRAIT))


def rule_of(entry: Entry) -> Rule:
    """A rule as the registry holds it."""
    return Rule(entry.body["rule"], tuple(entry.body.get("sources", ())))


def value_of(text: str) -> Any:
    """A trait's value from its JSON text; the text itself where it is too large or too deep to be held."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
