"""What a process remembers of the graph, so that an event that says nothing new costs one look-up.

    anchors of a turn ─► one MGET of their profiles ─► what the graph may not know yet ─► the graph

That an anchor has a profile says that its observation, or its session, is known. Of visits it says nothing, so those
that the graph was told of are remembered here: that a device was used in a slice of time by an anchor, at a moment or
before it. Only such facts are remembered, for they never become false, whatever other processes merge or part; whose
an anchor is gets read anew each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from cdp.anchors import ID
from cdp.clock import LATEST
from identity.dedupe import Taken
from identity.extract import Extracted
from identity.facts import Facts, Visit
from identity.graph import Graph
from identity.observations import Anchor
from identity.succession import ProfileId

log = structlog.get_logger(__name__)

REMEMBERED = 100_000  # visits, and as many of those remembered before them
NEVER = LATEST + 1

Key = tuple[str, int, Anchor]  # of a visit: the device, the slice of time, and who used it


class Recall:
    """Stands in front of one graph."""

    def __init__(self, graph: Graph, *, most: int = REMEMBERED) -> None:
        """`most`: half of the visits that are remembered at once; those not asked for longest go first."""
        self._graph = graph
        self._most = most
        self._visits: dict[Key, int] = {}  # since when at least, by event time in milliseconds
        self._before: dict[Key, int] = {}

    async def profiles(self, anchors: Iterable[Anchor]) -> dict[Anchor, ProfileId]:
        """The profiles of those anchors that are known: one call. Raises `RedisError`."""
        asked = list(dict.fromkeys(anchors))
        if not asked:
            return {}
        where, start = self._graph.where, self._graph.where.owner(b"")
        found: Any = await self._graph.state.mget([where.changes, *[start + anchor for anchor in asked]])
        self._compare(int(found[0] or 0))
        return {anchor: owner[:ID] for anchor, owner in zip(asked, found[1:], strict=True) if owner is not None}

    def news(self, said: Iterable[tuple[Taken, Extracted]], known: Mapping[Anchor, ProfileId]) -> Facts:
        """What events say that the graph may not know. `known`: what `profiles` said of their anchors."""
        facts, since = Facts(), self._visits.get
        for taken, found in said:
            anchor, device = found.anchor, found.device
            if anchor in known:
                if found.observation is None:
                    continue
                if not found.previous and (not device or since((device, found.period, anchor), NEVER) <= found.at):
                    continue  # most events end here
            elif found.observation is not None:
                facts.observe(anchor, found.observation, taken.cause)
            for one in filter(None, (device, found.previous)):
                if anchor not in known or not self._knows((one, found.period, anchor), found.at):
                    facts.visit(_visit(one, taken, found), taken.cause)
        return facts

    def learn(self, facts: Facts) -> None:
        """The graph knows these facts: its transactions with them took place."""
        for key, visit in facts.visits.items():
            if not visit.session:
                self._remember(key, visit.at)

    def forget(self) -> None:
        """Everything will be asked again."""
        self._visits, self._before = {}, {}

    def _knows(self, visit: Key, at: int) -> bool:
        since = self._visits.get(visit, NEVER)
        if since == NEVER:
            since = self._before.get(visit, NEVER)
        if since > at:
            return False
        self._remember(visit, since)
        return True

    def _remember(self, visit: Key, at: int) -> None:
        if len(self._visits) >= self._most:
            self._visits, self._before = {}, self._visits
        self._visits[visit] = min(at, self._visits.get(visit, at))

    def _compare(self, changes: int) -> None:
        """A state that died may have lost its last moments: then it counts fewer changes than it did."""
        if changes < self._graph.changes:
            log.warning("recall.state_is_behind", known=self._graph.changes, counted=changes)
            self.forget()
        self._graph.changes = changes


def _visit(device: str, taken: Taken, found: Extracted) -> Visit:
    session = found.observation is None
    return Visit(device, found.period, found.anchor, found.at, taken.batch.received_at, session)
