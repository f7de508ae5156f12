"""The linker's promise, written down as slowly as can be: who is who among some records, all at once."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from itertools import combinations
from math import inf

from rapidfuzz.distance import JaroWinkler

from cdp.forms.nicknames import alike
from identity.matching.clustering import CERTAIN, GRAIN, STRONGEST
from identity.matching.generic import SLIP, telling
from identity.matching.keys import KeyMaker
from identity.matching.limits import Limits
from identity.matching.model import Model
from identity.matching.records import Values
from identity.matching.scoring import Scorer

Pair = tuple[int, int]
Partition = set[frozenset[int]]


def partition(
    records: dict[int, Values],
    model: Model,
    limits: Limits,
    least: float,
    *,
    asserted: frozenset[Pair] = frozenset(),
    denied: frozenset[Pair] = frozenset(),
) -> Partition:
    """The people among records, by the rules alone. Decisions are pairs in order."""
    visible = _without_generic(records, model)
    scorer = Scorer(model)
    weights = {pair: scorer.weigh(visible[pair[0]], visible[pair[1]]) for pair in combinations(sorted(visible), 2)}
    links = {pair: weights[pair] for pair in _meeting(visible, model, limits) if weights[pair] >= limits.link}
    links |= {pair: CERTAIN for pair in asserted if pair in weights}
    weights |= dict.fromkeys(asserted, CERTAIN) | dict.fromkeys(denied, -CERTAIN)
    found: Partition = set()
    for component in _components(set(visible), links, limits.link, limits):
        if len(component) <= limits.component:
            found |= _clusters(component, weights, visible, scorer, least)
        else:
            found |= _chained(component, links, denied)
    return found


def _without_generic(records: dict[int, Values], model: Model) -> dict[int, Values]:
    names = {record: _name(values, model) for record, values in records.items()}
    hidden = set()
    for place, field in enumerate(model.schema):
        for value in {values[place] for values in records.values()} - {None}:
            users = {names[record] for record, values in records.items() if values[place] == value} - {frozenset()}
            if field.role.owners and any(
                all(_differ(one, other) for one, other in combinations(some, 2))
                for some in combinations(sorted(users, key=sorted), field.role.owners + 1)
            ):
                hidden.add((place, value))
    return {
        record: tuple(None if (place, value) in hidden else value for place, value in enumerate(values))
        for record, values in records.items()
    }


def _name(values: Values, model: Model) -> frozenset[str]:
    for place in model.schema.places("name"):
        if name := values[place]:
            return telling(name)
    return frozenset(word for place in model.schema.places("given") if (word := values[place]))


def _differ(one: frozenset[str], other: frozenset[str]) -> bool:
    return not any(a == b or alike(a, b) or JaroWinkler.similarity(*sorted((a, b))) >= SLIP for a in one for b in other)


def _meeting(visible: dict[int, Values], model: Model, limits: Limits) -> set[Pair]:
    met = set()
    for key in model.keys:
        buckets = defaultdict(list)
        make = KeyMaker(model.schema, [key])
        for record in sorted(visible):
            for made in make(visible[record]):
                buckets[made].append(record)
        for bucket in buckets.values():
            if key.owned(model.schema):
                met |= {pair for pair in combinations(bucket, 2) if pair[0] in bucket[: limits.representatives]}
            elif len(bucket) <= limits.bucket:
                met |= set(combinations(bucket, 2))
    return met


def _components(records: set[int], links: dict[Pair, float], bar: float, limits: Limits) -> list[set[int]]:
    found = []
    left = set(records)
    while left:
        component = {left.pop()}
        while True:
            more = {
                one
                for (a, b), weight in links.items()
                if weight >= bar and (a in component) != (b in component)
                for one in (a, b)
                if one in records
            } - component
            if not more:
                break
            component |= more
        left -= component
        if len(component) <= limits.component or bar >= limits.ceiling:
            found.append(component)
        else:
            found += _components(component, links, min(bar + limits.step, limits.ceiling), limits)
    return found


def _clusters(
    component: set[int], weights: dict[Pair, float], visible: dict[int, Values], scorer: Scorer, least: float
) -> Partition:
    @cache
    def near(mine: tuple[int, ...], theirs: tuple[int, ...]) -> float:
        return _near(mine, theirs, weights, visible, scorer)

    clusters = [(one,) for one in sorted(component)]
    while len(clusters) > 1:
        nearest = max(combinations(clusters, 2), key=lambda pair: near(*pair))  # of equals the first
        if near(*nearest) < least:
            break
        clusters = sorted([sum(nearest, ()), *(one for one in clusters if one not in nearest)], key=min)
    return {frozenset(cluster) for cluster in clusters}


def _near(
    mine: tuple[int, ...],
    theirs: tuple[int, ...],
    weights: dict[Pair, float],
    visible: dict[int, Values],
    scorer: Scorer,
) -> float:
    pairs = [(min(a, b), max(a, b)) for a in mine for b in theirs]
    between = [weights[pair] for pair in pairs]
    if min(between) <= -CERTAIN:
        return -inf
    if max(between) >= CERTAIN:
        return CERTAIN
    if scorer.model.schema.profiles:
        return _as_wholes([(visible[a], visible[b]) for a, b in pairs], scorer)
    clipped = [round(max(-STRONGEST, min(STRONGEST, weight)) * GRAIN) / GRAIN for weight in between]
    return (min(max(between), STRONGEST) + sum(clipped) / len(clipped)) / 2


def _as_wholes(pairs: list[tuple[Values, Values]], scorer: Scorer) -> float:
    patterns = [scorer.pattern(mine, theirs) for mine, theirs in pairs]
    whole: list[int | None] = []
    frequencies = []
    for place, field in enumerate(scorer.model.schema):
        levels = sorted(level for pattern in patterns if (level := pattern[place]) is not None)
        enough = (number for number, _ in enumerate(levels, start=1) if number >= field.role.typical * len(levels))
        whole.append(levels[next(enough) - 1] if levels else None)
        if whole[-1] == 0:
            shared = [value for mine, theirs in pairs if (value := mine[place]) and value == theirs[place]]
            frequencies.append(min(scorer.frequency(place, value) for value in shared))
    return scorer.weight_of(whole, frequencies)


def _chained(component: set[int], links: dict[Pair, float], denied: frozenset[Pair]) -> Partition:
    clusters = [{one} for one in component]
    inside = [(pair, weight) for pair, weight in links.items() if set(pair) <= component]
    for (left, right), _ in sorted(inside, key=lambda link: (-link[1], link[0])):
        mine = next(cluster for cluster in clusters if left in cluster)
        theirs = next(cluster for cluster in clusters if right in cluster)
        if mine is not theirs and not any((min(a, b), max(a, b)) in denied for a in mine for b in theirs):
            clusters.remove(theirs)
            mine |= theirs
    return {frozenset(cluster) for cluster in clusters}
