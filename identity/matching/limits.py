"""How much is looked at together: what bounds the work for one record, whatever the world sends."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """The limits of a linker.

    - `link`: bits of evidence above which records are looked at together; low, because it only says what to decide.
    - `step`, `ceiling`: by how much, and how far, that bar is raised where a component is too large.
    - `component`: most records of a component whose every pair is looked at.
    - `bucket`: most records that a blocking key may bring together.
    - `representatives`: how many records of an owned value, one person's, every other is compared with.
    """

    link: float = -2.0
    step: float = 2.0
    ceiling: float = 16.0
    component: int = 150
    bucket: int = 100
    representatives: int = 25
