"""The routes of tracking plans. Thin: what a plan is and does stands in `ingest.plans`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from cdp import clock
from cdp.auth import Caller, require
from cdp.errors import ForbiddenError
from cdp.parameters import Moment
from cdp.records import EventType, PlanMode
from cdp.registry import Entry
from cdp.service import Platform
from ingest.plans import diff as differences
from ingest.plans import infer, traffic
from ingest.plans import violations as broken
from ingest.plans.plan import KIND, Plan, PlanBody
from ingest.routes.parameters import After, Limit, Opened, SourceKey, encoded
from ingest.source import KIND as SOURCE
from ingest.sources.segment import Fault, Limits, SegmentReader

PlanReader = Annotated[Caller, Depends(require("sources:read"))]
PlanWriter = Annotated[Caller, Depends(require("sources:write"))]

router = APIRouter(prefix="/api/v1/sources/{key}/plan", tags=["plans"])

SCHEMA_EXAMPLE: dict[str, Any] = {
    "type": "object",
    "required": ["order_id", "total"],
    "properties": {
        "order_id": {"type": "string"},
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["VND", "USD"]},
    },
}
PLAN_EXAMPLE: dict[str, Any] = {
    "mode": "quarantine",
    "unplanned": "allow",
    "events": {"Order Completed": SCHEMA_EXAMPLE},
    "identify": {"type": "object", "properties": {"email": {"type": "string", "format": "email"}}},
}
EVENT_EXAMPLE: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "lan",
    "properties": {"order_id": "o-1", "total": "1850000"},
}


class PlanDraft(PlanBody):
    """What a tracking plan is."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [PLAN_EXAMPLE]})


class PlanView(PlanBody):
    """A tracking plan as the API shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **PLAN_EXAMPLE,
                    "source": "shop-web",
                    "version": 14,
                    "created_at": "2026-11-21T08:30:00.000Z",
                    "updated_at": "2026-11-21T08:30:00.000Z",
                }
            ]
        }
    )

    source: str = Field(description="Key of the source.")
    version: int = Field(description="Grows with each change.")
    created_at: str = Field(description="When it was made.")
    updated_at: str = Field(description="When it was changed last.")


class Traffic(BaseModel):
    """Which stored events to look at."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = Field(None, description="Only events received at this moment or later; all if absent.")
    type: EventType | None = Field(None, description="Only events of this type.")
    event: str = Field("", max_length=500, description="Only events of this name.")
    each: int = Field(
        traffic.EACH, ge=1, le=traffic.MOST_EACH, description="How many events of each type and name are looked at."
    )

    def wanted(self) -> traffic.Wanted:
        """The same, for the warehouse."""
        return traffic.Wanted(self.since or clock.EARLIEST, self.type or "", self.event, self.each)


class Inference(Traffic):
    """How to learn a plan."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "observe", "save": False}]})

    strict: StrictBool = Field(False, description="Whether events and properties that were never seen break the plan.")
    mode: PlanMode = Field("observe", description="The mode of the plan.")
    save: StrictBool = Field(False, description="Whether to put it in force at once; nothing is saved otherwise.")


class Seen(BaseModel):
    """How much of an event was looked at."""

    type: str = Field(description="The event's type.")
    event: str = Field(description="The name of a track event.")
    events: int = Field(description="How many of it the plan was learnt from.")


class InferredView(BaseModel):
    """A plan learnt from stored events; it accepts each of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plan": PLAN_EXAMPLE,
                    "learnt_from": [{"type": "track", "event": "Order Completed", "events": 500}],
                    "version": None,
                }
            ]
        }
    )

    plan: PlanBody = Field(description="The plan, as PUT takes it.")
    learnt_from: list[Seen] = Field(description="What it was learnt from.")
    version: int | None = Field(description="The version it has in force; null if it was not saved.")


