"""Whether a person lets a destination have them: asked before each build, and again at each reconciliation.

A destination may name purposes (`["advertising"]`). The profile's trait `consent` says yes or no to each:
`{"advertising": true}`. As in the Segment spec: no `consent` trait at all lets through, a trait that is there must say
yes to every purpose of the destination, and a destination without purposes always flows. Denied means *remove*. Who is
likely the same person has a say too: one no is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TRAIT = "consent"


def refusal(purposes: Sequence[str], traits: Mapping[str, Any]) -> str:
    """Why this person may not be sent, or "" if they may."""
    said = traits.get(TRAIT)
    if not purposes or said is None:
        return ""
    denied = [purpose for purpose in purposes if not (isinstance(said, Mapping) and said.get(purpose) is True)]
    return f"no consent to {', '.join(denied)}" if denied else ""
