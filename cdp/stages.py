"""What the live view shows of each record on the log: a line per event, change or delivery, with stage and trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from cdp.records import (
    decode_deliveries,
    decode_quarantined,
    decode_raw,
    decode_resolved,
    decode_segments,
)
from cdp.streams.base import Message
from cdp.topics import DELIVERIES, EVENTS_QUARANTINED, EVENTS_RAW, EVENTS_RESOLVED, SEGMENTS_CHANGES

Line = dict[str, Any]
Stage = Literal["raw", "quarantined", "resolved", "membership", "delivery"]

TAILED = (EVENTS_RAW, EVENTS_QUARANTINED, EVENTS_RESOLVED, SEGMENTS_CHANGES, DELIVERIES)


def lines_of(message: Message) -> Iterator[Line]:
    """A message of the log → one line per record in it, each with its `stage` and `trace_id`."""
    return LINES[message.topic](message)


def _raw(message: Message) -> Iterator[Line]:
    for batch in decode_raw(message.value):
        for event in batch.events:
            yield {
                "stage": "raw",
                "trace_id": batch.trace_id,
                "at": batch.received_at,
                "source": batch.source,
                "type": event.type,
                "message_id": event.id,
                "event": event.event or event.name or "",
                "user_id": event.user_id or "",
                "anonymous_id": event.anonymous_id or "",
            }


def _quarantined(message: Message) -> Iterator[Line]:
    for event in decode_quarantined(message.value).events:
        yield {
            "stage": "quarantined",
            "trace_id": event.trace_id,
            "at": event.changed_at or event.received_at,
            "source": event.source,
            "message_id": event.message_id,
            "quarantine_id": event.id,
            "status": event.status,
            "code": event.code,
            "path": event.path,
            "reason": event.reason,
        }


def _resolved(message: Message) -> Iterator[Line]:
    for event in decode_resolved(message.value).events:
        yield {
            "stage": "resolved",
            "trace_id": event.trace_id,
            "at": event.received_at,
            "source": event.source,
            "type": event.type,
            "message_id": event.id,
            "event": event.name,
            "user_id": event.user_id,
            "anonymous_id": event.anonymous_id,
            "profile_id": event.profile_id,
            "anchor_id": event.anchor_id,
        }


def _membership(message: Message) -> Iterator[Line]:
    for change in decode_segments(message.value).changes:
        yield {
            "stage": "membership",
            "trace_id": change.trace_id,
            "at": change.at,
            "segment": change.segment,
            "profile_id": change.profile_id,
            "change": change.change,
            "sequence": change.sequence,
            "reason": change.reason,
        }


def _delivery(message: Message) -> Iterator[Line]:
    for delivery in decode_deliveries(message.value).deliveries:
        yield {
            "stage": "delivery",
            "trace_id": delivery.trace_id,
            "at": delivery.at,
            "destination": delivery.destination,
            "connector": delivery.connector,
            "segment": delivery.segment,
            "profile_id": delivery.profile_id,
            "action": delivery.action,
            "outcome": delivery.outcome,
            "attempt": delivery.attempt,
            "reason": delivery.reason,
        }


LINES: dict[str, Callable[[Message], Iterator[Line]]] = {
    EVENTS_RAW.name: _raw,
    EVENTS_QUARANTINED.name: _quarantined,
    EVENTS_RESOLVED.name: _resolved,
    SEGMENTS_CHANGES.name: _membership,
    DELIVERIES.name: _delivery,
}