class Comparison(Traffic):
    """What to compare."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"plan": PLAN_EXAMPLE}, {}]})

    plan: PlanDraft | None = Field(
        None, description="A plan to compare with the one in force; one learnt from stored events if absent."
    )


class ChangeView(BaseModel):
    """One difference."""

    change: Literal["added", "removed", "changed"] = Field(description="What kind of difference.")
    path: str = Field(description="Where in the plan.")
    words: str = Field(description="What changes, in words.")
    breaking: bool = Field(description="Whether an event that the plan in force takes may break the other one.")


class ProblemView(BaseModel):
    """One thing that is wrong with an event."""

    path: str = Field(description="Where in the event.")
    keyword: str = Field(description="The rule of JSON Schema that it breaks; or `unplanned`.")
    reason: str = Field(description="What is wrong, in words.")


class Frequent(ProblemView):
    """One thing that is wrong with several events."""

    event: str = Field(description="The event's name, or its type.")
    events: int = Field(description="How many events.")


class TrialView(BaseModel):
    """How stored events fare under the other plan."""

    events: int = Field(description="How many events were tried.")
    violating: int = Field(description="How many of them would break it.")
    problems: list[Frequent] = Field(description="How, the most frequent first; at most 100.")


class ComparisonView(BaseModel):
    """What differs between the plan in force and another one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "breaking": True,
                    "changes": [
                        {
                            "change": "added",
                            "path": "events.Order Completed.required",
                            "words": "'currency' must be there now",
                            "breaking": True,
                        }
                    ],
                    "trial": {
                        "events": 500,
                        "violating": 3,
                        "problems": [
                            {
                                "event": "Order Completed",
                                "path": "properties.currency",
                                "keyword": "required",
                                "reason": "It is missing.",
                                "events": 3,
                            }
                        ],
                    },
                }
            ]
        }
    )

    breaking: bool = Field(description="Whether any change is breaking.")
    changes: list[ChangeView] = Field(description="What must be done to the plan in force to get the other one.")
    trial: TrialView = Field(description="How stored events fare under the other plan.")


class Question(BaseModel):
    """An event to check."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"event": EVENT_EXAMPLE}]})

    event: dict[str, Any] = Field(description="The event as it would be sent, with its `type`.")
    plan: PlanDraft | None = Field(None, description="The plan to check it against; the one in force if absent.")


class Verdict(BaseModel):
    """What would become of an event. Nothing is stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "outcome": "quarantined",
                    "problems": [
                        {
                            "path": "properties.total",
                            "keyword": "type",
                            "reason": "It must be number, and is string.",
                        }
                    ],
                }
            ]
        }
    )

    outcome: Literal["accepted", "quarantined", "blocked"] = Field(description="What would become of it.")
    problems: list[ProblemView] = Field(
        description="What is wrong with it. An event that cannot be taken at all has a code such as `missing_event` as "
        "its keyword."
    )


class ViolationView(BaseModel):
    """A rule that events broke."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "track",
                    "event": "Order Completed",
                    "path": "properties.total",
                    "keyword": "type",
                    "violations": 214,
                    "first_seen": "2026-11-20T08:30:00.000Z",
                    "last_seen": "2026-11-21T08:30:00.000Z",
                    "message_id": "ajs-next-1795292094065-22b789c7",
                    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                    "reason": "It must be number, and is string.",
                    "mode": "quarantine",
                }
            ]
        }
    )

    type: str = Field(description="The events' type.")
    event: str = Field(description="The name of track events; else empty.")
    path: str = Field(description="Where in the event; `[]` stands for any item of a list.")
    keyword: str = Field(description="The rule of JSON Schema; or `unplanned`.")
    violations: int = Field(description="How many events broke it here.")
    first_seen: str = Field(description="When the first of them was received.")
    last_seen: str = Field(description="When the latest of them was received.")
    message_id: str = Field(description="The latest one's messageId.")
    trace_id: str = Field(description="The latest one's trace.")
    reason: str = Field(description="What was wrong with the latest one.")
    mode: str = Field(description="What became of the latest one: `observe` let it pass.")


class ViolationList(BaseModel):
    """A page of broken rules, the most often broken first."""

    items: list[ViolationView]
    next: str | None = Field(None, description="Give it as `after` to get the next page; null on the last one.")


@router.get("", summary="Read a source's tracking plan")
async def get_plan(key: SourceKey, opened: Opened, _: PlanReader) -> PlanView:
    """The plan in force. 404 when the source has none."""
    return _shown(opened.registry.get(KIND, key))


@router.put("", summary="Put a tracking plan in force")
async def put_plan(key: SourceKey, draft: PlanDraft, opened: Opened, caller: PlanWriter) -> PlanView:
    """Define what the source's events look like. A schema that is none is refused with the path of the fault."""
    return _shown(await _put(opened, key, draft, caller))


@router.delete("", status_code=204, summary="Delete a source's tracking plan")
async def delete_plan(key: SourceKey, opened: Opened, caller: PlanWriter) -> None:
    """From now on the source's events are not looked at any more. Violations that were found stay."""
    await opened.registry.delete(KIND, key, by=caller.key)


@router.post("/infer", summary="Learn a tracking plan from stored events")
async def infer_plan(
    key: SourceKey, opened: Opened, caller: PlanReader, asked: Inference | None = None
) -> InferredView:
    """A plan that accepts the stored events it was learnt from: types, what is always there, few values, formats."""
    asked = asked or Inference()
    if asked.save and not caller.may("sources:write"):
        raise ForbiddenError("This token lacks the scope sources:write.")
    opened.registry.get(SOURCE, key)
    found = infer.inferred(await traffic.samples(opened, key, asked.wanted()), strict=asked.strict, mode=asked.mode)
    entry = await _put(opened, key, found.body, caller) if asked.save else None
    seen = [Seen(type=kind, event=name, events=events) for (kind, name), events in sorted(found.events.items())]
    return InferredView(plan=found.body, learnt_from=seen, version=entry.version if entry else None)


