"""Events kept aside: read them, correct them, send them in again, or set them aside for good; one, or many by filter.

What is read comes from the warehouse, where each change of an event's state is a row and the latest counts. What is
written goes to the log, so the state shown follows within moments.

    chosen (ids, or a filter and a cursor) ─► edited ─► judged like fresh ones ─► [events.raw] ─► marked as replayed
                                                             └─ refused: nothing changes
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Raw, Struct, structs

from cdp import clock
from cdp.errors import CdpError, ConflictError, InvalidError, NotFoundError
from cdp.records import ACCEPTED_MARK, NOTHING, QuarantinedEvent, RawEvent, encode
from cdp.service import Platform
from cdp.streams.base import Draft
from cdp.vault import open_vault
from cdp.warehouse.sql import load
from ingest.edits import AnyEdit, edited
from ingest.envelopes import Partitions, Receipt, quarantine_drafts, raw_drafts, violation_drafts
from ingest.identities import CODE as UNSIGNED
from ingest.identities import SignedIdentities
from ingest.plans.inspection import CODE as VIOLATION
from ingest.plans.inspection import plans_of, remarks_of
from ingest.source import KIND, source_of
from ingest.sources.segment import Fault, Kind, Limits, Opened, Reading, Remark, SegmentReader, message_id_of

Status = Literal["quarantined", "replayed", "discarded"]
STATUSES: tuple[Status, ...] = get_args(Status)
QUERIES = load("ingest")
END = clock.LATEST + 1
REQUEST, NUMBER = re.compile(r"^batch\[\d+\]\.?"), re.compile(r"\[\d+\]")


class Filter(NamedTuple):
    """Which events: "" and the whole of time let everything pass. Moments in milliseconds; `until` is excluded.

    `path` leads to the fault within the event; the numbers of items in it do not matter. `text` is looked for in the
    event and in the reason, whatever its case.
    """

    source: str = ""
    code: str = ""
    status: str = ""
    since: int = clock.EARLIEST
    until: int = END
    type: str = ""
    event: str = ""
    path: str = ""
    message_id: str = ""
    text: str = ""

    def parameters(self) -> dict[str, Any]:
        """The same, for a query."""
        given = self._asdict()
        return given | {"place": NUMBER.sub("[]", REQUEST.sub("", given.pop("path")))}


class Page(NamedTuple):
    """Some events, and the cursor of those that come after; "" at the end."""

    events: list[QuarantinedEvent]
    after: str


class Group(NamedTuple):
    """Events kept aside that have something in common; what was not asked for is "". Moments in milliseconds."""

    source: str
    code: str
    type: str
    event: str
    path: str
    status: str
    events: int
    first_received: int
    last_received: int
    example_id: str
    example_reason: str


class Outcome(NamedTuple):
    """What became of an event, and why it was (or would be) refused; `before` and `after` an edit, its bodies."""

    id: str
    status: Literal["replayed", "discarded", "edited", "unchanged", "refused"]
    error: CdpError | None = None
    before: str = ""
    after: str = ""


class Beside(Struct):
    """What stood beside a quarantined event in its request."""

    type: Kind | None = None
    ip: str | None = None
    context: Raw = NOTHING
    integrations: Raw = NOTHING
    location: Raw = NOTHING


class Replay(NamedTuple):
    """An event that can go in again: as it was set aside, its body now, and what it became."""

    event: QuarantinedEvent
    body: str
    key: str
    accepted: RawEvent
    remarks: Sequence[Remark]


class Quarantine:
    """The quarantine of an installation."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._reader = SegmentReader(Limits.of(platform.settings.collector))
        self._plans = plans_of(platform.registry)
        self._partitions = Partitions.of(platform.log)

    async def page(self, wanted: Filter, *, limit: int, after: str = "") -> Page:
        """Events that pass the filter, the latest received first. Raises `InvalidError` for an unknown cursor."""
        received, event_id = _cursor(after)
        parameters = {**wanted.parameters(), "before": received, "before_id": event_id, "limit": limit + 1}
        rows = await self._platform.warehouse.dicts(QUERIES["quarantined"], parameters)
        events = sorted(map(_event, rows), key=lambda event: (event.received_at, event.id), reverse=True)[:limit]
        return Page(events, f"{events[-1].received_at}-{events[-1].id}" if len(rows) > limit else "")

    async def summary(self, wanted: Filter, *, by: Sequence[str], limit: int) -> list[Group]:
        """How many events pass the filter, by any of source, code, type, event, path and status; most first."""
        parameters = {**wanted.parameters(), "by": list(by), "limit": limit}
        rows = await self._platform.warehouse.rows(QUERIES["quarantine_summary"], parameters)
        return [Group(*row[:9], *row[9]) for row in rows]

    async def get(self, event_id: str) -> QuarantinedEvent:
        """One event. Raises `NotFoundError`."""
        if (event := (await self.several([event_id]))[0]) is None:
            raise unknown(event_id)
        return event

    async def several(self, ids: Sequence[str]) -> list[QuarantinedEvent | None]:
        """Events by their ids; None for an unknown one."""
        rows = await self._platform.warehouse.dicts(QUERIES["quarantined_by_id"], {"ids": list(ids)})
        found = {event.id: event for event in map(_event, rows)}
        return [found.get(event_id) for event_id in ids]

    async def replay(self, event_id: str, body: str | None = None, *, vouch: bool = False) -> QuarantinedEvent:
        """Send an event in again, corrected if `body` (JSON text) is given. Returns its new state.

        Raises `InvalidError` with the path of the fault, `ConflictError` when it was replayed before, `NotFoundError`;
        see `replay_all`.
        """
        event = await self.get(event_id)
        replay = self._judged(event, event.body if body is None else body, vouch=vouch)
        await self._send([replay])
        return await self._mark([(event, "replayed", replay.body)])

    async def replay_all(self, events: Sequence[QuarantinedEvent], *, vouch: bool = False) -> list[Outcome]:
        """Send events in again, as they are. Each is judged like a fresh one, its source's plan included.

        They keep the moment at which they were received, so that their own time stays right. Who `vouch`es says that
        they come from those whom they name, also where the source asks for proof.

        1. judge      a fault changes nothing, and harms no other
        2. append     to events.raw, until durable
        3. mark       as replayed; a crash before this leaves them to be replayed again: their ids make those duplicates
        """
        return await self._replay([(event, event.body) for event in events], vouch=vouch)

    async def edit_all(
        self, events: Sequence[QuarantinedEvent], edits: Sequence[AnyEdit], *, replay: bool = False, dry: bool = False
    ) -> list[Outcome]:
        """Change the bodies of events, and send them in again if asked. `dry` only tells what would be.

        One that would still be refused is edited nevertheless, unless it is to be replayed: then nothing changes.
        """
        outcomes = [self._edited(event, edits, strict=replay) for event in events]
        changed = [
            (event, outcome.after)
            for event, outcome in zip(events, outcomes, strict=True)
            if outcome.status == "edited" or (replay and outcome.status == "unchanged" and outcome.error is None)
        ]
        if dry or not changed:
            return outcomes
        if not replay:
            await self._mark([(event, event.status, body) for event, body in changed])
            return outcomes
        done = {outcome.id: outcome for outcome in await self._replay(changed)}
        return [
            done[outcome.id]._replace(before=outcome.before, after=outcome.after) if outcome.id in done else outcome
            for outcome in outcomes
        ]

    async def discard(self, event_id: str) -> QuarantinedEvent:
        """Set an event aside for good; it is kept, and can still be replayed. Raises as `replay` does."""
        event = await self.get(event_id)
        _check_waits(event)
        return await self._mark([(event, "discarded", event.body)])

    async def discard_all(self, events: Sequence[QuarantinedEvent]) -> list[Outcome]:
        """Set events aside for good."""
        outcomes = [_outcome(event, "discarded") for event in events]
        marks = [(event, event.body) for event, one in zip(events, outcomes, strict=True) if one.error is None]
        if marks:
            await self._mark([(event, "discarded", body) for event, body in marks])
        return outcomes

    async def _replay(self, chosen: Sequence[tuple[QuarantinedEvent, str]], *, vouch: bool = False) -> list[Outcome]:
        replays: list[Replay] = []
        outcomes: list[Outcome] = []
        for event, body in chosen:
            try:
                replays.append(self._judged(event, body, vouch=vouch))
                outcomes.append(Outcome(event.id, "replayed"))
            except (InvalidError, ConflictError) as error:
                outcomes.append(Outcome(event.id, "refused", error))
        if replays:
            await self._send(replays)
            await self._mark([(replay.event, "replayed", replay.body) for replay in replays])
        return outcomes

    def _judged(self, event: QuarantinedEvent, body: str, *, vouch: bool = False) -> Replay:
        """The event as it would go in. Raises `ConflictError`, or `InvalidError` with the path of the fault."""
        _check_waits(event)
        if event.code == UNSIGNED and not vouch:
            raise InvalidError(f"{event.reason} Vouch for it, if you know who sent it.", path="userId", code=UNSIGNED)
        beside = _beside(event)
        found = self._reader.judge(body.encode(), beside.type)
        if isinstance(found, Fault):
            raise InvalidError(found.reason, path=found.path, code=found.code)
        key, accepted = found
        # What broke a plan had passed the door before, and its body is as that door left it.
        if vouch or (event.code == VIOLATION and _is_verified(event)):
            accepted.verified = True
        else:
            self._check_identity(event, key, accepted)
        accepted = _named(accepted, event.id, body)
        return Replay(event, body, key, accepted, self._remarks(event.source, accepted))

    def _check_identity(self, event: QuarantinedEvent, key: str, accepted: RawEvent) -> None:
        """Whether whom it names is proven, where its source asks for that: by the proof and at the time it came with.

        Marks it, and takes the proof out. Raises `InvalidError`.
        """
        entry = self._platform.registry.find(KIND, event.source)
        if entry is None or not entry.body.get("identity"):
            return
        source = source_of(entry, lambda: open_vault(self._platform.settings))
        identities = SignedIdentities(lambda: event.received_at)
        if identities.wanted(source):
            beside = _beside(event)
            opened = Opened([], beside.type or "track", context=beside.context)
            for fault in identities.inspect(source, opened, Reading([(key, accepted)], [])).faults:
                reason = f"{fault.reason} Vouch for it, if you know who sent it."
                raise InvalidError(reason, path=fault.path, code=UNSIGNED)

    def _remarks(self, source: str, accepted: RawEvent) -> list[Remark]:
        """How the event breaks its source's plan where that only observes; else a break raises `InvalidError`."""
        plan = self._plans.plan(source)
        problems = plan.problems(accepted) if plan else []
        if plan is None or not problems:
            return []
        if plan.mode != "observe":
            raise InvalidError(problems[0].reason, path=problems[0].path, code=VIOLATION)
        return remarks_of(accepted, problems, plan)

    def _edited(self, event: QuarantinedEvent, edits: Sequence[AnyEdit], *, strict: bool) -> Outcome:
        try:
            body = edited_body(event.body, edits)
        except InvalidError as error:
            return Outcome(event.id, "refused", error, event.body, event.body)
        fault: CdpError | None = None
        try:
            self._judged(event, body)
        except (InvalidError, ConflictError) as error:
            fault = error
        if fault is not None and (strict or isinstance(fault, ConflictError)):
            return Outcome(event.id, "refused", fault, event.body, body)
        return Outcome(event.id, "unchanged" if body == event.body else "edited", fault, event.body, body)

    async def _send(self, replays: Sequence[Replay]) -> None:
        await self._platform.log.append(list(chain.from_iterable(map(self._drafts, replays))))

    def _drafts(self, replay: Replay) -> list[Draft]:
        event, beside = replay.event, _beside(replay.event)
        opened = Opened([], beside.type, "", event.sent_at, beside.context, beside.integrations)
        receipt = Receipt(event.source, event.trace_id, event.received_at, beside.ip, beside.location)
        drafts = list(raw_drafts([(replay.key, replay.accepted)], opened, receipt, self._partitions))
        return [*drafts, *violation_drafts(replay.remarks, receipt, self._partitions.violated)]

    async def _mark(self, marks: Sequence[tuple[QuarantinedEvent, Status, str]]) -> QuarantinedEvent:
        """Note new states and bodies; returns the last one."""
        now = self._platform.clock.now()
        marked = [
            structs.replace(event, status=status, body=body, changed_at=max(now, event.changed_at + 1))
            for event, status, body in marks
        ]
        sources = sorted({event.source for event in marked})
        groups = [[event for event in marked if event.source == source] for source in sources]
        drafts = [quarantine_drafts(group, [""] * len(group), self._partitions.quarantined) for group in groups]
        await self._platform.log.append(list(chain.from_iterable(drafts)))
        return marked[-1]


