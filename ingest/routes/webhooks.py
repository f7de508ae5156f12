"""The routes of webhooks: the door itself, described for OpenAPI, the presets, and a place to try them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from cdp.auth import Caller, require
from cdp.errors import InvalidError, NotFoundError
from cdp.records import encode
from ingest.routes.parameters import Opened
from ingest.routes.tracking import EventResult, NotTaken, handed_over
from ingest.sources.segment import Limits, SegmentReader
from ingest.webhooks.mapping import Mapping
from ingest.webhooks.payloads import BodyKind
from ingest.webhooks.presets import Preset, presets
from ingest.webhooks.trial import Outcome, Sample, tried

SourceReader = Annotated[Caller, Depends(require("sources:read"))]
SourceWriter = Annotated[Caller, Depends(require("sources:write"))]
Answered = Annotated[Response, Depends(handed_over)]
Source = Annotated[str, Path(description="The key of the source.", examples=["shopify"])]

router = APIRouter(tags=["webhooks"])

LONGEST_SAMPLE = 1_000_000
TRY_EXAMPLE: dict[str, Any] = {
    "preset": "pos",
    "payload": {
        "id": "HD-1001",
        "type": "order.completed",
        "occurred_at": "2026-11-21T08:30:00Z",
        "customer": {"phone": "0912 345 678", "name": "Nguyễn Thị Lan"},
        "order": {"id": "HD-1001", "total": 1_850_000, "currency": "VND"},
    },
}


class WebhookTaken(BaseModel):
    """Everything is durable."""

    success: bool = Field(description="Always true.")
    trace_id: str = Field(description="Follows the events through every stage.")
    accepted: int = Field(description="How many events were made and accepted.")
    ignored: int = Field(description="How many parts of the payload the mapping leaves out.")
    results: list[EventResult] = Field(description="What was kept aside, if anything.")


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": NotTaken, "description": "No body, or one beyond the limits."},
    401: {"model": NotTaken, "description": "It does not prove that it comes from the platform."},
    404: {"model": NotTaken, "description": "There is no such source, or it takes no webhooks."},
    405: {"model": NotTaken, "description": "Nothing is tried by this method."},
    408: {"model": NotTaken, "description": "The body did not arrive in time; send it again."},
    429: {"model": NotTaken, "description": "Too many events; send it again after `Retry-After` seconds."},
    500: {"model": NotTaken, "description": "Something unexpected; send it again."},
    503: {"model": NotTaken, "description": "Not durable now; send it again after `Retry-After` seconds."},
}
CONTENT: dict[str, Any] = {"application/json": {"schema": {}, "example": TRY_EXAMPLE["payload"]}}
ECHO: dict[str, Any] = {
    "description": "What it wants to hear.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
SHAKES: dict[int | str, dict[str, Any]] = {200: ECHO, **{code: REFUSALS[code] for code in (401, 404, 405, 503)}}


@router.post(
    "/v1/webhooks/{source}",
    summary="Take a webhook",
    response_model=WebhookTaken,
    responses=REFUSALS,
    openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
)
async def take_webhook(source: Source, answer: Answered) -> Response:
    """What another platform sends, in its own shape, proven by its own signature. Answers 200 once it is durable; what
    is signed and not understood is kept in quarantine and answered 200 too."""
    return answer


@router.get(
    "/v1/webhooks/{source}",
    summary="Answer a platform that tries the address",
    response_class=Response,
    responses=SHAKES,
)
async def try_address(source: Source, answer: Answered) -> Response:
    """Handshakes: Meta's `hub.challenge`, Mailchimp's validation. 405 where the source's platform has none."""
    return answer


class PresetList(BaseModel):
    """Every preset."""

    items: list[Preset]
    next: str | None = Field(None, description="Always null: they are few.")


class Trial(BaseModel):
    """A webhook and a sample of what the platform sends."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [TRY_EXAMPLE]})

    preset: str | None = Field(None, max_length=64, description="A ready-made platform.")
    mapping: Mapping = Field(Mapping(), description="As in a source's `webhook`.")
    body: BodyKind | None = Field(None, description="As in a source's `webhook`.")
    source: str = Field("try", max_length=64, description="The source's key, where ids have it in them.")
    payload: Any = Field(None, description="The body, as JSON.")
    text: str | None = Field(None, max_length=LONGEST_SAMPLE, description="Or the body as it is sent, such as a form.")
    headers: dict[str, str] = Field({}, max_length=100, description="Headers, such as the topic.")
    query: dict[str, str] = Field({}, max_length=100, description="Parameters of the address.")
    fetched: Any = Field(None, description="What the platform would give if asked, for Meta's leads.")


class TriedEvent(BaseModel):
    """What would become of a part of the sample."""

    rule: int = Field(description="The number of the rule that fits, own ones first; -1: none.")
    outcome: str = Field(description="`accepted`, `quarantined` or `ignored`.")
    event: dict[str, Any] | None = Field(description="The event; null where there is none.")
    code: str = Field(description="Why it would be kept aside, as a stable word.")
    message: str = Field(description="Why, in words.")
    path: str = Field(description="Where the fault is.")


class Tried(BaseModel):
    """What would become of the sample. Nothing is stored."""

    events: list[TriedEvent]


@router.get("/api/v1/webhooks/presets", summary="List the presets")
async def list_presets(_: SourceReader) -> PresetList:
    """Ready-made webhooks of platforms: how each signs, and which of its payloads become which events."""
    return PresetList(items=list(presets().values()), next=None)


@router.get("/api/v1/webhooks/presets/{name}", summary="Read a preset")
async def get_preset(
    name: Annotated[str, Path(max_length=64, description="Its name.", examples=["shopify"])], _: SourceReader
) -> Preset:
    """One preset: a mapping of your own is put on top of it."""
    return _preset(name)


@router.post("/api/v1/webhooks/try", summary="Try a webhook on a sample")
async def try_webhook(trial: Trial, opened: Opened, _: SourceWriter) -> Tried:
    """The events that a payload would become, and what would become of each. Nothing is stored, and no signature is
    asked for."""
    if (trial.payload is None) == (trial.text is None):
        raise InvalidError("Give the sample as `payload` (JSON) or as `text`.", path="payload")
    raw = encode(trial.payload) if trial.text is None else trial.text.encode(errors="replace")
    outcomes = tried(
        Sample(raw, trial.headers, trial.query, trial.fetched),
        SegmentReader(Limits.of(opened.settings.collector)),
        trial.source,
        preset=None if trial.preset is None else _preset(trial.preset),
        mapping=trial.mapping,
        body=trial.body,
    )
    return Tried(events=[_shown(one) for one in outcomes])


def _preset(name: str) -> Preset:
    found = presets().get(name)
    if found is None:
        raise NotFoundError(f"There is no preset {name!r}; there are {', '.join(presets())}.", path="preset")
    return found


def _shown(one: Outcome) -> TriedEvent:
    fault = one.fault
    return TriedEvent(
        rule=one.rule,
        outcome="quarantined" if fault else "ignored" if one.event is None else "accepted",
        event=one.event,
        code=fault.code if fault else "",
        message=fault.reason if fault else "",
        path=fault.path if fault else "",
    )
