"""What links observations by rules alone: they share a value of a type that links.

Links are made like Kruskal makes a spanning forest, the strongest first: what people asserted, aliases, then the
identifier types by rank and their values in order. All observations that share a value are joined, two clusters at a
time, unless the join would break a limit of a type at least as strong, or a deny:

    asserts ─► aliases ─► user_id ─► crm_id ─► loyalty_card ─► email ─► phone ─► other external ids
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence

from identity.forest import Forest
from identity.generic import generic_values
from identity.identifiers import Value
from identity.links import Clustering, Content, holders_of, links
from identity.observations import Anchor
from identity.policy import ACCOUNT, ALIAS_RANK, ALIASED, ASSERTED, Policy
from identity.ties import NO_TIES, Ties


class Rules:
    """A `Whole` whose links are rules."""

    def __init__(
        self,
        content: Content,
        policy: Policy,
        ties: Ties = NO_TIES,
        *,
        generic: Container[Value] | None = None,
        holding: Callable[[Value], Collection[Anchor]] | None = None,
    ) -> None:
        """`generic` and `holding` say what only the whole knows, where `content` is not all of it."""
        self.ranks: Sequence[int] = policy.ranks
        self._content = content
        self._policy = policy
        self._ties = ties
        self._generic = generic_values(content, policy) if generic is None else generic
        self._holding = holding or _Holders(holders_of(content, policy)).__getitem__

    def most_together(self, rank: int) -> int:
        """How many observations a component may have, of whatever rank."""
        return self._policy.component_limit

    def size(self, part: Collection[Anchor]) -> int:
        """How many they are."""
        return len(part)

    def neighbours(self, anchor: Anchor, rank: int) -> Iterator[Anchor]:
        """The observations that a link of this rank or stronger could join to one. An alias needs the account."""
        return (other for other in self._beside(anchor, rank) if other in self._content)

    def _beside(self, anchor: Anchor, rank: int) -> Iterator[Anchor]:
        if rank >= ASSERTED:
            yield from self._ties.joined.get(anchor, ())
        for value in self._content[anchor].identifiers:
            name, text = value
            if value in self._generic or not links(value, self._policy):
                continue
            if name != ALIASED and self._policy.rank(name) <= rank:
                yield from self._holding(value)
            if rank >= ALIAS_RANK and name in (ACCOUNT, ALIASED):
                other = (ALIASED if name == ACCOUNT else ACCOUNT), text
                if other not in self._generic:
                    yield from self._holding(other)

    def cluster(self, part: Collection[Anchor], rank: int) -> Clustering:
        """The people of one whole component, by links of this rank or stronger."""
        if len(part) == 1:
            return Clustering([list(part)], [], [])
        content = {anchor: self._content[anchor] for anchor in part}
        forest = Forest(content, self._policy, self._ties, self._generic)
        if rank >= ASSERTED:
            forest.join_asserted()
        if rank >= ALIAS_RANK:
            forest.join_aliases()
        forest.join_values(rank)
        return Clustering(forest.groups, forest.links, forest.refused)


class _Holders(dict[Value, list[Anchor]]):
    """Who holds each value that may link."""

    def __missing__(self, value: Value) -> list[Anchor]:
        return []
