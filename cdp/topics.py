"""The topics of the log, in the order in which an event meets them."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """`partitions` and `retention_hours` of None mean the setting's value; `forever` keeps all records."""

    name: str
    key: str
    record: str
    partitions: int | None = None
    forever: bool = False


EVENTS_RAW = Topic("events.raw", "anonymousId, else userId", "RawBatch, or an array of them")
EVENTS_QUARANTINED = Topic("events.quarantined", "as events.raw", "QuarantinedBatch")
PLANS_VIOLATED = Topic("plans.violated", "trace_id", "Violations")
EVENTS_RESOLVED = Topic("events.resolved", "the partition of events.raw", "ResolvedBatch")
IDENTITY_CHANGES = Topic("identity.changes", "profile_id", "IdentityChanges")
PROFILES_TOUCHED = Topic("profiles.touched", "profile_id", "ProfilesTouched")
SEGMENTS_CHANGES = Topic("segments.changes", "profile_id", "SegmentChanges")
DELIVERIES = Topic("deliveries", "profile_id", "Deliveries")
DEFINITIONS = Topic("definitions", "kind and key", "Definition", partitions=1, forever=True)

TOPICS = {
    topic.name: topic
    for topic in (
        EVENTS_RAW,
        EVENTS_QUARANTINED,
        PLANS_VIOLATED,
        EVENTS_RESOLVED,
        IDENTITY_CHANGES,
        PROFILES_TOUCHED,
        SEGMENTS_CHANGES,
        DELIVERIES,
        DEFINITIONS,
    )
}
