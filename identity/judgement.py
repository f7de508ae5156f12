"""Whether what was learnt is a model of people: what it makes of those whom it was learnt from, beside who they were.

A sample may say little of people: customers whom somebody invents by the thousand, an import of nobody twice, one name
for everybody. What is learnt from that may take nobody for anybody, or strangers for one person, and would do so to
all. No label says so, but such a model has seen next to no person, contradicts itself, or what was known before. Pure.

A model that reckons with many more pairs than its people have is not refused for that: it takes relatives for one
person, and what forbids that while people are made is there for it. Pure families bring it about, and of those it still
made four wrong pairs where rules made hundreds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from math import isfinite, sqrt
from typing import Final

from msgspec import Struct, structs

from identity.cluster import people_of
from identity.differences import moves
from identity.matching.learning import TRUST_IN_MATCH
from identity.matching.model import Model
from identity.observations import Anchor
from identity.weighing import Weighed

# Pairs of one person that it takes to learn what they are like: from here on the first idea weighs no more by the pairs
# that it is worth whatever is seen than by its share. With next to none the idea is kept, but nobody is believed to be
# anybody; with 30 pairs people are nearly those that all of them teach.
FEWEST: Final = round(TRUST_IN_MATCH[1] / TRUST_IN_MATCH[0])
# How many times as many is another thing altogether: twice. Estimates of a right model are within a quarter.
FAR: Final = 2.0
CHANCE: Final = 3.0  # standard deviations that are chance's
EXACT: Final = 1 + 1e-9  # how far figures differ by reckoning alone


class Judgement(Struct, frozen=True, kw_only=True):
    """What a model makes of a `sample` of all `observations`. It is a model of people unless there are `reasons`.

    `before`, `after`: people; `merged`: those after who were several, `split`: those before who are several now.
    `largest`: the most different things that one person's observations say. `generic`: observations that hold a value
    which is nobody's own. `expected`, `joined`: pairs of one person among those that are compared, as the model reckons
    and as it makes people.
    """

    version: int = 0
    observations: int = 0
    sample: int = 0
    before: int = 0
    after: int = 0
    merged: int = 0
    split: int = 0
    largest_before: int = 0
    largest: int = 0
    generic: int = 0
    expected: int = 0
    joined: int = 0
    reasons: tuple[str, ...] = ()


def judge(whole: Weighed, before: Sequence[Collection[Anchor]], *, by_rules: bool) -> Judgement:
    """What the model by which a whole sample is weighed makes of it.

    `before`: who was one person so far, by rules or by another model.
    """
    model, after = whole.evidence.model, people_of(whole.content, whole).clusters
    moved = moves({anchor: number for number, group in enumerate(before) for anchor in group}, after)
    found = Judgement(
        version=model.version,
        sample=len(whole.content),
        before=len(before),
        after=len(after),
        merged=len(moved.merges),
        split=len(moved.splits),
        largest_before=max(map(whole.size, before), default=0),
        largest=max(map(whole.size, after), default=0),
        generic=sum(any(value in whole.generic for value in one.identifiers) for one in whole.content.values()),
        expected=round(model.match.pairs),
        joined=sum(_meetings(members, whole) for members in map(frozenset, after) if len(members) > 1),
    )
    return structs.replace(found, reasons=(*_silent(whole), *_contradictions(found, whole, by_rules=by_rules)))


def _meetings(members: frozenset[Anchor], whole: Weighed) -> int:
    return sum(len(whole.meets(anchor) & members) for anchor in members) // 2


def flaw(model: Model) -> str:
    """Why nobody can be weighed by a model; nothing if one can."""
    kinds = (model.match, *model.others)
    figures = [kind.pairs for kind in kinds] + [one for kind in kinds for levels in kind.levels for one in levels]
    figures += [*model.rarest, *(one for rarity in model.rarity for one in rarity.values())]
    if not all(isfinite(one) and one > 0 for one in figures):
        return "not all that it says are numbers above 0"
    for field, match, chance in zip(model.schema, model.match.levels, model.chance.levels, strict=True):
        # The last figure is of what is missing.
        likelier = [one / other for one, other in zip(match[:-1], chance[:-1], strict=True)]
        if any(worse > better * EXACT for better, worse in pairwise(likelier)):
            return f"the worse the likeness of {field.name}, the more it would speak for one person"
    return ""


def _silent(whole: Weighed) -> Iterator[str]:
    """Identifiers that are none: who shares one is less likely one person than who does not."""
    for name, levels in whole.evidence.alone().items():
        (_, same), (_, different) = levels[0], levels[-1]
        if name in whole.evidence.types and same < different:
            yield f"two with the same {name} would be less likely one person than two with different ones"


def _contradictions(found: Judgement, whole: Weighed, *, by_rules: bool) -> Iterator[str]:
    if found.expected < FEWEST:
        yield f"it has seen {found.expected:,} pairs of one person, and needs {FEWEST} to know what they are like"
    if _is_far(found.joined, found.expected):
        yield f"its people have {found.joined:,} pairs of one person, and it reckons with {found.expected:,}"
    # One of both is wrong then, and which is for somebody to decide. But rules take a family for one person, so a first
    # model may make as many more people as it likes.
    if _is_far(found.before, found.after) or (not by_rules and _is_far(found.after, found.before)):
        yield f"of {found.before:,} people it makes {found.after:,}"
    # Up to this size every observation of a person is compared with every other; beyond it they are but chained.
    if found.largest > whole.evidence.limits.component and _is_far(found.largest, found.largest_before):
        yield f"one person would say {found.largest:,} different things, before at most {found.largest_before:,}"


def _is_far(more: int, fewer: int) -> bool:
    """Whether one number is more than twice the other, by more than chance does."""
    return more > FAR * fewer + CHANCE * sqrt(more)
