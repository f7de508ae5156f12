"""What other rules would change: the people under a changed policy against the people as they are. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from msgspec import structs
from redis.asyncio import Redis

from cdp.errors import InvalidError
from identity import keys
from identity.cluster import partition
from identity.differences import moves
from identity.evidence import BLOCK, Evidence
from identity.identifiers import SPELLINGS, Value, type_of
from identity.keys import Keys
from identity.learnt import learn_model
from identity.links import keys_of
from identity.observations import Anchor, Observation
from identity.people import People
from identity.policy import PERIOD, Policy
from identity.succession import ProfileId
from identity.ties import Ties

PAGE = 1_000
FEWEST = 500  # observations from which a model is learnt for a trial


class Difference(NamedTuple):
    """What would differ. `merges`: profiles that would be one; `splits`: a profile and into how many it would fall.

    `complete` is False when there were more observations than were looked at.
    """

    observations: int
    before: int
    after: int
    merges: list[list[ProfileId]]
    splits: list[tuple[ProfileId, int]]
    complete: bool


def by_type(given: Mapping[str, int], path: str) -> dict[str, int]:
    """Limits under their types' own names. Raises `InvalidError` for a type that joins nobody, so needs no limit."""
    found = {SPELLINGS.get(name.lower(), name.lower()): limit for name, limit in given.items()}
    for name in found:
        if type_of(name).kind not in ("person", "contact"):
            raise InvalidError(f"{name} joins nobody, so it has no place there.", path=path)
    return found


async def simulate(
    state: Redis,
    where: Keys,
    people: People,
    policy: Policy,
    ties: Ties,
    *,
    among: Collection[Anchor],
    most: int,
    evidence: bool | None = None,
) -> Difference:
    """Cluster at most `most` observations under the policy: the components of `among`, or all that there are.

    With `evidence` a model is learnt from what is looked at, where there is none yet, and people are made by it; if it
    is False, by rules. Raises `InvalidError` where there is too little to learn from.
    """
    if evidence is False:
        policy = replace(policy, evidence=None)
    if among:
        observations, complete = await _around(state, where, people, policy, among, most)
    else:
        observations, complete = await _all(state, where, most)
    owners = await _owners(people, list(observations))
    if policy.limits_within:
        observations = {anchor: _dated(one, policy) for anchor, one in observations.items()}
    if evidence and policy.evidence is None:
        policy = await asyncio.to_thread(_learnt, observations, policy, ties)
    return await asyncio.to_thread(_compare, observations, owners, policy, ties, complete)


def _dated(one: Observation, policy: Policy) -> Observation:
    """An observation with the period that the limits ask for: as long as nobody asked, when it was first received."""
    period = policy.period_of(one.first_seen)
    if len(one.attributes.get(PERIOD, "")) == len(period):  # days, weeks and months are not written alike
        return one
    return structs.replace(one, attributes=one.attributes | {PERIOD: period})


def _learnt(observations: Mapping[Anchor, Observation], policy: Policy, ties: Ties) -> Policy:
    model = learn_model(observations, policy, ties) if len(observations) >= FEWEST else None
    if model is None:
        told = f"A model is learnt from {FEWEST} observations or more; here are {len(observations)} to look at."
        raise InvalidError(told, path="evidence", code="too_few_observations")
    return replace(policy, evidence=Evidence(model, views=policy.views))


def _compare(
    observations: Mapping[Anchor, Observation],
    owners: Mapping[Anchor, ProfileId],
    policy: Policy,
    ties: Ties,
    complete: bool,
) -> Difference:
    groups = partition(observations, policy, ties).clusters
    moved = moves(owners, groups)
    return Difference(len(observations), len(set(owners.values())), len(groups), moved.merges, moved.splits, complete)


async def _all(state: Redis, where: Keys, most: int) -> tuple[dict[Anchor, Observation], bool]:
    start = where.observation(b"")
    observations: dict[Anchor, Observation] = {}
    found: list[bytes] = []
    async for key in state.scan_iter(match=keys.glob(start), count=PAGE):
        found.append(key)
        if len(found) == PAGE:
            observations |= await _read(state, found, len(start))
            found.clear()
        if len(observations) > most:
            return observations, False
    observations |= await _read(state, found, len(start))
    return observations, len(observations) <= most


async def _around(
    state: Redis, where: Keys, people: People, policy: Policy, among: Collection[Anchor], most: int
) -> tuple[dict[Anchor, Observation], bool]:
    """Everything that shares a value, or a key that is not too common, with these, with those that do, and so on."""
    observations: dict[Anchor, Observation] = {}
    frontier, asked = set(among), set[Value]()
    while frontier:
        fresh = await people.observations(frontier)
        observations |= fresh
        if len(observations) > most:
            return observations, False
        said = sorted({key for anchor, one in fresh.items() for key in keys_of(anchor, one, policy)} - asked)
        asked.update(said)
        found: Any = await state.mget([where.posting(key) for key in said]) if said else []
        holders = [
            anchors
            for key, anchors in zip(said, map(keys.anchors, found), strict=True)
            if key[0] != BLOCK or len(anchors) <= policy.most_holders(BLOCK)
        ]
        frontier = {anchor for anchors in holders for anchor in anchors} - observations.keys()
    return observations, True


async def _owners(people: People, anchors: list[Anchor]) -> dict[Anchor, ProfileId]:
    owners: dict[Anchor, ProfileId] = {}
    for start in range(0, len(anchors), PAGE):
        page = anchors[start : start + PAGE]
        owners |= {a: owner for a, owner in zip(page, await people.owners(page), strict=True) if owner is not None}
    return owners


async def _read(state: Redis, found: list[bytes], start: int) -> dict[Anchor, Observation]:
    if not found:
        return {}
    packed: Any = await state.mget(found)
    return {
        key[start:]: keys.decode_observation(one) for key, one in zip(found, packed, strict=True) if one is not None
    }
