"""People, as the warehouse knows them: identifiers, traits, segments, activity, combined over a profile's anchors.

    the view's map ─► anchors ─┬─ trait_values, statements ─► candidates ─► the trait's rule (cdp.traits) ─► traits
                               ├─ observations, events, segment_changes ─► identifiers, activity, segments
                               └─ events ─► orders ─► what they bought (cdp.purchases)

Everything is a function of what is stored under the anchors at the moment of reading, so merges, splits and late events
need no repair. `read` and `recall` show likely profiles; what is sent goes by `read_sure`.
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
from cdp.purchases import Purchases, Told, purchases_of
from cdp.traits import USUAL, Candidate, Rule, Rules, chosen, value_of
from cdp.views import LIKELY, MAPS, SURE, View
from cdp.warehouse.base import Warehouse
from cdp.warehouse.sql import load

QUERIES = load("cdp", "profiles.sql")
FREQUENT = "most_frequent"
# Of what was ever said of a person this much is shown: values of a trait, and in all.
VALUES_EACH = 20
# The rows are few, and starting more threads costs more than they save.
ONE_THREAD = "SETTINGS max_threads = 1"
MANY = 1_000_000  # bytes of what is read
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


class Part(Struct):
    """A sure person who is a part of a likely profile."""

    profile_id: str
    identifiers: list[KnownIdentifier] = []
    segments: list[str] = []


class Profile(Struct):
    """A person. `segments` are those the profile is in now; `first_seen` and `last_seen` are moments of events.

    A trait that was taken back (set to null) is left out. `purchases` are empty where they were not asked for.
    `parts`: the sure people of a likely profile, where it is not one by itself; its segments are all of theirs.
    `beside`: the traits of the others who are likely the same person as a sure one, where they were asked for.
    """

    profile_id: str
    identifiers: list[KnownIdentifier] = []
    traits: dict[str, Any] = {}
    segments: list[str] = []
    first_seen: int = 0
    last_seen: int = 0
    events: int = 0
    provenance: dict[str, Provenance] = {}
    purchases: Purchases = msgspec.field(default_factory=Purchases)
    parts: list[Part] = []
    beside: list[dict[str, Any]] = []


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


VALUE = Fact._fields.index("value")
# What the queries read in each view: its map, and the columns of that which say whose an anchor is in the other view
# and whose the memberships are.
COLUMNS: Mapping[View, dict[str, str]] = {
    LIKELY: {"map": MAPS[LIKELY], "other": "sure_id", "part": "sure_id"},
    SURE: {"map": MAPS[SURE], "other": "likely_id", "part": "profile_id"},
}
Frequencies = Mapping[tuple[str, str], Sequence[Candidate]]  # by profile and trait
NO_RULES: Rules = {}

_encode = msgspec.msgpack.Encoder().encode
_decode_orders = msgspec.json.Decoder(list[Told]).decode
_decode = msgspec.msgpack.Decoder(Profile).decode


async def read(warehouse: Warehouse, profile_ids: Sequence[str], rules: Rules = NO_RULES) -> dict[str, Profile]:
    """The likely profiles of these ids, without purchases. An id that no anchor belongs to (any more) is left out.

    Of each trait the value counts that its rule chooses; generic identifiers are left out. Raises as `Warehouse.rows`.
    """
    return await _read(warehouse, QUERIES["profiles"], profile_ids, rules)


async def read_sure(warehouse: Warehouse, sure_ids: Sequence[str], rules: Rules = NO_RULES) -> dict[str, Profile]:
    """As `read`, but of sure people, each with what those say who are likely the same person, in `beside`."""
    if not sure_ids:
        return {}
    found: dict[str, Profile]
    found, rows = await asyncio.gather(
        _read(warehouse, QUERIES["profiles"], sure_ids, rules, view=SURE),
        warehouse.rows(f"{QUERIES['parts']}\n{ONE_THREAD}", {"profiles": list(sure_ids)}),
    )
    together: dict[UUID, set[str]] = defaultdict(set)
    for profile_id, sure_id in rows:
        together[profile_id].add(str(sure_id))
    groups = [group for group in together.values() if len(group) > 1]
    others = sorted(set().union(*groups) - found.keys())
    known = found | await _read(warehouse, QUERIES["profiles"], others, rules, view=SURE)
    for group in groups:
        for one in group & found.keys():
            found[one].beside += [known[other].traits for other in sorted(group - {one}) if other in known]
    return found


async def read_whole(warehouse: Warehouse, profile_id: str, rules: Rules = NO_RULES) -> Profile:
    """A profile with its purchases; an empty one where nothing is known. Raises as `Warehouse.rows`."""
    found = await _read(warehouse, f"{QUERIES['profiles']}\n{QUERIES['purchases']}", [profile_id], rules)
    return found.get(profile_id) or Profile(profile_id)


async def recall(cache: Cache, warehouse: Warehouse, profile_id: str, rules: Rules = NO_RULES) -> Profile:
    """A profile as `read_whole` reads it, or as it was read before where nothing was stored about it since."""
    kept = await cache.find(profile_id)
    if kept.content is not None:
        return await _joined(warehouse, _decode(kept.content))
    profile = await read_whole(warehouse, profile_id, rules)
    await cache.keep(profile_id, kept.lease, _encode(profile))
    return profile


async def likely_of(warehouse: Warehouse, sure_id: str) -> str | None:
    """The likely profile that a sure person is, or was last, a part of; None for who is unknown."""
    found = await warehouse.value(QUERIES["likely"], {"sure": sure_id})
    return None if found is None else str(found)


async def said(warehouse: Warehouse, profile_id: str) -> list[Said]:
    """What was ever said of a profile's traits, the latest of each first, up to a bound. Raises as `Warehouse.rows`."""
    rows = await warehouse.rows(QUERIES["said"], {"profile": profile_id, "each": VALUES_EACH, "limit": VALUES})
    return [
        Said(name, value_of(value), source, bool(verified), times, first_at, last_at, str(anchor_id), message_id)
        for name, value, source, verified, times, first_at, last_at, anchor_id, message_id in rows
    ]


