"""Records → a model, without labels: expectation maximisation over the pairs that blocking keys bring together.

Matches and households learn what they are like; coincidences are rigid: given the key, everything else agrees as it
does by chance. A class that may move in every field would eat the matches. Frequencies count people, not records:
otherwise a faithful customer's address would look common. People are those of the partition when learning begins.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from identity.matching.keys import CUTS, Key
from identity.matching.model import SECOND_OWNER, Kind, Model, assumed_match
from identity.matching.records import K, Values
from identity.matching.schema import Role, Schema
from identity.matching.scoring import Levels, together

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SEED = 5
RANDOM_PAIRS = 100_000
BLOCKED_PAIRS = 300_000
PAIRS_OF_A_PART = 4_000
HOLDING = 0.7  # how often one person's identifiers of a type are the same, at least
MOST_ROUNDS = 60
CONVERGED = 1e-4  # the largest change of a class's share in a round that ends learning
MANY_CODES = 1 << 48  # from here on patterns are numbered anew
RAREST = 5e-5  # no value is believed to be rarer, unless one person owns it
PLACEHOLDER = 10.0  # people, and times as many as on average, beyond which any value is one
AGREEING = 0.98  # how often a coincidence agrees on its key's own fields
ABSENT = 0.001  # how often it lacks one of them
ANYTHING = 0.002  # how often a member of a household has any given value of somebody else's, beyond chance
# How much the first idea of a class weighs: a share of its pairs, and so many pairs more.
TRUST_IN_MATCH, TRUST_IN_OTHERS = (0.10, 5.0), (0.05, 3.0)


def learn(
    schema: Schema,
    keys: tuple[Key, ...],
    records: Mapping[K, Values],
    near: Callable[[K], Iterable[K]],
    *,
    person_of: Callable[[K], Hashable],
    people_of: Callable[[int, str], int],
    levels: Levels,
    version: int,
) -> Model | None:
    """What pairs of these records are like; None while no two are brought together.

    `near` says which records one is compared with; `person_of` says whose a record is taken to be so far,
    and `people_of` how many people use a value that one person owns, by the place of its field.
    """
    # 1. Pairs are sampled.
    random = np.random.default_rng(SEED)
    pairs = _sampled(records, near, random)
    if pairs is None:
        return None
    # 2. Records become numbers, and pairs distinct patterns of levels.
    columns = _Columns(schema, list(records.values()), levels)
    patterns, weights = _patterns(columns, pairs)
    # 3. What chance does: how often people agree on a value is counted; how else values compare is sampled.
    people: dict[Hashable, int] = {}
    owners = np.asarray([people.setdefault(person_of(record), len(people)) for record in records], np.int64)
    chance = [_chance(columns, place, owners, people_of, random) for place in range(len(schema))]
    # 4. Expectation and maximisation in turn, until nothing changes.
    learners = _learners(schema, keys, columns, chance, random)
    owned = [bool(field.role.owners) for field in schema]
    shares = _maximise(learners, [one.levels for one in chance], owned, patterns, weights)
    kinds = [_kind(learner, float(share)) for learner, share in zip(learners, shares * weights.sum(), strict=True)]
    household = kinds.pop(1) if any(field.role.shared for field in schema) else None
    count = len(records)
    return Model(
        schema,
        keys,
        kinds[0],
        household,
        tuple(kinds[1:]),
        Kind(count * (count - 1) / 2, tuple((*one.levels.tolist(), 1.0) for one in chance)),
        tuple(one.rarity for one in chance),
        tuple(float(one.rarest) for one in chance),
        version,
        count,
        tuple(float(one.average) for one in chance),
    )


# --- what chance does


class _Columns:
    """Records as numbers: `codes[record, field]` is the number of a value, -1 where there is none."""

    def __init__(self, schema: Schema, records: Sequence[Values], levels: Levels) -> None:
        self.schema = schema
        self.counts = [len(field.comparison.words) for field in schema]
        self.values: list[list[str]] = []
        self.codes = np.empty((len(records), len(schema)), np.int64)
        self._levels = levels
        for place in range(len(schema)):
            numbers: dict[str | None, int] = {None: -1}
            self.codes[:, place] = [numbers.setdefault(one[place], len(numbers) - 1) for one in records]
            self.values.append([value for value in numbers if value is not None])

    def compare(self, place: int, left: Ints, right: Ints, *, remember: bool = False) -> Ints:
        """The levels of one field for pairs of records; one more than the last where a value is missing.

        Pairs that meet by chance alone are not worth remembering.
        """
        mine, theirs = self.codes[left, place], self.codes[right, place]
        missing = (mine < 0) | (theirs < 0)
        differ = ~missing & (mine != theirs)
        found = np.where(missing, self.counts[place], 0)
        if differ.any():
            found[differ] = self._differing(place, mine[differ], theirs[differ], remember=remember)
        return found

    def _differing(self, place: int, mine: Ints, theirs: Ints, *, remember: bool) -> Ints:
        values = self.values[place]
        pairs, where = np.unique(np.minimum(mine, theirs) << 32 | np.maximum(mine, theirs), return_inverse=True)
        compare = self._levels if remember else self._levels.afresh
        found = [compare(place, values[pair >> 32], values[pair & 0xFFFFFFFF]) for pair in pairs.tolist()]
        return np.asarray(found, np.int64)[where]


class _Chance(NamedTuple):
    """Of one field: the levels of two people's values, and how much more frequent than on average each value is."""

    levels: Floats
    rarity: dict[str, float]
    rarest: float
    average: float = 0.0


