"""Requests of Segment's HTTP Tracking API → events: splits a body into raw slices and judges each event alone.

    body ─► open ─► Opened (write key, slices) ─► read ─► accepted events, faults

What is accepted is one definition, `Header`. An event with nothing wrong is decoded once, straight into the record that
goes to the log: ids, names and times are read, everything else keeps its bytes. Any other event is looked at whole, and
mended where senders are known to err (ids as numbers, epoch times, PHP's empty arrays, half an emoji); what still fails
becomes a fault with its path. So whoever reads an accepted event can rely on this:

- its keys and bytes are within the limits;
- ids and names are text, null or absent; times are text that `datetime.fromisoformat` reads, null or absent;
- `properties`, `traits`, `context` and `integrations` are objects or absent.

Whether the bytes passed through are valid UTF-8, hold no number too large for a double, and are not nested too deep, is
seen to by the resolver (`cdp.soundness`): nobody reads them before.

No bytes make anything here raise.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import DecodeError, Meta, Raw, Struct, ValidationError

from cdp import clock
from cdp.records import NOTHING, EventType, PlanMode, RawEvent
from cdp.soundness import measure, misfit
from ingest.sources.slices import CutError, TooManyError, TooManyTokensError, elements, members

if TYPE_CHECKING:
    from cdp.settings import CollectorSettings

Kind = EventType | Literal["merge"]
EVENT_TYPES = frozenset(get_args(EventType))

BOM = b"\xef\xbb\xbf"
# The least bytes that a key with its value takes: `"":1` and a comma.
BYTES_PER_KEY = 5
# A part of so many bytes is nested at most half as deep, which every reader takes: the resolver applies the limit.
SHALLOW_BYTES = 1_200
OBJECT = ord("{")
FAR_TOO_MANY = 1 << 40
# A body beyond this size may hide millions of elements; one with more commas than that is cut with a limit.
CROWDED_BYTES, CROWDED_COMMAS = 1_000_000, 200_000
# Events beyond the limit of one request are quarantined, beyond this multiple of it the request is refused.
EXCESS = 2

ESCAPE = re.compile(
    rb"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
EPOCH = re.compile(r"-?\d{9,19}(\.\d+)?")
PROBLEM = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)

TEXTS = ("messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name")
MOMENTS = ("timestamp", "originalTimestamp", "sentAt")
OBJECTS = ("properties", "traits", "context", "integrations")
# A faulty messageId may be longer than any limit; so much of it is told.
VERIFIED = "verified"
LONGEST_NAMED = 500
# RudderStack's names of identifiers, where they are not ours.
MERGE_TYPES = {"mobile": "phone"}
# What senders write for an empty object or a missing time.
EMPTY: tuple[Any, ...] = ([], "")


class Limits(NamedTuple):
    """What one event, and one request, may hold."""

    event_bytes: int
    batch_events: int
    depth: int
    keys: int
    id_chars: int
    name_chars: int

    @classmethod
    def of(cls, settings: CollectorSettings) -> Limits:
        """The limits that are set."""
        return cls(
            settings.max_event_bytes,
            settings.max_batch_events,
            settings.max_depth,
            settings.max_keys,
            settings.max_id_chars,
            settings.max_name_chars,
        )


class Object(Struct, gc=False):
    """Any JSON object, skipped over without a look at its members."""


class Context(Struct, gc=False):
    """A context."""

    traits: Object | None = None


class Header(Struct, rename="camel", gc=False):
    """The parts of an event that decide whether it is accepted and where it goes."""

    type: str | None = None
    message_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    event: str | None = None
    name: str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    properties: Object | None = None
    traits: Object | None = None
    context: Context | None = None
    integrations: Object | None = None
    write_key: Raw = NOTHING


class Outer(Struct, rename="camel"):
    """What stands around the events of a batch, and in a single event that `Header` does not decode."""

    batch: list[Raw] | None = None
    write_key: Raw = NOTHING
    sent_at: Raw = NOTHING
    context: Raw = NOTHING
    integrations: Raw = NOTHING


class Objects(Struct):
    """A batch, its events skipped."""

    batch: list[Object] = []


class Around(Struct, rename="camel"):
    """As `Outer`, the batch still in one piece."""

    batch: Raw = NOTHING
    write_key: Raw = NOTHING
    sent_at: Raw = NOTHING
    context: Raw = NOTHING
    integrations: Raw = NOTHING


class Labelled(Struct, rename="camel"):
    """What tells a faulty event from others."""

    message_id: Any = None


class Fault(NamedTuple):
    """Why an event was not accepted. `path` leads to the fault; `raw` is the event as it came, `place` its index.

    A blocked one is not kept at all.
    """

    code: str
    reason: str
    path: str = ""
    place: int = 0
    raw: bytes = b""
    message_id: str = ""
    key: str = ""
    status: Literal["quarantined", "blocked"] = "quarantined"


class Remark(NamedTuple):
    """What an inspection found of an event, accepted or not (see `cdp.records.Violation`)."""

    type: EventType
    event: str
    path: str
    keyword: str
    reason: str
    message_id: str
    mode: PlanMode


class Refusal(NamedTuple):
    """Why a whole body was refused: nothing in it can be stored."""

    code: str
    message: str
    path: str = ""


class Opened(NamedTuple):
    """A body, opened: its events still unjudged. `kind` is told by the path; None for a batch.

    `events` are its events, decoded; or None where that cannot be done at once, and `pieces` are their slices.
    `proof` of identity stood beside them; they are `vouched` for where the door itself knows who sends.
    """

    pieces: list[Raw] | list[bytes]
    kind: Kind | None = None
    write_key: str = ""
    sent_at: str | None = None
    context: Raw = NOTHING
    integrations: Raw = NOTHING
    events: list[RawEvent] | None = None
    body: bytes = b""
    proof: Any = None
    vouched: bool = False

    @property
    def size(self) -> int:
        """How many bytes its events are, about."""
        return len(self.body) or sum(map(len, self.pieces))


def made(events: Iterable[Mapping[str, Any]], *, sent_at: str | None = None, vouched: bool = False) -> Opened:
    """Events that a door made itself (each with its `type`), opened as a batch is. `vouched`: it knows who sent."""
    return Opened([_encode(event) for event in events], sent_at=sent_at, vouched=vouched)


class Reading(NamedTuple):
    """The events of a body, in order: each accepted one with its partition key, each other one with its fault."""

    accepted: list[tuple[str, RawEvent]]
    faults: list[Fault]
    remarks: Sequence[Remark] = ()

    @property
    def is_mixed(self) -> bool:
        """Whether there is anything beside accepted events."""
        return bool(self.faults or self.remarks)

    def places(self) -> list[int]:
        """Of each accepted event, its place in the body."""
        faulty = {fault.place for fault in self.faults}
        return [place for place in range(len(self.accepted) + len(faulty)) if place not in faulty]


class UnacceptableError(Exception):
    """Carries a fault out of the mending."""

    def __init__(self, code: str, reason: str, path: str = "") -> None:
        self.fault = Fault(code, reason, path)


_outer = msgspec.json.Decoder(Outer).decode
_objects = msgspec.json.Decoder(Objects).decode
_around = msgspec.json.Decoder(Around).decode
_labelled = msgspec.json.Decoder(Labelled).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_any = msgspec.json.Decoder().decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class SegmentReader:
    """Reads bodies under limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._header = msgspec.json.Decoder(_limited(limits, Header)).decode
        event = _limited(limits, RawEvent)
        self._event = msgspec.json.Decoder(event).decode
        self._single = msgspec.json.Decoder(_single(event)).decode
        self._batch = msgspec.json.Decoder(_batch(event)).decode
        self._small = min(limits.event_bytes, limits.keys * BYTES_PER_KEY)

    def open_batch(self, body: bytes) -> Opened | Refusal:
        """A body with a `batch` → its events. Only what stands around them is judged here."""
        body = body.removeprefix(BOM)
        if (decoded := self._decoded_batch(body)) is not None:
            return self._beside(decoded, events=decoded.batch, body=body)
        most = self._limits.batch_events * EXCESS
        try:
            outer = _outer_of(body, most)
        except TooManyError:
            return Refusal("too_many_events", f"More than {most} events in one request: send smaller batches.", "batch")
        except TooManyTokensError:
            return Refusal(
                "too_many_values", "The body is broken, and there is too much in it to tell its events apart."
            )
        except ValidationError as error:
            return _shape(error)
        except (CutError, DecodeError, UnicodeDecodeError) as error:
            return Refusal("invalid_json", f"The body is no valid JSON: {error}.") if body.strip() else NO_BODY
        if outer.batch is None:
            return Refusal("no_batch", "The body has no array `batch`.", "batch")
        if len(outer.batch) > most:
            return Refusal("too_many_events", f"More than {most} events in one request: send smaller batches.", "batch")
        return self._beside(outer)

    def _decoded_batch(self, body: bytes) -> Any:
        """The batch with its events decoded; None for one that must be cut apart first."""
        if _is_crowded(body):
            return None
        try:
            outer = self._batch(body)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return None
        fit = outer.batch is not None and len(outer.batch) <= self._limits.batch_events
        return outer if fit else None

    def open_single(self, body: bytes, kind: Kind) -> Opened | Refusal:
        """A body that is one event of a kind → that event."""
        body = body.removeprefix(BOM)
        try:
            event = self._single(body)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return self._open_odd(body, kind)
        write_key = ""
        if len(event.write_key):
            write_key, event.write_key = _plain(event.write_key), NOTHING
        if kind == "merge":
            return Opened([body], kind, write_key, event.sent_at)
        event.type = kind
        return Opened([body], kind, write_key, event.sent_at, events=[event], body=body)

    def _open_odd(self, body: bytes, kind: Kind) -> Opened | Refusal:
        outer = Outer()
        try:
            outer = _outer(whole_characters(body))
        except ValidationError as error:
            if not str(error).endswith("`$.batch`"):
                return _shape(error)
        except RecursionError:
            pass  # too deep: read() says so
        except (DecodeError, UnicodeDecodeError) as error:
            return Refusal("invalid_json", f"The body is no valid JSON: {error}.") if body.strip() else NO_BODY
        return Opened([body], kind, _plain(outer.write_key), _moment_of(outer.sent_at))

    def _beside(self, outer: Outer, *, events: list[RawEvent] | None = None, body: bytes = b"") -> Opened | Refusal:
        try:
            context = self._object(outer.context, "context")
            integrations = self._object(outer.integrations, "integrations")
        except UnacceptableError as refused:
            return Refusal(*refused.fault[:3])
        write_key, sent_at = _plain(outer.write_key), _moment_of(outer.sent_at)
        pieces = outer.batch or [] if events is None else []
        return Opened(pieces, None, write_key, sent_at, context, integrations, events, body)

    def _object(self, raw: Raw, name: str) -> Raw:
        """What stands beside a batch is merged into each event, so it is held to the same rules."""
        if not len(raw):
            return NOTHING
        text = whole_characters(bytes(raw))
        value = _decoded(text)
        if value is None or value in EMPTY:
            return NOTHING
        if not isinstance(value, dict):
            raise UnacceptableError("invalid_type", f"`{name}` must be an object.", name)
        if measure(value)[0] >= self._limits.depth:
            raise UnacceptableError("too_deep", f"Nested deeper than {self._limits.depth} levels.", name)
        mended = _mended_context(value, text) if name == "context" else None
        return mended or Raw(text)

    def read(self, opened: Opened) -> Reading:
        """Judge each event alone."""
        if opened.events is None:
            return self._read_pieces(opened, opened.pieces, {})
        accepted = self._quick(opened.events)
        if len(accepted) == len(opened.events):
            return Reading(accepted, [])
        known = {id(event): key for key, event in accepted}
        regular = {place: (known[id(one)], one) for place, one in enumerate(opened.events) if id(one) in known}
        pieces = opened.pieces if opened.kind else _outer(opened.body).batch or []
        return self._read_pieces(opened, pieces, regular)

    def _quick(self, events: Sequence[RawEvent]) -> list[tuple[str, RawEvent]]:
        """The regular ones with their keys. As `_regular`, which most events of most bodies are spared here."""
        found: list[tuple[str, RawEvent]] = []
        most = min(self._small, SHALLOW_BYTES)
        is_time, regular = datetime.fromisoformat, self._regular
        for event in events:
            key, stamp, context, properties = (
                event.anonymous_id or event.user_id,
                event.timestamp,
                event.context,
                event.properties,
            )
            if (
                key
                and stamp
                and event.event
                and event.id
                and event.type == "track"
                and event.sent_at is None
                and event.original_timestamp is None
                and len(context) + len(properties) < most
                and not event.traits
                and not event.integrations
                and (not context or bytes(context)[0] == OBJECT)
                and (not properties or bytes(properties)[0] == OBJECT)
            ):
                try:
                    is_time(stamp)
                except ValueError:
                    continue
                found.append((key, event))
            elif key := regular(event):
                found.append((key, event))
        return found

    def _read_pieces(
        self, opened: Opened, pieces: Iterable[Raw | bytes], regular: Mapping[int, tuple[str, RawEvent]]
    ) -> Reading:
        """Judge each event by its slice, but those found regular already."""
        accepted: list[tuple[str, RawEvent]] = []
        faults: list[Fault] = []
        kind, most = opened.kind, self._limits.batch_events
        for place, piece in enumerate(pieces):
            judged = regular.get(place) or (self.judge(bytes(piece), kind) if place < most else _excess(most))
            if isinstance(judged, Fault):
                faults.append(_placed(judged, place, bytes(piece), batch=kind is None))
            else:
                accepted.append(judged)
        return Reading(accepted, faults)

    def judge(self, event: bytes, kind: Kind | None) -> tuple[str, RawEvent] | Fault:
        """Judge an event that comes alone, its kind told from outside or by its own `type`."""
        if len(event) > self._limits.event_bytes:
            return Fault("event_too_large", f"{len(event)} bytes; an event may have {self._limits.event_bytes}.")
        try:
            return self._mended(event, kind)
        except UnacceptableError as unacceptable:
            return unacceptable.fault

    def _regular(self, event: RawEvent) -> str:
        """The quick way, for an event with nothing to mend: its partition key. "" sends it the slow way.

        It accepts nothing that the slow way would mend.
        """
        kind, key = event.type, event.anonymous_id or event.user_id
        if not key or not event.id or not (event.event if kind == "track" else _missing(event, kind, key) is None):
            return ""
        size = self._size(event.properties) + self._size(event.context)
        if len(event.traits):
            size += self._size(event.traits)
        if len(event.integrations):
            size += self._size(event.integrations)
        if size > self._small:
            return ""
        try:
            if event.timestamp is not None:
                datetime.fromisoformat(event.timestamp)
            if event.original_timestamp is not None:
                datetime.fromisoformat(event.original_timestamp)
            if event.sent_at is not None:
                datetime.fromisoformat(event.sent_at)
        except ValueError:
            return ""
        return key

    def _size(self, part: Raw) -> int:
        """Its bytes, or far too many where it is no object, or so long that it may be deeper than any reader takes."""
        size = len(part)
        if not size:
            return 0
        text = bytes(part)
        if text[:1] != b"{" or (size > SHALLOW_BYTES and text.count(b"{") + text.count(b"[") >= self._limits.depth):
            return FAR_TOO_MANY
        return size

    def _is_modest(self, piece: bytes) -> bool:
        """Whether it surely is within the limits: it has no more brackets than levels, no more colons than keys."""
        if piece.count(b"{") + piece.count(b"[") > self._limits.depth:
            return False
        return len(piece) <= self._small or (
            len(piece) <= self._limits.event_bytes and piece.count(b":") <= self._limits.keys
        )

    def _mended(self, piece: bytes, kind: Kind | None) -> tuple[str, RawEvent] | Fault:
        """The slow way: everything is looked at, and what is known to go wrong is put right."""
        piece = whole_characters(piece)
        value = _decoded(piece)
        if not isinstance(value, dict):
            raise UnacceptableError("not_an_object", "An event is a JSON object.")
        depth, keys = (0, 0) if self._is_modest(piece) else measure(value)
        if depth > self._limits.depth:
            raise UnacceptableError("too_deep", f"Nested deeper than {self._limits.depth} levels.")
        if keys > self._limits.keys:
            raise UnacceptableError("too_many_keys", f"{keys} keys; an event may have {self._limits.keys}.")
        raw = _members(piece)
        changes = _mended_fields(value, raw)
        key = _known_by(value.get("context"))
        if (kind or value.get("type")) == "merge":
            kind = "identify"
            key, merged = _merge(value)
            changes |= merged
        told = raw.pop(VERIFIED, None)  # not for the sender to say
        if changes or told is not None:
            piece = _encode(raw | changes)
        try:
            head = self._header(piece)
        except ValidationError as error:
            raise _problem(error) from None
        judged = _judged(head, kind or head.type, key)
        if isinstance(judged, Fault):
            return judged
        event = self._event(piece)
        event.type, event.id = judged.kind, head.message_id or uuid.uuid4().hex
        for name in OBJECTS:
            if getattr(head, name) is None:
                setattr(event, name, NOTHING)
        return judged.key, event


