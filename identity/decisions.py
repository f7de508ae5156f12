"""Joining and parting people by hand, and taking that back."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple

from cdp.errors import ConflictError, InvalidError
from cdp.state import Outbox
from cdp.streams.base import Log
from identity import ledger
from identity.facts import Cause
from identity.graph import Graph
from identity.identifiers import Value
from identity.links import ASSERT, Link
from identity.observations import Anchor, from_text, to_text
from identity.people import People, Person, doubts_of
from identity.succession import ProfileId
from identity.ties import OBSERVATION, Tie, Ties, tie

DENY: Final = "deny"


class Decision(NamedTuple):
    """What became of it: the profiles of both ends now, the ties made and those taken back."""

    left: ProfileId
    right: ProfileId
    made: list[Tie]
    withdrawn: list[Tie]

    @property
    def changed(self) -> bool:
        """Whether anything was decided that was not before."""
        return bool(self.made or self.withdrawn)


class Decisions:
    """Decides on a graph. What that changes is appended to the log at once."""

    def __init__(self, graph: Graph, people: People, log: Log, outbox: Outbox) -> None:
        self._graph = graph
        self._people = people
        self._log = log
        self._outbox = outbox

    async def merge(self, left: Value, right: Value, cause: Cause) -> Decision:
        """Make two one person, whatever the limits say. Denies between them are taken back.

        Raises `NotFoundError` for who is unknown, `InvalidError` for who has no observation to join.
        """
        one, other = await self._people.find(*left), await self._people.find(*right)
        withdrawn = [deny for deny in (await self._graph.ties()).all if deny.rule == DENY and _parts(deny, one, other)]
        for deny in withdrawn:
            await self._graph.untie(deny, cause, self._outbox)
        made: list[Tie] = []
        ends = _end(one, "left"), _end(other, "right")
        if one.id != other.id or self._is_doubtful(one, *ends):
            joining = tie(ASSERT, *ends)
            if await self._graph.tie(joining, cause, self._outbox):
                made.append(joining)
        return await self._settled(left, right, made, withdrawn)

    async def split(self, left: Value, right: Value, cause: Cause, *, deny: bool = True) -> Decision:
        """Make two different people: what joined them by hand is taken back, and with `deny` they stay apart for good.

        Raises `NotFoundError`, and `ConflictError` when one observation names both, which nothing can part.
        """
        one, other = await self._people.find(*left), await self._people.find(*right)
        ties = await self._graph.ties()
        parting = tie(DENY, one.asked or _end(one, "left"), other.asked or _end(other, "right"))
        if parting.left == parting.right or any(_stands_in(parting, anchor, one) for anchor in one.observations):
            raise ConflictError("One event names both: nothing can part them.", code="inseparable")
        withdrawn = self._between(one, other, ties) if one.id == other.id else []
        for made in withdrawn:
            await self._graph.untie(made, cause, self._outbox)
        done = [parting] if deny and await self._graph.tie(parting, cause, self._outbox) else []
        return await self._settled(left, right, done, withdrawn)

    async def flush(self) -> None:
        """Append what waits."""
        if waiting := await self._outbox.waiting():
            await self._log.append([ledger.draft(value) for value in waiting])
            await self._outbox.drop(waiting)

    async def _settled(self, left: Value, right: Value, made: list[Tie], withdrawn: list[Tie]) -> Decision:
        await self.flush()
        one, other = await self._people.find(*left), await self._people.find(*right)
        return Decision(one.id, other.id, made, withdrawn)

    def _is_doubtful(self, person: Person, left: Value, right: Value) -> bool:
        """Whether two observations of a person are likely, and not surely, theirs both."""
        path = path_between(list(person.links), from_text(left[1]), from_text(right[1]))
        return bool(doubts_of(path, self._graph.policy))

    def _between(self, one: Person, other: Person, ties: Ties) -> list[Tie]:
        """The asserts on the path that joins both ends."""
        start, end = one.oldest, other.oldest
        asserted = {frozenset(made.anchors): made for made in ties.all if made.rule == ASSERT}
        path = [] if start is None or end is None else path_between(list(one.links), start, end)
        joined = [frozenset((link.left, link.right)) for link in path if link.rule == ASSERT]
        return [asserted[pair] for pair in joined if pair in asserted]


def path_between(links: list[Link], start: Anchor, end: Anchor) -> list[Link]:
    """The links that lead from one observation to the other; empty when nothing does, or when they are the same."""
    beside: dict[Anchor, list[tuple[Anchor, Link]]] = defaultdict(list)
    for link in links:
        beside[link.left].append((link.right, link))
        beside[link.right].append((link.left, link))
    came: dict[Anchor, list[Link]] = {start: []}
    frontier = [start]
    for anchor in frontier:
        for other, link in beside[anchor]:
            if other not in came:
                came[other] = [*came[anchor], link]
                frontier.append(other)
    return came.get(end, [])


def _end(person: Person, path: str) -> Value:
    if person.oldest is None:
        raise InvalidError("Nobody has signed in there yet: there is no person to join.", path=path, code="anonymous")
    return OBSERVATION, to_text(person.oldest)


def _stands_in(parting: Tie, anchor: Anchor, person: Person) -> bool:
    """Whether the observation is on both sides of a deny."""
    own = {*person.observations[anchor].identifiers, (OBSERVATION, to_text(anchor))}
    return parting.left in own and parting.right in own


def _parts(deny: Tie, one: Person, other: Person) -> bool:
    """Whether the deny keeps these two people apart."""
    return (_has(one, deny.left) and _has(other, deny.right)) or (_has(one, deny.right) and _has(other, deny.left))


def _has(person: Person, end: Value) -> bool:
    if end[0] == OBSERVATION:
        return from_text(end[1]) in person.observations
    return any(end in one.identifiers for one in person.observations.values())
