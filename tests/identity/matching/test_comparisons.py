"""Tests of how values compare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.matching import comparisons
from identity.matching.schema import ROLES

WORDS = st.text("abcdehinorstuv 0123456789@.", min_size=1, max_size=14).map(str.strip).filter(bool)
DATES = st.text("0129", min_size=8, max_size=8)


@pytest.mark.parametrize("role", ROLES)
@given(data=st.data())
def test_every_level_has_its_words(role: str, data: st.DataObject) -> None:
    """Two different values of any kind are at a level that has a name, and never at that of equality."""
    comparison = ROLES[role].comparison
    left, right = sorted(data.draw(st.lists(DATES if role == "birth" else WORDS, min_size=2, max_size=2, unique=True)))

    assert 1 <= comparison.level(left, right) <= comparison.last


@pytest.mark.parametrize(
    ("comparison", "left", "right", "words"),
    [
        (comparisons.NAME_WORD, "johanna", "johannah", "nearly the same"),
        (comparisons.NAME_WORD, "elizabeth", "liz", "nearly the same"),
        (comparisons.NAME_WORD, "hung", "olga", "different"),
        (comparisons.INITIAL, "j", "james", "the same as far as written"),
        (comparisons.WHOLE_NAME, "nguyen van hung", "van nguyen hung", "the same words in another order"),
        (comparisons.WHOLE_NAME, "nguyen hung", "nguyen van hung", "the same words, some left out"),
        (comparisons.WHOLE_NAME, "hung", "nguyen van hung", "the one word that is given the same"),
        (comparisons.WHOLE_NAME, "nguyen minh thu", "nguyen mihn thu", "the same but for slips"),
        (comparisons.WHOLE_NAME, "le thi xuan", "le thix uan", "the same but for slips"),
        (comparisons.WHOLE_NAME, "rj taylor", "raj taylor", "the same but for slips"),
        (comparisons.WHOLE_NAME, "dangarcia", "dan garcia", "the same but for slips"),
        (comparisons.WHOLE_NAME, "le hang", "thuy hang", "the given name the same"),
        (comparisons.WHOLE_NAME, "hung", "tran thi thu huong", "different"),
        (comparisons.WHOLE_NAME, "raj kim", "zoe kim", "different"),
        (comparisons.WHOLE_NAME, "lily", "nguyen huu dung", "a foreign name beside a Vietnamese one"),
        (comparisons.WHOLE_NAME, "dugn", "nguyen thi lan", "different"),
        (comparisons.WHOLE_NAME, "nguyen minh dung", "nguyen minh thuy", "some words the same"),
        (comparisons.WHOLE_NAME, "nguyen hong diem", "nguyen hoang son", "different"),
        (comparisons.TEXT, "12 le loi", "12 le loi ben nghe", "alike or a part of it"),
        (comparisons.POSTCODE, "4011", "4012", "one slip apart"),
        (comparisons.POSTCODE, "tq13 8df", "tq13 9xy", "the same district"),
        (comparisons.DATE, "19900512", "19901205", "one slip apart, or day and month exchanged"),
        (comparisons.DATE, "19900512", "19900530", "two of three parts the same"),
        (comparisons.DATE, "19900512", "19910307", "a year apart"),
        (comparisons.EMAIL, "lan@gmail.com", "lan@yahoo.com", "the same before the @"),
        (comparisons.EMAIL, "binhnguyen815@gmail.com", "binhnguyen1991@gmail.com", "different"),
        (comparisons.EMAIL, "locnguyen1995@gmail.com", "locnguyen1998@gmail.com", "different"),
        (comparisons.EMAIL, "locnguyen95@gmail.com", "locnguyn95@gmail.com", "one slip apart before the @"),
        (comparisons.PHONE, "+84905000001", "+84905000010", "one slip apart"),
        (comparisons.DIGITS, "6988048", "6988084", "one slip apart"),
    ],
)
def test_levels_are_what_people_would_say(
    comparison: comparisons.Comparison, left: str, right: str, words: str
) -> None:
    """Slips, short names, other orders and exchanged parts are told from other values."""
    assert comparison.words[comparison.level(*sorted((left, right)))] == words
