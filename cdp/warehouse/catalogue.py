"""What the loader learns of events while it stores them: the catalogue of their fields. Pure.

Of a large turn some events are looked at: those of names that are new or rare, so that nothing is missed, and of the
others as many as cost little. What is learnt waits up to a second before it is stored, unless it is new. Examples are
masked here, so that the catalogue never holds personal data that an erasure would have to find.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from cdp import masking
from cdp.records import ResolvedEvent
from cdp.shapes import Path, format_of, places, text_of, type_of
from cdp.warehouse.rows import CatalogueRow

# Events that a turn looks at, and those of unfamiliar names beside them; a name is familiar after so many looks.
LOOKS = 60
NEW_LOOKS = 300
FAMILIAR = 40
# Names of events, and fields of one, beyond which no more are learnt: they are data then, not names.
MOST_NAMES = 5_000
MOST_FIELDS = 500
EXAMPLES = 5
# Values that are tried as examples of a field: most of them may be masked alike.
TRIES = 30

_object = msgspec.json.Decoder(dict[str, Any]).decode


class Kind(NamedTuple):
    """What fields belong to: `event` is a track event's name; other events are known by their type alone."""

    source: str
    type: str
    event: str


class Field:
    """What was seen of a field since it was stored last."""

    __slots__ = ("examples", "first_seen", "formats", "last_seen", "seen", "types")

    def __init__(self) -> None:
        self.seen = 0
        self.first_seen = self.last_seen = 0
        self.types: set[str] = set()
        self.formats: set[str] = set()
        self.examples: set[str] = set()

    def see(self, at: int) -> None:
        """Count an event that has the field; `at` when it was received."""
        self.first_seen = min(self.first_seen, at) if self.seen else at
        self.last_seen = max(self.last_seen, at)
        self.seen += 1

    def row(self, kind: Kind, path: str) -> CatalogueRow:
        """What is stored of it."""
        return CatalogueRow(
            *kind,
            path,
            self.first_seen / 1000,
            self.last_seen / 1000,
            self.seen,
            sorted(self.types),
            sorted(self.formats),
            sorted(self.examples),
        )


class Learnt:
    """What this process knows to be stored of a field."""

    __slots__ = ("examples", "formats", "tried", "types")

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.formats: set[str] = set()
        self.examples: set[str] = set()
        self.tried: set[Any] = set()


class Known:
    """What this process knows of a kind of events. `names` are the paths of its fields, as text, masked."""

    __slots__ = ("fields", "looked_at", "names")

    def __init__(self) -> None:
        self.looked_at = 0
        self.fields: dict[str, Learnt] = {}
        self.names: dict[Path, str] = {}

    def name(self, path: Path) -> str:
        """A path as text, its names masked where they are data themselves; empty for a field too many."""
        if (name := self.names.get(path)) is not None:
            return name
        name = text_of(tuple(one if one == "[]" else masking.key(one) for one in path))
        if name not in self.fields and len(self.fields) >= MOST_FIELDS:
            return ""
        if len(self.names) < MOST_FIELDS:
            self.names[path] = name
        return name


class Learner:
    """Learns from events, and says what is to be stored."""

    def __init__(self) -> None:
        self._known: dict[Kind, Known] = {}
        self._familiar: set[tuple[str, str, str]] = set()
        self._waiting: dict[Kind, dict[str, Field]] = {}
        self._random = random.Random(0)
        self.urgent = False

    def forget(self) -> None:
        """What was not stored surely is learnt anew."""
        self._known, self._familiar, self._waiting, self.urgent = {}, set(), {}, False

    def learn(self, events: Iterable[ResolvedEvent]) -> None:
        """Look at some of the events. What is new makes `urgent` true."""
        some = list(events)
        for event in some if len(some) <= LOOKS else self._chosen(some):
            kind = Kind(event.source, event.type, event.name if event.type == "track" else "")
            if (known := self._known.get(kind)) is None:
                if len(self._known) >= MOST_NAMES:
                    continue
                known = self._known[kind] = Known()
            self._look(kind, known, event)
            if known.looked_at == FAMILIAR:
                self._familiar.add(kind)

    def take(self) -> list[CatalogueRow]:
        """What waits to be stored; from now on it does not wait any more."""
        waiting, self._waiting, self.urgent = self._waiting, {}, False
        return list(
            chain.from_iterable(
                (field.row(kind, path) for path, field in fields.items()) for kind, fields in waiting.items()
            )
        )

    @property
    def waits(self) -> bool:
        """Whether anything waits to be stored."""
        return bool(self._waiting)

    def _chosen(self, some: list[ResolvedEvent]) -> list[ResolvedEvent]:
        familiar = self._familiar
        chosen = self._random.sample(some, LOOKS)
        if len(self._known) >= MOST_NAMES:
            return chosen
        new = [
            event
            for event in some
            if (event.source, event.type, event.name if event.type == "track" else "") not in familiar
        ]
        return [*self._some(new, NEW_LOOKS), *self._random.sample(some, LOOKS)] if new else chosen

    def _some(self, events: Sequence[ResolvedEvent], most: int) -> Sequence[ResolvedEvent]:
        """The events, a few of each kind first."""
        turns: dict[tuple[str, str, str], int] = {}
        ranked = []
        for event in events:
            kind = (event.source, event.type, event.name if event.type == "track" else "")
            turns[kind] = turn = turns.get(kind, 0) + 1
            if turn <= FAMILIAR:
                ranked.append((turn, event))
        ranked.sort(key=lambda one: one[0])
        return [event for _, event in ranked[:most]]

    def _look(self, kind: Kind, known: Known, event: ResolvedEvent) -> None:
        try:
            said = _object(said_by(event))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        known.looked_at += 1
        at, waiting = event.received_at, self._waiting.setdefault(kind, {})
        if "" not in waiting:
            waiting[""] = Field()
        waiting[""].see(at)
        self.urgent |= known.looked_at == 1
        of_a_person = kind.type in ("identify", "group")
        seen: set[str] = set()
        for path, value in places(said):
            if not (name := known.name(path)):
                continue
            if (learnt := known.fields.get(name)) is None:
                learnt = known.fields[name] = Learnt()
            if (field := waiting.get(name)) is None:
                field = waiting[name] = Field()
            if name not in seen:
                seen.add(name)
                field.see(at)
            self._learn_type(learnt, field, value)
            if len(learnt.examples) < EXAMPLES and len(learnt.tried) < TRIES:
                _learn_example(learnt, field, path, value, of_a_person=of_a_person)

    def _learn_type(self, learnt: Learnt, field: Field, value: Any) -> None:
        kind = type_of(value)
        if kind not in learnt.types:
            learnt.types.add(kind)
            field.types.add(kind)
            self.urgent = True
        if kind == "string" and (form := format_of(value)) and form not in learnt.formats:
            learnt.formats.add(form)
            field.formats.add(form)


def _learn_example(learnt: Learnt, field: Field, path: Path, value: Any, *, of_a_person: bool) -> None:
    if isinstance(value, dict | list) or value is None:
        return
    tried = value[: masking.LONGEST_READ] if isinstance(value, str) else value
    if tried in learnt.tried:
        return
    learnt.tried.add(tried)
    example = masking.example(path, value, of_a_person=of_a_person)
    if example not in learnt.examples:
        learnt.examples.add(example)
        field.examples.add(example)


def said_by(event: ResolvedEvent) -> Raw:
    """What an event says of itself: an identify event's traits, else its properties (a group's are its traits)."""
    return event.traits if event.type == "identify" else event.properties