def _limited(limits: Limits, base: type[Struct]) -> type[Any]:
    """The structure with the lengths that are set: the decoder checks them at no cost. Nothing in it is required."""
    ids = Annotated[str, Meta(max_length=limits.id_chars)] | None
    names = Annotated[str, Meta(max_length=limits.name_chars)] | None
    message_id = "id" if base is RawEvent else "message_id"
    fields: list[tuple[str, Any, Any]] = [("type", str | None, None)]
    fields += [(VERIFIED, None, None)] if base is RawEvent else []
    fields += [(message_id, ids, msgspec.field(name="messageId", default=None))]
    fields += [(name, ids, None) for name in ("user_id", "anonymous_id", "previous_id", "group_id")]
    fields += [(name, names, None) for name in ("event", "name")]
    return msgspec.defstruct(f"Limited{base.__name__}", fields, bases=(base,), rename="camel", gc=False)


def _single(event: type[Any]) -> type[Any]:
    return msgspec.defstruct("Single", [("write_key", Raw, NOTHING)], bases=(event,), rename="camel", gc=False)


def _batch(event: Any) -> type[Any]:
    return msgspec.defstruct("Batch", [("batch", list[event] | None, None)], bases=(Outer,), rename="camel")


class Named(NamedTuple):
    """What an event is, and its partition key."""

    kind: EventType
    key: str