def _is_verified(event: QuarantinedEvent) -> bool:
    return bool(msgspec.json.decode(event.body, type=RawEvent).verified)


def unknown(event_id: str) -> NotFoundError:
    """What is said of an id that no event has."""
    return NotFoundError(f"No event {event_id!r} is kept aside.")


def _check_waits(event: QuarantinedEvent) -> None:
    """Raises `ConflictError` for an event that was replayed."""
    if event.status == "replayed":
        raise ConflictError(f"The event {event.id!r} was replayed already.")


def _outcome(event: QuarantinedEvent, status: Literal["discarded"]) -> Outcome:
    try:
        _check_waits(event)
    except ConflictError as error:
        return Outcome(event.id, "refused", error)
    return Outcome(event.id, status)


def edited_body(body: str, edits: Sequence[AnyEdit]) -> str:
    """The body of an event after edits; as it was, to the byte, where they change nothing. Raises `InvalidError`."""
    try:
        event = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise InvalidError("It is no JSON object, so it cannot be edited together with others.", code="invalid_json")
    after = edited(event, edits)
    return body if after == event and encode(after) == encode(event) else encode(after).decode()


def _named(event: RawEvent, event_id: str, body: str) -> RawEvent:
    """The event under an id that stays the same however often it is replayed.

    One that events.raw had before gets a new one, since its messageId is known already and would make it a duplicate.
    """
    fresh = event_id.startswith(ACCEPTED_MARK) or not message_id_of(body.encode())
    return structs.replace(event, id=event_id) if fresh else event


