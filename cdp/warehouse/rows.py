"""Records → rows: what each kind of record on the log becomes in the warehouse's tables. Pure.

A row's fields are its table's columns. Moments are decimal seconds, because that is the one number that ClickHouse's
JSON reader takes for a moment: milliseconds divided by 1,000 print exactly. `Raw` parts are written as they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import msgspec
from msgspec import Raw, Struct

from cdp.clock import clamp, to_text
from cdp.records import (
    EMPTY_OBJECT,
    AnchorAssigned,
    Delivery,
    DeviceSeen,
    IdentityChange,
    LinkChanged,
    ObservationAdded,
    ProfileChanged,
    QuarantinedEvent,
    ResolvedEvent,
    SegmentChange,
    ValueJudged,
    Violation,
    accepted_id,
    encode,
)

encode_rows = msgspec.json.Encoder().encode_lines
decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


class EventRow(Struct):
    """events: (`log_partition`, `log_offset`, `log_index`) is the event's place in events.raw."""

    anchor_id: str
    at: float
    received_at: float
    source: str
    message_id: str
    type: str
    name: str
    user_id: str
    anonymous_id: str
    group_id: str
    properties: Raw
    context: Raw
    traits: Raw
    verified: int
    trace_id: str
    log_partition: int
    log_offset: int
    log_index: int


class TraitRow(Struct):
    """trait_values: `value` is JSON text."""

    anchor_id: str
    name: str
    source: str
    verified: int
    at: float
    value: str
    message_id: str


class IdentityMapRow(Struct):
    """identity_map."""

    profile_id: str
    anchor_id: str
    sure_id: str
    kind: str
    present: int
    version: int
    at: float


class SureMapRow(Struct):
    """sure_map."""

    profile_id: str
    anchor_id: str
    likely_id: str
    present: int
    version: int
    at: float


class ObservationRow(Struct):
    """observations."""

    anchor_id: str
    source: str
    first_seen: float
    identifier_types: list[str]
    identifier_values: list[str]
    attributes: dict[str, str]
    message_id: str
    trace_id: str


class LinkRow(Struct):
    """links."""

    left: str
    right: str
    rule: str
    value: str
    probability: float
    withdrawn: int
    version: int
    at: float
    message_id: str
    trace_id: str
    author: str
    model: int


class ProfileChangeRow(Struct):
    """profile_changes."""

    profile_id: str
    other_id: str
    kind: str
    reason: str
    version: int
    at: float
    trace_id: str


class DeviceRow(Struct):
    """devices."""

    device: str
    period: int
    anchor_id: str
    kind: str
    at: float
    first_seen: float


class GenericValueRow(Struct):
    """generic_values."""

    type: str
    value: str
    generic: int
    version: int
    at: float


class SegmentChangeRow(Struct):
    """segment_changes."""

    segment: str
    profile_id: str
    sequence: int
    change: str
    at: float
    reason: str
    trace_id: str


class DeliveryRow(Struct):
    """deliveries."""

    id: str
    destination: str
    connector: str
    segment: str
    profile_id: str
    sequence: int
    action: str
    outcome: str
    attempt: int
    at: float
    reason: str
    trace_id: str


class QuarantineRow(Struct):
    """quarantine."""

    id: str
    source: str
    received_at: float
    trace_id: str
    code: str
    reason: str
    path: str
    message_id: str
    sent_at: str
    body: str
    beside: str
    status: str
    changed_at: float


class ViolationRow(Struct):
    """violations."""

    source: str
    type: str
    event: str
    path: str
    keyword: str
    message_id: str
    reason: str
    trace_id: str
    at: float
    mode: str


class CatalogueRow(Struct):
    """catalogue: `path` of "" is the event itself, and `seen` how many of it were looked at."""

    source: str
    type: str
    event: str
    path: str
    first_seen: float
    last_seen: float
    seen: int
    types: list[str]
    formats: list[str]
    examples: list[str]