def _chance(
    columns: _Columns, place: int, owners: Ints, people_of: Callable[[int, str], int], random: np.random.Generator
) -> _Chance:
    """Count how often people agree on a value; sample how else their values compare."""
    role = columns.schema.fields[place].role
    codes = columns.codes[:, place]
    values = columns.values[place]
    if role.worded:
        named, rarest, equal = _words(values, codes, owners)
        return _Chance(_levels(columns, place, equal, random), named, rarest, equal)
    if role.owners:
        people = np.asarray([people_of(place, value) for value in values], float)
    else:
        held = codes >= 0
        pairs = np.unique(owners[held] * len(values) + codes[held])
        people = np.bincount(pairs % max(len(values), 1), minlength=len(values)).astype(float)
    total = max(people.sum(), 2.0)
    equal = float((people * (people - 1)).sum() / (total * (total - 1)))
    equal = min(max(equal, SECOND_OWNER / total if role.owners else 0.0, 1e-7), 0.95)
    rarity, rarest = _frequencies(role, people, equal)
    known = np.flatnonzero(rarity != rarest)
    named = {values[code]: float(rarity[code]) for code in known.tolist()}
    return _Chance(_levels(columns, place, equal, random), named, rarest)


def _levels(columns: _Columns, place: int, equal: float, random: np.random.Generator) -> Floats:
    """How two people's values compare, who agree so often."""
    left, right = random.integers(0, len(columns.codes), (2, RANDOM_PAIRS))
    apart = left != right
    rest = _spread(columns.compare(place, left[apart], right[apart]), columns.counts[place])[1:]
    return np.concatenate([[equal], rest / rest.sum() * (1 - equal)])


def _words(values: Sequence[str], codes: Ints, owners: Ints) -> tuple[dict[str, float], float, float]:
    """The share of people who have each word, that of a word not known yet, and how often two people agree on all."""
    names = {(owner, values[code]) for owner, code in zip(owners.tolist(), codes.tolist(), strict=True) if code >= 0}
    words: dict[int, set[str]] = defaultdict(set)
    for owner, name in names:
        words[owner].update(name.split())
    total = max(len(words), 2)
    count = Counter(word for some in words.values() for word in some)
    shares = {word: found / total for word, found in count.items() if found > 1}
    rarest = 1.5 / total
    equal = fsum(together(name, shares, rarest) for _, name in names) / max(len(names), 1)
    return shares, rarest, min(max(equal, 1e-7), 0.95)


def _frequencies(role: Role, people: Floats, equal: float) -> tuple[Floats, float]:
    """How much more frequent than on average each value is that two people agree on, and one that is not known yet."""
    total = max(people.sum(), 2.0)
    if role.owners:
        return (np.maximum(people - 1, 0) + SECOND_OWNER) / total / equal, SECOND_OWNER / total / equal
    if role.weighed:
        least = max(RAREST, 1.5 / total)
        return np.maximum(people / total, least) / equal, least / equal
    frequency = people / total / equal
    return np.where((frequency > PLACEHOLDER) & (people > PLACEHOLDER), frequency, 1.0), 1.0


