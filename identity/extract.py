"""One event as it was sent → what is stored of it and whose it is. Pure: the same event always gives the same answer.

Only what is needed is decoded: `properties` and `context` pass through as bytes, and of the context the few members
that concern identity are picked. What a person's traits say is remembered by their bytes, because SDKs repeat them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from cdp import clock
from cdp.enrichers import Enrichers
from cdp.forms.traces import is_personal
from cdp.records import EMPTY_OBJECT, NOTHING, RawBatch, RawEvent
from cdp.soundness import flaw
from identity.attributes import TRAITS
from identity.attributes import attributes as described_by
from identity.identifiers import Identifiers, Value, scalar, type_of
from identity.observations import DAY, SESSION, Anchor, Observation, anchor_of, session_anchor
from identity.policy import ALIASED, PERIOD, Policy

# A sender's clock further off than this is not merely unset by a little: its times are believed only in relation to
# each other, and only when they lie close together.
ABSURD_SKEW = clock.DAY
LONGEST_QUEUE = 30 * clock.DAY
# What lies further ahead than this has a broken clock, not a plan.
FUTURE = clock.DAY
# Numbers below this are seconds since the epoch, above it milliseconds.
SECONDS = 100_000_000_000

MOST_IDENTIFIERS = 30  # of one event; of more the strongest count

MEMORY = 1 << 13  # persons remembered per process
MEMORABLE = 4_096  # bytes of traits beyond which one is not remembered

EMPTY, NULL = bytes(EMPTY_OBJECT), b"null"
NO_ENRICHERS = Enrichers()
PHONES = ("phone", "phoneNumber", "phone_number", "mobile")
# Traits that speak of a person, though it may be to say that nobody is known (`Khách lẻ`).
SPEAKING = (*TRAITS, "email", *PHONES)
CONTACTS = ("email", "phone")
# Attributes that tell people apart; the others are shared by very many.
TELLING = frozenset(("name", "birthday", "street"))


class Context(Struct, rename="camel", gc=False):
    """The parts of a context that concern identity, and those of which it matters that they are there."""

    traits: Raw = NOTHING
    external_ids: Raw = NOTHING
    device: Any = None
    group_id: Any = None
    ip: Raw = NOTHING
    location: Raw = NOTHING
    user_agent: Raw = NOTHING
    direct: Raw = NOTHING
    page: Raw = NOTHING
    screen: Raw = NOTHING
    os: Raw = NOTHING

    @property
    def is_clients(self) -> bool:
        """Whether it was surely made where the person is: only there is the sender's address the person's."""
        return bool(self.user_agent or self.direct)

    @property
    def is_near(self) -> bool:
        """Whether it may have been made there: SDKs of apps do not say who they are."""
        return bool(self.is_clients or self.page or self.screen or self.os or self.device is not None)


class Named(Struct):
    """The name that some SDKs put into a page's properties only."""

    name: Any = None


class Extracted(Struct, frozen=True, gc=False):
    """An event, ready to be resolved. `observation` is None for anonymous activity; `device` is `type:value` or empty.

    Who is described, but not identified, binds no device. `previous` is the device that an alias call may have meant. A
    group's traits are its `properties`.
    """

    at: int
    period: int
    anchor: Anchor
    observation: Observation | None
    device: str
    previous: str
    name: str
    user_id: str
    anonymous_id: str
    group_id: str
    properties: Raw
    context: Raw
    traits: Raw


class Refused(NamedTuple):
    """Why an event cannot be resolved. `path` leads to the fault."""

    code: str
    reason: str
    path: str = ""


class Person(NamedTuple):
    """What an event says of a person; `identifiers` are empty when it names nobody.

    `vague`: it speaks of somebody and does not say who, or only by one telephone or mailbox.
    """

    anchor: Anchor
    identifiers: tuple[Value, ...]
    attributes: dict[str, str]
    traits: Raw
    vague: bool


# What senders write for no traits; anything else that is no object would be lost.
NO_TRAITS = (b"null", b"[]", b'""')
TRAITS_REFUSED = Refused("invalid_type", "`context.traits` must be an object.", "context.traits")
UNIDENTIFIABLE = Refused(
    "unidentifiable",
    "Nothing in it says whose it is: userId and anonymousId are missing or placeholders, and nothing else identifies.",
    "userId",
)