async def _joined(warehouse: Warehouse, profile: Profile) -> Profile:
    """A profile from the cache with the memberships of its parts as they are: nobody tells of theirs to the whole."""
    if not profile.parts:
        return profile
    ids = [profile.profile_id, *(part.profile_id for part in profile.parts)]
    held: dict[str, list[str]] = defaultdict(list)
    for one, segment in await warehouse.rows(QUERIES["memberships"], {"profiles": ids}):
        held[str(one)].append(segment)
    for part in profile.parts:
        part.segments = held[part.profile_id]
    profile.segments = sorted({segment for segments in held.values() for segment in segments})
    return profile


async def _read(
    warehouse: Warehouse, sql: str, profile_ids: Sequence[str], rules: Rules, *, view: View = LIKELY
) -> dict[str, Profile]:
    if not profile_ids:
        return {}
    rows, counted = await asyncio.gather(
        warehouse.rows(f"{sql}\n{ONE_THREAD}", {"profiles": list(profile_ids), **COLUMNS[view]}),
        _frequencies(warehouse, profile_ids, rules, view=view),
    )
    if sum(len(row[VALUE]) for row in rows) > MANY:  # somebody who is no person: others need not wait for them
        return await asyncio.to_thread(_combined, rows, profile_ids, counted, rules, view)
    return _combined(rows, profile_ids, counted, rules, view)


def _combined(
    rows: Iterable[Sequence[Any]], profile_ids: Sequence[str], counted: Frequencies, rules: Rules, view: View
) -> dict[str, Profile]:
    facts: dict[UUID, list[Fact]] = defaultdict(list)
    for fact in map(Fact._make, rows):
        facts[fact.owner].append(fact)
    found = {profile_id: _combine(profile_id, facts, counted, rules, view) for profile_id in profile_ids}
    return {profile_id: profile for profile_id, profile in found.items() if profile is not None}


async def _frequencies(warehouse: Warehouse, profile_ids: Sequence[str], rules: Rules, *, view: View) -> Frequencies:
    names = [name for name, rule in rules.items() if rule.name == FREQUENT]
    if not names:
        return {}
    sql = f"{QUERIES['frequencies']}\n{ONE_THREAD}"
    rows = await warehouse.rows(sql, {"profiles": list(profile_ids), "names": names, "map": MAPS[view]})
    found: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for profile_id, name, value, source, verified, rank, anchor_id, message_id, times in rows:
        one = Candidate(value, source, bool(verified), rank, str(anchor_id), message_id, times)
        found[str(profile_id), name].append(one)
    return found


def _combine(
    profile_id: str, facts: Mapping[UUID, Sequence[Fact]], counted: Frequencies, rules: Rules, view: View
) -> Profile | None:
    own = facts.get(UUID(profile_id), [])
    anchors = [fact for fact in own if fact.fact == "anchor" and fact.rank]
    if not anchors:
        return None
    under = [fact for anchor in anchors for fact in facts.get(UUID(anchor.value), [])]
    parts = _parts(profile_id, anchors, facts) if view == LIKELY else []
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
        segments=sorted({*_segments(own), *(segment for part in parts for segment in part.segments)}),
        first_seen=min(fact.first_seen for fact in activity),
        last_seen=max(fact.last_seen for fact in activity),
        events=sum(fact.events for fact in activity),
        provenance={name: _provenance(rules.get(name, USUAL), one) for name, one in sorted(traits.items())},
        purchases=_purchases(under),
        parts=parts,
    )


def _parts(profile_id: str, anchors: Iterable[Fact], facts: Mapping[UUID, Sequence[Fact]]) -> list[Part]:
    """The sure people of a likely profile; none where it is one by itself."""
    shares: dict[str, list[Fact]] = defaultdict(list)
    for anchor in anchors:
        shares[anchor.source] += facts.get(UUID(anchor.value), [])
    if shares.keys() == {profile_id}:
        return []
    return [
        Part(
            one, _identifiers(fact for fact in share if fact.fact == "identifier"), _segments(facts.get(UUID(one), ()))
        )
        for one, share in sorted(shares.items())
    ]


def _segments(facts: Iterable[Fact]) -> list[str]:
    return sorted(fact.name for fact in facts if fact.fact == "segment")


def _purchases(facts: Iterable[Fact]) -> Purchases:
    told, looked_at = list[Told](), dict[str, tuple[int, int]]()
    for fact in facts:
        if fact.fact == "orders":
            told += _decode_orders(fact.value)
        elif fact.fact == "looked at":
            times, last = looked_at.get(fact.name, (0, 0))
            looked_at[fact.name] = times + fact.events, max(last, fact.last_seen)
    return purchases_of(told, looked_at)


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
