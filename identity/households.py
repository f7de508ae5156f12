"""Who may live with somebody: people apart who have in common what a household has, more than strangers would.

The evidence of two observations is for one person, for two of a household, and for strangers. Whoever is not one person
is of the household as far as that is likelier than chance:

    probability = H·h(g) / (H·h(g) + (Σ N·n(g) + R·r(g)) · f)        see `identity.matching.scoring`

A household is a relation and never a profile: it merges nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from redis.asyncio import Redis

from identity import keys
from identity.evidence import Evidence
from identity.identifiers import Value
from identity.keys import Keys
from identity.links import Content, keys_of
from identity.matching.records import Values
from identity.observations import Anchor
from identity.people import People, Person
from identity.policy import Policy
from identity.succession import ProfileId
from identity.weighing import Weighed

LIKELY = 0.5
MOST = 1_000  # observations of others that are looked at


class Relative(NamedTuple):
    """A profile that may be of the household, how likely, and how the two observations compare that say so."""

    profile: ProfileId
    probability: float
    words: str


class Households:
    """Reads the live graph. `policy` is the one in force, with the model if there is one."""

    def __init__(self, state: Redis, where: Keys, people: People, policy: Policy) -> None:
        self._state = state
        self._where = where
        self._people = people
        self._policy = policy

    async def of(self, person: Person) -> list[Relative]:
        """Who may live with a person, the likeliest first; nobody while people are made by rules."""
        if self._policy.evidence is None:
            return []
        mine = person.observations
        others = await self._people.observations(await self._near(mine))
        content = {**others, **mine}
        whole = Weighed(content, self._policy, generic=await self._generic(content), holding=lambda _: ())
        anchors = sorted(others)
        owners = dict(zip(anchors, await self._people.owners(anchors), strict=True))
        best: dict[ProfileId, Relative] = {}
        for anchor, probability, words in relatives(mine, others, whole):
            owner = owners[anchor]
            if (
                owner is not None
                and owner != person.id
                and (owner not in best or probability > best[owner].probability)
            ):
                best[owner] = Relative(owner, probability, words)
        return sorted(best.values(), key=lambda one: (-one.probability, one.profile))

    async def _near(self, mine: Content) -> list[Anchor]:
        """The others who have a key in common that is not too common."""
        wanted = sorted({key for anchor, one in mine.items() for key in keys_of(anchor, one, self._policy)})
        if not wanted:
            return []
        found: Any = await self._state.mget([self._where.posting(key) for key in wanted])
        near: dict[Anchor, None] = {}
        for key, packed in zip(wanted, found, strict=True):
            holders = keys.anchors(packed)
            if len(holders) <= self._policy.most_holders(key[0]):
                near.update(dict.fromkeys(anchor for anchor in holders if anchor not in mine))
        return sorted(near)[:MOST]

    async def _generic(self, content: Content) -> set[Value]:
        """The values that are nobody's own."""
        said = sorted({value for one in content.values() for value in one.identifiers})
        if not said:
            return set()
        found: Any = await self._state.mget([self._where.generic(value) for value in said])
        return {value for value, flag in zip(said, found, strict=True) if flag is not None}


def relatives(mine: Content, others: Content, whole: Weighed) -> Iterator[tuple[Anchor, float, str]]:
    """The others who are likely of the household of who said `mine`, each with the probability and the words.

    `whole` knows what all of them say, without what is generic.
    """
    values, evidence = whole.values, whole.evidence
    for anchor in others:
        found = max(((_shared(values(one), values(anchor), evidence), one) for one in mine), default=(0.0, b""))
        if found[0] > LIKELY:
            yield anchor, found[0], evidence.words(values(found[1]), values(anchor))


def _shared(left: Values, right: Values, evidence: Evidence) -> float:
    household, chance = evidence.scorer.odds(left, right)
    return household / (household + chance) if household else 0.0