def _spread(found: Ints, count: int) -> Floats:
    """How often each of `count` levels was found; no level is impossible."""
    spread = np.bincount(found[found < count], minlength=count) + 0.5
    return np.asarray(spread / spread.sum(), np.float64)


# --- which pairs there are


class _Pairs(NamedTuple):
    """Pairs of records, each of which stands for so many."""

    left: Ints
    right: Ints
    weight: float


def _sampled(records: Iterable[K], near: Callable[[K], Iterable[K]], random: np.random.Generator) -> _Pairs | None:
    """Distinct pairs: records are taken by chance, each with all whom it is compared with, until there are enough."""
    order = list(records)
    place_of = {record: place for place, record in enumerate(order)}
    found: set[int] = set()  # both places in one number
    taken = 0
    for place in random.permutation(len(order)).tolist():
        if len(found) >= BLOCKED_PAIRS:
            break
        taken += 1
        for record in near(order[place]):
            other = place_of[record]
            if other != place:
                found.add(place << 32 | other if place < other else other << 32 | place)
    if not found:
        return None
    pairs = np.sort(np.fromiter(found, np.int64, len(found)))
    missed = 1 - taken / len(order)  # of a record; a pair is missed when both are
    return _Pairs(pairs >> 32, pairs & 0xFFFFFFFF, 1 / (1 - missed * missed))


def _patterns(columns: _Columns, pairs: _Pairs) -> tuple[Ints, Floats]:
    """The distinct patterns of levels among pairs, and how many pairs have each."""
    levels = [columns.compare(place, pairs.left, pairs.right, remember=True) for place in range(len(columns.schema))]
    codes = np.zeros(len(pairs.left), np.int64)  # a pattern as one number, which sorts as the pattern does
    for count, level in zip(columns.counts, levels, strict=True):
        if codes.max() > MANY_CODES:
            codes = np.unique(codes, return_inverse=True)[1]
        codes = codes * (count + 1) + level
    _, first, found = np.unique(codes, return_index=True, return_counts=True)
    return np.stack([level[first] for level in levels], axis=1), np.asarray(found * pairs.weight, np.float64)


# --- what is learnt from them


@dataclass
class _Learner:
    """A class of pairs while it is learnt: its first idea, which fields may move, and how much the idea is trusted.

    Where a value is missing says nothing, except in a coincidence of that very field.
    """

    levels: list[Floats]
    free: list[bool]
    trust: tuple[float, float]
    missing: list[float]
    weighed: bool = True


def _kind(learner: _Learner, pairs: float) -> Kind:
    """What has been learnt of a class, and how many pairs it has."""
    levels = [(*map(float, one), missing) for one, missing in zip(learner.levels, learner.missing, strict=True)]
    return Kind(pairs, tuple(levels), learner.weighed)


def _learners(
    schema: Schema, keys: tuple[Key, ...], columns: _Columns, chance: Sequence[_Chance], random: np.random.Generator
) -> list[_Learner]:
    """Matches, households if anything tells them, and a coincidence for each key."""
    match = [np.asarray(assumed_match(count)) for count in columns.counts]
    shared = [field.role.shared for field in schema]
    silent = [1.0] * len(schema)
    learners = [_Learner(match, [True] * len(schema), TRUST_IN_MATCH, silent, weighed=False)]
    if any(shared):
        apart = [(1 - ANYTHING) * one.levels + ANYTHING / len(one.levels) for one in chance]
        household = [one if common else other for common, one, other in zip(shared, match, apart, strict=True)]
        learners.append(_Learner(household, shared, TRUST_IN_OTHERS, silent, weighed=False))
    learners += [_coincidence(key, schema, columns, chance, random) for key in keys]
    return learners


def _coincidence(
    key: Key, schema: Schema, columns: _Columns, chance: Sequence[_Chance], random: np.random.Generator
) -> _Learner:
    """Strangers whom a key brought together: they agree on it. Who agrees on one place may agree on others as well."""
    cuts = {part.place: part.cut for part in key.parts}
    levels = []
    for place, one in enumerate(chance):
        if place not in cuts:
            levels.append(one.levels)
        elif cuts[place]:
            levels.append(_given_a_part(columns, place, cuts[place], random, otherwise=one.levels))
        else:
            others = len(one.levels) - 1
            levels.append(np.asarray([AGREEING, *[(1 - AGREEING) / others] * others]))
    local = any(schema.fields[place].role.place for place in cuts)
    free = [local and field.role.place and place not in cuts for place, field in enumerate(schema)]
    missing = [ABSENT if place in cuts else 1.0 for place in range(len(schema))]
    return _Learner(levels, free, TRUST_IN_OTHERS, missing)