Row = (
    EventRow
    | TraitRow
    | IdentityMapRow
    | SureMapRow
    | ObservationRow
    | LinkRow
    | ProfileChangeRow
    | DeviceRow
    | GenericValueRow
    | SegmentChangeRow
    | DeliveryRow
    | QuarantineRow
    | ViolationRow
    | CatalogueRow
)
TABLES: dict[type[Row], str] = {
    EventRow: "events",
    TraitRow: "trait_values",
    IdentityMapRow: "identity_map",
    SureMapRow: "sure_map",
    ObservationRow: "observations",
    LinkRow: "links",
    ProfileChangeRow: "profile_changes",
    DeviceRow: "devices",
    GenericValueRow: "generic_values",
    SegmentChangeRow: "segment_changes",
    DeliveryRow: "deliveries",
    QuarantineRow: "quarantine",
    ViolationRow: "violations",
    CatalogueRow: "catalogue",
}


def event_row(partition: int, event: ResolvedEvent) -> EventRow:
    """The event's row; `partition` is that of events.raw."""
    return EventRow(
        anchor_id=event.anchor_id,
        at=event.at / 1000,
        received_at=event.received_at / 1000,
        source=event.source,
        message_id=event.id,
        type=event.type,
        name=event.name,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        group_id=event.group_id,
        properties=event.properties,
        context=event.context,
        traits=event.traits,
        verified=int(event.verified),
        trace_id=event.trace_id,
        log_partition=partition,
        log_offset=event.offset,
        log_index=event.index,
    )


def trait_rows(event: ResolvedEvent) -> list[TraitRow]:
    """What the event says about its person, a row a trait.

    Raises `MsgspecError` or `UnicodeDecodeError` for what is no JSON object.
    """
    if event.traits == EMPTY_OBJECT:
        return []
    traits = decode_object(event.traits).items()
    return [
        TraitRow(
            anchor_id=event.anchor_id,
            name=name,
            source=event.source,
            verified=int(event.verified),
            at=event.at / 1000,
            value=bytes(value).decode(errors="replace"),
            message_id=event.id,
        )
        for name, value in traits
    ]


def latest_traits(rows: Iterable[TraitRow]) -> list[Row]:
    """Of each anchor's trait only the latest of each source, as clients repeat all traits again and again."""
    latest: dict[tuple[str, str, str, int], list[TraitRow]] = {}
    for row in rows:
        known = latest.setdefault((row.anchor_id, row.name, row.source, row.verified), [])
        if known and known[0].at < row.at:
            known.clear()
        if not known or known[0].at == row.at:  # of the same moment all: the table's rank tells them apart
            known.append(row)
    return list(chain.from_iterable(latest.values()))


def change_rows(change: IdentityChange) -> list[Row]:
    """The rows of a change of the graph. An anchor that moves leaves its old profile and comes to the new one."""
    match change:
        case AnchorAssigned():
            return _assignment(change)
        case ObservationAdded():
            return [_observation(change)]
        case LinkChanged():
            return [_link(change)]
        case ProfileChanged():
            return [
                ProfileChangeRow(
                    profile_id=change.profile_id,
                    other_id=change.other_id,
                    kind=change.kind,
                    reason=change.reason,
                    version=change.version,
                    at=change.at / 1000,
                    trace_id=change.trace_id,
                )
            ]
        case DeviceSeen():
            return [
                DeviceRow(
                    device=change.device,
                    period=change.period,
                    anchor_id=change.anchor_id,
                    kind=change.kind,
                    at=change.at / 1000,
                    first_seen=change.first_seen / 1000,
                )
            ]
        case ValueJudged():
            return [GenericValueRow(change.type, change.value, int(change.generic), change.version, change.at / 1000)]


def _assignment(change: AnchorAssigned) -> list[Row]:
    def likely(profile_id: str, sure_id: str, present: int) -> IdentityMapRow:
        return IdentityMapRow(
            profile_id, change.anchor_id, sure_id, change.kind, present, change.version, change.at / 1000
        )

    def sure(profile_id: str, likely_id: str, present: int) -> SureMapRow:
        return SureMapRow(profile_id, change.anchor_id, likely_id, present, change.version, change.at / 1000)

    rows: list[Row] = [likely(change.profile_id, change.sure, 1), sure(change.sure, change.profile_id, 1)]
    if change.previous_id not in ("", change.profile_id):
        rows.append(likely(change.previous_id, change.previous_sure, 0))
    if change.previous_sure not in ("", change.sure):
        rows.append(sure(change.previous_sure, change.previous_id or change.profile_id, 0))
    return rows