def _judged(head: Header, kind: str | None, key: str) -> Named | Fault:
    key = head.anonymous_id or head.user_id or key
    missing = _missing(head, kind, key)
    if missing is not None:
        return missing._replace(message_id=head.message_id or "", key=key)
    return Named(kind, key)  # type: ignore[arg-type]


def _missing(head: Header | RawEvent, kind: str | None, key: str) -> Fault | None:
    if kind not in EVENT_TYPES:
        names = ", ".join(sorted(EVENT_TYPES))
        return Fault("unknown_type", f"`type` must be one of {names}.", "type")
    if not key:
        reason = "An event needs a `userId`, an `anonymousId` or an id in `context.externalIds`."
        return Fault("missing_identity", reason, "userId")
    if kind == "track" and not head.event:
        return Fault("missing_event", "A track event needs the name of its `event`.", "event")
    if kind == "group" and not head.group_id:
        return Fault("missing_group_id", "A group event needs a `groupId`.", "groupId")
    if kind == "alias" and not head.user_id:
        return Fault("missing_user_id", "An alias event needs the new `userId`.", "userId")
    if kind == "alias" and not head.previous_id:
        return Fault("missing_previous_id", "An alias event needs the `previousId`.", "previousId")
    return None


def _excess(most: int) -> Fault:
    return Fault("too_many_events", f"A request may bring {most} events.")


