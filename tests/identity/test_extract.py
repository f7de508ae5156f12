"""Extraction: events of every SDK say whose they are, when they happened, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from cdp import clock
from cdp.enrichers import Enrichers
from cdp.records import RawBatch, RawEvent
from cdp.testing import accepted_event
from identity.extract import MOST_IDENTIFIERS, Extracted, Extractor, Refused, merged, moment
from identity.observations import session_anchor
from identity.policy import Policy

NOW = clock.from_text("2026-11-21T08:30:00Z")
EXTRACTOR = Extractor(Policy())
DEVICE = "53a322b7-89c7-40ae-b485-187d61233e4d"


def raw_event(body: dict[str, Any], kind: str = "") -> RawEvent:
    """An event as the collector hands it on."""
    return accepted_event(body | ({"type": kind} if kind else {}))


def extract(body: dict[str, Any], **around: Any) -> Extracted:
    """What is extracted of an event that can be resolved."""
    found = EXTRACTOR.extract(raw_event(body), RawBatch("web", "t", NOW, [], **around))
    assert isinstance(found, Extracted)
    return found


def identifiers(body: dict[str, Any], **around: Any) -> dict[str, str]:
    """The identifiers of the event's person."""
    observation = extract(body, **around).observation
    return dict(observation.identifiers) if observation else {}


# -- the shapes that SDKs send


def test_segments_browser_sdk_page() -> None:
    """An anonymous page is a session of its device; its name may stand in the properties alone."""
    body = {
        "type": "page",
        "userId": None,
        "anonymousId": DEVICE,
        "properties": {"name": "Áo dài", "path": "/ao-dai"},
        "context": {"page": {"path": "/ao-dai"}, "userAgent": "Mozilla/5.0"},
        "timestamp": "2026-11-21T08:29:58.000Z",
        "sentAt": "2026-11-21T08:29:59.000Z",
    }
    found = extract(body, ip="203.0.113.9")
    assert (found.observation, found.name) == (None, "Áo dài")
    assert found.device == f"anonymous_id:{DEVICE}"
    assert found.anchor == session_anchor(found.device, found.period)
    assert found.at == NOW - 1_000
    assert json.loads(bytes(found.context))["ip"] == "203.0.113.9"


def test_rudderstack_browser_identify() -> None:
    """Traits only in the context, an empty userId elsewhere, originalTimestamp instead of timestamp: all understood."""
    traits = {"email": "Lan@Example.com", "phone": "0905 123 456", "name": "Lan"}
    body = {
        "type": "identify",
        "userId": "lan",
        "anonymousId": DEVICE,
        "context": {"traits": traits},
        "originalTimestamp": "2026-11-21T08:00:00.000Z",
        "sentAt": "2026-11-21T08:00:01.000Z",
    }
    found = extract(body)
    assert found.at == NOW - 1_000
    assert identifiers(body) == {"user_id": "lan", "email": "lan@example.com", "phone": "+84905123456"}
    assert json.loads(bytes(found.traits)) == traits
    assert extract({**body, "type": "page", "userId": "", "context": {"traits": {}}}).observation is None


def test_segments_node_batch() -> None:
    """What stands beside a batch counts for each of its events, and the event's own wins."""
    body = {"type": "track", "event": "Order Completed", "userId": "lan", "context": {"library": {"name": "node"}}}
    beside = Raw(b'{"library":{"name":"batch"},"app":{"name":"shop"},"traits":{"email":"lan@example.com"}}')
    found = extract(body, context=beside, sent_at="2026-11-21T08:30:00Z")
    context = json.loads(bytes(found.context))
    assert context["library"] == {"name": "node"}
    assert context["app"] == {"name": "shop"}
    assert found.name == "Order Completed"
    assert identifiers(body, context=beside) == {"user_id": "lan", "email": "lan@example.com"}


def test_traits_of_identify_win_over_the_contexts() -> None:
    """An identify has traits in both places; the top level wins, trait by trait."""
    body = {
        "type": "identify",
        "userId": "lan",
        "traits": {"email": "new@example.com"},
        "context": {"traits": {"email": "old@example.com", "phone": "0905123456"}},
    }
    assert identifiers(body) == {"user_id": "lan", "email": "new@example.com", "phone": "+84905123456"}


def test_traits_of_a_group_are_the_companys() -> None:
    """A group's traits are kept with the event and never become the person's."""
    body = {
        "type": "group",
        "userId": "lan",
        "groupId": "acme",
        "traits": {"name": "Acme", "email": "info@acme.example", "phone": "024 3825 1234"},
        "context": {"traits": {"name": "Lan"}},
    }
    found = extract(body)
    assert found.observation is not None
    assert found.observation.identifiers == (("user_id", "lan"),)
    assert found.observation.attributes == {"name": "lan"}
    assert json.loads(bytes(found.properties))["name"] == "Acme"
    assert found.group_id == "acme"


