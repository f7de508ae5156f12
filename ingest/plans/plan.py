"""What a tracking plan is: a definition of kind `plan` under its source's key, and the compiled form of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple

import jsonschema_rs
import msgspec
from jsonschema_rs import Validator
from msgspec import Raw
from pydantic import BaseModel, ConfigDict, Field

from cdp.errors import InvalidError
from cdp.records import EventType, PlanMode, RawEvent, encode
from ingest.plans.reasons import UNPLANNED, Problem, problems
from ingest.plans.schemas import compiled

KIND = "plan"
MOST_EVENTS = 1_000
MOST_BYTES = 1_000_000
# So many problems of one event are told. Of the events of one request, all are looked for as long as these hold no more
# than so many values, then only each event's first: every value can be wrong, and a write key is public.
MOST_PROBLEMS = 20
MOST_VALUES = 20_000

JsonSchema = dict[str, Any]
EventName = Annotated[str, Field(min_length=1, max_length=500)]

# Which part of an event a plan describes, by the event's type.
PARTS: Mapping[str, Literal["properties", "traits"]] = {
    "track": "properties",
    "page": "properties",
    "screen": "properties",
    "identify": "traits",
    "group": "traits",
}

_decoded = msgspec.json.Decoder().decode


class PlanBody(BaseModel):
    """What people say of a source's events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: PlanMode = Field(
        "observe",
        description="What becomes of an event that breaks the plan: `observe` lets it pass and notes it, `quarantine` "
        "keeps it aside, `block` drops it and tells the sender.",
    )
    unplanned: Literal["allow", "violation"] = Field(
        "allow", description="Whether a track event that the plan does not name breaks it."
    )
    events: dict[EventName, JsonSchema] = Field(
        {},
        max_length=MOST_EVENTS,
        description="Of each track event, the JSON Schema of its `properties`.",
    )
    identify: JsonSchema | None = Field(None, description="JSON Schema of an identify event's `traits`.")
    group: JsonSchema | None = Field(None, description="JSON Schema of a group event's `traits`.")
    page: JsonSchema | None = Field(None, description="JSON Schema of a page event's `properties`.")
    screen: JsonSchema | None = Field(None, description="JSON Schema of a screen event's `properties`.")

    def schemas(self) -> Iterator[tuple[EventType, str, JsonSchema]]:
        """Each schema, with the type and (of a track event) the name that it is for."""
        yield from (("track", name, schema) for name, schema in self.events.items())
        others: tuple[EventType, ...] = ("identify", "group", "page", "screen")
        for kind in others:
            if (schema := getattr(self, kind)) is not None:
                yield kind, "", schema

    def stored(self) -> dict[str, Any]:
        """The body as it is kept."""
        return self.model_dump(exclude_none=True)


class Finding(NamedTuple):
    """What an event breaks: its problems, of which there is at least one."""

    mode: PlanMode
    problems: list[Problem]


class Plan:
    """A plan, compiled."""

    def __init__(self, body: PlanBody) -> None:
        """Raises `InvalidError` with the path of what is wrong with a schema."""
        if (size := len(encode(body.stored()))) > MOST_BYTES:
            raise InvalidError(f"A plan may have {MOST_BYTES} bytes, and this one has {size}.", code="invalid_schema")
        self.mode = body.mode
        self._unplanned = body.unplanned == "violation"
        self._events: dict[str, Validator] = {}
        self._others: dict[str, Validator] = {}
        for kind, name, schema in body.schemas():
            validator = compiled(schema, f"events.{name}" if kind == "track" else kind)
            if kind == "track":
                self._events[name] = validator
            else:
                self._others[kind] = validator

    def knows(self, event: RawEvent) -> bool:
        """Whether the plan has a schema for the event."""
        return event.event in self._events if event.type == "track" else event.type in self._others

    def problems(self, event: RawEvent, *, values: int = MOST_VALUES) -> list[Problem]:
        """What is wrong with an accepted event: at most MOST_PROBLEMS; one, if it holds more than so many `values`."""
        if event.type == "track":
            validator = self._events.get(event.event or "")
            if validator is None:
                return [NOT_PLANNED] if self._unplanned else []
        else:
            validator = self._others.get(event.type)
            if validator is None:
                return []
        part = PARTS[event.type]
        try:
            value = said(event)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return []  # a number that no double can hold, or too deep: the resolver sets it aside
        if validator.is_valid(value):
            return []
        if values_in(event) <= values:
            return list(islice(problems(validator.iter_errors(value), part), MOST_PROBLEMS))
        return _first(validator, value, part)


def described(event: RawEvent) -> Raw:
    """The part of an event that plans describe; empty where it has none."""
    return event.properties if PARTS.get(event.type) == "properties" else event.traits


def said(event: RawEvent) -> Any:
    """The described part, decoded. An identify event may say a part of its traits in its context.

    Raises `MsgspecError`, `UnicodeDecodeError` or `RecursionError` for what cannot be.
    """
    raw = described(event)
    value = _decoded(raw) if len(raw) else {}
    if event.type == "identify" and b'"traits"' in bytes(event.context):
        nested = _decoded(event.context).get("traits")
        return {**nested, **value} if isinstance(nested, dict) else value
    return value


def values_in(event: RawEvent) -> int:
    """How many values the described part has, at most."""
    return bytes(described(event)).count(b",") + 1


NOT_PLANNED = Problem("event", "event", UNPLANNED, "The plan does not know this event.")


def _first(validator: Validator, value: Any, part: str) -> list[Problem]:
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return list(islice(problems([error], part), 1))
    return []
