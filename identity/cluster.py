"""Observations → people. Pure: the result depends on the set of observations, never on their order.

By evidence where the policy has a model (`identity.weighing`), else by rules alone (`identity.rules`). A generic value
(see `identity.generic`) links nothing. Observations that hang together in any way form a component; one that is too
large does without its weakest links, as often as is needed to make it small.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator

from identity.identifiers import Value
from identity.links import Clustering, Content, Whole, together
from identity.observations import Anchor
from identity.policy import ALL, Policy
from identity.rules import Rules
from identity.ties import NO_TIES, Ties
from identity.weighing import Weighed


def partition(content: Content, policy: Policy, ties: Ties = NO_TIES) -> Clustering:
    """Everything at once: what the live graph arrives at step by step."""
    return people_of(content, whole_of(content, policy, ties))


def people_of(content: Content, whole: Whole) -> Clustering:
    """Everything at once, by a whole that is perhaps asked more afterwards."""
    return together([whole.cluster(part, rank) for part, rank in fitting(content, whole)])


def whole_of(
    content: Content,
    policy: Policy,
    ties: Ties = NO_TIES,
    *,
    generic: Container[Value] | None = None,
    holding: Callable[[Value], Collection[Anchor]] | None = None,
) -> Whole:
    """What links these observations. `generic` and `holding` say what `content` does not, where it is not all."""
    links = Rules if policy.evidence is None else Weighed
    return links(content, policy, ties, generic=generic, holding=holding)


def components(starts: Iterable[Anchor], whole: Whole, rank: int = ALL) -> Iterator[list[Anchor]]:
    """What hangs together with these through links of this rank or stronger."""
    seen: set[Anchor] = set()
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        found = [start]
        for anchor in found:
            for other in whole.neighbours(anchor, rank):
                if other not in seen:
                    seen.add(other)
                    found.append(other)
        yield found


def fitting(starts: Iterable[Anchor], whole: Whole, rank: int = ALL) -> Iterator[tuple[list[Anchor], int]]:
    """The components, and those above the size taken apart by the weakest links until they fit; each with its rank."""
    for found in components(starts, whole, rank):
        if whole.size(found) <= whole.most_together(rank):
            yield found, rank
        else:
            yield from fitting(found, whole, whole.ranks[whole.ranks.index(rank) + 1])
