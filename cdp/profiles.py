"""People, as the warehouse knows them: identifiers, traits, segments, activity, combined over a profile's anchors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from cdp.warehouse.base import Warehouse
from cdp.warehouse.sql import load

QUERIES = load("cdp", "profiles.sql")


class KnownIdentifier(Struct, order=True):
    """An identifier of a person, since when it is known, and which sources said it."""

    type: str
    value: str
    first_seen: int
    sources: list[str]


class Profile(Struct):
    """A person. `segments` are those the profile is in now; `first_seen` and `last_seen` are moments of events.

    A trait that was last set to null is left out: so a sender takes it back.
    """

    profile_id: str
    identifiers: list[KnownIdentifier] = []
    traits: dict[str, Any] = {}
    segments: list[str] = []
    first_seen: int = 0
    last_seen: int = 0
    events: int = 0


class Fact(NamedTuple):
    """A row of the query; see there."""

    owner: UUID
    fact: str
    name: str
    value: str
    rank: int
    first_seen: int
    last_seen: int
    events: int


async def read(warehouse: Warehouse, profile_ids: Sequence[str]) -> dict[str, Profile]:
    """The profiles of these ids, in one query. An id that no anchor belongs to (any more) is left out.

    Of each trait the latest value counts, in one fixed order of the values: the table's `rank`. Raises as
    `Warehouse.rows`.
    """
    if not profile_ids:
        return {}
    rows = await warehouse.rows(QUERIES["profiles"], {"profiles": list(profile_ids)})
    facts: dict[UUID, list[Fact]] = defaultdict(list)
    for fact in map(Fact._make, rows):
        facts[fact.owner].append(fact)
    found = {profile_id: _combine(profile_id, facts) for profile_id in profile_ids}
    return {profile_id: profile for profile_id, profile in found.items() if profile is not None}


def _combine(profile_id: str, facts: dict[UUID, list[Fact]]) -> Profile | None:
    own = facts.get(UUID(profile_id), [])
    anchors = [fact for fact in own if fact.fact == "anchor" and fact.rank]
    if not anchors:
        return None
    under = [fact for anchor in anchors for fact in facts.get(UUID(anchor.value), [])]
    # Until its first event is loaded, a profile is known by its anchors.
    activity = [fact for fact in under if fact.fact == "activity"] or anchors
    return Profile(
        profile_id,
        identifiers=_identifiers(fact for fact in under if fact.fact.startswith("identifier ")),
        traits=_traits(fact for fact in under if fact.fact == "trait"),
        segments=sorted(fact.name for fact in own if fact.fact == "segment"),
        first_seen=min(fact.first_seen for fact in activity),
        last_seen=max(fact.last_seen for fact in activity),
        events=sum(fact.events for fact in activity),
    )


def _identifiers(facts: Iterable[Fact]) -> list[KnownIdentifier]:
    known: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        known[fact.name, fact.value].append(fact)
    return sorted(
        KnownIdentifier(
            kind,
            value,
            min(fact.first_seen for fact in said),
            sorted({fact.fact.removeprefix("identifier ") for fact in said}),
        )
        for (kind, value), said in known.items()
    )


def _traits(facts: Iterable[Fact]) -> dict[str, Any]:
    latest = {fact.name: fact.value for fact in sorted(facts, key=lambda fact: fact.rank)}
    return {name: value_of(text) for name, text in sorted(latest.items()) if text != "null"}


def value_of(text: str) -> Any:
    """A trait's value from its JSON text; the text itself where it is too large or too deep to be held."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
