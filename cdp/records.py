"""What travels between the wings: the value of each message on the log, as JSON.

A message is a batch: the records of one partition that were made together. Parts that nobody on the way needs to
read (`body`, `properties`, `context`, `traits`) are `msgspec.Raw`: their bytes pass through untouched.
Moments are milliseconds since the epoch; ids of anchors and profiles are UUID text.
"""

from __future__ import annotations

import zlib
from random import getrandbits
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

NOTHING = Raw(b"")
EMPTY_OBJECT = Raw(b"{}")

EventType = Literal["track", "identify", "page", "screen", "group", "alias"]


class RawEvent(Struct, rename="camel", omit_defaults=True, gc=False):
    """One event as it was sent, in the spelling of the Segment spec; what the spec does not know is left out.

    `id` is its messageId, made by the collector when the sender gave none. Parts nobody on the way needs to read keep
    their bytes; one that was not there is empty. `verified`: whom it names was proven, by a signature or by a door that
    knows its sender; no sender can say so.
    """

    type: EventType
    id: str = msgspec.field(name="messageId", default="")
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    event: str | None = None
    name: str | None = None
    category: Any = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    properties: Raw = NOTHING
    traits: Raw = NOTHING
    context: Raw = NOTHING
    integrations: Raw = NOTHING
    verified: bool | None = None

    @property
    def body(self) -> bytes:
        """The whole event as JSON."""
        return encode(self)


class RawBatch(Struct, omit_defaults=True):
    """events.raw: what one request brought for one partition; a message holds one or several, of one source.

    `context` and `integrations` stood beside the batch. `ip` is what the source keeps of the sender's address, and
    `location` a JSON object of where that is, as `context.location` has it.
    """

    source: str
    trace_id: str
    received_at: int
    events: list[RawEvent]
    sent_at: str | None = None
    ip: str | None = None
    context: Raw = NOTHING
    integrations: Raw = NOTHING
    location: Raw = NOTHING


class QuarantinedEvent(Struct, omit_defaults=True):
    """An event kept aside. `body` is text as received (it may be no JSON); `path` leads to the fault in it.

    `beside` is JSON of what stood beside it in its request (`type` of the path, `context`, `integrations`, `ip`,
    `location`): a replay needs it. `status` tells the latest that happened: a later record with the same `id` replaces
    an earlier one.
    """

    id: str
    source: str
    trace_id: str
    received_at: int
    code: str
    reason: str
    body: str
    path: str = ""
    message_id: str = ""
    sent_at: str | None = None
    beside: str = ""
    status: Literal["quarantined", "replayed", "discarded"] = "quarantined"
    changed_at: int = 0


class QuarantinedBatch(Struct):
    """events.quarantined."""

    events: list[QuarantinedEvent]


PlanMode = Literal["observe", "quarantine", "block"]


class Violation(Struct, omit_defaults=True):
    """One way in which an event breaks its source's tracking plan: there is one per message_id, path and keyword.

    `event` is the name of a track event; `path` leads to what is wrong, `[]` standing for any item of a list; `keyword`
    is JSON Schema's, or `unplanned`. `mode` tells what became of the event: it passed, was set aside, or was dropped.
    """

    source: str
    type: EventType
    path: str
    keyword: str
    reason: str
    message_id: str
    trace_id: str
    at: int
    mode: PlanMode
    event: str = ""


class Violations(Struct):
    """plans.violated: of one source."""

    violations: list[Violation]


class ResolvedEvent(Struct, omit_defaults=True):
    """An event and the anchor it is stored under. (`offset`, `index`) is its place in events.raw, same partition.

    `profile_id` is the profile at the time of resolving; the current one is `identity_map[anchor_id]`.
    `name` is the track event's or the page's name. `at` is when it happened, by the corrected clock of the sender.
    `verified`: whom it names was proven.
    """

    offset: int
    index: int
    source: str
    trace_id: str
    received_at: int
    id: str
    type: EventType
    at: int
    anchor_id: str
    profile_id: str
    name: str = ""
    user_id: str = ""
    anonymous_id: str = ""
    group_id: str = ""
    properties: Raw = EMPTY_OBJECT
    context: Raw = EMPTY_OBJECT
    traits: Raw = EMPTY_OBJECT
    verified: bool = False


class ResolvedBatch(Struct):
    """events.resolved: in the order of events.raw."""

    events: list[ResolvedEvent]


class Identifier(Struct, frozen=True, order=True):
    """A type and a normalised value."""

    type: str
    value: str


class ObservationAdded(Struct, tag="observation_added", tag_field="change", omit_defaults=True):
    """New identity-bearing content; `attributes` holds name, birthday, address and the like, normalised."""

    anchor_id: str
    source: str
    first_seen: int
    identifiers: list[Identifier]
    attributes: dict[str, str] = {}
    message_id: str = ""
    trace_id: str = ""


class LinkChanged(Struct, tag="link_changed", tag_field="change", omit_defaults=True):
    """Evidence that two observations are one person, added or withdrawn. `value` is what both share, if anything.

    `rule` is an identifier type (`email`), `alias`, `assert` or `deny`; `by` names who did it by hand. Of `evidence`
    the value is in words what speaks for it, and `model` is the version that weighed it.
    """

    left: str
    right: str
    rule: str
    probability: float
    at: int
    version: int
    value: str = ""
    withdrawn: bool = False
    message_id: str = ""
    trace_id: str = ""
    by: str = ""
    model: int = 0