_context = msgspec.json.Decoder(Context).decode
_named = msgspec.json.Decoder(Named).decode
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_any_object = msgspec.json.Decoder(dict[str, Any]).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Extractor:
    """Extracts under a policy."""

    def __init__(self, policy: Policy, enrichers: Enrichers = NO_ENRICHERS, *, depth: int = 32) -> None:
        """`enrichers` add to an event when whose it is has been decided; `depth` levels of nesting are stored."""
        self._depth = depth
        self._enrich = enrichers.enrich
        self._policy = policy
        self._session = policy.session
        self._identifiers: Identifiers = policy.identifiers
        self._remembered: Callable[..., Person] = lru_cache(MEMORY)(self._person)

    def extract(self, event: RawEvent, batch: RawBatch) -> Extracted | Refused:
        """An event of a batch → what to store, or why it cannot be."""
        try:
            return self._flaw(event) or self._extract(event, batch)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return Refused("undecodable", f"The event cannot be read: {error}.")

    def _flaw(self, event: RawEvent) -> Refused | None:
        """Why its parts cannot be stored: the collector passes them on unread. Few can't, so all are tried as one."""
        properties, traits, context = event.properties or NULL, event.traits or NULL, event.context or NULL
        if flaw(b"[%b,%b,%b]" % (properties, traits, context), depth=self._depth + 1) is None:
            return None
        for name, raw in (("properties", properties), ("traits", traits), ("context", context)):
            if (found := flaw(bytes(raw), depth=self._depth)) is not None:
                return Refused(found.code, found.reason, name + found.path)
        return None

    def _extract(self, event: RawEvent, batch: RawBatch) -> Extracted | Refused:
        context = merged(bytes(event.context), bytes(batch.context))
        inner = _context(context)
        if inner.traits and (nested := bytes(inner.traits))[:1] != b"{" and nested not in NO_TRAITS:
            return TRAITS_REFUSED
        user_id, anonymous_id = _text(event.user_id), _text(event.anonymous_id)
        previous = _text(event.previous_id) if event.type == "alias" else ""
        person = self._person_of(event, inner, user_id, previous)
        device = self._device(anonymous_id, inner.device)
        at = event_time(event, batch)
        period = at // self._session
        elsewhere = device if person.vague and event.type == "track" and not inner.is_near else ""
        said = self._said(person, at, elsewhere)
        if said is not None:
            anchor = person.anchor if said is person.attributes else anchor_of(person.identifiers, said)
            observation = Observation(person.identifiers, said, batch.received_at, batch.source)
            device = device if person.identifiers else ""
        elif device:
            anchor, observation = session_anchor(device, period), None
        else:
            return UNIDENTIFIABLE
        properties = _properties(event)
        name = _name(event, properties)
        context, properties = self._enrich(batch.source, event.type, _from_where(context, inner, batch), properties)
        return Extracted(
            at,
            period,
            anchor,
            observation,
            device,
            self._device(previous, None) if previous and previous != user_id else "",
            name,
            user_id,
            anonymous_id,
            _text(event.group_id) or (scalar(inner.group_id).strip() if inner.group_id is not None else ""),
            Raw(properties),
            Raw(context),
            person.traits,
        )

    def _said(self, person: Person, at: int, elsewhere: str) -> dict[str, str] | None:
        """What is said of a person: the attributes, and when and where, as far as that matters. None if nothing is.

        `elsewhere`: the device, such as a till, at which somebody else speaks of a person whom that does not tell.
        """
        if elsewhere:
            if person.identifiers:
                return person.attributes | {DAY: clock.to_text(at)[:10]}
            begun = clock.to_text(at // self._session * self._session)
            return person.attributes | {SESSION: f"{elsewhere} {begun}"}
        if self._policy.limits_within and len(person.identifiers) > 1:
            return person.attributes | {PERIOD: self._policy.period_of(at)}
        return person.attributes if person.identifiers else None

    def _person_of(self, event: RawEvent, inner: Context, user_id: str, previous: str) -> Person:
        own = _filled(bytes(event.traits)) if event.type == "identify" else EMPTY
        nested, external = _filled(bytes(inner.traits)), bytes(inner.external_ids)
        remember = len(own) + len(nested) + len(external) <= MEMORABLE
        return (self._remembered if remember else self._person)(user_id, previous, own, nested, external)

    def _person(self, user_id: str, previous: str, own: bytes, nested: bytes, external: bytes) -> Person:
        raw = merged(own, nested)
        traits = _any_object(raw)
        found = self._of_account(user_id, previous) | self._of_traits(traits) | self._of_external(external)
        identifiers = tuple(sorted(sorted(found, key=self._strength)[:MOST_IDENTIFIERS]))
        described = described_by(traits, self._identifiers.region)
        vague = _is_vague(identifiers, described) if identifiers else any(traits.get(name) for name in SPEAKING)
        return Person(anchor_of(identifiers, described), identifiers, described, Raw(raw), vague)

    def _strength(self, value: Value) -> tuple[tuple[int, str], Value]:
        return self._policy.order_of(value[0]), value

    def _of_account(self, user_id: str, previous: str) -> set[Value]:
        read = self._identifiers.read
        account = read("user_id", user_id)
        mailbox = read("email", user_id) if "@" in user_id else None
        before = read(ALIASED, previous) if account and previous != user_id else None
        return {value for value in (account, mailbox, before) if value}

    def _of_traits(self, traits: dict[str, Any]) -> set[Value]:
        read = self._identifiers.read
        phone = next((traits[name] for name in PHONES if traits.get(name)), "")
        found = (read("email", scalar(traits.get("email"))), read("phone", scalar(phone)))
        return {value for value in found if value}

    def _of_external(self, external: bytes) -> set[Value]:
        listed = _any(external) if external else None
        if not isinstance(listed, list):
            return set()
        found = (self._external(one) for one in listed if isinstance(one, dict))
        return {value for value in found if value}

    def _external(self, one: dict[str, Any]) -> Value | None:
        name = scalar(one.get("type"))
        foreign = one.get("collection") not in (None, "users") or one.get("encoding") not in (None, "none")
        if foreign or not is_personal(name):
            return None
        value = self._identifiers.read(name, scalar(one.get("id")))
        return value if value and type_of(value[0]).kind in ("person", "contact") else None

    def _device(self, anonymous_id: str, device: Any) -> str:
        value = self._identifiers.read("anonymous_id", anonymous_id) if anonymous_id else None
        if value is None and isinstance(device, dict):
            value = self._identifiers.read("device_id", scalar(device.get("id")))
        return f"{value[0]}:{value[1]}" if value else ""


def _is_vague(identifiers: Sequence[Value], described: Mapping[str, str]) -> bool:
    """Whether all that tells who it is, is one telephone or mailbox."""
    return len(identifiers) == 1 and identifiers[0][0] in CONTACTS and not TELLING & described.keys()


def event_time(event: RawEvent, batch: RawBatch) -> int:
    """When it happened, in milliseconds: by our clock, corrected by how long the sender kept it.

    Segment's rule (HTTP API, common fields): receivedAt − (sentAt − timestamp). Without `timestamp`, RudderStack's
    `originalTimestamp` counts; with neither, or with text that is no time, the moment of receipt. Without `sentAt` the
    time is taken as given.
    """
    received = batch.received_at
    stamp = moment(event.timestamp)
    if stamp is None:
        stamp = moment(event.original_timestamp)
    if stamp is None:
        return received
    sent = moment(event.sent_at)
    if sent is None:
        sent = moment(batch.sent_at)
    if sent is not None:
        skew = received - sent
        if abs(skew) <= ABSURD_SKEW or abs(sent - stamp) <= LONGEST_QUEUE:
            stamp += skew
    return received if stamp > received + FUTURE else max(stamp, clock.EARLIEST)


def moment(raw: Any) -> int | None:
    """A time as senders write it (ISO 8601, or a number of seconds or milliseconds) → milliseconds, or None."""
    if raw is None:
        return None
    if isinstance(raw, str):
        try:
            when = datetime.fromisoformat(raw)
            return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or raw != raw or abs(raw) > 1e18:
        return None
    return int(raw * 1000 if abs(raw) < SECONDS else raw)


def merged(own: bytes, beside: bytes) -> bytes:
    """Two JSON objects as one, shallow; `own` wins. What is no object counts as empty."""
    own, beside = _filled(own), _filled(beside)
    if beside == EMPTY:
        return own
    if own == EMPTY:
        return beside
    return _encode(_object(beside) | _object(own))


def _from_where(context: bytes, inner: Context, batch: RawBatch) -> bytes:
    """The context with the address and the location of who sent it, where that is the person and says neither."""
    if not (batch.ip or batch.location) or inner.ip or not inner.is_clients:
        return context
    if batch.location and not inner.location:
        context = _with(context, b"location", bytes(batch.location))
    return _with(context, b"ip", _encode(batch.ip)) if batch.ip else context


def _text(raw: str | None) -> str:
    return raw.strip() if raw else ""


def _filled(raw: bytes) -> bytes:
    return raw if raw[:1] == b"{" else EMPTY


def _with(text: bytes, key: bytes, value: bytes) -> bytes:
    """A JSON object with one key more; `value` is JSON."""
    rest = text[1:].lstrip()
    return b'{"%s":%s%s%s' % (key, value, b"" if rest == b"}" else b",", rest)


def _properties(event: RawEvent) -> bytes:
    """What the event is about: a group's traits; of a page the properties, with the category from beside them."""
    if event.type == "group":
        return _filled(bytes(event.traits))
    properties = _filled(bytes(event.properties))
    if event.type in ("page", "screen") and (category := scalar(event.category)) and b'"category"' not in properties:
        return _with(properties, b"category", _encode(category))
    return properties


def _name(event: RawEvent, properties: bytes) -> str:
    if event.type == "track":
        return event.event or ""
    if event.type not in ("page", "screen"):
        return ""
    named = event.name or ""
    return named if named or b'"name"' not in properties else scalar(_named(properties).name)
