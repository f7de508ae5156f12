"""Observations → people. Pure: the result depends on the set of observations, never on their order.

By evidence where the policy has a model (`identity.weighing`), else by rules alone: links are made like Kruskal makes a
spanning forest, the strongest first: what people asserted, aliases, then the identifier types by rank and their values
in order. All observations that share a value are joined, two clusters at a time, unless the join would break a limit
of a type at least as strong, or a deny:

    asserts ─► aliases ─► user_id ─► crm_id ─► loyalty_card ─► email ─► phone ─► other external ids

A generic value (see `identity.generic`) links nothing. Observations that hang together in any way form a component; one
above the policy's size does without its weakest links, as often as is needed to make it small.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from identity import weighing
from identity.forest import Forest
from identity.generic import generic_values
from identity.identifiers import Value
from identity.links import ALIAS, ASSERT, Clustering, Content, Link, Refusal, holders_of, links, together
from identity.observations import Anchor
from identity.policy import ACCOUNT, ALIAS_RANK, ALIASED, ALL, ASSERTED, Policy
from identity.ties import NO_TIES, Ties

__all__ = ["ALIAS", "ASSERT", "Clustering", "Content", "Link", "Refusal", "links"]


def partition(content: Content, policy: Policy, ties: Ties = NO_TIES) -> Clustering:
    """Everything at once: what the live graph arrives at step by step."""
    if policy.evidence is not None:
        return weighing.partition(content, policy, policy.evidence, ties)
    generic = generic_values(content, policy)
    return together(
        [
            cluster(part, policy, generic=generic, ties=ties, rank=rank)
            for part, rank in _fitting(content, policy, generic, ties, ALL)
        ]
    )


def components(
    content: Content, policy: Policy, *, generic: Container[Value] = (), ties: Ties = NO_TIES, rank: int = ALL
) -> Iterator[list[Anchor]]:
    """The observations that hang together through links of this rank or stronger."""
    holders = holders_of(content, policy)

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
    holders = {value: some for value, some in holders_of(content, policy).items() if value not in generic}
    forest = Forest(content, holders, policy, ties)
    if rank >= ASSERTED:
        forest.join_asserted()
    if rank >= ALIAS_RANK:
        forest.join_aliases()
    forest.join_values(rank)
    return Clustering(forest.groups, forest.links, forest.refusals)


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