def _given_a_part(columns: _Columns, place: int, cut: str, random: np.random.Generator, *, otherwise: Floats) -> Floats:
    """The levels of two people's values that agree on a part of them."""
    codes = columns.codes[:, place]
    part_of = [CUTS[cut](value) for value in columns.values[place]]
    groups: dict[str, list[int]] = defaultdict(list)
    for record in np.flatnonzero(codes >= 0).tolist():
        if part := part_of[codes[record]]:
            groups[part].append(record)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return otherwise
    size = np.asarray([len(group) for group in several])
    chosen = random.choice(len(several), PAIRS_OF_A_PART, p=size * (size - 1) / (size * (size - 1)).sum())
    first = (random.random(PAIRS_OF_A_PART) * size[chosen]).astype(np.int64)
    second = (random.random(PAIRS_OF_A_PART) * (size[chosen] - 1)).astype(np.int64)
    second += second >= first
    left = np.asarray([several[group][one] for group, one in zip(chosen, first, strict=True)])
    right = np.asarray([several[group][one] for group, one in zip(chosen, second, strict=True)])
    return _spread(columns.compare(place, left, right), columns.counts[place])


def _maximise(
    learners: list[_Learner], chance: Sequence[Floats], owned: Sequence[bool], patterns: Ints, weights: Floats
) -> Floats:
    """Learn the classes in place → each one's share of the pairs. `owned` says which fields are identifiers."""
    ideas = [[levels.copy() for levels in learner.levels] for learner in learners]
    shares = np.full(len(learners), 1 / len(learners))
    total = weights.sum()
    most = max(3.0, 0.01 * total / len(learners))
    for _ in range(MOST_ROUNDS):
        belongs = _expect(learners, shares, patterns) * weights[:, None]
        pairs = belongs.sum(axis=0) + 0.5
        for number, learner in enumerate(learners):
            share, more = learner.trust
            trust = share * pairs[number] + more
            _move(learner, ideas[number], patterns, belongs[:, number], trust if number == 0 else min(most, trust))
        learners[0].levels = [
            _falling(_holding(match) if owned else match, one)
            for match, one, owned in zip(learners[0].levels, chance, owned, strict=True)
        ]
        before, shares = shares, pairs / pairs.sum()
        if np.abs(shares - before).max() < CONVERGED:
            break
    return shares


def _move(learner: _Learner, idea: Sequence[Floats], patterns: Ints, belongs: Floats, trust: float) -> None:
    """Let a class be like the pairs that belong to it, as far as it may move and is not held by its first idea."""
    for place in np.flatnonzero(learner.free).tolist():
        count = len(idea[place])
        found = patterns[:, place] < count
        seen = np.bincount(patterns[found, place], weights=belongs[found], minlength=count) + trust * idea[place]
        learner.levels[place] = seen / seen.sum()


def _expect(learners: Sequence[_Learner], shares: Floats, patterns: Ints) -> Floats:
    """How likely each pattern belongs to each class."""
    logs = np.tile(np.log(shares), (len(patterns), 1))
    for place in range(patterns.shape[1]):
        table = np.log(
            np.stack([np.append(learner.levels[place], learner.missing[place]) for learner in learners], axis=1)
        )
        logs += table[patterns[:, place]]
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float64)


def _holding(match: Floats) -> Floats:
    """Identifiers are what one person has in common with themselves, mostly.

    Else the class of matches may settle on what many strangers agree on, such as half a name and half a number.
    """
    return match if match[0] >= HOLDING else np.asarray([HOLDING, *(match[1:] / match[1:].sum() * (1 - HOLDING))])


def _falling(match: Floats, chance: Floats) -> Floats:
    """A better level never speaks less for one person than a worse one."""
    levels = np.minimum.accumulate(match / chance) * chance
    return np.asarray(levels / levels.sum(), np.float64)
