"""Why two records are one person's, or not: every field with its level and weight, in words.

The weights add up: each is what a field adds to those before it, and what is there before any field is how rare it is
that two records which meet at all are one person's.
"""

from __future__ import annotations

from typing import NamedTuple

from identity.matching.clustering import CERTAIN
from identity.matching.records import Values
from identity.matching.scoring import Scorer, probability

# From so many bits on; the sign says for or against.
STRENGTHS = ((6.0, "strongly"), (2.0, "clearly"), (0.5, "a little"))
MARKED = 3.0  # times as frequent, or as rare, as usual: worth telling


class Reason(NamedTuple):
    """What one field says of a pair: its values, the level in words, and the weight in bits."""

    field: str
    left: str
    right: str
    level: str
    frequency: float
    bits: float

    @property
    def sentence(self) -> str:
        """It in words: `phone: the same (+84905123456), speaks strongly for one person (+9.1)`."""
        values = self.left if self.left == self.right else f"{self.left} – {self.right}"
        rare = ""
        if self.frequency >= MARKED:
            rare = ", a frequent value"
        elif self.frequency <= 1 / MARKED:
            rare = ", a rare value"
        return f"{self.field}: {self.level} ({values}{rare}), {self.verdict} ({self.bits:+.1f})"

    @property
    def verdict(self) -> str:
        """How much it says, in words."""
        for least, strength in STRENGTHS:
            if abs(self.bits) >= least:
                return f"speaks {strength} {'for' if self.bits > 0 else 'against'} one person"
        return "says little"


class Explanation(NamedTuple):
    """Why a pair is one person's, or not. `start` is the weight before any field; `decided` is `asserted`, `denied` or
    empty."""

    probability: float
    household: float
    bits: float
    start: float
    reasons: tuple[Reason, ...]
    decided: str
    model: int

    @property
    def sentences(self) -> list[str]:
        """The whole of it in words, one thing a line, the strongest reason first."""
        lines = [f"one person with a probability of {self.probability:.3f} ({self.bits:+.1f} bits, model {self.model})"]
        if self.decided:
            lines.append(f"somebody has {self.decided} it, which beats the evidence")
        if self.household >= 0.5:
            lines.append(f"more likely two people of one household ({self.household:.3f})")
        lines += [reason.sentence for reason in sorted(self.reasons, key=lambda reason: -abs(reason.bits))]
        lines.append(f"before any field: {self.start:+.1f}, for few pairs of records are one person's")
        return lines


def explain(scorer: Scorer, left: Values, right: Values, *, decided: float = 0.0) -> Explanation:
    """Why two records' values are one person's. `decided` is the weight if somebody asserted or denied it, else 0."""
    schema = scorer.model.schema
    pattern = scorer.pattern(left, right)
    known: list[int | None] = [None] * len(schema)
    frequencies: list[float] = []
    start = before = scorer.weight_of(known)
    reasons = []
    for place, level in enumerate(pattern):
        mine, theirs = left[place], right[place]
        if level is None or mine is None or theirs is None:
            continue
        known[place] = level
        frequency = scorer.frequency(place, mine) if level == 0 else 1.0
        frequencies.append(frequency)
        after = scorer.weight_of(known, frequencies)
        field = schema.fields[place]
        reasons.append(Reason(field.name, mine, theirs, field.comparison.words[level], frequency, after - before))
        before = after
    household, chance = scorer.odds(left, right)
    bits = decided or before
    word = "" if not decided else "asserted" if decided >= CERTAIN else "denied"
    share = household / (1 + household + chance)
    return Explanation(probability(bits), share, bits, start, tuple(reasons), word, scorer.model.version)
