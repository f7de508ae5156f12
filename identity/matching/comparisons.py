"""How two values of a field compare: levels from equality (0) to difference (the last), each with its words.

A comparison is a small class with a `level` for two *different* values; add one by writing it and giving it to a role
(`identity.matching.schema`). Levels are ordered: a better one never speaks less for one person than a worse one. The
lesser value comes first, so that which record is asked about which makes no difference.

The similarities are Jaro–Winkler's and the edits those of optimal string alignment (OSA: a transposition is one edit);
the thresholds follow the comparison libraries of Splink and Febrl. What a level is worth is learnt, not written here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar

from rapidfuzz.distance import OSA, JaroWinkler

from cdp.forms.names import FAMILIES, GIVEN, SYLLABLE
from cdp.forms.nicknames import alike as one_name

similarity = JaroWinkler.similarity
edits = OSA.distance
MEMORY = 1 << 16  # texts whose words are remembered, and pairs of words that were compared
VIETNAMESE = GIVEN | FAMILIES.keys()
NOT_DIGITS = re.compile(r"\D")


@lru_cache(MEMORY)
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Comparison:
    """How values of one kind compare. `words` names the levels, so their number is the number of levels.

    What is `costly` is worth remembering; most comparisons take less time than looking up what was found before.
    """

    words: ClassVar[tuple[str, ...]]
    costly: ClassVar[bool] = False

    def level(self, left: str, right: str) -> int:
        """The level of two different values, `left < right`: from 1 to the last."""
        raise NotImplementedError

    @property
    def last(self) -> int:
        """The level of difference."""
        return len(self.words) - 1


class Code(Comparison):
    """What is the same or is not: codes, categories, ids made by machines."""

    words = ("the same", "different")

    def level(self, left: str, right: str) -> int:
        """Always different."""
        return 1


class NameWord(Comparison):
    """A given name or a family name."""

    words = ("the same", "nearly the same", "alike", "a little alike", "different")

    def level(self, left: str, right: str) -> int:
        """By similarity; short for the same name is nearly the same."""
        close = similarity(left, right)
        if close >= 0.92 or one_name(left, right):
            return 1
        return 2 if close >= 0.88 else 3 if close >= 0.7 else 4


class Initial(Comparison):
    """A middle name, or its first letter."""

    words = ("the same", "the same as far as written", "different")

    def level(self, left: str, right: str) -> int:
        """`j` and `james` agree as far as they go."""
        return 1 if right.startswith(left) or (len(left) > 2 and edits(left, right, score_cutoff=1) <= 1) else 2


class WholeName(Comparison):
    """A name of several words in any order, some of them perhaps left out."""

    words = (
        "the same",
        "the same words in another order",
        "the same words, some left out",
        "the one word that is given the same",
        "the same but for slips",
        "the given name the same",
        "a foreign name beside a Vietnamese one",
        "some words the same",
        "different",
    )
    costly = True

    def level(self, left: str, right: str) -> int:
        """By the words that both have; a family name alone makes names no more alike."""
        mine, theirs = _words(left), _words(right)
        if mine == theirs:
            return 1
        fewer, more = (mine, theirs) if len(mine) <= len(theirs) else (theirs, mine)
        both = mine & theirs
        if both == fewer:
            return 2 if len(fewer) > 1 else 3
        rest = more - both
        if all(any(_one_word(word, other) for other in rest) for word in fewer - both):
            return 4
        one, other = left.replace(" ", ""), right.replace(" ", "")
        if one == other or (len(mine) != len(theirs) and similarity(one, other) >= 0.93):
            return 4
        given = left.rpartition(" ")[2]
        if given == right.rpartition(" ")[2] and given in GIVEN and (_is_vietnamese(mine) or _is_vietnamese(theirs)):
            return 5
        if len(both) > 1 and not both <= FAMILIES.keys():
            return 7
        return 6 if _is_foreign(fewer, more) or _is_foreign(more, fewer) else 8


@lru_cache(MEMORY)
def _is_vietnamese(words: frozenset[str]) -> bool:
    return all(map(SYLLABLE.fullmatch, words))


def _is_foreign(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether one is a single foreign name and the other a Vietnamese one: many go by such a name among friends."""
    return len(one) == 1 and _is_vietnamese(other) and not any(map(_may_be_vietnamese, one))


@lru_cache(MEMORY)
def _may_be_vietnamese(word: str) -> bool:
    """Whether a word is a syllable, or a name mistyped."""
    return bool(SYLLABLE.fullmatch(word)) or any(edits(word, one, score_cutoff=1) <= 1 for one in VIETNAMESE)


