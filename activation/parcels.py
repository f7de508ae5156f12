"""What is to be done about a member that is due: send a change, or settle it without. Pure.

entry (what is wished, what is there) + profile (identifiers, traits, consent) ─► Parcel | Settled
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from activation.connector import Change
from activation.consent import refusal
from activation.destinations import Destination, Sync
from activation.ledger import ADD, NEVER, PENDING, REMOVE, Entry, Member
from cdp.profiles import Profile


class Parcel(NamedTuple):
    """A member on the way. `action` is ADD or REMOVE: the wish, or REMOVE where consent is denied.

    `turns` tells how often consent turned it round; `change` is what the connector gets.
    """

    member: Member
    sync: Sync
    entry: Entry
    action: int
    turns: int
    change: Change

    @property
    def tries(self) -> int:
        """Which try of the present series this is, from 1."""
        return (self.entry.tries if self.turns == self.entry.turns else 0) + 1

    def first(self, now: int) -> int:
        """When the present series of tries began."""
        return (self.entry.first if self.turns == self.entry.turns else 0) or now


class Settled(NamedTuple):
    """A parcel that is not sent. `reason` is "" when there is nothing to tell."""

    parcel: Parcel
    reason: str


def delivery_id(destination: str, member: Member, sequence: int, turns: int) -> str:
    """The id of a delivery: 32 hex digits, the same on each attempt at the same change."""
    parts = [destination, member.segment, member.profile_id, str(sequence), *([str(turns)] if turns else [])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def packed(
    destination: Destination, sync: Sync, member: Member, entry: Entry, profile: Profile | None
) -> Parcel | Settled:
    """What to do about the member. A profile that is not known (absorbed, erased) has no identifiers and no traits."""
    traits = profile.traits if profile else {}
    denial = _denial(destination, sync, profile) if entry.action == ADD else ""
    action = REMOVE if denial else entry.action
    turns = entry.turns + (entry.sent not in (NEVER, action))
    change = Change(
        id=delivery_id(destination.key, member, entry.sequence, turns),
        action="add" if action == ADD else "remove",
        segment=member.segment,
        profile_id=member.profile_id,
        sequence=entry.sequence,
        at=entry.at,
        attempt=entry.attempts + 1,
        identifiers=sync.mapping.identifiers_of(_known(profile)),
        traits=sync.mapping.traits_of(traits),
        trace_id=entry.trace_id,
    )
    parcel = Parcel(member, sync, entry, action, turns, change)
    hindrance = _hindrance(destination, parcel, denial)
    return parcel if hindrance is None else Settled(parcel, hindrance if entry.status == PENDING else "")


def _denial(destination: Destination, sync: Sync, profile: Profile | None) -> str:
    """Why the member may not be added. Whoever is likely the same person is heard too: one no is enough."""
    if not sync.sure:
        return f"{sync.segment} is a segment of likely people"
    heard = [profile.traits, *profile.beside] if profile else []
    return next(filter(None, (refusal(destination.purposes, traits) for traits in heard)), "")


def _hindrance(destination: Destination, parcel: Parcel, denial: str) -> str | None:
    """Why it is not sent; None when it is."""
    if parcel.action == parcel.entry.there:
        return denial
    able = destination.connector.capabilities
    if parcel.action == REMOVE and not able.removes:
        return f"{destination.connector.name} cannot remove"
    if able.identifiers and not any(parcel.change.identifiers.get(type_) for type_ in able.identifiers):
        return f"no {' or '.join(able.identifiers)}"
    return None


def _known(profile: Profile | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for identifier in profile.identifiers if profile else []:
        found.setdefault(identifier.type, []).append(identifier.value)
    return found
