"""What shows that an identity graph is right: a stupid oracle, and small random worlds to try both on.

The oracle looks at everything at once and knows no indexes or shortcuts; the graph sees facts one by one, in any order.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from redis.asyncio import Redis

from cdp.clock import HOUR, MINUTE
from cdp.testing import START
from identity.cluster import partition
from identity.facts import Cause, Facts, Visit
from identity.generic import is_generic
from identity.identifiers import Value
from identity.observations import DAY, Anchor, Observation, anchor_of, from_text, session_anchor
from identity.policy import Policy
from identity.rebuild import live_owners
from identity.succession import ProfileId
from identity.ties import OBSERVATION, Tie, Ties

NAMES = ["lan", "hùng", "nguyễn văn an", "van an nguyen", "trần thị lan", "bình", "my", "hoa", "tú"]

Partition = frozenset[frozenset[Anchor]]


def people(facts: Facts, policy: Policy, ties: Collection[Tie] = ()) -> Partition:
    """Who is one person with whom: observations and sessions, by reading the rules word for word."""
    groups = clusters(facts.observations, policy, ties)
    person = {anchor: group for group in groups for anchor in group}
    return _with_sessions(facts, groups, {a: owner for a, (owner, _) in _owners(facts, person, policy).items()})


def sure_people(facts: Facts, policy: Policy, ties: Collection[Tie] = ()) -> Partition:
    """The same in the surer view."""
    if policy.evidence is None:
        return people(facts, policy, ties)
    found = partition(facts.observations, policy, Ties(ties))
    person = {anchor: frozenset(group) for group in found.clusters for anchor in group}
    surely = {anchor: frozenset(group) for group in found.sure for anchor in group}
    owners: dict[Anchor, Any] = {}
    for session, (owner, alone) in _owners(facts, person, policy).items():
        device = next(visit.device for visit in facts.visits.values() if visit.anchor == session)
        users = {surely[v.anchor] for v in facts.visits.values() if v.device == device and not v.session}
        owners[session] = session if alone and len(users) > 1 else owner
    return _with_sessions(facts, frozenset(surely.values()), owners)


def _with_sessions(facts: Facts, groups: Partition, owners: Mapping[Anchor, Any]) -> Partition:
    group_of: dict[Any, frozenset[Anchor]] = {anchor: group for group in groups for anchor in group}
    parts: dict[Any, set[Anchor]] = {group: set(group) for group in groups}
    for session, owner in owners.items():
        parts.setdefault(group_of.get(owner, owner), set()).add(session)
    return frozenset(map(frozenset, parts.values()))


def _owners(facts: Facts, person: Mapping[Anchor, frozenset[Anchor]], policy: Policy) -> dict[Anchor, tuple[Any, bool]]:
    """Each session's owner: an observation or whatever stands for nobody; and whether it is the device's only user."""
    sessions = (visit for visit in facts.visits.values() if visit.session)
    return {visit.anchor: _session_owner(visit, facts, person, policy) for visit in sessions}


def clusters(observations: Mapping[Anchor, Observation], policy: Policy, ties: Collection[Tie] = ()) -> Partition:
    """Which observations are one person. By evidence there is no stupider way than all at once."""
    if policy.evidence is not None:
        return frozenset(map(frozenset, partition(observations, policy, Ties(ties)).clusters))
    generic = {
        value
        for value in _values(observations.values())
        if is_generic(value, [one for one in observations.values() if value in one.identifiers], policy)
    }
    return frozenset(_clusters(observations, policy, ties, generic, policy.ranks))


async def live(state: Redis, prefix: str, *, sure: bool = False) -> Partition:
    """The partition that a graph in the state holds, in the surer view if `sure`."""
    found: dict[ProfileId, set[Anchor]] = {}
    for anchor, profile in (await live_owners(state, prefix, sure=sure)).items():
        found.setdefault(profile, set()).add(anchor)
    return frozenset(map(frozenset, found.values()))


def world(seed: int, events: int, *, users: int = 8, hours: float = 6) -> list[Facts]:
    """Random facts, one event each, in which few values meet often: shared devices, lent numbers, aliases."""
    rng = random.Random(seed)
    return [_event(rng, users, number, hours) for number in range(events)]


def together(facts: Iterable[Facts]) -> Facts:
    """Facts as one set."""
    union = Facts()
    for some in facts:
        for anchor, observation in some.observations.items():
            union.observe(anchor, observation, some.causes[anchor])
        for visit in some.visits.values():
            fresh = Visit(visit.device, visit.period, visit.anchor, visit.at, visit.seen, visit.session)
            union.visit(fresh, some.causes[visit.anchor])
    return union


def _event(rng: random.Random, users: int, number: int, hours: float) -> Facts:
    def some(kind: str, count: int) -> str:
        return f"{kind}{min(int(rng.expovariate(1.3) * count / 3), count - 1)}"

    identifiers: set[Value] = set()
    for kind, chance, count in (
        ("user_id", 0.35, users),
        ("email", 0.25, users),
        ("phone", 0.3, users),
        ("loyalty_card", 0.1, 4),
        ("crm_id", 0.1, users),
        ("zalo_id", 0.05, 3),
    ):
        if rng.random() < chance:
            identifiers.add((kind, some(kind[0], count)))
    if any(name == "user_id" for name, _ in identifiers) and rng.random() < 0.15:
        identifiers.add(("previous_id", some(rng.choice("ud"), users)))
    attributes = {"name": rng.choice(NAMES)} if rng.random() < 0.4 else {}
    if identifiers and rng.random() < 0.2:
        attributes["street"] = rng.choice(["19 hai ba trung", "5 le loi"])
    if identifiers and rng.random() < 0.2:
        attributes["birthday"] = rng.choice(["1990-02-03", "1985-11-20"])
    if identifiers and rng.random() < 0.4:
        attributes["period"] = f"2026-W{rng.randrange(1, 4):02d}"
    if len(identifiers) == 1 and not attributes and rng.random() < 0.7:
        attributes[DAY] = f"2026-01-{rng.randrange(1, 9):02d}"
    at = START + rng.randrange(int(hours * HOUR))
    device = f"anonymous_id:{some('d', 4)}" if rng.random() < 0.8 or not identifiers else ""
    facts, cause = Facts(), Cause(f"message-{number}", f"{number:032x}")
    period = at // (30 * MINUTE)
    if identifiers:
        values = tuple(sorted(identifiers))
        anchor = anchor_of(values, attributes)
        facts.observe(anchor, Observation(values, attributes, START + number, "web"), cause)
    else:
        anchor = session_anchor(device, period)
    if device:
        facts.visit(Visit(device, period, anchor, at, START + number, not identifiers), cause)
    return facts


def _session_owner(
    visit: Visit, facts: Facts, person: Mapping[Anchor, frozenset[Anchor]], policy: Policy
) -> tuple[Any, bool]:
    signins = [v for v in facts.visits.values() if v.device == visit.device and not v.session]
    for period in (visit.period, visit.period + 1):
        if closing := [v for v in signins if v.period == period]:
            return min((v.at, v.anchor) for v in closing)[1], False
    users = {person[v.anchor] for v in signins}
    if len(users) > policy.limit or len({v.anchor for v in signins}) > policy.observations_per_value:
        return visit.anchor, False
    if before := [v for v in signins if v.period == visit.period - 1]:
        return max((v.at, v.anchor) for v in before)[1], False
    return (min(v.anchor for v in signins), True) if len(users) == 1 else (visit.device, False)


def _clusters(
    observations: Mapping[Anchor, Observation],
    policy: Policy,
    ties: Collection[Tie],
    generic: set[Value],
    ranks: list[int],
) -> Iterable[frozenset[Anchor]]:
    rank, *weaker = ranks
    for component in _components(observations, policy, ties, generic, rank):
        part = {anchor: observations[anchor] for anchor in component}
        if len(part) <= policy.component_limit or not weaker:
            yield from _kruskal(part, policy, ties, generic, rank)
        else:
            yield from _clusters(part, policy, ties, generic, weaker)


def _components(
    observations: Mapping[Anchor, Observation], policy: Policy, ties: Collection[Tie], generic: set[Value], rank: int
) -> list[set[Anchor]]:
    found = [{anchor} for anchor in observations]
    for _, group in _groups(observations, policy, ties, generic, rank):
        touched = [component for component in found if component & set(group)]
        found = [component for component in found if component not in touched]
        if touched:
            found.append(set().union(*touched))
    return found


def _kruskal(
    observations: Mapping[Anchor, Observation], policy: Policy, ties: Collection[Tie], generic: set[Value], rank: int
) -> list[frozenset[Anchor]]:
    found: dict[Anchor, frozenset[Anchor]] = {anchor: frozenset({anchor}) for anchor in observations}
    for rule, group in _groups(observations, policy, ties, generic, rank):
        kept: list[Anchor] = []
        for anchor in group:
            for place, last in enumerate(kept):
                one, other = found[last], found[anchor]
                if one == other or _may_join(one, other, rule, observations, policy, ties):
                    found.update(dict.fromkeys(one | other, one | other))
                    kept[place] = anchor
                    break
            else:
                kept.append(anchor)
    return list(set(found.values()))


def _groups(
    observations: Mapping[Anchor, Observation], policy: Policy, ties: Collection[Tie], generic: set[Value], rank: int
) -> list[tuple[str, list[Anchor]]]:
    """What is to be joined, in order: the rule, and the observations that share something."""

    def holding(*values: Value) -> list[Anchor]:
        return sorted(
            a for a, one in observations.items() if any(v in one.identifiers and v not in generic for v in values)
        )

    groups: list[tuple[str, list[Anchor]]] = []
    if rank >= 0:
        pairs = sorted(sorted(tie.anchors) for tie in ties if tie.rule == "assert")
        groups += [("assert", sorted(pair)) for pair in pairs if set(pair) <= observations.keys()]
    values = sorted(_values(observations.values()), key=lambda value: (policy.order_of(value[0]), value))
    for name, text in values:
        if policy.rank(name) > rank or policy.identifiers.blocks((name, text)):
            continue
        if name == "previous_id":
            if holding(("user_id", text)) and holding((name, text)):
                groups.append(("alias", holding((name, text), ("user_id", text))))
        else:
            groups.append((name, holding((name, text))))
    return groups


def _may_join(
    one: frozenset[Anchor],
    other: frozenset[Anchor],
    rule: str,
    observations: Mapping[Anchor, Observation],
    policy: Policy,
    ties: Collection[Tie],
) -> bool:
    for tie in ties:
        if tie.rule == "deny" and any(
            _has(a, tie.left, observations) and _has(b, tie.right, observations)
            for a, b in ((one, other), (other, one))
        ):
            return False
    if rule == "assert":
        return True
    strength = policy.order_of("user_id" if rule == "alias" else rule)
    for name in {name for name, _ in _values(observations[anchor] for anchor in one | other)}:
        if policy.order_of(name) > strength or name == "previous_id":
            continue
        mine, theirs = (
            {text for anchor in side for kind, text in observations[anchor].identifiers if kind == name}
            for side in (one, other)
        )
        limit = policy.limit if rule == "alias" else policy.limit_of(name)
        if len(mine | theirs) > limit and len(mine | theirs) > max(len(mine), len(theirs)):
            return False
        worst, *before = (_most_at_once(side, name, observations) for side in (one | other, one, other))
        if mine and theirs and worst > policy.limits_within.get(name, worst) and worst > max(before):
            return False
    return True


def _most_at_once(group: frozenset[Anchor], name: str, observations: Mapping[Anchor, Observation]) -> int:
    """How many values of a type were said for the first time in the same period."""
    said = [
        (observations[a].attributes["period"], t)
        for a in group
        for k, t in observations[a].identifiers
        if k == name and "period" in observations[a].attributes
    ]
    first = {text: min(period for period, other in said if other == text) for _, text in said}
    return max((list(first.values()).count(period) for period in first.values()), default=0)


def _has(group: frozenset[Anchor], end: Value, observations: Mapping[Anchor, Observation]) -> bool:
    if end[0] == OBSERVATION:
        return from_text(end[1]) in group
    return any(end in observations[anchor].identifiers for anchor in group)


def _values(observations: Iterable[Observation]) -> set[Value]:
    return {value for one in observations for value in one.identifiers}