@lru_cache(MEMORY)
def _one_word(one: str, other: str) -> bool:
    """Whether two words of names are one: mistyped, short for the same, or the first letter of it."""
    if len(one) == 1 or len(other) == 1:
        return one[0] == other[0]
    if one in VIETNAMESE and other in VIETNAMESE:
        return False  # syllables are short: a letter makes another name of many
    if edits(one, other, score_cutoff=1) == 1 and (min(len(one), len(other)) > 3 or len(one) != len(other)):
        return True
    return similarity(*sorted((one, other))) >= 0.86 or one_name(one, other)


class Text(Comparison):
    """Free text of a few words: a street, a suburb, a trade."""

    words = ("the same", "nearly the same", "alike or a part of it", "half alike", "different")

    def level(self, left: str, right: str) -> int:
        """By similarity, and by the words that both have, in any order."""
        close = similarity(left, right)
        if close >= 0.95:
            return 1
        mine, theirs = _words(left), _words(right)
        overlap = 0.0 if mine.isdisjoint(theirs) else len(mine & theirs) / min(len(mine), len(theirs))
        if close >= 0.88 or overlap == 1:
            return 2
        return 3 if overlap >= 0.5 or close >= 0.78 else 4


class Digits(Comparison):
    """A number that people type: of a house, of a document."""

    words = ("the same", "one slip apart", "two slips apart", "different")

    def level(self, left: str, right: str) -> int:
        """By edits."""
        return edits(left, right, score_cutoff=2)


class Postcode(Comparison):
    """A postcode, of digits alone or with letters in two parts (`tq13 8df`)."""

    words = ("the same", "one slip apart", "the same district", "the same region", "different")

    def level(self, left: str, right: str) -> int:
        """By edits, then by how far they agree from the front."""
        slips = edits(left, right, score_cutoff=2)
        if slips <= 1:
            return 1
        if slips == 2 or left.partition(" ")[0] == right.partition(" ")[0]:
            return 2
        return 3 if left[:2] == right[:2] else 4


class Date(Comparison):
    """A date as eight digits, year first; a part that is not known is `0`s."""

    words = (
        "the same",
        "one slip apart, or day and month exchanged",
        "two of three parts the same",
        "a year apart",
        "different",
    )

    def level(self, left: str, right: str) -> int:
        """By edits, exchanged parts, equal parts and nearness."""
        if len(left) != 8 or len(right) != 8:
            return 1 if edits(left, right, score_cutoff=1) <= 1 else 4
        year, month, day = left[:4], left[4:6], left[6:]
        same = (year == right[:4]) + (month == right[4:6]) + (day == right[6:])
        if not same:
            return 3 if int(right[:4]) - int(year) <= 1 else 4
        # A slip, or an exchange, leaves one of the three as it was.
        exchanged = year == right[:4] and month == right[6:] and day == right[4:6]
        if exchanged or edits(left, right, score_cutoff=1) <= 1:
            return 1
        if same >= 2:
            return 2
        return 3 if int(right[:4]) - int(year) <= 1 else 4


class Email(Comparison):
    """A mailbox. People of one name have much the same address, so only what numbers do not tell apart is alike."""

    words = ("the same", "the same before the @", "one slip apart before the @", "alike before the @", "different")
    costly = True

    def level(self, left: str, right: str) -> int:
        """By what stands before the @: domains are mistyped, changed and shared by millions."""
        mine, theirs = left.rpartition("@")[0] or left, right.rpartition("@")[0] or right
        if mine == theirs:
            return 1
        if NOT_DIGITS.sub("", mine) != NOT_DIGITS.sub("", theirs):
            return 4
        if len(mine) > 5 and edits(mine, theirs, score_cutoff=1) == 1:
            return 2
        return 3 if similarity(mine, theirs) >= 0.88 else 4


class Phone(Comparison):
    """A telephone number."""

    words = ("the same", "one slip apart", "different")

    def level(self, left: str, right: str) -> int:
        """By edits."""
        return 1 if edits(left, right, score_cutoff=1) <= 1 else 2


CODE, NAME_WORD, INITIAL, WHOLE_NAME, TEXT = Code(), NameWord(), Initial(), WholeName(), Text()
DIGITS, POSTCODE, DATE, EMAIL, PHONE = Digits(), Postcode(), Date(), Email(), Phone()
