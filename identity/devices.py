"""Devices bind anonymous activity to people by time; they never make two people one.

A device's anonymous activity in one slice of time is a session. Whose it is, by the first of these that says so:

1. the sign-in within the slice, or in the one that follows it: it closes the session
2. the last one signed in during the slice before it         (not on a device that a crowd uses)
3. the only person who ever signed in on the device          (not on a device that a crowd uses)
4. nobody: it stays with the device's own anonymous profile (of a crowd's device, each session is a profile of its own)

A pure function of the device's sessions and sign-ins and of who is one person with whom.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import NamedTuple

from identity.observations import Anchor
from identity.policy import Policy


class SignIn(NamedTuple):
    """An observation made on a device: when first within a slice of time (event time, milliseconds)."""

    at: int
    anchor: Anchor


SignIns = Mapping[int, Collection[SignIn]]  # by slice


class Users(NamedTuple):
    """Who uses a device: a crowd, or the only one (an observation of that person), or neither."""

    crowd: bool = False
    only: Anchor | None = None


def users_of(anchors: Collection[Anchor], person: Mapping[Anchor, Hashable], policy: Policy) -> Users:
    """Who uses a device, by the observations ever made on it. `person` knows each, unless they are too many."""
    if len(anchors) > policy.observations_per_value:
        return Users(crowd=True)
    found = {person[anchor] for anchor in anchors}
    return Users(len(found) > policy.limit, min(anchors) if len(found) == 1 else None)


def bind(sessions: Iterable[int], signins: SignIns, users: Users) -> dict[int, Anchor | None]:
    """Each session's slice → the observation whose person it belongs to; None where it is nobody's.

    Nobody's sessions belong together on a device that few use; a crowd's each stand alone.
    """
    return {period: _owner(period, signins, users) for period in sessions}


def around(periods: Iterable[int]) -> set[int]:
    """The slices whose binding a sign-in in these slices may change by time."""
    return {other for period in periods for other in (period - 1, period, period + 1)}


def _owner(period: int, signins: SignIns, users: Users) -> Anchor | None:
    for closing in (period, period + 1):
        if found := signins.get(closing):
            return min(found).anchor
    if users.crowd:
        return None
    if found := signins.get(period - 1):
        return max(found).anchor
    return users.only