def test_a_pages_category_and_an_events_company_are_kept() -> None:
    """A category beside the properties joins them; a groupId in the context is the event's company."""
    page = {"type": "page", "userId": "lan", "category": "Catalog", "name": "Áo dài", "context": {"groupId": "acme"}}
    found = extract(page)
    assert json.loads(bytes(found.properties)) == {"category": "Catalog"}
    assert found.group_id == "acme"
    given_one = extract({**page, "properties": {"category": "Own", "x": 1}})
    assert json.loads(bytes(given_one.properties)) == {"category": "Own", "x": 1}


def test_alias_names_who_somebody_was() -> None:
    """An alias ties two accounts, and counts as a sign-in on the device that the old id may be."""
    found = extract({"type": "alias", "userId": "lan", "previousId": DEVICE})
    assert identifiers({"type": "alias", "userId": "lan", "previousId": DEVICE}) == {
        "user_id": "lan",
        "previous_id": DEVICE,
    }
    assert found.previous == f"anonymous_id:{DEVICE}"


def test_alias_to_oneself_says_nothing() -> None:
    """Some SDKs send the same id twice: that is a plain event of that account."""
    found = extract({"type": "alias", "userId": "lan", "previousId": "lan"})
    assert found.observation is not None
    assert found.observation.identifiers == (("user_id", "lan"),)
    assert found.previous == ""


def test_external_ids_of_people_count() -> None:
    """External ids of the collection `users` are identifiers; those of accounts, devices and adverts are not."""
    body = {
        "type": "track",
        "anonymousId": DEVICE,
        "context": {
            "externalIds": [
                {"id": "LC 01", "type": "loyalty_card", "collection": "users", "encoding": "none"},
                {"id": "z1", "type": "zalo_id"},
                {"id": "a1", "type": "crm_id", "collection": "accounts", "encoding": "none"},
                {"id": "5e88", "type": "email", "collection": "users", "encoding": "sha256"},
                {"id": "t1", "type": "ios.push_token", "collection": "users", "encoding": "none"},
                {"id": DEVICE, "type": "anonymous_id", "collection": "users", "encoding": "none"},
                "nonsense",
            ]
        },
    }
    assert identifiers(body) == {"loyalty_card": "LC01", "zalo_id": "z1"}


def test_one_event_names_only_so_many() -> None:
    """Of an event that lists hundreds of ids the strongest count."""
    listed = [{"id": f"z{n}", "type": "zalo_id"} for n in range(500)]
    found = extract({"type": "track", "userId": "lan", "context": {"externalIds": listed}}).observation
    assert found is not None
    assert len(found.identifiers) == MOST_IDENTIFIERS
    assert ("user_id", "lan") in found.identifiers


def test_an_account_called_by_its_mailbox_has_that_mailbox() -> None:
    """A userId that is an e-mail address is an e-mail identifier as well."""
    assert identifiers({"type": "track", "userId": "Lan@Example.com"}) == {
        "user_id": "Lan@Example.com",
        "email": "lan@example.com",
    }


def test_limits_within_a_period_make_it_part_of_what_is_said() -> None:
    """What links two identifiers is said in the week of the event, by the event's own time; else time plays no part."""
    extractor = Extractor(Policy(limits_within={"email": 2}))

    def anchor(email: str, timestamp: str, extract: Extractor = extractor) -> bytes:
        body = {"type": "track", "userId": "lan", "timestamp": timestamp, "context": {"traits": {"email": email}}}
        found = extract.extract(raw_event(body), RawBatch("web", "t", NOW, []))
        assert isinstance(found, Extracted)
        return found.anchor

    monday, sunday, next_monday = "2026-11-09T00:00:00Z", "2026-11-15T23:59:59Z", "2026-11-16T00:00:00Z"
    assert anchor("lan@example.com", monday) == anchor("lan@example.com", sunday)
    assert anchor("lan@example.com", monday) != anchor("lan@example.com", next_monday)
    assert anchor("", monday) == anchor("", next_monday)
    assert anchor("lan@example.com", monday, EXTRACTOR) == anchor("lan@example.com", next_monday, EXTRACTOR)


def test_a_telephones_own_id_stands_in_for_the_anonymous_id() -> None:
    """Without an anonymousId the device's id binds the session."""
    found = extract({"type": "screen", "userId": "null", "context": {"device": {"id": "A-1", "type": "android"}}})
    assert found.device == "device_id:A-1"