@router.post("/diff", summary="Compare tracking plans")
async def diff_plan(key: SourceKey, opened: Opened, _: PlanReader, asked: Comparison | None = None) -> ComparisonView:
    """What a given plan changes, or what stored events would teach; and how stored events fare under it."""
    asked = asked or Comparison()
    opened.registry.get(SOURCE, key)
    events = await traffic.samples(opened, key, asked.wanted())
    encoded(asked.plan.stored() if asked.plan else {}, "plan")
    known = _known(opened, key)
    other = asked.plan or infer.inferred(events, mode=known.mode).body
    plan = Plan(other)
    changes = differences.diff(known, other)
    return ComparisonView(
        breaking=any(change.breaking for change in changes),
        changes=[ChangeView(**change._asdict()) for change in changes],
        trial=_trial(traffic.trial(plan, events)),
    )


@router.post("/check", summary="Check an event against a tracking plan")
async def check_event(key: SourceKey, asked: Question, opened: Opened, _: PlanReader) -> Verdict:
    """What would become of an event, and why. Nothing is stored."""
    opened.registry.get(SOURCE, key)
    encoded(asked.plan.stored() if asked.plan else {}, "plan")
    plan = Plan(asked.plan or _known(opened, key))
    judged = SegmentReader(Limits.of(opened.settings.collector)).judge(encoded(asked.event, "event"), None)
    if isinstance(judged, Fault):
        fault = ProblemView(path=judged.path, keyword=judged.code, reason=judged.reason)
        return Verdict(outcome="quarantined", problems=[fault])
    problems = [
        ProblemView(path=problem.path, keyword=problem.keyword, reason=problem.reason)
        for problem in plan.problems(judged[1])
    ]
    return Verdict(outcome=OUTCOMES[plan.mode] if problems else "accepted", problems=problems)


OUTCOMES: dict[PlanMode, Literal["accepted", "quarantined", "blocked"]] = {
    "observe": "accepted",
    "quarantine": "quarantined",
    "block": "blocked",
}


@router.get("/violations", summary="List how events broke the plan")
async def list_violations(
    key: SourceKey,
    opened: Opened,
    _: PlanReader,
    type: Annotated[EventType | None, Query(description="Only events of this type.")] = None,
    event: Annotated[str, Query(max_length=500, description="Only events of this name.")] = "",
    path: Annotated[str, Query(max_length=1_000, description="Only at this path.")] = "",
    keyword: Annotated[str, Query(max_length=100, description="Only of this rule.")] = "",
    mode: Annotated[PlanMode | None, Query(description="Only found in this mode.")] = None,
    since: Annotated[Moment | None, Query(description="Received at or after this moment.")] = None,
    until: Annotated[Moment | None, Query(description="Received before this moment.")] = None,
    limit: Limit = 100,
    after: After = "",
) -> ViolationList:
    """Which rules were broken, how often and since when, the most often broken first."""
    opened.registry.get(SOURCE, key)
    wanted = broken.Filter(type or "", event, path, keyword, mode or "")
    if since is not None:
        wanted = wanted._replace(since=since)
    if until is not None:
        wanted = wanted._replace(until=until)
    found, more = await broken.violations(opened, key, wanted, limit=limit, after=after)
    return ViolationList(items=[ViolationView(**broken.document(one)) for one in found], next=more or None)


async def _put(opened: Platform, key: str, body: PlanBody, caller: Caller) -> Entry:
    opened.registry.get(SOURCE, key)
    encoded(body.stored(), "")
    Plan(body)
    return await opened.registry.put(KIND, key, body.stored(), by=caller.key)


def _known(opened: Platform, key: str) -> PlanBody:
    """The plan in force; one that asks for nothing where there is none."""
    entry = opened.registry.find(KIND, key)
    return PlanBody.model_validate(entry.body) if entry else PlanBody()


def _shown(entry: Entry) -> PlanView:
    return PlanView(
        **entry.body,
        source=entry.key,
        version=entry.version,
        created_at=clock.to_text(entry.created_at),
        updated_at=clock.to_text(entry.updated_at),
    )


def _trial(found: traffic.Trial) -> TrialView:
    return TrialView(
        events=found.events,
        violating=found.violating,
        problems=[
            Frequent(event=name, path=problem.place, keyword=problem.keyword, reason=problem.reason, events=events)
            for name, problem, events in found.problems[:100]
        ],
    )
