"""People, as the warehouse knows them: identifiers, traits, segments, activity, combined over a profile's anchors.

    identity_map ─► anchors ─┬─ trait_values, statements ─► candidates ─► the trait's rule (cdp.traits) ─► traits
                             ├─ observations, events, segment_changes ─► identifiers, activity, segments
                             └─ events ─► orders ─► what they bought (cdp.purchases)

Everything is a function of what is stored under the anchors at the moment of reading, so merges, splits and late events
need no repair.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from cdp.cache import Cache
from cdp.purchases import Purchases, purchases_of
from cdp.traits import USUAL, Candidate, Rule, Rules, chosen, value_of
from cdp.warehouse.base import Warehouse
from cdp.warehouse.sql import load

QUERIES = load("cdp", "profiles.sql")
FREQUENT = "most_frequent"
# Of what was ever said of a person this much is shown: values of a trait, and in all.
VALUES_EACH = 20
VALUES = 1_000


class KnownIdentifier(Struct, order=True):
    """An identifier of a person, since when it is known, and which sources said it."""

    type: str
    value: str
    first_seen: int
    sources: list[str]


class Provenance(Struct):
    """Who said a trait's value last, when (milliseconds), and the rule by which that counts."""

    source: str
    at: int
    verified: bool
    rule: str
    anchor_id: str
    message_id: str


class Profile(Struct):
    """A person. `segments` are those the profile is in now; `first_seen` and `last_seen` are moments of events.

    A trait that was taken back (set to null) is left out. `purchases` are only there where they were asked for.
    """

    profile_id: str
    identifiers: list[KnownIdentifier] = []
    traits: dict[str, Any] = {}
    segments: list[str] = []
    first_seen: int = 0
    last_seen: int = 0
    events: int = 0
    provenance: dict[str, Provenance] = {}
    purchases: Purchases | None = None


class Said(NamedTuple):
    """A value that a source said of a trait: how often, when first and last, and by which message last."""

    name: str
    value: Any
    source: str
    verified: bool
    times: int
    first_at: int
    last_at: int
    anchor_id: str
    message_id: str


class Fact(NamedTuple):
    """A row of the query; see there."""

    owner: UUID
    fact: str
    name: str
    value: str
    source: str
    verified: int
    message_id: str
    rank: int
    first_seen: int
    last_seen: int
    events: int


Frequencies = Mapping[tuple[str, str], Sequence[Candidate]]  # by profile and trait
NO_RULES: Rules = {}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Profile).decode


async def read(warehouse: Warehouse, profile_ids: Sequence[str], rules: Rules = NO_RULES) -> dict[str, Profile]:
    """The profiles of these ids, without purchases. An id that no anchor belongs to (any more) is left out.

    Of each trait the value counts that its rule chooses; generic identifiers are left out. Raises as `Warehouse.rows`.
    """
    if not profile_ids:
        return {}
    rows, counted = await asyncio.gather(
        warehouse.rows(QUERIES["profiles"], {"profiles": list(profile_ids)}),
        _frequencies(warehouse, profile_ids, rules),
    )
    facts: dict[UUID, list[Fact]] = defaultdict(list)
    for fact in map(Fact._make, rows):
        facts[fact.owner].append(fact)
    found = {profile_id: _combine(profile_id, facts, counted, rules) for profile_id in profile_ids}
    return {profile_id: profile for profile_id, profile in found.items() if profile is not None}


async def read_whole(warehouse: Warehouse, profile_id: str, rules: Rules = NO_RULES) -> Profile:
    """A profile with its purchases; an empty one where nothing is known. Raises as `Warehouse.rows`."""
    found, rows = await asyncio.gather(
        read(warehouse, [profile_id], rules), warehouse.rows(QUERIES["purchases"], {"profiles": [profile_id]})
    )
    profile = found.get(profile_id) or Profile(profile_id)
    profile.purchases = purchases_of(rows)
    return profile


