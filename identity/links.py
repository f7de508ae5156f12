"""What clustering says: who is one person, what holds each person together, and what was refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from identity.identifiers import Value, type_of
from identity.observations import Anchor, Observation
from identity.policy import Policy

ALIAS: Final = "alias"
ASSERT: Final = "assert"
EVIDENCE: Final = "evidence"

Content = Mapping[Anchor, Observation]


class Link(NamedTuple):
    """Two observations that are one person, and why: an identifier type, `alias`, `assert` or `evidence`.

    `value` is what they share, or of evidence the levels in words. `probability` is 0 where the rule says it; of
    evidence it is no higher than that of any link that was made before, so the links above a probability are the
    people of that view. `model` is the version of the model that weighed it.
    """

    left: Anchor
    right: Anchor
    rule: str
    value: str
    probability: float = 0.0
    model: int = 0


class Refusal(NamedTuple):
    """Two observations that share a value, or are alike, and are kept apart nevertheless.

    `probability`: of evidence, how likely they were one person.
    """

    left: Anchor
    right: Anchor
    rule: str
    value: str
    reason: str
    probability: float = 0.0


class Clustering(NamedTuple):
    """The clusters, each sorted; the links that hold them together, a spanning forest; what was refused.

    `sure` are the clusters of the stricter view, each a part of one of the others; rules alone have but one view.
    """

    clusters: list[list[Anchor]]
    links: list[Link]
    refusals: list[Refusal]
    sure: Sequence[list[Anchor]] = ()


class Whole(Protocol):
    """All observations, or as many as are read, and what links them: by rules or by evidence.

    `ranks` say how far links may be weak, from all of them to none.
    """

    ranks: Sequence[int]

    def most_together(self, rank: int) -> int:
        """How many observations a component of a rank may have."""
        ...

    def size(self, part: Collection[Anchor]) -> int:
        """How large a component is in this respect."""
        ...

    def neighbours(self, anchor: Anchor, rank: int) -> Iterator[Anchor]:
        """The observations that a link of this rank or stronger could join to one."""
        ...

    def cluster(self, part: Collection[Anchor], rank: int) -> Clustering:
        """The people of one whole component, by links of this rank or stronger."""
        ...


def together(parts: Sequence[Clustering]) -> Clustering:
    """Several components as one."""
    return Clustering(
        sorted(group for part in parts for group in part.clusters),
        [link for part in parts for link in part.links],
        [refusal for part in parts for refusal in part.refusals],
        sorted(group for part in parts for group in part.sure),
    )


def links(value: Value, policy: Policy) -> bool:
    """Whether observations that share the value may be one person for that."""
    return type_of(value[0]).kind not in ("device", "trace") and not policy.identifiers.blocks(value)


def keys_of(anchor: Anchor, observation: Observation, policy: Policy) -> list[Value]:
    """Everything by which an observation is found: its identifiers, and blocking keys where people are weighed."""
    identifiers, evidence = observation.identifiers, policy.evidence
    return [*identifiers, *(evidence.keys(anchor, observation) if evidence else ())]


def holders_of(content: Content, policy: Policy) -> dict[Value, list[Anchor]]:
    """Which observations hold each value that may link them."""
    holders: dict[Value, list[Anchor]] = defaultdict(list)
    for anchor, observation in content.items():
        for value in observation.identifiers:
            if links(value, policy):
                holders[value].append(anchor)
    return holders
