"""The linker: records come and go one by one, and who is one person is always known.

    record ─► generic values hidden ─► blocking keys ─► pairs scored ─► links ─► components ─► people

The people are a function of which records there are, of the model, and of what was decided by hand: the order in which
records come, their repetition, and what has been removed again make no difference. A model is learnt from the records
themselves, early, and again whenever there are several times as many; with a `model` given, it is frozen.

Everything is in memory, nothing does I/O, and whatever one record costs is bounded (`identity.matching.limits`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Generic, NamedTuple

from identity.matching.changes import Change, changes_between
from identity.matching.clustering import CERTAIN, Join, Pairs, agglomerate, agglomerate_pairs, chain, groups
from identity.matching.components import Component, Components
from identity.matching.explanations import Explanation, explain
from identity.matching.generic import Owners
from identity.matching.index import Index
from identity.matching.learning import learn
from identity.matching.limits import Limits
from identity.matching.model import Model, assumed_model
from identity.matching.profiles import Profiles
from identity.matching.records import K, Values
from identity.matching.schema import Schema
from identity.matching.scoring import Levels, Scorer, bits, probability

# When a model is learnt: at so many records first, and again at so many times more; never from fewer than a few.
FIRST, AGAIN, FEW = 500, 4.0, 100
MANY = 8  # members from which a component is decided faster with matrices


class Views(NamedTuple):
    """How likely records must be one person: for counting people, and for acting on them."""

    likely: float = 0.5
    sure: float = 0.95


VIEWS, LIMITS = Views(), Limits()


class Changes(NamedTuple, Generic[K]):
    """What happened to clusters, in order, in both views."""

    likely: list[Change[K]]
    sure: list[Change[K]]

    def then(self, later: Changes[K]) -> Changes[K]:
        """This, and what came after."""
        return Changes(self.likely + later.likely, self.sure + later.sure)


class Doubt(NamedTuple, Generic[K]):
    """Two clusters that are likely, but not surely, one person: a possible match, for somebody to decide."""

    left: frozenset[K]
    right: frozenset[K]
    probability: float


class Decision(Generic[K]):
    """Who is who in a component: the weights of its pairs, its clusters in both views, and the joins in doubt."""

    __slots__ = ("doubts", "likely", "one_person", "seen", "sure", "weights")

    def __init__(self) -> None:
        self.weights: dict[K, dict[K, float]] = {}
        self.seen = 0  # how many of the component's members have been weighed
        self.one_person = True  # whether every pair is surely one person
        self.likely: list[frozenset[K]] = []
        self.sure: list[frozenset[K]] = []
        self.doubts: list[Join[K]] = []

    def copy(self) -> Decision[K]:
        """Its clusters, to compare with later ones."""
        copy: Decision[K] = Decision()
        copy.likely, copy.sure = self.likely, self.sure
        return copy

    def forget(self) -> None:
        """Weigh everything anew next time."""
        self.weights, self.seen, self.one_person = {}, 0, True


class Linker(Generic[K]):
    """Links records of a schema. A record is known by a key of any one type that can be hashed and sorted."""

    def __init__(
        self, schema: Schema, model: Model | None = None, *, views: Views = VIEWS, limits: Limits = LIMITS
    ) -> None:
        self.schema = schema
        self.limits = limits
        self._likely, self._sure = bits(views.likely), bits(views.sure)
        self._learn_at = FIRST if model is None else inf
        self._records: dict[K, Values] = {}
        self._owners: Owners[K] = Owners(schema)
        self._asserted: dict[K, set[K]] = defaultdict(set)
        self._denied: dict[K, set[K]] = defaultdict(set)
        self._levels = Levels(schema)
        self._begin(model or assumed_model(schema))

    def _begin(self, model: Model) -> None:
        """Begin with no record in, under a model."""
        self._index: Index[K] = Index(self.schema, model.keys, self.limits)
        self._visible: dict[K, Values] = {}
        self._judge(model)

    def _judge(self, model: Model) -> None:
        """Begin with nothing linked, under a model."""
        self.model = model
        self.scorer = Scorer(model, self._levels)
        self._components: Components[K] = Components(self.limits)
        self._decisions: dict[Component[K], Decision[K]] = {}

    # --- records

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, record: K) -> bool:
        return record in self._records

    def add(self, record: K, values: Values) -> Changes[K]:
        """Put a record in, or give it other values → what that changes. A repetition changes nothing."""
        return self.add_all([(record, values)])

    def add_all(self, records: Iterable[tuple[K, Values]]) -> Changes[K]:
        """Put records in → what they change together; cheaper than one by one, and the same people come out."""
        learnt: Changes[K] | None = None
        for record, values in records:
            known = self._records.get(record)
            if known == values:
                continue
            if known is not None:
                self._leave(record)
            self._enter(record, values)
            if len(self._records) >= self._learn_at:
                changes = self.refit()
                learnt = learnt.then(changes) if learnt else changes
        return learnt.then(self._settle()) if learnt else self._settle()

    def remove(self, record: K) -> Changes[K]:
        """Take a record out, as if it had never been there → what that changes."""
        if record in self._records:
            self._leave(record)
        return self._settle()

    def refit(self) -> Changes[K]:
        """Learn a model from the records that are in, and decide everything anew under it → what that changes.

        Nothing can be learnt from fewer than `FEW`: the model is the assumed one, for so many records.
        """
        changes = self._settle()
        if len(self._records) < FEW:
            return changes.then(self.adopt(assumed_model(self.schema, max(len(self._records), 2))))
        self._learn_at = len(self._records) * AGAIN
        persons = {record: number for number, cluster in enumerate(self.clusters()) for record in cluster}
        meetings = self._index.meetings()
        model = learn(
            self.schema,
            self.model.keys,
            dict(sorted(self._visible.items())),
            lambda record: meetings.get(record, ()),
            person_of=persons.__getitem__,
            people_of=self._owners.people,
            levels=self._levels,
            version=self.model.version + 1,
        )
        return changes if model is None else changes.then(self._take_over(model, meetings))

    def adopt(self, model: Model) -> Changes[K]:
        """Decide everything anew under another model → what that changes."""
        if model.keys == self.model.keys:
            return self._take_over(model, self._index.meetings())
        before = list(self._decisions.values())
        self._begin(model)
        for record in self._records:
            self._put(record)
        return self._settle(before)

    def _take_over(self, model: Model, meetings: Mapping[K, Iterable[K]]) -> Changes[K]:
        """Adopt a model of the same keys, under which the same records meet."""
        before = list(self._decisions.values())
        self._judge(model)
        done: set[K] = set()
        for record in self._records:
            self._link(record, done.intersection(meetings.get(record, ())))
            done.add(record)
        return self._settle(before)

    def _enter(self, record: K, values: Values) -> None:
        self._records[record] = values
        became_generic = self._owners.add(record, values) - {record}
        for other in became_generic:
            self._take(other)
        for one in (record, *sorted(became_generic)):
            self._put(one)

    def _leave(self, record: K) -> None:
        self._take(record)
        others = self._owners.remove(record, self._records.pop(record))
        for other in others:
            self._take(other)
        for other in sorted(others):
            self._put(other)

    def _put(self, record: K) -> None:
        """Bring a record together with others, link it, and find its component."""
        values = self._visible[record] = self._owners.visible(self._records[record])
        meeting = self._index.add(record, values)
        self._link(record, meeting.partners)
        if meeting.parted:
            self._part(meeting.parted)

    def _link(self, record: K, partners: Iterable[K]) -> None:
        """Link a record to those whom it meets and who are in, and find its component."""
        links = self.scorer.near(self._visible[record], partners, self._visible, self.limits.link)
        links.update((other, CERTAIN) for other in self._asserted.get(record, ()) if other in self._components)
        self._components.add(record, links)

    def _take(self, record: K) -> None:
        """The reverse of `_put`."""
        meeting = self._index.remove(record, self._visible.pop(record))
        self._components.remove(record)
        if meeting.met:
            self._meet(meeting.met)

    def _part(self, pairs: Iterable[tuple[K, K]]) -> None:
        """Unlink pairs that nothing brings together any more."""
        links, visible, meet = self._components.links, self._visible, self._index.meet
        self._components.unlink(
            (one, other)
            for one, other in _distinct(pairs)
            if links(one).get(other, CERTAIN) < CERTAIN and not meet(one, visible[one], other, visible[other])
        )

    def _meet(self, pairs: Iterable[tuple[K, K]]) -> None:
        """Link pairs that something brings together now."""
        links, visible, weigh = self._components.links, self._visible, self.scorer.weigh
        self._components.link(
            (one, other, weight)
            for one, other in _distinct(pairs)
            if other not in links(one) and (weight := weigh(visible[one], visible[other])) >= self.limits.link
        )

    # --- what was decided by hand

    def assert_one(self, left: K, right: K) -> Changes[K]:
        """Say that two records are one person's, whatever the evidence → what that changes. A denial beats it."""
        return self._decree(left, right, self._asserted)

    def deny_one(self, left: K, right: K) -> Changes[K]:
        """Say that two records are two people's, whatever the evidence → what that changes."""
        return self._decree(left, right, self._denied)

    def withdraw(self, left: K, right: K) -> Changes[K]:
        """Leave two records to the evidence again → what that changes."""
        return self._decree(left, right, None)

    def _decree(self, left: K, right: K, decisions: dict[K, set[K]] | None) -> Changes[K]:
        for one, other in ((left, right), (right, left)):
            for kept in (self._asserted, self._denied):
                kept[one].discard(other)
            if decisions is not None:
                decisions[one].add(other)
        if left in self._components and right in self._components:
            self._reconsider(left, right)
        return self._settle()

    def _reconsider(self, left: K, right: K) -> None:
        """Link two records, or not, as is decided now, and decide their components from nothing."""
        weight = self.scorer.weigh(self._visible[left], self._visible[right])
        met = right in self._index.partners(left, self._visible[left])
        if right in self._asserted[left]:
            self._components.link([(left, right, CERTAIN)])
        elif met and weight >= self.limits.link:
            self._components.link([(left, right, weight)])
        elif right in self._components.links(left):
            self._components.unlink([(left, right)])
        for one in (left, right):
            component = self._components.of(one)
            self._components.changed[component] = None
            if component in self._decisions:
                self._decisions[component].forget()

    def _weigh(self, left: K, right: K) -> float:
        """The weight of a pair, whoever decided it."""
        return self._decided(left, right) or self.scorer.weigh(self._visible[left], self._visible[right])

    def _decided(self, left: K, right: K) -> float:
        """The weight of a pair that somebody decided; else 0."""
        if right in self._denied.get(left, ()):
            return -CERTAIN
        return CERTAIN if right in self._asserted.get(left, ()) else 0.0

    # --- people

    def _settle(self, replaced: Iterable[Decision[K]] = ()) -> Changes[K]:
        """Decide what is undecided → how the clusters changed. `replaced` are decisions that are no more."""
        before = [*replaced]
        before += [self._decisions.pop(one) for one in self._components.gone if one in self._decisions]
        after = []
        for component in self._components.changed:
            decision = self._decisions.get(component)
            if decision is None:
                decision = self._decisions[component] = Decision()
            else:
                before.append(decision.copy())
            self._decide(component, decision)
            after.append(decision)
        self._components.gone.clear()
        self._components.changed.clear()
        likely = changes_between(_likely(before), _likely(after))
        if any(decision.likely is not decision.sure for decision in before + after):
            return Changes(likely, changes_between(_sure(before), _sure(after)))
        return Changes(likely, likely)  # nothing is in doubt, as for most records

    def _decide(self, component: Component[K], decision: Decision[K]) -> None:
        members = component.members
        if len(members) <= self.limits.component:
            if len(members) > 1:
                self._weigh_all(members, decision)
            if decision.one_person:
                decision.likely = decision.sure = [frozenset(members)]
                decision.doubts = []
                return
            joins = self._joins(sorted(members), decision)
        else:
            joins = chain(sorted(members), self._strongest(component), lambda one: self._denied.get(one, ()))
        decision.likely = decision.sure = [frozenset(one) for one in groups(members, joins, self._likely)]
        decision.doubts = [join for join in joins if join.bits < self._sure]
        if decision.doubts or self._sure < self._likely:
            decision.sure = [frozenset(one) for one in groups(members, joins, self._sure)]

    def _weigh_all(self, members: list[K], decision: Decision[K]) -> None:
        """Weigh every pair that has not been weighed."""
        weights, sure = decision.weights, self._sure
        for number in range(decision.seen, len(members)):
            one = members[number]
            mine = weights[one] = {}
            links = self._components.links(one)
            for other in members[:number]:
                weight = self._decided(one, other) or links.get(other) or self._weigh(one, other)
                mine[other] = weights[other][one] = weight
                if weight < sure:
                    decision.one_person = False
        decision.seen = len(members)

    def _joins(self, members: list[K], decision: Decision[K]) -> list[Join[K]]:
        weights = decision.weights
        if self.schema.profiles:
            return agglomerate(members, self._profiles, self._likely)
        if len(members) > MANY:
            return agglomerate_pairs(members, weights, self._likely)
        return agglomerate(members, lambda left, right: Pairs.of(weights[left][right]), self._likely)

    def _profiles(self, left: K, right: K) -> Profiles:
        return Profiles.of(self.scorer, self._visible[left], self._visible[right], self._decided(left, right))

    def _strongest(self, component: Component[K]) -> Iterator[tuple[float, K, K]]:
        for one in component.members:
            for other, weight in self._components.links(one).items():
                if one < other and weight >= component.bar:
                    yield weight, one, other

    def clusters(self, *, sure: bool = False) -> Iterator[frozenset[K]]:
        """The people: the records of each, in the one view or the other."""
        for decision in self._decisions.values():
            yield from decision.sure if sure else decision.likely

    def person_of(self, record: K, *, sure: bool = False) -> frozenset[K]:
        """The records of the person whose this one is."""
        decision = self._decisions[self._components.of(record)]
        return next(one for one in (decision.sure if sure else decision.likely) if record in one)

    def doubts(self) -> Iterator[Doubt[K]]:
        """Possible matches: clusters that are likely, but not surely, one person."""
        for decision in self._decisions.values():
            for join in decision.doubts:
                yield Doubt(frozenset(join.left), frozenset(join.right), probability(join.bits))

    def household_of(self, record: K) -> list[K]:
        """Records that are more likely of somebody else in the household than of the same person or a stranger."""
        mine = self._visible[record]
        found = []
        for other in self._index.partners(record, mine):
            household, chance = self.scorer.odds(mine, self._visible[other])
            if household > 1 + chance:
                found.append(other)
        return sorted(found)

    def why(self, left: K, right: K) -> Explanation:
        """Why two records are one person's, or not."""
        return explain(self.scorer, self._visible[left], self._visible[right], decided=self._decided(left, right))

    def path(self, left: K, right: K) -> list[K]:
        """The records that lead from one to another of the same person, such that the weakest step is the strongest
        that there is; empty when they are two people's."""
        person = self.person_of(left)
        if right not in person:
            return []
        reached: dict[K, tuple[float, K]] = {left: (inf, left)}
        done: set[K] = set()
        while right not in done:
            one = max(sorted(reached.keys() - done), key=lambda record: reached[record][0])
            done.add(one)
            for other in person - done:
                step = min(reached[one][0], self._weigh(one, other))
                if other not in reached or step > reached[other][0]:
                    reached[other] = (step, one)
        steps = [right]
        while steps[-1] != left:
            steps.append(reached[steps[-1]][1])
        return steps[::-1]

    # --- how it is

    @property
    def generic_values(self) -> list[tuple[str, str]]:
        """The values that too many people use, each after the name of its field."""
        return [(self.schema.fields[place].name, value) for place, value in self._owners.generic]

    @property
    def too_large(self) -> list[list[K]]:
        """The alarm: components that hang together only because their bar had to be raised."""
        return [component.members for component in self._decisions if component.bar > self.limits.link]

    def estimated_matches(self) -> float:
        """How many pairs of records are one person's: those the model counts among the pairs that meet, and those that
        follow from them."""
        found = self.model.match.pairs
        for cluster in self.clusters():
            if len(cluster) > 1:
                met = sum(len(cluster & self._index.partners(one, self._visible[one])) for one in cluster)
                found += (len(cluster) * (len(cluster) - 1) - met) / 2
        return found


def _likely(decisions: Iterable[Decision[K]]) -> list[frozenset[K]]:
    return [cluster for decision in decisions for cluster in decision.likely]


def _sure(decisions: Iterable[Decision[K]]) -> list[frozenset[K]]:
    return [cluster for decision in decisions for cluster in decision.sure]


def _distinct(pairs: Iterable[tuple[K, K]]) -> Iterable[tuple[K, K]]:
    """Pairs, whichever of the two comes first, once."""
    return dict.fromkeys((one, other) if one < other else (other, one) for one, other in pairs)