async def recall(cache: Cache, warehouse: Warehouse, profile_id: str, rules: Rules = NO_RULES) -> Profile:
    """A profile as `read_whole` reads it, or as it was read before where nothing was stored about it since."""
    kept = await cache.find(profile_id)
    if kept.content is not None:
        return _decode(kept.content)
    profile = await read_whole(warehouse, profile_id, rules)
    await cache.keep(profile_id, kept.lease, _encode(profile))
    return profile


async def said(warehouse: Warehouse, profile_id: str) -> list[Said]:
    """What was ever said of a profile's traits, the latest of each first, up to a bound. Raises as `Warehouse.rows`."""
    rows = await warehouse.rows(QUERIES["said"], {"profile": profile_id, "each": VALUES_EACH, "limit": VALUES})
    return [
        Said(name, value_of(value), source, bool(verified), times, first_at, last_at, str(anchor_id), message_id)
        for name, value, source, verified, times, first_at, last_at, anchor_id, message_id in rows
    ]


async def _frequencies(warehouse: Warehouse, profile_ids: Sequence[str], rules: Rules) -> Frequencies:
    names = [name for name, rule in rules.items() if rule.name == FREQUENT]
    if not names:
        return {}
    rows = await warehouse.rows(QUERIES["frequencies"], {"profiles": list(profile_ids), "names": names})
    found: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for profile_id, name, value, source, verified, rank, anchor_id, message_id, times in rows:
        one = Candidate(value, source, bool(verified), rank, str(anchor_id), message_id, times)
        found[str(profile_id), name].append(one)
    return found


def _combine(
    profile_id: str, facts: Mapping[UUID, Sequence[Fact]], counted: Frequencies, rules: Rules
) -> Profile | None:
    own = facts.get(UUID(profile_id), [])
    anchors = [fact for fact in own if fact.fact == "anchor" and fact.rank]
    if not anchors:
        return None
    under = [fact for anchor in anchors for fact in facts.get(UUID(anchor.value), [])]
    # Until its first event is loaded, a profile is known by its anchors.
    activity = [fact for fact in under if fact.fact == "activity"] or anchors
    traits = _traits((fact for fact in under if fact.fact == "trait"), rules)
    traits |= {
        name: best
        for (owner, name), candidates in counted.items()
        if owner == profile_id and (best := chosen(rules[name], candidates))
    }
    return Profile(
        profile_id,
        identifiers=_identifiers(fact for fact in under if fact.fact == "identifier"),
        traits={name: value_of(one.value) for name, one in sorted(traits.items())},
        segments=sorted(fact.name for fact in own if fact.fact == "segment"),
        first_seen=min(fact.first_seen for fact in activity),
        last_seen=max(fact.last_seen for fact in activity),
        events=sum(fact.events for fact in activity),
        provenance={name: _provenance(rules.get(name, USUAL), one) for name, one in sorted(traits.items())},
    )


def _identifiers(facts: Iterable[Fact]) -> list[KnownIdentifier]:
    known: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        known[fact.name, fact.value].append(fact)
    return sorted(
        KnownIdentifier(kind, value, min(fact.first_seen for fact in said), sorted({fact.source for fact in said}))
        for (kind, value), said in known.items()
    )


def _traits(facts: Iterable[Fact], rules: Rules) -> dict[str, Candidate]:
    """What the rules choose, but for traits whose values are counted."""
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for fact in facts:
        if rules.get(fact.name, USUAL).name != FREQUENT:
            one = Candidate(fact.value, fact.source, bool(fact.verified), fact.rank, str(fact.owner), fact.message_id)
            candidates[fact.name].append(one)
    found = {name: chosen(rules.get(name, USUAL), some) for name, some in candidates.items()}
    return {name: one for name, one in found.items() if one is not None}


def _provenance(rule: Rule, one: Candidate) -> Provenance:
    return Provenance(one.source, one.at, one.verified, rule.name, one.anchor_id, one.message_id)