def _placed(fault: Fault, place: int, raw: bytes, *, batch: bool) -> Fault:
    path = f"batch[{place}]" + (f".{fault.path}" if fault.path else "") if batch else fault.path
    return fault._replace(place=place, path=path, raw=raw, message_id=fault.message_id or message_id_of(raw))


def message_id_of(raw: bytes) -> str:
    """The messageId of whatever this may be; empty where it has none that can be read."""
    try:
        found = _labelled(whole_characters(raw)).message_id
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found[:LONGEST_NAMED] if isinstance(found, str) else ""


# --- what stands around ---------------------------------------------------------------------------

NO_BODY = Refusal("empty_body", "The request has no body.")


def _outer_of(body: bytes, most: int) -> Outer:
    """A batch, opened. Raises `CutError`, or `ValidationError` for a body of another shape."""
    try:
        if _is_crowded(body) and not _has_few_objects(body, most):
            return _cut(_around(body), most)
        return _outer(body)
    except ValidationError:
        raise
    except (DecodeError, RecursionError):
        found = {name: Raw(value) for name, value in members(body).items()}
        return _cut(Around(*(found.get(name, NOTHING) for name in Around.__struct_encode_fields__)), most)


def _has_few_objects(body: bytes, most: int) -> bool:
    """Whether a batch holds objects only, and not too many. One that is skipped takes hardly any memory."""
    try:
        return len(_objects(body).batch) <= most
    except ValidationError:
        return False


