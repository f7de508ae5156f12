"""Holds events to the tracking plan of their source. A source without one costs a look into a dictionary.

Violations go on the log in the same append as the events, so they are as durable and as exact as these.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import structlog
from pydantic import ValidationError

from cdp.errors import InvalidError
from cdp.records import RawEvent
from cdp.registry import Entry, Registry
from ingest.plans.plan import KIND, MOST_VALUES, Plan, PlanBody, values_in
from ingest.plans.reasons import Problem
from ingest.source import Source
from ingest.sources.segment import Fault, Opened, Reading, Remark

log = structlog.get_logger(__name__)

CODE = "plan_violation"


class PlanInspection:
    """The plans of an installation, compiled once a version and kept current by the registry."""

    def __init__(self, registry: Registry) -> None:
        self._plans: dict[str, Plan] = {}
        for entry in registry.all(KIND):
            self._changed(KIND, entry.key, entry)
        registry.watch(self._changed)

    def wanted(self, source: Source) -> bool:
        """Whether the source has a plan."""
        return source.key in self._plans

    def plan(self, source: str) -> Plan | None:
        """The plan of a source, by its key."""
        return self._plans.get(source)

    def inspect(self, source: Source, opened: Opened, reading: Reading) -> Reading:
        """The reading, with a remark for each violation; unless the plan only observes, with faults for the events."""
        plan = self._plans[source.key]
        remarks: list[Remark] = []
        broken: dict[int, list[Problem]] = {}
        left = MOST_VALUES
        for number, (_, event) in enumerate(reading.accepted):
            if found := plan.problems(event, values=left):
                left -= values_in(event)
                broken[number] = found
                remarks += remarks_of(event, found, plan)
        if not broken:
            return reading
        told = [*reading.remarks, *remarks]
        if plan.mode == "observe":
            return reading._replace(remarks=told)
        accepted = [one for number, one in enumerate(reading.accepted) if number not in broken]
        places = reading.places()
        faults = [
            _fault(event, broken[number], key=key, place=places[number], batch=opened.kind is None, plan=plan)
            for number, (key, event) in enumerate(reading.accepted)
            if number in broken
        ]
        return Reading(accepted, sorted([*reading.faults, *faults], key=lambda fault: fault.place), told)

    def _changed(self, kind: str, key: str, entry: Entry | None) -> None:
        if kind != KIND:
            return
        self._plans.pop(key, None)
        if entry is None:
            return
        try:
            self._plans[key] = Plan(PlanBody.model_validate(entry.body))
        except (InvalidError, ValidationError) as error:
            # Looked at when it was put: only another version of this product can have written it.
            log.error("plan.unusable", source=key, reason=str(error))


def plans_of(registry: Registry) -> PlanInspection:
    """The one inspection of a registry, for every door and for replays: a plan is compiled once a process."""
    if (known := _INSPECTIONS.get(registry)) is None:
        known = _INSPECTIONS[registry] = PlanInspection(registry)
    return known


_INSPECTIONS: WeakKeyDictionary[Registry, PlanInspection] = WeakKeyDictionary()


def remarks_of(event: RawEvent, found: list[Problem], plan: Plan) -> list[Remark]:
    """The violations of an event: one for each path and keyword."""
    known = {(problem.place, problem.keyword): problem for problem in reversed(found)}
    name = (event.event or "") if event.type == "track" else ""
    return [
        Remark(event.type, name, place, keyword, problem.reason, event.id, plan.mode)
        for (place, keyword), problem in known.items()
    ]


def _fault(event: RawEvent, found: list[Problem], *, key: str, place: int, batch: bool, plan: Plan) -> Fault:
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Fault(
        CODE,
        f"{first.reason}{more}",
        f"batch[{place}].{first.path}" if batch else first.path,
        place,
        event.body,
        event.id,
        key,
        "blocked" if plan.mode == "block" else "quarantined",
    )
