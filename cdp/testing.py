"""What tests of any wing need from the ground: a clock that moves only when told to."""

from __future__ import annotations

START = 1_795_249_800_000  # 2026-11-21T08:30:00.000Z


class FrozenClock:
    """A `Clock` that stands still. Set `moment`, or `advance` it."""

    def __init__(self, moment: int = START) -> None:
        self.moment = moment

    def now(self) -> int:
        """The moment it was set to, in milliseconds since the epoch."""
        return self.moment

    def advance(self, milliseconds: int) -> int:
        """Move on, and return the new moment."""
        self.moment += milliseconds
        return self.moment
