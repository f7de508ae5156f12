"""What a change of the evidence does to people: which clusters there were, and which there are instead. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Generic, NamedTuple

from identity.matching.records import K

Cluster = frozenset[K]


class Change(NamedTuple, Generic[K]):
    """Clusters that gave way to others. Both sides hold the same records, but for those that came or went."""

    before: tuple[frozenset[K], ...]
    after: tuple[frozenset[K], ...]

    @property
    def kind(self) -> str:
        """`new`, `gone`, `grown`, `shrunk`, `merged`, `split`, or `moved` for all else."""
        match len(self.before), len(self.after):
            case 0, _:
                return "new"
            case _, 0:
                return "gone"
            case 1, 1 if self.before[0] < self.after[0]:
                return "grown"
            case 1, 1 if self.before[0] > self.after[0]:
                return "shrunk"
            case 1, 1:
                return "moved"
            case _, 1:
                return "merged"
            case 1, _:
                return "split"
            case _:
                return "moved"


def changes_between(before: Iterable[frozenset[K]], after: Iterable[frozenset[K]]) -> list[Change[K]]:
    """The changes that lead from some clusters to others, each as small as can be; what stayed is no change."""
    old, new = set(before), set(after)
    if not old:
        return [Change((), (cluster,)) for cluster in new]  # as of most newcomers
    old, new = old - new, new - old
    for few, many in ((old, new), (new, old)):
        if len(few) == 1:
            (whole,) = few
            if not any(map(whole.isdisjoint, many)):
                return [Change((*old,), (*new,))]
    sides: dict[K, list[tuple[bool, frozenset[K]]]] = defaultdict(list)
    for is_new, clusters in ((False, old), (True, new)):
        for cluster in clusters:
            for record in cluster:
                sides[record].append((is_new, cluster))
    changes = []
    seen: set[tuple[bool, frozenset[K]]] = set()
    for start in [(False, one) for one in old] + [(True, one) for one in new]:
        if start in seen:
            continue
        seen.add(start)
        family = [start]
        for _, cluster in family:
            for record in cluster:
                for one in sides[record]:
                    if one not in seen:
                        seen.add(one)
                        family.append(one)
        changes.append(
            Change(
                tuple(cluster for is_new, cluster in family if not is_new),
                tuple(cluster for is_new, cluster in family if is_new),
            )
        )
    return changes
