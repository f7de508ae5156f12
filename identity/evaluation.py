"""How right a clustering is: pairwise, B-cubed and exact-cluster figures, and who was merged with whom. Pure.

Pairwise precision and recall count pairs of records; B-cubed (Bagga and Baldwin, 1998) is their mean over records, so
that a large cluster does not count for its square; exact is the share of clusters that are right to the last record.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, TypeVar

R = TypeVar("R", bound=Hashable)  # a record


class Score(NamedTuple):
    """Precision and recall, both from 0 to 1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Their harmonic mean."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


class OverMerge(NamedTuple):
    """A cluster that holds several people's records: how many of each, the most first."""

    cluster: Hashable
    people: tuple[tuple[Hashable, int], ...]


class Evaluation(NamedTuple):
    """How right a clustering is. `pairs` are those of one person in truth, `found` those in one cluster."""

    records: int
    clusters: int
    people: int
    pairs: int
    found: int
    pairwise: Score
    b_cubed: Score
    exact: Score
    largest: int
    over_merged: tuple[OverMerge, ...]

    @property
    def worst(self) -> int:
        """The most people in one cluster."""
        return max((len(one.people) for one in self.over_merged), default=1)

    @property
    def mixed(self) -> float:
        """The share of people who are in a cluster with somebody else."""
        return len({person for one in self.over_merged for person, _ in one.people}) / max(self.people, 1)


def evaluate(found: Mapping[R, Hashable], truth: Mapping[R, Hashable]) -> Evaluation:
    """Compare clusters by record with people by record. Records that either does not know are left out."""
    known = [(found[record], truth[record]) for record in found if record in truth]
    clusters, people = Counter(one for one, _ in known), Counter(one for _, one in known)
    both = Counter(known)
    together, in_cluster, of_person = _pairs(both.values()), _pairs(clusters.values()), _pairs(people.values())
    right = sum(count == clusters[cluster] == people[person] for (cluster, person), count in both.items())
    count = max(len(known), 1)
    return Evaluation(
        records=len(known),
        clusters=len(clusters),
        people=len(people),
        pairs=of_person,
        found=in_cluster,
        pairwise=Score(_share(together, in_cluster), _share(together, of_person)),
        b_cubed=Score(
            sum(n * n / clusters[cluster] for (cluster, _), n in both.items()) / count,
            sum(n * n / people[person] for (_, person), n in both.items()) / count,
        ),
        exact=Score(_share(right, len(clusters)), _share(right, len(people))),
        largest=max(clusters.values(), default=0),
        over_merged=_over_merged(both),
    )


def _over_merged(both: Mapping[tuple[Hashable, Hashable], int]) -> tuple[OverMerge, ...]:
    held: dict[Hashable, list[tuple[Hashable, int]]] = defaultdict(list)
    for (cluster, person), count in both.items():
        held[cluster].append((person, count))
    mixed = [
        OverMerge(cluster, tuple(sorted(people, key=lambda one: (-one[1], str(one[0])))))
        for cluster, people in held.items()
        if len(people) > 1
    ]
    return tuple(sorted(mixed, key=lambda one: (-len(one.people), -sum(n for _, n in one.people), str(one.cluster))))


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