@pytest.mark.parametrize("user_id", ["null", "0", "guest", "", None, "00000000-0000-0000-0000-000000000000"])
def test_an_event_of_nobody_is_set_aside(user_id: str | None) -> None:
    """An event in which nothing identifies anybody is refused with a reason, not lost and not everybody's."""
    body = {"type": "track", "userId": user_id, "event": "Order Completed"}
    found = EXTRACTOR.extract(raw_event(body), RawBatch("web", "t", NOW, []))
    assert isinstance(found, Refused)
    assert found.code == "unidentifiable"


def test_the_senders_address_is_only_the_persons_in_a_client() -> None:
    """The request's address is filled in for browsers and apps, never for servers, never over a given one."""
    server = {"type": "track", "userId": "lan", "context": {"library": {"name": "analytics-python"}}}
    assert b"ip" not in bytes(extract(server, ip="203.0.113.9").context)
    given_one = {"type": "track", "userId": "lan", "context": {"userAgent": "x", "ip": "198.51.100.1"}}
    assert json.loads(bytes(extract(given_one, ip="203.0.113.9").context))["ip"] == "198.51.100.1"


def test_where_the_person_is_comes_with_the_address() -> None:
    """So does the location of the address, also where the address itself is not kept; never where it is another's."""
    hue, browser = Raw(b'{"city":"Hu\xe1\xba\xbf"}'), {"userAgent": "x"}
    told = {"ip": "203.0.113.0", "location": {"city": "Huế"}}

    def context(own: dict[str, Any], **around: Any) -> Any:
        body = {"type": "track", "userId": "lan", "event": "x", "context": own}
        return json.loads(bytes(extract(body, location=hue, **around).context))

    assert context(browser, ip="203.0.113.0") == browser | told
    assert context(browser) == browser | {"location": {"city": "Huế"}}
    assert context({"library": "server"}, ip="203.0.113.0") == {"library": "server"}
    given_one = browser | {"ip": "198.51.100.1"}
    assert context(given_one, ip="203.0.113.0") == given_one
    placed = browser | {"location": {"city": "Vinh"}}
    assert context(placed, ip="203.0.113.0") == placed | {"ip": "203.0.113.0"}


class Everything:
    """An enricher that writes over all it may."""

    name = "everything"

    def enrich(self, source: str, kind: str, context: bytes, properties: bytes) -> tuple[bytes, bytes]:
        other = b'{"traits":{"email":"other@example.com"},"device":{"id":"d"},"externalIds":[],"name":"Other"}'
        return other, other


def test_enrichers_decide_nobody() -> None:
    """Whatever an enricher adds, whose the event is, when and what it was called stay as they were."""
    body = {
        "type": "page",
        "userId": "lan",
        "anonymousId": DEVICE,
        "properties": {"name": "Giá"},
        "context": {"ip": "x"},
    }
    event, batch = raw_event(body), RawBatch("web", "t", NOW, [])
    plain, enriched = (
        Extractor(Policy(), one).extract(event, batch) for one in (Enrichers(), Enrichers([Everything()]))
    )
    assert isinstance(plain, Extracted)
    assert isinstance(enriched, Extracted)
    assert enriched != plain
    assert structs.replace(enriched, properties=plain.properties, context=plain.context) == plain


# -- time


def at(**times: Any) -> int:
    """The event's time in relation to its receipt, in seconds."""
    batch = {name: times.pop(name) for name in ("batch_sent_at",) if name in times}
    found = extract({"type": "track", "userId": "lan", **times}, sent_at=batch.get("batch_sent_at"))
    return (found.at - NOW) // 1_000


def test_time_is_corrected_by_how_long_the_sender_kept_the_event() -> None:
    """receivedAt − (sentAt − timestamp), whatever the sender's clock says."""
    assert at(timestamp="2026-11-21T08:00:00Z", sentAt="2026-11-21T08:00:10Z") == -10
    assert at(timestamp="2026-11-21T08:00:00Z", batch_sent_at="2026-11-21T08:00:10Z") == -10
    assert at(timestamp="2010-01-01T00:00:00Z", sentAt="2010-01-01T00:01:00Z") == -60
    assert at(timestamp="2035-01-01T00:00:00+07:00", sentAt="2035-01-01T00:01:00+07:00") == -60


def test_time_without_sent_at_is_taken_as_given() -> None:
    """A server that backdates is believed; so is one that sends no clock of its own."""
    assert at(timestamp="2026-11-21T06:30:00Z") == -7_200
    assert at(timestamp="2019-11-21T08:30:00Z", sentAt="2026-11-21T08:30:00Z") == -(7 * 365 + 2) * 86_400


def test_timestamp_wins_over_original_timestamp() -> None:
    """`timestamp` is the user's own, `originalTimestamp` when the call was made."""
    assert at(timestamp="2026-11-21T06:30:00Z", originalTimestamp="2026-11-21T08:29:00Z") == -7_200
    assert at(originalTimestamp="2026-11-21T08:29:00Z") == -60


