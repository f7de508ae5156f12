"""Devices: whose a session is, by time."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from identity.devices import SignIn, Users, around, bind, users_of
from identity.policy import Policy

LAN, HUNG = b"L" * 16, b"H" * 16


def owner(period: int, signins: Mapping[int, list[SignIn]], users: Users | None = None) -> bytes | None:
    """Whose the session in the slice is."""
    if users is None:
        anchors = {signin.anchor for found in signins.values() for signin in found}
        users = users_of(anchors, {anchor: anchor for anchor in anchors}, Policy())
    return bind([period], signins, users)[period]


def test_the_sign_in_that_closes_a_session_tells_whose_it_is() -> None:
    """A sign-in within the slice, or in the next one, wins over whoever was there before."""
    signins = {9: [SignIn(90, HUNG)], 10: [SignIn(105, LAN), SignIn(101, HUNG)]}
    assert owner(10, signins) == HUNG
    assert owner(10, {9: [SignIn(90, HUNG)], 11: [SignIn(110, LAN)]}) == LAN


def test_else_the_last_one_before() -> None:
    """Without a sign-in that closes it, the session is of whoever signed in last, if that was just before."""
    signins = {9: [SignIn(90, HUNG), SignIn(95, LAN)], 3: [SignIn(30, HUNG)]}
    assert owner(10, signins) == LAN
    assert owner(12, signins) is None


def test_else_the_only_user() -> None:
    """A device that one person uses is that person's at all times, before and after."""
    assert owner(0, {9: [SignIn(90, LAN)]}) == LAN
    assert owner(500, {9: [SignIn(90, LAN)]}) == LAN


def test_else_nobody() -> None:
    """A device of several people binds only by time, one of nobody never."""
    assert owner(500, {9: [SignIn(90, LAN)], 20: [SignIn(200, HUNG)]}) is None
    assert owner(500, {}) is None


def test_two_observations_of_one_person_are_one_user() -> None:
    """It is people that share a device, not observations."""
    users = users_of({LAN, HUNG}, {LAN: "one", HUNG: "one"}, Policy())
    assert users == Users(only=min(LAN, HUNG))


def test_a_crowd_binds_nothing_but_the_closing_sign_in() -> None:
    """On a kiosk only the sign-in that closes a session says whose it was."""
    crowd = {bytes([n]) * 16: n for n in range(6)}
    users = users_of(crowd.keys(), crowd, Policy(limit=5))
    assert users.crowd
    signins = {9: [SignIn(90, LAN)]}
    assert owner(9, signins, users) == LAN
    assert owner(8, signins, users) == LAN
    assert owner(10, signins, users) is None


def test_too_many_to_know_are_a_crowd() -> None:
    """More observations than the policy believes need not be known to be a crowd."""
    assert users_of([bytes([n]) * 16 for n in range(11)], {}, Policy(observations_per_value=10)) == Users(crowd=True)


@given(
    st.dictionaries(
        st.integers(0, 8), st.lists(st.builds(SignIn, st.integers(0, 99), st.sampled_from([LAN, HUNG])), max_size=3)
    ),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_a_sign_in_moves_only_sessions_beside_it(signins: dict[int, list[SignIn]], period: int, new: int) -> None:
    """While the users stay the same, a sign-in may change the binding of the slices around it and of no other."""
    users = Users()
    more = {**signins, new: [*signins.get(new, []), SignIn(50, LAN)]}
    if period not in around([new]):
        assert owner(period, signins, users) == owner(period, more, users)