class AnchorAssigned(Struct, tag="anchor_assigned", tag_field="change", omit_defaults=True):
    """An anchor belongs to a profile from now on; the highest `version` counts.

    `sure_id` is the person in the surer view, and `previous_sure_id` who it was there before: empty means the same as
    `profile_id` and `previous_id`. Where only the surer view changes, `previous_id` is `profile_id`.
    """

    anchor_id: str
    profile_id: str
    version: int
    at: int
    previous_id: str = ""
    kind: Literal["observation", "session"] = "observation"
    trace_id: str = ""
    sure_id: str = ""
    previous_sure_id: str = ""

    @property
    def sure(self) -> str:
        """Whose the anchor surely is."""
        return self.sure_id or self.profile_id

    @property
    def previous_sure(self) -> str:
        """Whose it surely was; empty for an anchor that is new."""
        return self.previous_sure_id or self.previous_id


class ProfileChanged(Struct, tag="profile_changed", tag_field="change", omit_defaults=True):
    """`merged`: `other_id` was absorbed into `profile_id`. `split`: `other_id` came out of `profile_id`."""

    profile_id: str
    other_id: str
    kind: Literal["merged", "split"]
    reason: str
    version: int
    at: int
    trace_id: str = ""


class DeviceSeen(Struct, tag="device_seen", tag_field="change", omit_defaults=True):
    """A device was in use in a slice of time: anonymously (`session`), or by whom an observation tells (`observation`).

    `device` is a type and a value, `period` counts slices since the epoch; `at` is the first event's time and
    `first_seen` when that was received. With the same device, period and anchor again, the earlier of each counts.
    """

    device: str
    period: int
    anchor_id: str
    kind: Literal["observation", "session"]
    at: int
    first_seen: int
    trace_id: str = ""


class ValueJudged(Struct, tag="value_judged", tag_field="change", omit_defaults=True):
    """An identifier became generic (so many people share it that it says nothing of who somebody is), or no longer is.

    The highest `version` counts.
    """

    type: str
    value: str
    generic: bool
    version: int
    at: int
    trace_id: str = ""


IdentityChange = ObservationAdded | LinkChanged | AnchorAssigned | ProfileChanged | DeviceSeen | ValueJudged


class IdentityChanges(Struct):
    """identity.changes: what one step of the resolver changed."""

    changes: list[IdentityChange]


class TouchedProfile(Struct, omit_defaults=True):
    """A profile, or a sure person, about whom something is new in the warehouse, and the trace that made it so."""

    profile_id: str
    trace_id: str = ""
    at: int = 0
    reason: Literal["event", "identity", "timer", "definition"] = "event"


class ProfilesTouched(Struct, omit_defaults=True):
    """profiles.touched. `segment` asks for one segment over all profiles of this partition;

    `definition_offset` is the place on the definitions topic that must be known before it is evaluated.
    """

    profiles: list[TouchedProfile] = []
    segment: str = ""
    definition_offset: int = -1
    trace_id: str = ""


class SegmentChange(Struct, omit_defaults=True):
    """A profile came into or went out of a segment; `sequence` counts from 1 per (segment, profile).

    `profile_id` is who it is in the view that the segment goes by (`cdp.views`).
    """

    segment: str
    profile_id: str
    change: Literal["entered", "exited"]
    sequence: int
    at: int
    reason: str = "event"
    trace_id: str = ""


class SegmentChanges(Struct):
    """segments.changes."""

    changes: list[SegmentChange]


class Delivery(Struct, omit_defaults=True):
    """What became of one member at one destination. `id` is stable over retries; receivers dedupe on it."""

    id: str
    destination: str
    connector: str
    segment: str
    profile_id: str
    sequence: int
    action: Literal["add", "remove"]
    outcome: Literal["delivered", "retrying", "failed", "dropped"]
    attempt: int
    at: int
    reason: str = ""
    trace_id: str = ""


class Deliveries(Struct):
    """deliveries."""

    deliveries: list[Delivery]


class Definition(Struct, omit_defaults=True):
    """definitions: one source, key, segment, destination … in full; `body` of None deletes it."""

    kind: str
    key: str
    body: dict[str, Any] | None
    at: int
    by: str = ""


encode = msgspec.json.Encoder().encode

_raw_batch = msgspec.json.Decoder(RawBatch).decode
_raw_batches = msgspec.json.Decoder(list[RawBatch]).decode
decode_quarantined = msgspec.json.Decoder(QuarantinedBatch).decode
decode_violations = msgspec.json.Decoder(Violations).decode
decode_resolved = msgspec.json.Decoder(ResolvedBatch).decode
decode_identity = msgspec.json.Decoder(IdentityChanges).decode
decode_touched = msgspec.json.Decoder(ProfilesTouched).decode
decode_segments = msgspec.json.Decoder(SegmentChanges).decode
decode_deliveries = msgspec.json.Decoder(Deliveries).decode
decode_definition = msgspec.json.Decoder(Definition).decode


def decode_raw(value: bytes) -> list[RawBatch]:
    """A message of events.raw: what one request brought, or an array of what several did. Raises `MsgspecError`.

    The events of a message are counted through, from 0, over all its batches.
    """
    return _raw_batches(value) if value.startswith(b"[") else [_raw_batch(value)]


def partition_of(key: str | bytes, partitions: int) -> int:
    """The partition of a key: crc32, because a hash in C costs a tenth of Kafka's murmur2 in Python."""
    return zlib.crc32(key.encode() if isinstance(key, str) else key) % partitions


def new_trace_id() -> str:
    """A fresh trace id: 32 hex digits, as W3C Trace Context has them."""
    return f"{getrandbits(128):032x}"


ACCEPTED_MARK = "raw-"


def accepted_id(partition: int, offset: int, index: int) -> str:
    """The id of an event set aside after it was counted as accepted. From its place in events.raw: repeats are one.

    By ACCEPTED_MARK such events are told from those set aside before they were counted (cdp.conservation).
    """
    return f"{ACCEPTED_MARK}{partition}-{offset}-{index}"
