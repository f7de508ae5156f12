"""The records of one component → people: the strongest evidence joins first, and nothing joins against the evidence.

Joins are made the nearest first, down to a least likelihood; so a stricter view of the same component is a beginning of
the same list of joins, and views nest. How near two clusters are is a matter of what records are:

- Records of a table each stand for a person: the mean of the best pair and of all pairs (`Pairs`). The best pair alone
  would chain strangers together; all pairs alone would part a person some of whose records are poor.
- Records of a stream each say a part: what both clusters say as wholes (`identity.matching.profiles`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Generic, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from identity.matching.records import K

Floats = NDArray[np.float64]

CERTAIN = 1_000.0  # the weight of what somebody asserted; its negative is a denial
GRAIN = 1 << 20  # parts of a bit that are told apart
STRONGEST = 10.0  # no pair counts for more than so many bits, nor against more


class Evidence(Protocol):
    """What speaks for two clusters being one person, and against it."""

    @property
    def bits(self) -> float:
        """How much; minus infinity where somebody denied it."""
        ...

    def also(self, other: Any) -> Any:
        """The evidence of this cluster and another, now one, towards a third."""
        ...


class Join(NamedTuple, Generic[K]):
    """Two clusters of a component that become one: by how many bits, and what they hold."""

    bits: float
    left: list[K]
    right: list[K]


class Pairs(NamedTuple):
    """Of all pairs of two clusters: the best and the worst, their sum and their number."""

    best: float
    worst: float
    total: float
    number: int

    @classmethod
    def of(cls, bits: float) -> Pairs:
        """The evidence of one pair. It is rounded, so that a sum is the same in any order."""
        return cls(bits, bits, round(max(-STRONGEST, min(STRONGEST, bits)) * GRAIN) / GRAIN, 1)

    @property
    def bits(self) -> float:
        """The mean of the best pair and of all pairs, unless somebody has decided."""
        if self.worst <= -CERTAIN:
            return -inf
        if self.best >= CERTAIN:
            return CERTAIN
        return (min(self.best, STRONGEST) + self.total / self.number) / 2

    def also(self, other: Pairs) -> Pairs:
        """The pairs of both."""
        return Pairs(
            max(self.best, other.best),
            min(self.worst, other.worst),
            self.total + other.total,
            self.number + other.number,
        )


def agglomerate(members: Sequence[K], evidence: Callable[[K, K], Evidence], least: float) -> list[Join[K]]:
    """The joins of a component's members, the nearest first, none below `least` bits.

    `members` come in an order that does not depend on who came first: it breaks ties.
    """
    clusters = {number: [one] for number, one in enumerate(members)}
    known: list[dict[int, Evidence]] = [{} for _ in members]
    for number, one in enumerate(members):
        for before in range(number):
            known[number][before] = known[before][number] = evidence(members[before], one)
    near = [{number: one.bits for number, one in row.items()} for row in known]
    nearest = [_nearest(row) for row in near]
    joins: list[Join[K]] = []
    while len(clusters) > 1:
        kept = max(clusters, key=lambda number: (nearest[number][0], -number))
        bits, minus_other = nearest[kept]
        if bits < least:
            break
        other = -minus_other
        joins.append(Join(bits, clusters[kept], clusters[other]))
        clusters[kept] = clusters[kept] + clusters.pop(other)
        mine, theirs = known[kept], known[other]
        for third in clusters:
            if third == kept:
                continue
            both = mine[third] = known[third][kept] = mine[third].also(theirs[third])
            near[kept][third] = near[third][kept] = both.bits
            del near[third][other]
            if nearest[third][1] in (-kept, minus_other):
                nearest[third] = _nearest(near[third])
            else:
                nearest[third] = max(nearest[third], (both.bits, -kept))
        del near[kept][other]
        nearest[kept] = _nearest(near[kept])
    return joins


def agglomerate_pairs(members: Sequence[K], weights: Mapping[K, Mapping[K, float]], least: float) -> list[Join[K]]:
    """What `agglomerate` does with `Pairs` of these weights, to the last bit, for a component of many members."""
    bits = np.asarray([[0.0 if one == other else weights[one][other] for other in members] for one in members])
    total = np.round(np.clip(bits, -STRONGEST, STRONGEST) * GRAIN) / GRAIN
    best, worst, number = bits.copy(), bits.copy(), np.ones_like(bits)
    near = _nearness(best, worst, total, number)
    np.fill_diagonal(near, -inf)
    clusters = {place: [one] for place, one in enumerate(members)}
    gone = np.zeros(len(members), bool)
    joins: list[Join[K]] = []
    while len(clusters) > 1:
        kept, other = divmod(int(near.argmax()), len(members))
        if near[kept, other] < least:
            break
        joins.append(Join(float(near[kept, other]), clusters[kept], clusters[other]))
        clusters[kept] = clusters[kept] + clusters.pop(other)
        np.maximum(best[kept], best[other], out=best[kept])
        np.minimum(worst[kept], worst[other], out=worst[kept])
        total[kept] += total[other]
        number[kept] += number[other]
        for matrix in (best, worst, total, number):
            matrix[:, kept] = matrix[kept]
        gone[other] = True
        row = _nearness(best[kept], worst[kept], total[kept], number[kept])
        row[gone] = row[kept] = -inf
        near[kept] = near[:, kept] = row
        near[other] = near[:, other] = -inf
    return joins


def _nearness(best: Floats, worst: Floats, total: Floats, number: Floats) -> Floats:
    """`Pairs.bits`, many at once."""
    bits = (np.minimum(best, STRONGEST) + total / number) / 2
    return np.where(worst <= -CERTAIN, -inf, np.where(best >= CERTAIN, CERTAIN, bits))


def _nearest(row: Mapping[int, float]) -> tuple[float, int]:
    """The bits of the nearest cluster, and its number negated: of equals the first."""
    return max(((bits, -number) for number, bits in row.items()), default=(-inf, 0))


def chain(
    members: Sequence[K], links: Iterable[tuple[float, K, K]], parted: Callable[[K], Collection[K]]
) -> list[Join[K]]:
    """The joins of a component too large to look at every pair: its strongest links, except against a denial.

    `parted` says from whom somebody keeps a record apart.
    """
    cluster_of = {one: [one] for one in members}
    joins: list[Join[K]] = []
    for bits, left, right in sorted(links, key=lambda link: (-link[0], link[1], link[2])):
        mine, theirs = cluster_of[left], cluster_of[right]
        if mine is theirs or any(cluster_of.get(enemy) is theirs for one in mine for enemy in parted(one)):
            continue
        joins.append(Join(bits, mine, theirs))
        cluster_of.update(dict.fromkeys(both := mine + theirs, both))
    return joins


def groups(members: Sequence[K], joins: Iterable[Join[K]], least: float) -> list[list[K]]:
    """The clusters of a component's members after all joins of at least so many bits."""
    cluster_of = {one: [one] for one in members}
    for join in joins:
        if join.bits < least:
            break
        cluster_of.update(dict.fromkeys(both := join.left + join.right, both))
    return list({id(cluster): cluster for cluster in cluster_of.values()}.values())
