"""The routes of people: who is behind an identifier and why, joining and parting, what other rules would change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any
from weakref import WeakKeyDictionary

import msgspec
import structlog
from fastapi import APIRouter, Depends, Path, Query
from starlette.convertors import StringConvertor, register_url_convertor

from cdp import profiles
from cdp.auth import Caller, platform, require
from cdp.cache import Cache
from cdp.clock import to_text as at_text
from cdp.errors import CdpError, ConflictError, InvalidError, NotFoundError
from cdp.profiles import KnownIdentifier, Profile, Provenance
from cdp.purchases import Purchases, rfm
from cdp.service import Platform
from cdp.state import Outbox
from cdp.topics import IDENTITY_CHANGES
from cdp.traits import rules_of, stamp_of
from cdp.warehouse.sql import load
from identity import ledger, rebuild
from identity.bodies import (
    ComparedShown,
    ComputedShown,
    DecisionShown,
    Differences,
    Explanation,
    HouseholdShown,
    IdentifierShown,
    JudgedShown,
    LinkShown,
    MergeBody,
    ModelShown,
    ModelStatus,
    ObservationShown,
    ProfileShown,
    ProvenanceShown,
    RebuildShown,
    RelativeShown,
    ReviewPage,
    ReviewShown,
    RfmShown,
    SimulateBody,
    SplitBody,
    SureShown,
    ValueSaid,
    ValueShown,
)
from identity.decisions import Decision, Decisions, path_between
from identity.facts import Cause
from identity.graph import Graph
from identity.households import Households
from identity.keys import BY_HAND
from identity.learner import FEWEST, FORCE, Judged, Standing, adopt, standing_of
from identity.links import EVIDENCE, Link
from identity.observations import Anchor, Observation, from_text, to_text
from identity.people import PROFILE, People, Person, Sighted
from identity.policy import Policy
from identity.simulation import by_type, simulate

log = structlog.get_logger(__name__)

QUERIES = load("identity")
ROWS = 100  # of what `include` asks for
ANCHORS = 10_000
SOON = 5.0  # seconds that an answer waits for a rebuild to finish

Opened = Annotated[Platform, Depends(platform)]
MayRead = Annotated[Caller, Depends(require("profiles:read"))]
MayReview = Annotated[Caller, Depends(require("identity:read"))]
MayDecide = Annotated[Caller, Depends(require("identity:write"))]
TypeName = Annotated[
    str,
    Path(
        description="An identifier's type (`user_id`, `email`, `phone`, `anonymous_id`, any other) or `profile_id`.",
        examples=["email"],
    ),
]
ValueText = Annotated[
    str,
    Path(description="Its value, in any way that events may write it.", examples=["lan@example.com", "0905 123 456"]),
]


class Wing:
    """What the routes work with, made from the opened parts."""

    def __init__(self, opened: Platform) -> None:
        settings = opened.settings
        self.opened = opened
        self.policy = Policy.of(settings.identity)
        self.prefix = settings.state.prefix
        self.people = People(opened.state, self.prefix, self.policy)
        partitions = opened.log.partitions(IDENTITY_CHANGES)
        self.graph = Graph(opened.state, self.prefix, self.policy, opened.clock, partitions=partitions)
        self.outbox = Outbox(opened.state, self.graph.where.outbox(BY_HAND))
        self.decisions = Decisions(self.graph, self.people, opened.log, self.outbox)
        self._cached = opened.settings.profiles.cache_seconds
        self.rebuilding: asyncio.Task[None] | None = None
        self.rebuilt: RebuildShown | None = None

    async def find(self, name: str, raw: str) -> Person:
        """The person behind an identifier. The id of a sure person, which segments and destinations have, answers with
        the likely profile. Raises `NotFoundError` or `InvalidError`."""
        try:
            return await self.people.find(name, raw)
        except NotFoundError:
            if name != PROFILE:
                raise
            likely = await profiles.likely_of(self.opened.warehouse, to_text(from_text(raw)))
            if likely is None:
                raise
            return await self.people.find(PROFILE, likely)

    async def recall(self, profile_id: str) -> Profile:
        """The profile as the warehouse has it; from the cache where nothing was stored about it since."""
        registry = self.opened.registry
        cache = Cache(self.opened.state, self.prefix, seconds=self._cached, stamp=stamp_of(registry))
        return await profiles.recall(cache, self.opened.warehouse, profile_id, rules_of(registry))


_WINGS: WeakKeyDictionary[Any, Wing] = WeakKeyDictionary()


def wing(opened: Opened) -> Wing:
    """The wing of this process; one per log, because that is opened once."""
    if (found := _WINGS.get(opened.log)) is None or found.opened is not opened:
        found = _WINGS[opened.log] = Wing(opened)
    return found


Here = Annotated[Wing, Depends(wing)]


class Word(StringConvertor):
    """A part of a path up to the first colon, so that a value may hold more of them."""

    regex = "[^/:]+"


register_url_convertor("word", Word())

reading = APIRouter(prefix="/api/v1/profiles", tags=["profiles"])
deciding = APIRouter(prefix="/api/v1/identity", tags=["identity"])


@reading.get(
    "/{type:word}:{value:path}/explain", summary="Explain why a profile is one person", operation_id="explain_profile"
)
async def explain(
    type: TypeName,
    value: ValueText,
    here: Here,
    _: MayRead,
    to: Annotated[
        str | None,
        Query(description="Only the links that lead to this identifier of the same person, as `type:value`."),
    ] = None,
) -> Explanation:
    """The observations that make up a person, and the links between them, in the order in which they lead on."""
    person = await here.find(type, value)
    links = _ordered(person)
    if to is not None:
        name, _colon, text = to.partition(":")
        other = await here.find(name, text)
        if other.id != person.id:
            raise ConflictError(f"{type}:{value} and {to} are different people.", code="different_people")
        links = path_between(list(person.links), person.oldest or b"", other.oldest or b"")
    return Explanation(
        profile_id=to_text(person.id),
        observations=[_observation(anchor, one) for anchor, one in person.observations.items()],
        links=[_link(link) for link in links],
        steps=[_step(link, person) for link in links],
    )


@reading.get(
    "/{type:word}:{value:path}/household", summary="See who may live with somebody", operation_id="read_household"
)
async def read_household(type: TypeName, value: ValueText, here: Here, _: MayRead) -> HouseholdShown:
    """Profiles that have in common what a household has, more than strangers would, the likeliest first.

    It is a relation and merges nobody. Empty while people are made by rules: see `GET /api/v1/identity/model`.
    """
    person = await here.find(type, value)
    await here.graph.ties()  # from now on the model in force
    found = await Households(here.opened.state, here.graph.where, here.people, here.graph.policy).of(person)
    return HouseholdShown(
        profile_id=to_text(person.id),
        members=[
            RelativeShown(profile_id=to_text(one.profile), probability=round(one.probability, 3), because=one.words)
            for one in found
        ],
    )


@reading.get("/{type:word}:{value:path}", summary="Read a profile", operation_id="read_profile")
async def read_profile(
    type: TypeName,
    value: ValueText,
    here: Here,
    _: MayRead,
    include: Annotated[
        str,
        Query(
            description="Also these, separated by commas: events, values, links, deliveries, anchors.",
            examples=["links"],
        ),
    ] = "",
) -> ProfileShown:
    """The person behind an identifier, as they are now. An absorbed id answers with the profile it is part of."""
    wanted = _wanted(include)
    person = await here.find(type, value)
    profile_id = to_text(person.id)
    known = await here.recall(profile_id)
    shown = ProfileShown(
        profile_id=profile_id,
        identifiers=[*map(_identifier, person.identifiers), *map(_device, person.devices)],
        traits=known.traits,
        provenance={name: _provenance(one) for name, one in known.provenance.items()},
        computed=_computed(known.purchases, here.opened),
        segments=sorted(known.segments),
        sure=[
            SureShown(
                profile_id=part.profile_id,
                identifiers=[_identifier(one) for one in part.identifiers],
                segments=part.segments,
            )
            for part in known.parts
        ],
        first_seen=at_text(known.first_seen) if known.events else None,
        last_seen=at_text(known.last_seen) if known.events else None,
        event_count=known.events,
        shared_with=[to_text(other) for other in person.others],
    )
    for part in wanted:
        setattr(shown, part, await INCLUDED[part](here, person, known))
    return shown


@deciding.post("/merge", summary="Join two people", operation_id="merge_profiles")
async def merge(body: MergeBody, here: Here, caller: MayDecide) -> DecisionShown:
    """Say that two are one person. It beats every limit, and takes back what kept them apart by hand."""
    cause = Cause(by=caller.key, reason=body.reason or "joined by hand")
    return _decision(await here.decisions.merge(body.left.pair, body.right.pair, cause))


@deciding.post("/split", summary="Part one person into two", operation_id="split_profile")
async def split(body: SplitBody, here: Here, caller: MayDecide) -> DecisionShown:
    """Say that two are not one person. It beats all evidence, now and in future; merging them takes it back."""
    cause = Cause(by=caller.key, reason=body.reason or "parted by hand")
    return _decision(await here.decisions.split(body.left.pair, body.right.pair, cause, deny=body.deny))


@deciding.post("/simulate", summary="Try other rules", operation_id="simulate_identity")
async def try_rules(body: SimulateBody, here: Here, _: MayDecide) -> Differences:
    """What would merge and split under other limits, priorities or blocked values, or by evidence. Changes nothing."""
    ties = await here.graph.ties()
    people = [await here.people.find(*one.pair) for one in body.identifiers]
    among = {anchor for person in people for anchor in person.observations}
    found = await simulate(
        here.opened.state,
        here.graph.where,
        here.people,
        _tried(here.graph.policy, body),
        ties,
        among=among,
        most=body.most,
        evidence=body.evidence,
    )
    return Differences(
        observations=found.observations,
        profiles_before=found.before,
        profiles_after=found.after,
        merges=[[to_text(profile) for profile in group] for group in found.merges],
        splits=[{"profile_id": to_text(profile), "parts": parts} for profile, parts in found.splits],
        complete=found.complete,
    )


@deciding.get("/review", summary="List possible matches", operation_id="review_matches")
async def review(
    here: Here,
    _: MayReview,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most people to look at for one page.")] = 100,
    after: Annotated[str, Query(max_length=40, description="`next` of the page before.")] = "",
) -> ReviewPage:
    """Observations that may be one person: kept apart by a limit, by hand or for what else they say, or likely one and
    not surely. Those looked at last first. Merge or split the two observations to decide."""
    if after and not after.isdigit():
        raise InvalidError("`after` is not a cursor of this list.", path="after")
    found = await here.people.review(before=int(after) if after else None, limit=limit)
    items = [
        ReviewShown(
            left=f"profile_id:{to_text(one.left_profile)}",
            right=f"profile_id:{to_text(one.right_profile)}",
            left_observation=to_text(one.refusal.left),
            right_observation=to_text(one.refusal.right),
            rule=one.refusal.rule,
            value=one.refusal.value,
            probability=ledger.probability(one.refusal),
            reason=one.refusal.reason,
        )
        for one in found
    ]
    return ReviewPage(items=items, next=str(min(one.version for one in found)) if len(found) >= limit else None)


@deciding.get("/model", summary="See by what people are made", operation_id="read_identity_model")
async def read_model(here: Here, _: MayReview) -> ModelShown:
    """By rules or by evidence, how much that was learnt from, and what it says of two observations that agree."""
    return await _model(here)


@deciding.post("/model", status_code=202, summary="Learn anew", operation_id="learn_identity_model")
async def learn(
    here: Here,
    _: MayDecide,
    force: Annotated[
        bool,
        Query(description="Use what is learnt even where it would be refused, if it can be used at all."),
    ] = False,
) -> ModelShown:
    """Learn a model from all that there is now, in the background; then everybody is looked at again by it.

    What is no model of people is refused, and the one in force stays: see `refused`.
    """
    standing = await standing_of(here.graph, here.opened)
    if not here.opened.settings.identity.evidence:
        raise ConflictError("CDP_IDENTITY__EVIDENCE is off: people are made by rules alone.", code="evidence_off")
    if standing.observations < FEWEST:
        told = (
            f"There are {standing.observations} distinct observations; nothing can be learnt from fewer than {FEWEST}."
        )
        raise ConflictError(told, code="too_few_observations")
    await here.opened.state.set(here.graph.where.asked, FORCE if force else b"1")
    return await _model(here)


@deciding.post(
    "/rebuild", summary="Compare the live graph with the ledger, or make it again", operation_id="rebuild_identity"
)
async def start_rebuild(
    here: Here,
    _: MayDecide,
    apply: Annotated[bool, Query(description="Make the live graph again where it differs.")] = False,
) -> RebuildShown:
    """Begin, unless it is under way. Ask for the state with GET; a small graph is done by the time this answers."""
    if here.rebuilding is None or here.rebuilding.done():
        here.rebuilt = RebuildShown(status="running", applied=apply)
        here.rebuilding = asyncio.create_task(_rebuild(here, here.rebuilt, apply=apply), name="identity:rebuild")
    await asyncio.wait([here.rebuilding], timeout=SOON)
    assert here.rebuilt is not None
    return here.rebuilt


@deciding.get("/rebuild", summary="See how far it is", operation_id="read_rebuild")
async def read_rebuild(here: Here, _: MayReview) -> RebuildShown:
    """The last comparison that was asked for in this process, or the one under way."""
    return here.rebuilt or RebuildShown(status="finished", applied=False)


async def _model(here: Wing) -> ModelShown:
    standing = await standing_of(here.graph, here.opened)
    asked = bool(await here.opened.state.exists(here.graph.where.asked))
    evidence = here.graph.policy.evidence
    return ModelShown(
        by="evidence" if evidence else "rules",
        status=_status(standing, enabled=here.opened.settings.identity.evidence, asked=asked),
        version=standing.model.version if standing.model else 0,
        learnt_from=standing.model.records if standing.model else 0,
        observations=standing.observations,
        next_at=standing.due_at,
        adopted=_judged(standing.adopted),
        refused=_judged(standing.refused),
        fields={
            name: [ComparedShown(how=how, probability=round(probability, 4)) for how, probability in levels]
            for name, levels in (evidence.alone() if evidence else {}).items()
        },
    )


def _judged(judged: Judged | None) -> JudgedShown | None:
    if judged is None:
        return None
    found = judged.judgement
    return JudgedShown(
        version=found.version,
        at=at_text(judged.at),
        observations=found.observations,
        sample=found.sample,
        people_before=found.before,
        people_after=found.after,
        merged=found.merged,
        split=found.split,
        largest_before=found.largest_before,
        largest_after=found.largest,
        generic=found.generic,
        pairs_expected=found.expected,
        pairs_joined=found.joined,
        reasons=list(found.reasons),
    )


def _status(standing: Standing, *, enabled: bool, asked: bool) -> ModelStatus:
    if not enabled:
        return "off"
    if asked:
        return "asked"
    if not standing.made:
        return "remaking"
    return "ready" if standing.model else "waiting"


async def _rebuild(here: Wing, shown: RebuildShown, *, apply: bool) -> None:
    """Compare, and make the live graph again if asked. What happens shows in `shown`."""

    def progress(done: int, total: int) -> None:
        shown.done, shown.total = done, total

    try:
        known = await rebuild.read_ledger(here.opened.warehouse)
        await adopt(here.graph, here.opened)
        if apply:
            await rebuild.apply(here.graph, known, here.outbox, progress)
            await here.decisions.flush()
        live = await rebuild.live_owners(here.opened.state, here.prefix)
        await here.graph.ties()
        found = await asyncio.to_thread(rebuild.compare, live, known, here.graph.policy)
        for name in ("equal", *found.__struct_fields__):
            setattr(shown, name, getattr(found, name))
        shown.status = "finished"
    except CdpError as error:
        shown.status, shown.problem = "failed", error.message
    except Exception as error:
        log.exception("rebuild.failed")
        shown.status, shown.problem = "failed", f"{type(error).__name__}: {error}"


def _wanted(include: str) -> list[str]:
    names = [name.strip() for name in include.split(",") if name.strip()]
    for name in names:
        if name not in INCLUDED:
            raise InvalidError(f"`include` knows {', '.join(INCLUDED)}; {name!r} is none of them.", path="include")
    return list(dict.fromkeys(names))


async def _events(here: Wing, person: Person, _: Profile) -> list[dict[str, Any]]:
    rows = await here.opened.warehouse.rows(QUERIES["events"], {"profile": to_text(person.id), "limit": ROWS})
    names = ("message_id", "anchor_id", "source", "type", "name", "at", "received_at", "user_id", "anonymous_id")
    return [
        dict(zip(names, (row[0], str(row[1]), *row[2:5], at_text(row[5]), at_text(row[6]), *row[7:9]), strict=True))
        | {"properties": msgspec.json.decode(row[9] or "{}"), "trace_id": row[10]}
        for row in rows
    ]


async def _links(here: Wing, person: Person, _: Profile) -> list[LinkShown]:
    return [_link(link) for link in _ordered(person)]


async def _deliveries(here: Wing, person: Person, known: Profile) -> list[dict[str, Any]]:
    ids = {to_text(person.id), *(part.profile_id for part in known.parts)}
    parameters = {"profiles": sorted(ids), "limit": ROWS}
    names = ("id", "destination", "connector", "segment", "action", "outcome", "attempt", "at", "reason", "trace_id")
    rows = await here.opened.warehouse.rows(QUERIES["deliveries"], parameters)
    return [dict(zip(names, (*row[:7], at_text(row[7]), *row[8:]), strict=True)) for row in rows]


async def _anchors(here: Wing, person: Person, _: Profile) -> list[dict[str, str]]:
    """The observations as the graph knows them, the sessions as the warehouse does."""
    rows = await here.opened.warehouse.rows(QUERIES["anchors"], {"profile": to_text(person.id), "limit": ANCHORS})
    kinds = {to_text(anchor): "observation" for anchor in person.observations}
    kinds |= {str(anchor): kind for anchor, kind in rows if kind == "session"}
    return [{"anchor_id": anchor, "kind": kind} for anchor, kind in sorted(kinds.items())]


async def _values(here: Wing, person: Person, known: Profile) -> dict[str, list[ValueSaid]]:
    found: dict[str, list[ValueSaid]] = {}
    for one in await profiles.said(here.opened.warehouse, to_text(person.id)):
        origin = known.provenance.get(one.name)
        value = ValueSaid(
            value=one.value,
            source=one.source,
            verified=one.verified,
            times=one.times,
            first_at=at_text(one.first_at),
            last_at=at_text(one.last_at),
            anchor_id=one.anchor_id,
            message_id=one.message_id,
            counts=origin is not None
            and (origin.source, origin.verified, origin.message_id) == (one.source, one.verified, one.message_id),
        )
        found.setdefault(one.name, []).append(value)
    return found


INCLUDED: dict[str, Callable[[Wing, Person, Profile], Awaitable[Any]]] = {
    "events": _events,
    "values": _values,
    "links": _links,
    "deliveries": _deliveries,
    "anchors": _anchors,
}


def _ordered(person: Person) -> list[Link]:
    """The links, each beginning where an earlier one ended, from the observation that was asked for."""
    reached = {person.oldest}
    waiting, ordered = list(person.links), list[Link]()
    while waiting:
        near = [link for link in waiting if link.left in reached or link.right in reached] or waiting[:1]
        for link in near:
            reached |= {link.left, link.right}
            waiting.remove(link)
        ordered += near
    return ordered


def _link(link: Link) -> LinkShown:
    return LinkShown(
        left=to_text(link.left),
        right=to_text(link.right),
        rule=link.rule,
        value=link.value,
        probability=ledger.probability(link),
        because=ledger.why(link.rule, link.value),
        model=link.model,
    )


def _step(link: Link, person: Person) -> str:
    left, right = (_words(person.observations.get(anchor)) for anchor in (link.left, link.right))
    how = f"likely ({link.probability:.0%}) one person" if link.rule == EVIDENCE else "one person"
    return f"{left} and {right} are {how}: {ledger.why(link.rule, link.value)}."


def _words(one: Observation | None) -> str:
    if one is None:
        return "an observation"
    named = f"{one.attributes['name']!r} " if "name" in one.attributes else ""
    values = ", ".join(f"{name} {value}" for name, value in one.identifiers)
    known = f"{values}; " if values else ""
    return f"{named}({known}first seen {at_text(one.first_seen)} from {one.source})"


def _observation(anchor: Anchor, one: Observation) -> ObservationShown:
    return ObservationShown(
        anchor_id=to_text(anchor),
        identifiers=[ValueShown(type=name, value=value) for name, value in one.identifiers],
        attributes=one.attributes,
        first_seen=at_text(one.first_seen),
        source=one.source,
    )


def _identifier(one: Sighted | KnownIdentifier) -> IdentifierShown:
    return IdentifierShown(type=one.type, value=one.value, first_seen=at_text(one.first_seen), sources=one.sources)


def _device(device: str) -> IdentifierShown:
    name, _, value = device.partition(":")
    return IdentifierShown(type=name, value=value, first_seen=None, sources=[])


def _provenance(one: Provenance) -> ProvenanceShown:
    return ProvenanceShown(
        source=one.source,
        at=at_text(one.at),
        verified=one.verified,
        rule=one.rule,
        anchor_id=one.anchor_id,
        message_id=one.message_id,
    )


def _computed(bought: Purchases, opened: Platform) -> ComputedShown:
    points = rfm(bought, opened.clock.now(), opened.settings.profiles)
    return ComputedShown(
        orders=bought.orders,
        first_order=at_text(bought.first_order) if bought.orders else None,
        last_order=at_text(bought.last_order) if bought.orders else None,
        revenue=bought.revenue,
        refunded=bought.refunded,
        ltv=bought.ltv,
        average_order=bought.average_order,
        favourite_category=bought.favourite_category,
        rfm=RfmShown(**points._asdict()) if points else None,
    )


def _decision(found: Decision) -> DecisionShown:
    return DecisionShown(
        changed=found.changed,
        left=to_text(found.left),
        right=to_text(found.right),
        decided=[f"{made.rule} {made.value}" for made in found.made],
        withdrawn=[f"{made.rule} {made.value}" for made in found.withdrawn],
    )


def _tried(policy: Policy, body: SimulateBody) -> Policy:
    return replace(
        policy,
        limits={**policy.limits, **by_type(body.limits, "limits")},
        limit=body.limit or policy.limit,
        limits_within={**policy.limits_within, **by_type(body.limits_within, "limits_within")},
        limit_period=body.limit_period or policy.limit_period,
        priorities=policy.priorities
        if body.priorities is None
        else tuple(by_type(dict.fromkeys(body.priorities, 0), "priorities")),
        observations_per_value=body.observations_per_value or policy.observations_per_value,
        identifiers=policy.identifiers.blocking(body.blocked_values),
    )


router = APIRouter()
router.include_router(reading)
router.include_router(deciding)
