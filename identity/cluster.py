"""Observations → people, by rules alone. Pure: the result depends on the set of observations, never on their order.

Links are made like Kruskal makes a spanning forest, the strongest first: what people asserted, aliases, then the
identifier types by rank and their values in order. All observations that share a value are joined, two clusters at a
time, unless the join would break a limit of a type at least as strong, or a deny:

    asserts ─► aliases ─► user_id ─► crm_id ─► loyalty_card ─► email ─► phone ─► other external ids

A generic value (see `identity.generic`) links nothing. Observations that hang together in any way form a component; one
above the policy's size does without its weakest links, as often as is needed to make it small.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from identity.generic import is_generic
from identity.identifiers import Value, type_of
from identity.observations import Anchor, Observation
from identity.policy import ACCOUNT, ALIAS_RANK, ALIASED, ALL, ASSERTED, PERIOD, Policy
from identity.ties import NO_TIES, Ties

ALIAS = "alias"
ASSERT: Final = "assert"

Content = Mapping[Anchor, Observation]


class Link(NamedTuple):
    """Two observations that are one person, and why: an identifier type, `alias` or `assert`, and what they share."""

    left: Anchor
    right: Anchor
    rule: str
    value: str


class Refusal(NamedTuple):
    """Two observations that share a value and are kept apart nevertheless."""

    left: Anchor
    right: Anchor
    rule: str
    value: str
    reason: str


class Clustering(NamedTuple):
    """The clusters, each sorted; the links that hold them together, a spanning forest; what was refused."""

    clusters: list[list[Anchor]]
    links: list[Link]
    refusals: list[Refusal]


def links(value: Value, policy: Policy) -> bool:
    """Whether observations that share the value may be one person for that."""
    return type_of(value[0]).kind not in ("device", "trace") and not policy.identifiers.blocks(value)


def partition(content: Content, policy: Policy, ties: Ties = NO_TIES) -> Clustering:
    """Everything at once: what the live graph arrives at step by step."""
    holders = _holders(content, policy)
    generic = {
        value
        for value, anchors in holders.items()
        if is_generic(value, [content[anchor] for anchor in anchors], policy)
    }
    parts = [
        cluster(part, policy, generic=generic, ties=ties, rank=rank)
        for part, rank in _fitting(content, policy, generic, ties, ALL)
    ]
    return Clustering(
        sorted(group for part in parts for group in part.clusters),
        [link for part in parts for link in part.links],
        [refusal for part in parts for refusal in part.refusals],
    )


def components(
    content: Content, policy: Policy, *, generic: Container[Value] = (), ties: Ties = NO_TIES, rank: int = ALL
) -> Iterator[list[Anchor]]:
    """The observations that hang together through links of this rank or stronger."""
    holders = _holders(content, policy)

    def holding(value: Value) -> Sequence[Anchor]:
        return holders.get(value, ())

    seen: set[Anchor] = set()
    for start in content:
        if start in seen:
            continue
        seen.add(start)
        found = [start]
        for anchor in found:
            identifiers = content[anchor].identifiers
            for other in neighbours(anchor, identifiers, holding, policy, generic=generic, ties=ties, rank=rank):
                if other in content and other not in seen:
                    seen.add(other)
                    found.append(other)
        yield found


def neighbours(
    anchor: Anchor,
    identifiers: Iterable[Value],
    holding: Callable[[Value], Sequence[Anchor]],
    policy: Policy,
    *,
    generic: Container[Value],
    ties: Ties,
    rank: int,
) -> Iterator[Anchor]:
    """The observations that a link of this rank or stronger could join to one. An alias needs the account to exist."""
    if rank >= ASSERTED:
        yield from ties.joined.get(anchor, ())
    for value in identifiers:
        name, text = value
        if value in generic:
            continue
        if name != ALIASED and policy.rank(name) <= rank:
            yield from holding(value)
        if rank >= ALIAS_RANK and name in (ACCOUNT, ALIASED):
            other = (ALIASED if name == ACCOUNT else ACCOUNT), text
            if other not in generic:
                yield from holding(other)


def cluster(
    content: Content,
    policy: Policy,
    *,
    generic: Container[Value] = (),
    ties: Ties = NO_TIES,
    rank: int = ALL,
) -> Clustering:
    """The people among the observations of one or more whole components, by links of this rank or stronger."""
    if len(content) == 1:
        return Clustering([list(content)], [], [])
    return _Forest(content, policy, generic, ties).grow(rank)


class _Cluster:
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


class _Forest:
    """The clusters while they grow."""

    def __init__(self, content: Content, policy: Policy, generic: Container[Value], ties: Ties) -> None:
        self._policy = policy
        self._ties = ties
        self._holders = {
            value: sorted(anchors) for value, anchors in _holders(content, policy).items() if value not in generic
        }
        self._cluster_of = {
            anchor: _Cluster(anchor, one, ties.marks(anchor, one.identifiers)) for anchor, one in content.items()
        }
        self._links: list[Link] = []
        self._refusals: list[Refusal] = []

    def grow(self, rank: int) -> Clustering:
        """Make every link up to the rank that may be made."""
        if rank >= ASSERTED:
            self._assert()
        if rank >= ALIAS_RANK:
            self._alias()
        shared = [value for value, anchors in self._holders.items() if len(anchors) > 1 and value[0] != ALIASED]
        for value in sorted(shared, key=lambda value: (self._policy.order_of(value[0]), value)):
            if self._policy.rank(value[0]) <= rank:
                self._join(self._holders[value], value[0], value[1])
        groups = {id(tree): sorted(tree.anchors) for tree in self._cluster_of.values()}
        return Clustering(sorted(groups.values()), self._links, self._refusals)

    def _assert(self) -> None:
        for left, right in self._ties.asserts:
            if left in self._cluster_of and right in self._cluster_of:
                self._join([left, right], ASSERT, "")

    def _alias(self) -> None:
        for value in sorted(value for value in self._holders if value[0] == ALIASED):
            if accounts := self._holders.get((ACCOUNT, value[1])):
                self._join(sorted({*accounts, *self._holders[value]}), ALIAS, value[1])

    def _join(self, anchors: Sequence[Anchor], rule: str, text: str) -> None:
        """Join what shares a value, each cluster to the first that may take it, linked to the one joined before."""
        kept: list[Anchor] = []
        for anchor in anchors:
            own = self._cluster_of[anchor]
            reason = ""
            for place, last in enumerate(kept):
                tree = self._cluster_of[last]
                refused = "" if tree is own else self._conflict(tree, own, rule)
                if not refused:
                    if tree is not own:
                        self._unite(tree, own)
                        self._links.append(Link(last, anchor, rule, text))
                    kept[place] = anchor
                    break
                reason = reason or refused
            else:
                if kept:
                    self._refusals.append(Refusal(kept[0], anchor, rule, text, reason))
                kept.append(anchor)

    def _conflict(self, one: _Cluster, other: _Cluster, rule: str) -> str:
        """Why the two must stay apart; empty when they may join."""
        if any((number, not side) in other.marks for number, side in one.marks):
            return "kept apart by hand"
        if rule == ASSERT:
            return ""
        order_of = self._policy.order_of
        order = order_of(ACCOUNT if rule == ALIAS else rule)
        for name in one.values.keys() & other.values.keys():
            if order_of(name) > order or name == ALIASED:
                continue
            mine, theirs = one.values[name], other.values[name]
            together = len(mine | theirs)
            limit = self._policy.limit if rule == ALIAS else self._policy.limit_of(name)
            if together > limit and together > max(len(mine), len(theirs)):
                return f"together they would have {together} values of {name}; the limit is {limit}"
            if (within := self._policy.limits_within.get(name)) and self._crowded(one, other, name, within):
                return f"together they would get more than {within} values of {name} in one {self._policy.limit_period}"
        return ""

    def _crowded(self, one: _Cluster, other: _Cluster, name: str, limit: int) -> bool:
        """Whether the join would bring more new values into one period than are allowed, and than there were."""
        mine, theirs = one.periods[name], other.periods[name]
        worst = _busiest(_earlier(mine, theirs))
        return worst > limit and worst > max(_busiest(mine), _busiest(theirs))

    def _unite(self, one: _Cluster, other: _Cluster) -> None:
        if len(one.anchors) < len(other.anchors):
            one, other = other, one
        one.anchors += other.anchors
        one.marks |= other.marks
        for name, values in other.values.items():
            one.values[name] |= values
        for name, periods in other.periods.items():
            one.periods[name] = _earlier(one.periods[name], periods)
        for anchor in other.anchors:
            self._cluster_of[anchor] = one


def _earlier(mine: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """The first period of each value of both."""
    return {**mine, **{text: min(period, mine.get(text, period)) for text, period in theirs.items()}}


def _busiest(periods: Mapping[str, str]) -> int:
    """How many values came in the period in which most came."""
    return max(Counter(periods.values()).values(), default=0)


def _holders(content: Content, policy: Policy) -> dict[Value, list[Anchor]]:
    holders: dict[Value, list[Anchor]] = defaultdict(list)
    for anchor, observation in content.items():
        for value in observation.identifiers:
            if links(value, policy):
                holders[value].append(anchor)
    return holders


def _fitting(
    content: Content, policy: Policy, generic: Container[Value], ties: Ties, rank: int
) -> Iterator[tuple[Content, int]]:
    """The components, and those above the size taken apart by the weakest links until they fit."""
    for found in components(content, policy, generic=generic, ties=ties, rank=rank):
        part = {anchor: content[anchor] for anchor in found}
        if len(part) <= policy.component_limit:
            yield part, rank
        else:
            yield from _fitting(part, policy, generic, ties, policy.ranks[policy.ranks.index(rank) + 1])