def _observation(change: ObservationAdded) -> ObservationRow:
    return ObservationRow(
        anchor_id=change.anchor_id,
        source=change.source,
        first_seen=change.first_seen / 1000,
        identifier_types=[identifier.type for identifier in change.identifiers],
        identifier_values=[identifier.value for identifier in change.identifiers],
        attributes=change.attributes,
        message_id=change.message_id,
        trace_id=change.trace_id,
    )


def _link(change: LinkChanged) -> LinkRow:
    return LinkRow(
        left=change.left,
        right=change.right,
        rule=change.rule,
        value=change.value,
        probability=change.probability,
        withdrawn=int(change.withdrawn),
        version=change.version,
        at=change.at / 1000,
        message_id=change.message_id,
        trace_id=change.trace_id,
        author=change.by,
        model=change.model,
    )


def segment_row(change: SegmentChange) -> SegmentChangeRow:
    """The row of a change of membership."""
    return SegmentChangeRow(
        segment=change.segment,
        profile_id=change.profile_id,
        sequence=change.sequence,
        change=change.change,
        at=change.at / 1000,
        reason=change.reason,
        trace_id=change.trace_id,
    )


def delivery_row(delivery: Delivery) -> DeliveryRow:
    """The row of an attempt at a destination."""
    return DeliveryRow(
        id=delivery.id,
        destination=delivery.destination,
        connector=delivery.connector,
        segment=delivery.segment,
        profile_id=delivery.profile_id,
        sequence=delivery.sequence,
        action=delivery.action,
        outcome=delivery.outcome,
        attempt=delivery.attempt,
        at=delivery.at / 1000,
        reason=delivery.reason,
        trace_id=delivery.trace_id,
    )


def quarantine_row(event: QuarantinedEvent) -> QuarantineRow:
    """The row of an event kept aside."""
    return QuarantineRow(
        id=event.id,
        source=event.source,
        received_at=event.received_at / 1000,
        trace_id=event.trace_id,
        code=event.code,
        reason=event.reason,
        path=event.path,
        message_id=event.message_id,
        sent_at=event.sent_at or "",
        body=event.body,
        beside=event.beside,
        status=event.status,
        changed_at=(event.changed_at or event.received_at) / 1000,
    )


def violation_row(violation: Violation) -> ViolationRow:
    """The row of a violation."""
    return ViolationRow(
        source=violation.source,
        type=violation.type,
        event=violation.event,
        path=violation.path,
        keyword=violation.keyword,
        message_id=violation.message_id,
        reason=violation.reason,
        trace_id=violation.trace_id,
        at=violation.at / 1000,
        mode=violation.mode,
    )


def refused_event(partition: int, event: ResolvedEvent, reason: str) -> QuarantinedEvent:
    """An event that the warehouse refused, as it is kept aside: the same each time it is refused.

    Its body is an event that can be corrected and sent again. It has no messageId: the old one is known already, and
    would make the corrected event a duplicate.
    """
    return QuarantinedEvent(
        id=accepted_id(partition, event.offset, event.index),
        source=event.source,
        trace_id=event.trace_id,
        received_at=event.received_at,
        code="warehouse_refused",
        reason=reason,
        body=_resendable(event),
        message_id=event.id,
    )


def _resendable(event: ResolvedEvent) -> str:
    body = {
        "type": event.type,
        "userId": event.user_id,
        "anonymousId": event.anonymous_id,
        "groupId": event.group_id,
        "event" if event.type == "track" else "name": event.name,
        "timestamp": to_text(clamp(event.at)),
        "context": event.context,
        "traits" if event.type in ("identify", "group") else "properties": (
            event.traits if event.type == "identify" else event.properties
        ),
    }
    return encode({key: value for key, value in body.items() if value != ""}).decode()
