"""What a source sent: stored events to learn a plan from, and to try one on."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from cdp.records import RawEvent
from cdp.service import Platform
from cdp.warehouse.sql import load
from ingest.plans.infer import Sample
from ingest.plans.plan import Plan
from ingest.plans.reasons import Problem

QUERIES = load("ingest.plans")
# Events of each type and name that are looked at, unless told otherwise, and in all.
EACH = 500
MOST_EACH = 5_000
MOST = 100_000

_object = msgspec.json.Decoder(dict[str, Any]).decode


class Wanted(NamedTuple):
    """Which events: "" means any; `since` in milliseconds."""

    since: int = 0
    type: str = ""
    event: str = ""
    each: int = EACH


class Trial(NamedTuple):
    """How events fared that were held to a plan: how many there were, how many broke it, and how, most often first."""

    events: int
    violating: int
    problems: list[tuple[str, Problem, int]]


async def samples(platform: Platform, source: str, wanted: Wanted) -> list[Sample]:
    """Stored events of a source, as plans look at them."""
    parameters = {"source": source, "most": MOST, **wanted._asdict()}
    rows = await platform.warehouse.rows(QUERIES["traffic"], parameters)
    return [Sample(kind, name, _object(said or "{}")) for kind, name, said in rows]


def trial(plan: Plan, events: list[Sample]) -> Trial:
    """Hold events to a plan."""
    violating = 0
    counts: dict[tuple[str, str, str], tuple[str, Problem, int]] = {}
    for sample in events:
        found = plan.problems(event_of(sample))
        violating += bool(found)
        name = sample.name if sample.type == "track" else sample.type
        for problem in found:
            key = (name, problem.place, problem.keyword)
            counts[key] = (name, problem, counts[key][2] + 1 if key in counts else 1)
    return Trial(len(events), violating, sorted(counts.values(), key=lambda one: -one[2]))


def event_of(sample: Sample) -> RawEvent:
    """The sample as an event."""
    said = Raw(msgspec.json.encode(sample.said))
    if sample.type in ("identify", "group"):
        return RawEvent(sample.type, traits=said)
    return RawEvent(sample.type, event=sample.name, properties=said)
