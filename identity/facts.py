"""What events say that the graph keeps: observations, and which device was where they were made, or was merely used, when.

A set: adding the same again, or in another order, makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct

from identity.observations import Anchor, Observation
from identity.succession import ProfileId


class Cause(NamedTuple):
    """The message that brought something, or who did it by hand and why."""

    message_id: str = ""
    trace_id: str = ""
    by: str = ""
    reason: str = ""


class Visit(Struct):
    """A device in a slice of time: a sign-in (an observation was made on it) or a session (anonymous activity).

    `at` is the first event's time, `seen` when it was received.
    """

    device: str
    period: int
    anchor: Anchor
    at: int
    seen: int
    session: bool


class Facts:
    """Some observations and visits, with what caused each. `held`: the profiles that anchors belonged to, where only the
    ledger knows."""

    def __init__(self) -> None:
        self.observations: dict[Anchor, Observation] = {}
        self.visits: dict[tuple[str, int, Anchor], Visit] = {}
        self.causes: dict[Anchor, Cause] = {}
        self.held: dict[Anchor, ProfileId] = {}

    def __bool__(self) -> bool:
        return bool(self.observations or self.visits)

    def observe(self, anchor: Anchor, observation: Observation, cause: Cause) -> None:
        """Add an observation; the first that says so counts."""
        self.observations.setdefault(anchor, observation)
        self.causes.setdefault(anchor, cause)

    def visit(self, visit: Visit, cause: Cause) -> None:
        """Add a visit; the earliest of the slice counts."""
        known = self.visits.setdefault((visit.device, visit.period, visit.anchor), visit)
        known.at, known.seen = min(known.at, visit.at), min(known.seen, visit.seen)
        self.causes.setdefault(visit.anchor, cause)

    def anchors(self) -> list[Anchor]:
        """Every anchor that the facts speak of."""
        return list(self.causes)

    def chunks(self, size: int) -> Iterator[Facts]:
        """The facts in parts of at most `size` anchors."""
        anchors = self.anchors()
        for start in range(0, len(anchors), size):
            yield self._only(anchors[start : start + size])

    def _only(self, anchors: Iterable[Anchor]) -> Facts:
        part = Facts()
        wanted = set(anchors)
        part.causes = {anchor: self.causes[anchor] for anchor in self.causes if anchor in wanted}
        part.observations = {anchor: one for anchor, one in self.observations.items() if anchor in wanted}
        part.visits = {key: visit for key, visit in self.visits.items() if visit.anchor in wanted}
        part.held = {anchor: profile for anchor, profile in self.held.items() if anchor in wanted}
        return part
