"""Judged events → messages for the log. Pure: the bytes of accepted events pass through untouched."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from msgspec import Raw

from cdp.records import (
    NOTHING,
    QuarantinedBatch,
    QuarantinedEvent,
    RawBatch,
    RawEvent,
    Violation,
    Violations,
    encode,
    partition_of,
)
from cdp.streams.base import Draft, Log
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW, PLANS_VIOLATED
from ingest.enrichment.addresses import kept
from ingest.enrichment.places import Places
from ingest.enrichment.switches import Enrichment
from ingest.sources.segment import Fault, Opened, Remark

# Bytes of quarantined events that travel together: escaped as JSON text they may become six times as many.
TOGETHER = 2_000_000
VIOLATIONS_TOGETHER = 5_000


class Receipt(NamedTuple):
    """What the collector knows of a request beside its body. `received_at` in milliseconds.

    `ip` is what the source keeps of the sender's address, `location` is JSON: where that is.
    """

    source: str
    trace_id: str
    received_at: int
    ip: str | None
    location: Raw = NOTHING


def seen_from(receipt: Receipt, wanted: Enrichment, where: Places) -> Receipt:
    """The receipt with what the source wants kept of the sender's address, and with where that is."""
    assert receipt.ip is not None
    location = where.of(receipt.ip) if wanted.geo and where.known else b""
    ip = kept(receipt.ip, wanted.ip)
    return Receipt(receipt.source, receipt.trace_id, receipt.received_at, ip, Raw(location) if location else NOTHING)


class Partitions(NamedTuple):
    """How many partitions the topics have."""

    raw: int
    quarantined: int
    violated: int

    @classmethod
    def of(cls, log: Log) -> Partitions:
        """Those of a log."""
        return cls(*map(log.partitions, (EVENTS_RAW, EVENTS_QUARANTINED, PLANS_VIOLATED)))


def raw_batches(
    accepted: Sequence[tuple[str, RawEvent]], opened: Opened, receipt: Receipt, partitions: int
) -> list[tuple[int, RawBatch]]:
    """The accepted events of a request, by partition, in their order."""
    groups: dict[int, list[RawEvent]] = {}
    for key, event in accepted:
        partition = crc32(key.encode()) % partitions  # `partition_of`, spared a call for each event
        if partition in groups:
            groups[partition].append(event)
        else:
            groups[partition] = [event]
    source, trace_id, received_at, ip, location = receipt
    return [
        (
            partition,
            RawBatch(
                source, trace_id, received_at, events, opened.sent_at, ip, opened.context, opened.integrations, location
            ),
        )
        for partition, events in groups.items()
    ]


def raw_drafts(
    accepted: Sequence[tuple[str, RawEvent]], opened: Opened, receipt: Receipt, partitions: Partitions
) -> Iterator[Draft]:
    """One message for each partition that has events in the request."""
    for partition, batch in raw_batches(accepted, opened, receipt, partitions.raw):
        yield Draft(EVENTS_RAW.name, partition, encode(batch), len(batch.events), receipt.source)


def quarantined(faults: Iterable[Fault], opened: Opened, receipt: Receipt) -> list[QuarantinedEvent]:
    """The faulty events as they are kept aside, in their order."""
    beside = _beside(opened, receipt)
    return [
        QuarantinedEvent(
            id=_id(fault, receipt.source),
            source=receipt.source,
            trace_id=receipt.trace_id,
            received_at=receipt.received_at,
            code=fault.code,
            reason=fault.reason,
            body=fault.raw.decode(errors="backslashreplace"),
            path=fault.path,
            message_id=fault.message_id,
            sent_at=opened.sent_at,
            beside=beside,
            changed_at=receipt.received_at,
        )
        for fault in faults
    ]


def quarantine_drafts(events: Sequence[QuarantinedEvent], keys: Iterable[str], partitions: int) -> Iterator[Draft]:
    """Messages for events of one source that are kept aside; `keys` are their partition keys, "" where unknown."""
    groups: dict[int, list[QuarantinedEvent]] = {}
    sizes: dict[int, int] = {}
    for event, key in zip(events, keys, strict=True):
        partition = partition_of(key, partitions)
        if partition in groups and sizes[partition] + len(event.body) > TOGETHER:
            yield _quarantine_draft(partition, groups.pop(partition))
        sizes[partition] = len(event.body) + (sizes[partition] if partition in groups else 0)
        groups.setdefault(partition, []).append(event)
    for partition, rest in groups.items():
        yield _quarantine_draft(partition, rest)


def violation_drafts(remarks: Sequence[Remark], receipt: Receipt, partitions: int) -> Iterator[Draft]:
    """Messages that tell how events broke their source's tracking plan."""
    partition = partition_of(receipt.trace_id, partitions)
    for start in range(0, len(remarks), VIOLATIONS_TOGETHER):
        violations = [
            Violation(
                source=receipt.source,
                type=remark.type,
                event=remark.event,
                path=remark.path,
                keyword=remark.keyword,
                reason=remark.reason,
                message_id=remark.message_id,
                trace_id=receipt.trace_id,
                at=receipt.received_at,
                mode=remark.mode,
            )
            for remark in remarks[start : start + VIOLATIONS_TOGETHER]
        ]
        yield Draft(PLANS_VIOLATED.name, partition, encode(Violations(violations)), len(violations), receipt.source)


def results(events: Iterable[QuarantinedEvent], faults: Iterable[Fault]) -> list[dict[str, Any]]:
    """What the sender is told of each event that was not accepted. `events`: those of them that were kept aside."""
    kept = iter(events)
    return [
        {
            "index": fault.place,
            "message_id": fault.message_id,
            "status": fault.status,
            "code": fault.code,
            "message": fault.reason,
            "path": fault.path,
        }
        | ({"quarantine_id": next(kept).id} if fault.status == "quarantined" else {})
        for fault in faults
    ]


def _quarantine_draft(partition: int, events: list[QuarantinedEvent]) -> Draft:
    value = encode(QuarantinedBatch(events))
    return Draft(EVENTS_QUARANTINED.name, partition, value, len(events), events[0].source)


def _id(fault: Fault, source: str) -> str:
    """The same for the same event sent again, as clients do that missed the answer; unique without a messageId."""
    if not fault.message_id:
        return uuid.uuid4().hex
    content = b"\0".join((source.encode(), fault.message_id.encode(), fault.raw))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _beside(opened: Opened, receipt: Receipt) -> str:
    given = {"type": opened.kind, "ip": receipt.ip}
    around = {"context": opened.context, "integrations": opened.integrations, "location": receipt.location}
    beside = {name: value for name, value in given.items() if value} | {
        name: raw for name, raw in around.items() if len(raw)
    }
    return encode(beside).decode() if beside else ""
