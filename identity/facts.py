"""What events say that the graph keeps: observations, and which devices were in use when, and by whom.

A set: adding the same again, or in another order, makes no difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
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


class Visit(Struct, gc=False):
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
    """Some observations and visits, with what caused each.

    `held`: the profiles that anchors belonged to, where only the ledger knows.
    """

    def __init__(self) -> None:
        self.observations: dict[Anchor, Observation] = {}
        self.visits: dict[tuple[str, int, Anchor], Visit] = {}
        self.causes: dict[Anchor, Cause] = {}
        self.held: Mapping[Anchor, ProfileId] = {}

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
        visits: dict[Anchor, list[tuple[tuple[str, int, Anchor], Visit]]] = defaultdict(list)
        for key, visit in self.visits.items():
            visits[visit.anchor].append((key, visit))
        anchors = self.anchors()
        for start in range(0, len(anchors), size):
            part = Facts()
            for anchor in anchors[start : start + size]:
                part.causes[anchor] = self.causes[anchor]
                part.visits.update(visits[anchor])
                if anchor in self.observations:
                    part.observations[anchor] = self.observations[anchor]
            part.held = self.held
            yield part
