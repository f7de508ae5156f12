"""What a change touches: whole components, found by walking from what changed over what was read, reading on the way.

what changed ─► postings of its keys ─► observations ─► their keys ─► …   until the components are whole
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from identity.cluster import fitting, whole_of
from identity.evidence import BLOCK
from identity.identifiers import Value
from identity.links import Clustering, Whole
from identity.observations import Anchor
from identity.policy import ALL, NOTHING
from identity.view import View, When

SEVERAL = 4  # how many times as much is looked at together, where several observations are added together


class DivideError(Exception):
    """The facts concern more observations than may be looked at together, and may be divided."""


class Surroundings:
    """Components in the graph as it was and as it becomes."""

    def __init__(self, view: View, *, divisible: bool) -> None:
        """`divisible`: raise `DivideError` rather than look at components that are too large together."""
        self._view = view
        self._divisible = divisible
        self._wholes: dict[When, Whole] = {}
        self._around: set[Anchor] = set()  # those of whose keys it was read who has them
        self._keys: set[Value] = set()  # the keys of these

    async def parts(self, changed: Collection[Anchor]) -> list[tuple[list[Anchor], int]]:
        """What must be clustered anew because these observations changed: whole components, and down to which rank.

        Most of the time all of them together are small, and one walk finds them. Whoever was one person with any of
        them comes along, so that no profile is left to two.
        """
        seeds, found = await self._seeds(changed), list[tuple[list[Anchor], int]]()
        while seeds:
            found = await self._parts(seeds)
            covered = {anchor for part, _ in found for anchor in part}
            seeds = (seeds | missing) if (missing := await self._companions(covered)) else set()
        return found

    def cluster(self, part: Collection[Anchor], rank: int) -> Clustering:
        """The people of a whole component, in the graph that becomes."""
        return self._whole(When.AFTER).cluster(part, rank)

    async def _seeds(self, changed: Collection[Anchor]) -> set[Anchor]:
        """The observations with which a component that differs from before has at least one in common.

        Beside what changed: whoever holds a value of what is new, for how many give which name with it is evidence
        too; whoever has a key that became too common; and where more than that changed, whatever was linked to these.
        """
        view = self._view
        await self._read_around(changed)
        view.judge()
        seeds = set(changed)
        fresh = seeds & (view.added | view.renewed)
        most = view.most_holders(BLOCK)
        for key in {key for anchor in fresh for key in view.finding(anchor).own if key[0] == BLOCK}:
            if view.stored(key) <= most < len(view.posting(key)):
                seeds.update(view.posting(key))
        hidden = view.was_generic & view.becomes_generic
        for value in {value for anchor in fresh for value in view.linking(anchor)} - hidden:
            seeds.update(other for other in view.posting(value) if other in view.observations)
        if view.renewed or view.ties is not view.ties_before or any(view.judgements()):
            await self._read_around(seeds)
            seeds |= {other for anchor in seeds - view.added for other in self._beside(anchor, ALL, When.BEFORE)}
        return seeds

    async def _parts(self, seeds: set[Anchor]) -> list[tuple[list[Anchor], int]]:
        """The components of the seeds, taken apart where they are too large."""
        most = self._view.policy.component_limit * (SEVERAL if self._divisible else 1)
        whole, complete = await self._reach(seeds, ALL, When.AFTER, most)
        if complete:
            return list(fitting(sorted(whole), self._whole(When.AFTER)))
        if self._divisible:
            raise DivideError
        self._view.oversize += 1
        # What was small before may be a part of something large now, down to whom the new links lead.
        await self._read_around(seeds)
        seeds |= {other for anchor in seeds for other in self._beside(anchor, ALL, When.AFTER)}
        for found, _ in await self._settle(seeds - self._view.added, When.BEFORE):
            seeds |= found
        return [(sorted(found), rank) for found, rank in await self._settle(seeds, When.AFTER)]

    async def _companions(self, anchors: set[Anchor]) -> set[Anchor]:
        """The other observations of the profiles that these belong to."""
        view = self._view
        await view.read_owners(anchors)
        profiles = {view.owners[anchor] for anchor in anchors if anchor in view.owners}
        await view.read(profiles=profiles)
        records = (view.profiles[profile] for profile in profiles)
        return {member for record in records if record for member in record.members} - anchors

    async def _settle(self, seeds: Collection[Anchor], when: When) -> list[tuple[set[Anchor], int]]:
        """The components of the seeds, each by the weakest links with which it is small enough."""
        settled: list[tuple[set[Anchor], int]] = []
        done: set[Anchor] = set()
        rest = sorted(seeds)
        whole = self._whole(when)
        for rank in whole.ranks:
            large: set[Anchor] = set()
            waiting, rest = rest, []
            for anchor in waiting:
                if anchor in done:
                    continue
                if anchor not in large:
                    found, complete = await self._reach([anchor], rank, when, whole.most_together(rank), whole.size)
                    if complete or rank == NOTHING:
                        settled.append((found, rank))
                        done |= found
                        continue
                    large |= found
                rest.append(anchor)
        return settled

    async def _reach(
        self,
        starts: Iterable[Anchor],
        rank: int,
        when: When,
        most: int,
        size: Callable[[Collection[Anchor]], int] = len,
    ) -> tuple[set[Anchor], bool]:
        """What hangs together with these through links of the rank; False when it is more than may be looked at."""
        frontier = list(starts)
        seen = set(frontier)
        while frontier and size(seen) <= most:
            await self._read_around(frontier)
            reached: list[Anchor] = []
            for anchor in frontier:
                for other in self._beside(anchor, rank, when):
                    if other not in seen:
                        seen.add(other)
                        reached.append(other)
            frontier = reached
        return seen, size(seen) <= most

    async def _read_around(self, anchors: Iterable[Anchor]) -> None:
        """Read who has any key of these observations."""
        view = self._view
        fresh = [anchor for anchor in anchors if anchor not in self._around]
        self._around.update(fresh)
        await view.read_observations(fresh)
        said = {key for anchor in fresh for key in view.finding(anchor).asked} - self._keys
        self._keys |= said
        await view.read(values=said)
        ties = (view.ties, view.ties_before)
        tied = {other for anchor in fresh for some in ties for other in some.joined.get(anchor, ())}
        telling = (key for key in said if view.is_telling(key))
        await view.read_observations(tied.union(*(view.posting(key) for key in telling)))

    def _beside(self, anchor: Anchor, rank: int, when: When) -> Iterator[Anchor]:
        """What a link of this rank or stronger could join to an observation, in the graph that is meant."""
        found = self._whole(when).neighbours(anchor, rank)
        return found if when is When.AFTER else (other for other in found if other not in self._view.added)

    def _whole(self, when: When) -> Whole:
        """What links observations in the graph that is meant: to be asked of those that were read around."""
        known = self._wholes.get(when)
        if known is None:
            view, becomes = self._view, when is When.AFTER
            known = self._wholes[when] = whole_of(
                view.observations,
                view.policy,
                view.ties if becomes else view.ties_before,
                generic=view.becomes_generic if becomes else view.was_generic,
                holding=view.posting if becomes else view.stored_posting,
            )
        return known
