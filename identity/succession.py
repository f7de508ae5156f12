"""Which profile keeps which id when people merge and split. Pure.

An id goes with the larger part of those who had it, on a tie with the part that knows more of the past. Who gets
several keeps the oldest; the others are absorbed and go on answering. Who gets none is new.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import NAMESPACE_OID, uuid5

from identity.observations import Anchor, to_text

ProfileId = bytes  # 16 of them


class Heir(NamedTuple):
    """What a group inherits: the id it keeps, those it absorbs, and those of its members that others keep."""

    kept: ProfileId | None
    absorbed: tuple[ProfileId, ...] = ()
    left: tuple[ProfileId, ...] = ()


NO_HEIR = Heir(None)


def succeed(
    groups: Sequence[Collection[Anchor]],
    held: Mapping[Anchor, ProfileId],
    seen: Mapping[Anchor, int],
    since: Mapping[ProfileId, int],
) -> list[Heir]:
    """The heir of each group. `held`: the ids of anchors so far; `seen`, `since`: since when both are known."""
    shares: dict[ProfileId, Counter[int]] = defaultdict(Counter)
    for number, group in enumerate(groups):
        for anchor in group:
            if (profile := held.get(anchor)) is not None:
                shares[profile][number] += 1
    won: dict[int, list[ProfileId]] = defaultdict(list)
    for profile, parts in shares.items():
        won[_largest(parts, groups, seen)].append(profile)
    heirs = []
    for number in range(len(groups)):
        mine = sorted(won[number], key=lambda profile: (since.get(profile, 0), profile))
        left = sorted(profile for profile, parts in shares.items() if number in parts and profile not in mine)
        heirs.append(Heir(mine[0] if mine else None, tuple(mine[1:]), tuple(left)))
    return heirs


def sure_id(founder: Anchor) -> ProfileId:
    """The id, in the surer view, of a part of a profile that did not found it, by the part's oldest anchor."""
    return uuid5(NAMESPACE_OID, f"sure:{to_text(founder)}").bytes


def another_id(anchor: Anchor, version: int) -> ProfileId:
    """An id for a profile whose founding anchor's id is taken."""
    return uuid5(NAMESPACE_OID, f"{to_text(anchor)}@{version}").bytes


def _largest(parts: Mapping[int, int], groups: Sequence[Collection[Anchor]], seen: Mapping[Anchor, int]) -> int:
    if len(parts) == 1:
        return next(iter(parts))
    return min(parts, key=lambda number: (-parts[number], min((seen[anchor], anchor) for anchor in groups[number])))
