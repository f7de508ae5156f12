"""Generic values: told by how many different people they speak of."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.generic import is_generic, people, telling
from identity.observations import DAY, Observation
from identity.policy import Policy

PHONE = ("phone", "+84905123456")


def said(*names: str, also: str = "") -> list[Observation]:
    """Observations of the phone under these names; `also` is a type of which each has a value of its own."""
    return [
        Observation((PHONE, *(((also, str(number)),) if also else ())), {"name": name} if name else {})
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["nguyễn thị lan", "lan", "LAN NGUYEN", "chị lan"], 1),
        (["nguyễn thị lan", "nguyễn thị hoa"], 2),
        (["nguyễn văn an", "trần văn an"], 1),
        (["lan", "hùng", "lan hùng"], 2),
        (["", "", ""], 0),
        (["nguyễn", "trần"], 2),
        (["đào", "dao"], 1),
    ],
)
def test_names_that_share_a_telling_word_may_be_one_person(names: list[str], expected: int) -> None:
    """Family names and titles tell nobody apart; diacritics are often left out."""
    assert people(names) == expected


@given(st.lists(st.sampled_from(["lan", "hùng", "an", "bình", "lan hùng", "my an", ""]), max_size=12), st.integers())
def test_order_of_names_makes_no_difference(names: list[str], seed: int) -> None:
    """How many people names speak of depends on the set of names."""
    shuffled = [*names, *names]
    random.Random(seed).shuffle(shuffled)
    assert people(names) == people(shuffled)


def test_family_names_alone_still_tell() -> None:
    """Somebody must be called something; only what says nothing but `woman` or `man` never tells."""
    assert telling("Nguyễn Văn") == {"nguyen"}
    assert telling("Nguyễn Văn Đức") == {"duc"}


def test_many_people_make_a_contact_generic() -> None:
    """More names than the limit, or more issued ids, and a number is a hotline; contacts of one person are not."""
    policy = Policy()
    names = ["lan", "hùng", "bình", "my", "hoa", "tú"]
    assert not is_generic(PHONE, said(*names[:5]), policy)
    assert is_generic(PHONE, said(*names), policy)
    assert is_generic(PHONE, said(*[""] * 6, also="user_id"), policy)
    assert not is_generic(PHONE, said(*["lan"] * 40, also="email"), policy)


def test_an_account_is_believed_longer() -> None:
    """An account whose owner changes names stays an account, until the ways to reach the owner change as well."""
    policy = Policy()
    account = ("user_id", "lan")
    names = ["lan", "hùng", "bình", "my", "hoa", "tú", "cat"]
    renamed = [Observation((account,), {"name": name}) for name in names]
    assert not is_generic(account, renamed, policy)
    agent = [Observation((account, ("phone", name)), {"name": name}) for name in names]
    assert is_generic(account, agent, policy)


def test_numbers_alone_decide_in_the_end() -> None:
    """Beyond the policy's number of observations a contact is generic, as soon as they say different things."""
    policy = Policy(observations_per_value=10)
    assert not is_generic(PHONE, said(*["lan"] * 10, also="email"), policy)
    assert is_generic(PHONE, said(*["lan"] * 11, also="email"), policy)


def test_a_customer_of_every_day_is_no_hotline() -> None:
    """What is said again on another day is nothing different: a telephone is its owner's who comes every day."""
    policy = Policy(observations_per_value=10)
    days = [Observation((PHONE,), {DAY: f"2026-11-{day:02d}"}) for day in range(1, 29)]
    assert not is_generic(PHONE, days + said(*["lan"] * 9, also="email"), policy)
    assert is_generic(PHONE, days + said(*["lan"] * 10, also="email"), policy)
