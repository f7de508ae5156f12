"""What a definition means, in plain Python: the sentence that the compiled SQL must say too (the oracle of the tests).

- An event counts from its own moment on; `within` looks back from now, and an event exactly that old is out.
- A test of something missing or null fails, but `is_not_set` passes. `not` just turns an answer round.
- The count of no events is 0, and so is the sum of none; values that are no numbers add nothing to a sum.
- Somebody without anchors (merged away, or erased) has no history and is in no segment.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from segments.expressions import LARGEST_AMOUNT
from segments.nodes import (
    MILLIONTHS,
    All,
    AnyOf,
    Count,
    Events,
    Measured,
    Node,
    Not,
    Path,
    Predicate,
    Sum,
    TraitIs,
    conditions,
    place_in_list,
)
from segments.operators import OPERATORS


class Happened(NamedTuple):
    """An event of a profile. `at` in milliseconds since the epoch; `properties` as `read` gives them."""

    type: str
    name: str
    at: int
    properties: Any = None


class History(NamedTuple):
    """All that is known of a profile: the latest value of each trait, as `read` gives it, and its events."""

    traits: Mapping[str, Any]
    events: Sequence[Happened]


def holds(node: Node, history: History, now: int) -> bool:
    """Whether somebody with this history meets the condition at this moment."""
    match node:
        case All(parts):
            return all(holds(part, history, now) for part in parts)
        case AnyOf(parts):
            return any(holds(part, history, now) for part in parts)
        case Not(part):
            return not holds(part, history, now)
        case TraitIs(path, test):
            return passes(test, value_at(history.traits, path))
        case Measured(figure, low, high):
            measured = measure(figure, history.events, now)
            return (low is None or measured >= low) and (high is None or measured <= high)


def measure(figure: Count | Sum, events: Iterable[Happened], now: int) -> int:
    """How many events, or the sum of their amounts in millionths."""
    chosen = [event for event in events if counts(figure.events, event, now)]
    if isinstance(figure, Count):
        return len(chosen)
    return sum(millionths(value_at(event.properties, figure.of)) for event in chosen)


def counts(events: Events, event: Happened, now: int) -> bool:
    """Whether the event is among the events meant, at this moment."""
    return (
        event.type == events.type
        and events.name in (None, event.name)
        and event.at <= now
        and (events.within is None or event.at > now - events.within)
        and all(passes(wanted.test, value_at(event.properties, wanted.path)) for wanted in events.where)
    )


def passes(test: Predicate, value: Any) -> bool:
    """Whether the value passes the test; None is what is missing or null."""
    return OPERATORS[test.operator].holds(value, test.given)


def next_change(nodes: Iterable[Node], history: History, now: int) -> int | None:
    """The next moment at which time alone may change an answer: an event leaves a window or begins to count."""
    return min(
        (moment for events, widths in windows(nodes) for moment in _turns(events, widths, history, now)), default=None
    )


def windows(nodes: Iterable[Node]) -> list[tuple[Events, tuple[int, ...]]]:
    """The kinds of event asked for, each with the lengths of the windows over it (0: its own moment)."""
    found: dict[Events, set[int]] = {}
    for node in nodes:
        for leaf in conditions(node):
            if isinstance(leaf, Measured):
                events = leaf.figure.events
                found.setdefault(Events(events.type, events.name), {0}).add(events.within or 0)
    return [(events, tuple(sorted(widths))) for events, widths in found.items()]


def _turns(events: Events, widths: Sequence[int], history: History, now: int) -> Iterator[int]:
    for event in history.events:
        if event.type == events.type and events.name in (None, event.name):
            yield from (event.at + width for width in widths if event.at + width > now)


def value_at(document: Any, path: Path) -> Any:
    """What lies at the path, or None."""
    for part in path:
        place = place_in_list(part)
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, list) and place is not None and place < len(document):
            document = document[place]
        else:
            return None
    return document


def millionths(value: Any) -> int:
    """The number in whole millionths (an exact half goes to the even one); 0 for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return round(min(max(float(value), -LARGEST_AMOUNT), LARGEST_AMOUNT) * MILLIONTHS)


def read(text: str) -> Any:
    """JSON text as ClickHouse reads it: None for what it refuses; a whole number beyond 64 bits is a text to it."""
    try:
        value = json.loads(
            text, parse_int=_whole, parse_float=_fraction, parse_constant=_refuse, object_pairs_hook=_first_wins
        )
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return None
    return value


def _whole(digits: str) -> int | str:
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else digits


def _fraction(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))