def _cut(around: Around, most: int) -> Outer:
    array = bytes(around.batch)
    pieces = [Raw(piece) for piece in elements(array, most=most)] if array[:1] == b"[" else None
    return Outer(pieces, around.write_key, around.sent_at, around.context, around.integrations)


def _is_crowded(body: bytes) -> bool:
    return len(body) > CROWDED_BYTES and body.count(b",") > CROWDED_COMMAS


def _shape(error: ValidationError) -> Refusal:
    if str(error).endswith("`$.batch`"):
        return Refusal("no_batch", "`batch` must be an array.", "batch")
    return Refusal("not_an_object", "The body must be a JSON object.")


def _plain(raw: Raw) -> str:
    """A JSON string as text; anything else is empty."""
    if not len(raw):
        return ""
    try:
        return _text(raw)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _moment_of(raw: Raw) -> str | None:
    """The time at which a request says it was sent. One that cannot be read is no fault of its events: none, then."""
    if not len(raw):
        return None
    try:
        return moment_text(_any(raw)) or None
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None


# --- mending --------------------------------------------------------------------------------------


def whole_characters(text: bytes) -> bytes:
    r"""The JSON text with each half of a surrogate pair replaced by U+FFFD.

    JavaScript writes one (`"\ud83d"`) whenever a text was cut in the middle of an emoji; no decoder takes it.
    """
    if b"\\ud" not in text and b"\\uD" not in text:
        return text
    return ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], text)


