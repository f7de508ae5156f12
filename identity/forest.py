"""Clusters while they grow: which observations are joined, by which links, and what may not be joined.

A join would break a limit when the two clusters together had more values of a type than the policy allows, and more
than either has already; a denial keeps apart whatever stands on its two sides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from identity.identifiers import Value
from identity.links import ALIAS, ASSERT, Content, Link, Refusal, holders_of
from identity.observations import Anchor, Observation
from identity.policy import ACCOUNT, ALIASED, PERIOD, Policy
from identity.ties import Ties

ANY = "~"  # a rule that every limit bounds, for it is weaker than every type


class Tree:
    """A tree of the forest: its observations, their distinct values by type, the denies they stand in.

    `periods`: in which each value was said first, by type, where there are limits within a period.
    """

    __slots__ = ("anchors", "marks", "periods", "values")

    def __init__(self, anchor: Anchor, one: Observation, marks: set[tuple[int, bool]]) -> None:
        self.anchors = [anchor]
        self.values: dict[str, set[str]] = defaultdict(set)
        self.periods: dict[str, dict[str, str]] = defaultdict(dict)
        period = one.attributes.get(PERIOD, "")
        for name, text in one.identifiers:
            self.values[name].add(text)
            if period:
                self.periods[name][text] = period
        self.marks = marks


class Forest:
    """All clusters of some observations, which at first stand alone. What is `generic` joins nobody."""

    def __init__(self, content: Content, policy: Policy, ties: Ties, generic: Container[Value]) -> None:
        holders = holders_of(content, policy)
        self._policy = policy
        self._ties = ties
        self._holders = {value: sorted(anchors) for value, anchors in holders.items() if value not in generic}
        self._tree_of = {
            anchor: Tree(anchor, one, ties.marks(anchor, one.identifiers)) for anchor, one in content.items()
        }
        self.links: list[Link] = []
        self.refusals: list[Refusal] = []

    @property
    def trees(self) -> list[Tree]:
        """The clusters, in the order of their first observations."""
        return sorted({id(tree): tree for tree in self._tree_of.values()}.values(), key=lambda tree: min(tree.anchors))

    @property
    def groups(self) -> list[list[Anchor]]:
        """The observations of each cluster."""
        return sorted(sorted(tree.anchors) for tree in self.trees)

    @property
    def refused(self) -> list[Refusal]:
        """What was refused, and is apart in the end: another join may have brought the two sides together."""
        return [one for one in self.refusals if self._tree_of[one.left] is not self._tree_of[one.right]]

    def tree_of(self, anchor: Anchor) -> Tree:
        """The cluster of an observation."""
        return self._tree_of[anchor]

    def join_asserted(self) -> None:
        """Join what somebody said is one person, whatever the limits."""
        for left, right in self._ties.asserts:
            if left in self._tree_of and right in self._tree_of:
                self._join([left, right], ASSERT, "")

    def join_aliases(self) -> None:
        """Join what an alias call said, as far as the account is known."""
        for value in sorted(value for value in self._holders if value[0] == ALIASED):
            if accounts := self._holders.get((ACCOUNT, value[1])):
                self._join(sorted({*accounts, *self._holders[value]}), ALIAS, value[1])

    def join_values(self, rank: int, weighed: Container[str] = ()) -> None:
        """Join what shares a value of a type of this rank or stronger, but for the types that are weighed instead."""
        shared = [value for value, anchors in self._holders.items() if len(anchors) > 1 and value[0] != ALIASED]
        for value in sorted(shared, key=lambda value: (self._policy.order_of(value[0]), value)):
            if self._policy.rank(value[0]) <= rank and value[0] not in weighed:
                self._join(self._holders[value], value[0], value[1])

    def unite(self, one: Tree, other: Tree, link: Link) -> Tree:
        """Make two clusters one."""
        if len(one.anchors) < len(other.anchors):
            one, other = other, one
        one.anchors += other.anchors
        one.marks |= other.marks
        for name, values in other.values.items():
            one.values[name] |= values
        for name, periods in other.periods.items():
            one.periods[name] = _earlier(one.periods[name], periods)
        for anchor in other.anchors:
            self._tree_of[anchor] = one
        self.links.append(link)
        return one

    def conflict(self, one: Tree, other: Tree, rule: str) -> str:
        """Why the two must stay apart; empty when they may join."""
        if any((number, not side) in other.marks for number, side in one.marks):
            return "kept apart by hand"
        if rule == ASSERT:
            return ""
        order_of = self._policy.order_of
        order = order_of(ACCOUNT if rule == ALIAS else rule)
        for name in one.values.keys() & other.values.keys():
            if name == ALIASED or (rule != ANY and order_of(name) > order):
                continue
            mine, theirs = one.values[name], other.values[name]
            together = len(mine | theirs)
            limit = self._limit(rule, name)
            if together > limit and together > max(len(mine), len(theirs)):
                return f"together they would have {together} values of {name}; the limit is {limit}"
            if (within := self._policy.limits_within.get(name)) and _crowded(one, other, name, within):
                return f"together they would get more than {within} values of {name} in one {self._policy.limit_period}"
        return ""

    def fit(self, trees: Iterable[Tree]) -> bool:
        """Whether these clusters may certainly all be one by evidence, in whatever order they join."""
        values: dict[str, set[str]] = defaultdict(set)
        periods: dict[str, dict[str, str]] = defaultdict(dict)
        marks: set[tuple[int, bool]] = set()
        for tree in trees:
            marks |= tree.marks
            for name, some in tree.values.items():
                values[name] |= some
            for name, said in tree.periods.items():
                periods[name] = _earlier(periods[name], said)
        within = self._policy.limits_within
        return (
            not any((number, not side) in marks for number, side in marks)
            and all(len(some) <= self._limit(ANY, name) for name, some in values.items() if name != ALIASED)
            and all(_busiest(periods[name]) <= limit for name, limit in within.items() if name in periods)
        )

    def _limit(self, rule: str, name: str) -> int:
        """How many values of a type a join by this rule may bring together."""
        policy = self._policy
        if rule == ALIAS:
            return policy.limit
        return max(policy.accounts, policy.limit_of(name)) if rule == ANY and name == ACCOUNT else policy.limit_of(name)

    def _join(self, anchors: Sequence[Anchor], rule: str, text: str) -> None:
        """Join what shares a value, each cluster to the first that may take it, linked to the one joined before."""
        kept: list[Anchor] = []
        for anchor in anchors:
            own = self._tree_of[anchor]
            reason = ""
            for place, last in enumerate(kept):
                tree = self._tree_of[last]
                refused = "" if tree is own else self.conflict(tree, own, rule)
                if not refused:
                    if tree is not own:
                        self.unite(tree, own, Link(last, anchor, rule, text))
                    kept[place] = anchor
                    break
                reason = reason or refused
            else:
                if kept:
                    self.refusals.append(Refusal(kept[0], anchor, rule, text, reason))
                kept.append(anchor)


def _crowded(one: Tree, other: Tree, name: str, limit: int) -> bool:
    """Whether the join would bring more new values into one period than are allowed, and than there were."""
    mine, theirs = one.periods[name], other.periods[name]
    worst = _busiest(_earlier(mine, theirs))
    return worst > limit and worst > max(_busiest(mine), _busiest(theirs))


def _earlier(mine: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """The first period of each value of both."""
    return {**mine, **{text: min(period, mine.get(text, period)) for text, period in theirs.items()}}


def _busiest(periods: Mapping[str, str]) -> int:
    """How many values came in the period in which most came."""
    return max(Counter(periods.values()).values(), default=0)