def test_absurd_clocks_are_not_believed() -> None:
    """A sentAt that lies years from the timestamp corrects nothing; what lies in the future happened at receipt."""
    assert at(timestamp="2026-11-21T08:00:00Z", sentAt="1970-01-01T00:00:00Z") == -1_800
    assert at(timestamp="2226-11-21T08:00:00Z") == 0
    assert at(timestamp="0001-01-01T00:00:00Z") == -NOW // 1_000
    assert at() == 0
    assert at(timestamp="yesterday") == 0


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2026-11-21T08:30:00Z", NOW),
        ("2026-11-21T08:30:00.000+00:00", NOW),
        ("2026-11-21T08:30:00.000000+00:00", NOW),
        ("2026-11-21T15:30:00+07:00", NOW),
        ("2026-11-21T08:30:00", NOW),
        (NOW, NOW),
        (NOW // 1_000, NOW),
        (True, None),
        (None, None),
        ("", None),
        (float("nan"), None),
        (1e300, None),
        ({}, None),
    ],
)
def test_times_are_written_in_many_ways(raw: object, expected: int | None) -> None:
    """ISO 8601 with any precision and zone, seconds or milliseconds."""
    assert moment(raw) == expected


# -- whatever comes


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
TEXTS = ("userId", "anonymousId", "previousId", "event", "name", "timestamp", "originalTimestamp", "sentAt")
PARTS = ("traits", "context", "properties", "category")
CONTEXT = st.dictionaries(st.sampled_from(["traits", "externalIds", "device", "ip", "x"]), JSON)


@given(
    st.dictionaries(st.sampled_from(TEXTS), st.none() | st.text(), max_size=6),
    st.dictionaries(st.sampled_from(PARTS), JSON, max_size=3),
    st.none() | CONTEXT,
    st.sampled_from(["track", "identify", "page", "screen", "group", "alias"]),
)
def test_no_event_raises(
    texts: dict[str, Any], parts: dict[str, Any], context: dict[str, Any] | None, kind: str
) -> None:
    """Any event, whatever its parts hold, is extracted or refused with a reason, the same way each time."""
    body = texts | parts | ({} if context is None else {"context": context})
    event, batch = raw_event(body, kind), RawBatch("web", "t", NOW, [], ip="::1")
    found = EXTRACTOR.extract(event, batch)
    assert found == Extractor(Policy()).extract(event, batch)
    if isinstance(found, Extracted):
        for part in (found.properties, found.context, found.traits):
            assert isinstance(json.loads(bytes(part)), dict)
        assert clock.EARLIEST <= found.at <= clock.LATEST
    else:
        assert found.reason


@given(st.binary(max_size=60))
def test_no_bytes_raise(part: bytes) -> None:
    """A part that is no JSON is refused, or does not matter."""
    event = RawEvent("track", "m", user_id="lan", properties=Raw(part), context=Raw(part))
    assert isinstance(EXTRACTOR.extract(event, RawBatch("web", "t", NOW, [])), Extracted | Refused)


@pytest.mark.parametrize(
    ("traits", "code"), [([], ""), ("", ""), (None, ""), ("Lan", "invalid_type"), ([1], "invalid_type")]
)
def test_traits_that_are_no_object_are_not_lost(traits: Any, code: str) -> None:
    """What senders write for no traits is taken so; anything else in their place keeps the event apart."""
    event = raw_event({"type": "track", "event": "E", "userId": "lan", "context": {"traits": traits}})
    found = EXTRACTOR.extract(event, RawBatch("web", "t", NOW, []))
    assert (found.code if isinstance(found, Refused) else "") == code


@pytest.mark.parametrize(
    ("part", "code", "path"),
    [
        (b'{"a":[1e999]}', "number_out_of_range", "properties.a[0]"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "too_deep", "properties"),
        (b'{"a":"\xff"}', "invalid_utf8", "properties"),
    ],
)
def test_parts_nobody_read_before_are_looked_at(part: bytes, code: str, path: str) -> None:
    """What the collector passed on unread and nobody could store is refused, with the path to it."""
    event = RawEvent("track", "m", user_id="lan", event="E", properties=Raw(part))
    found = EXTRACTOR.extract(event, RawBatch("web", "t", NOW, []))
    assert isinstance(found, Refused)
    assert (found.code, found.path) == (code, path)


def test_objects_merge_shallowly() -> None:
    """Of two objects the own keys win, whole; what is no object counts as empty."""
    assert json.loads(merged(b'{"a":{"x":1}}', b'{"a":{"y":2},"b":3}')) == {"a": {"x": 1}, "b": 3}
    assert merged(b"null", b'{"b":3}') == b'{"b":3}'
    assert merged(b'{"a":1}', b"[]") == b'{"a":1}'
    assert merged(b"", b"") == b"{}"