def _decoded(text: bytes) -> Any:
    try:
        text.decode()
        return _any(text)
    except UnicodeDecodeError as error:
        raise UnacceptableError("invalid_utf8", f"Not valid UTF-8 from byte {error.start}.") from None
    except RecursionError:
        raise UnacceptableError("too_deep", "Nested too deeply to be read.") from None
    except ValidationError:
        reason = "A number that no double can hold."
        raise UnacceptableError("number_out_of_range", reason, (misfit(text) or "")[1:]) from None
    except DecodeError as error:
        raise UnacceptableError("invalid_json", f"Not valid JSON: {error}.") from None


def _problem(error: ValidationError) -> UnacceptableError:
    found = PROBLEM.fullmatch(str(error))
    reason, path = (found["reason"], found["path"]) if found else (str(error), "")
    return UnacceptableError("too_long" if "length <=" in reason else "invalid_type", f"{reason}.", path or "")


def _mended_fields(value: Mapping[str, Any], raw: Mapping[str, Raw]) -> dict[str, Any]:
    """The fields that must be written differently, and how. Raises `UnacceptableError`."""
    changes: dict[str, Any] = {}
    for name in TEXTS:
        if isinstance(value.get(name), int | float):
            changes[name] = _number_text(value[name], bytes(raw[name]), name)
    for name in MOMENTS:
        if (given := value.get(name)) is not None:
            text = moment_text(given)
            if text is None:
                raise UnacceptableError(
                    "invalid_timestamp", "Not a time: use ISO 8601, such as 2026-11-21T08:30:00Z.", name
                )
            if text != given:
                changes[name] = text or None
    for name in OBJECTS:
        if value.get(name) in EMPTY:
            changes[name] = {}
    if isinstance(context := value.get("context"), dict) and (
        mended := _mended_context(context, bytes(raw["context"]))
    ):
        changes["context"] = mended
    return changes