def _beside(event: QuarantinedEvent) -> Beside:
    return msgspec.json.decode(event.beside, type=Beside) if event.beside else Beside()


def _event(row: Mapping[str, Any]) -> QuarantinedEvent:
    return QuarantinedEvent(
        id=row["id"],
        source=row["source"],
        trace_id=row["trace_id"],
        received_at=row["received"],
        code=row["code"],
        reason=row["reason"],
        body=row["body"],
        path=row["path"],
        message_id=row["message_id"],
        sent_at=row["sent_at"] or None,
        beside=row["beside"],
        status=row["status"],
        changed_at=row["changed"],
    )


class Named(Struct):
    """What tells what an event is, in whatever shape."""

    type: Any = None
    event: Any = None
    name: Any = None


_labels = msgspec.json.Decoder(Named).decode


def named_in(event: QuarantinedEvent) -> tuple[str, str]:
    """An event's type and name; empty where they cannot be told."""
    try:
        found = _labels(event.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        found = Named()
    kind = _beside(event).type or found.type
    name = found.event if kind == "track" else found.name
    return kind if isinstance(kind, str) else "", name if isinstance(name, str) else ""


def _cursor(after: str) -> tuple[int, str]:
    if not after:
        return END, ""
    received, dash, event_id = after.partition("-")
    if not (dash and received.isdecimal() and len(received) < 18):
        raise InvalidError("This cursor was not given by an earlier page.", path="after")
    return int(received), event_id
