"""Python's collector of cycles, set for a process that serves: it need not look at what stays anyway."""

from __future__ import annotations

import gc

# New objects after which the youngest are looked at; Python's 700 are a few requests' worth.
YOUNG = 20_000


def settle() -> None:
    """Take everything that is in memory now for lasting, and look for cycles among new objects less often.

    Called once a process has started. Without it a fifth of a small request's CPU time goes into looks at modules,
    schemas and definitions, again and again (`make bench`: single posts).
    """
    gc.collect()
    gc.freeze()
    _, middle, old = gc.get_threshold()
    gc.set_threshold(YOUNG, middle, old)