def _mended_context(context: Mapping[str, Any], raw: bytes) -> Raw | None:
    """The context with an empty `traits` made an object; None when nothing is wrong with it."""
    if _has_traits(context):
        return None
    if context["traits"] not in EMPTY:
        raise UnacceptableError("invalid_type", "`context.traits` must be an object.", "context.traits")
    return Raw(_encode(_members(raw) | {"traits": {}}))


def _number_text(number: float, raw: bytes, name: str) -> str:
    if isinstance(number, bool):
        raise UnacceptableError("invalid_type", f"`{name}` must be text.", name)
    if isinstance(number, int):
        return raw.decode()
    if not number.is_integer():
        raise UnacceptableError("invalid_type", f"`{name}` must be text or a whole number.", name)
    return str(int(number))


def moment_text(given: Any) -> str | None:
    """A time as senders write it → ISO 8601 text; "" for an empty one, None for what is no time.

    Numbers are seconds, milli-, micro- or nanoseconds since the epoch, told apart by their size.
    """
    if isinstance(given, str):
        text = given.strip()
        if EPOCH.fullmatch(text):
            return moment_text(float(text))
        try:
            datetime.fromisoformat(text.upper())
        except ValueError:
            return None if text else ""
        return given if text == given and text.upper() == text else text.upper()
    if isinstance(given, bool) or not isinstance(given, int | float) or abs(given) >= 1e20:
        return None
    size = abs(given)
    for most, factor in ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3)):
        if size < most:
            return clock.to_text(clock.clamp(round(given * factor)))
    return clock.to_text(clock.clamp(round(given * 1e-6)))


def _has_traits(context: Mapping[str, Any] | None) -> bool:
    if not context:
        return True
    traits = context.get("traits")
    return traits is None or isinstance(traits, dict)


def _merge(value: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """RudderStack's merge event → the partition key and the changes that make it an identify with both identifiers."""
    listed = value.get("mergeProperties")
    if not isinstance(listed, list) or len(listed) != 2:
        reason = "A merge event names exactly two identifiers in `mergeProperties`."
        raise UnacceptableError("invalid_merge", reason, "mergeProperties")
    external = [_external_id(one, f"mergeProperties[{place}]") for place, one in enumerate(listed)]
    context = value.get("context") or {}
    known = context.get("externalIds")
    context = {**context, "externalIds": [*(known if isinstance(known, list) else []), *external]}
    return external[0]["id"], {"type": "identify", "context": context}


def _known_by(context: Any) -> str:
    """The first of a context's external ids: whose an event is that has neither userId nor anonymousId."""
    listed = context.get("externalIds") if isinstance(context, Mapping) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    found = first.get("id") if isinstance(first, Mapping) else None
    return found if isinstance(found, str) else ""


def _external_id(one: Any, path: str) -> dict[str, str]:
    name, value = (one.get("type"), one.get("value")) if isinstance(one, dict) else (None, None)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not (isinstance(name, str) and name and isinstance(value, str) and value):
        raise UnacceptableError("invalid_merge", "An identifier has a `type` and a `value`.", path)
    return {"id": value, "type": MERGE_TYPES.get(name, name), "collection": "users", "encoding": "none"}
