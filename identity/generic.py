"""Generic values: what so many people share that it says nothing of who somebody is (a hotline, a cashier's number).

How often a value is seen is no test, for a loyal customer is seen often; what counts is how many *different people* its
observations speak of: distinct ids that are issued to one person, or names that cannot be one person's. Beyond a number
of observations that say different things there is no more to be looked at; what is said again on another day is nothing
different.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdp.forms import names
from identity.evidence import NAME
from identity.identifiers import Value, type_of
from identity.links import Content, holders_of
from identity.observations import Observation
from identity.policy import Policy


def generic_values(content: Content, policy: Policy) -> set[Value]:
    """The values that link nothing among all observations that there are."""
    return {
        value
        for value, anchors in holders_of(content, policy).items()
        if is_generic(value, [content[anchor] for anchor in anchors], policy)
    }


def is_generic(value: Value, observations: Sequence[Observation], policy: Policy) -> bool:
    """Whether the value links nothing. `observations` are all that hold it; their order makes no difference."""
    if len(observations) > policy.most_holders(value[0]):
        return True
    if _is_crowded(observations, policy.most_observations(value[0])):
        return True
    if policy.evidence is not None:
        given = (observation.attributes.get(NAME, "") for observation in observations)
        return policy.evidence.is_generic(value[0], given)
    if len(observations) <= policy.limit:
        return False
    if any(_distinct(observations, kind) > policy.limit for kind in _issued(observations, value[0])):
        return True
    if people(observation.attributes.get(NAME, "") for observation in observations) <= policy.limit:
        return False
    # An account keeps its meaning while its owner changes names, not when the ways to reach its owner change too.
    return type_of(value[0]).kind == "contact" or any(
        _distinct(observations, kind) > policy.limit for kind in ("email", "phone")
    )


def people(given: Iterable[str]) -> int:
    """How many people the names speak of at least: names that share no telling word are two people's."""
    found: list[frozenset[str]] = []
    for words in sorted({telling(name) for name in given}, key=lambda words: (len(words), sorted(words))):
        if words and not any(words & known for known in found):
            found.append(words)
    return len(found)


def telling(name: str) -> frozenset[str]:
    """The words of a name, folded, that tell people apart; none when it has none."""
    found = names.read(name)
    return found.telling if found else frozenset()


def _is_crowded(observations: Sequence[Observation], most: int) -> bool:
    """Whether they say more different things than that."""
    return len(observations) > most and len({observation.on_any_day for observation in observations}) > most


def _issued(observations: Sequence[Observation], own: str) -> set[str]:
    names = {name for observation in observations for name, _ in observation.identifiers}
    return {name for name in names if name != own and type_of(name).kind == "person"}


def _distinct(observations: Sequence[Observation], kind: str) -> int:
    return len({value for observation in observations for name, value in observation.identifiers if name == kind})
