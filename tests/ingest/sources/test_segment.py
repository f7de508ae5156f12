"""Tests of the reading of Segment requests: any bytes, every event accounted for, untouched where nothing is wrong."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdp.settings import CollectorSettings
from ingest.sources.segment import (
    EVENT_TYPES,
    Fault,
    Limits,
    Opened,
    Refusal,
    SegmentReader,
    moment_text,
    whole_characters,
)

LIMITS = Limits.of(CollectorSettings())
READER = SegmentReader(LIMITS)
SMALL = SegmentReader(LIMITS._replace(event_bytes=200, batch_events=3, depth=4, keys=12, id_chars=40, name_chars=20))

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
FIELDS = ("type", "messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name", "timestamp", "sentAt")
PARTS = ("properties", "traits", "context", "integrations", "mergeProperties")
odd_events = st.dictionaries(st.sampled_from((*FIELDS, *PARTS, "junk")), values, max_size=10)
texts = st.text(max_size=20)
good_events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["identify", "page", "screen"]),
        "messageId": st.text(min_size=1, max_size=40),
        "userId": st.text(min_size=1, max_size=40),
    },
    optional={
        "anonymousId": st.none() | texts,
        "timestamp": st.datetimes(timezones=st.just(None)).map(datetime.isoformat),
        "properties": st.none() | st.dictionaries(texts, scalars, max_size=5),
        "traits": st.dictionaries(texts, scalars, max_size=5),
        "context": st.dictionaries(texts.filter(lambda name: name != "traits"), scalars, max_size=5),
        "channel": texts,
    },
)


def read(body: bytes, reader: SegmentReader = READER) -> Any:
    """The reading of a batch, or why it was refused."""
    opened = reader.open_batch(body)
    return opened if isinstance(opened, Refusal) else reader.read(opened)


def batch(events: list[Any]) -> bytes:
    """A batch as JSON."""
    return json.dumps({"batch": events}, ensure_ascii=False).encode("utf-8", "surrogatepass")


@given(st.binary())
@example(b'{"batch":[')
@example(b'{"batch":[{"a":"\\')
@example(b'{"":"')
def test_no_bytes_raise(body: bytes) -> None:
    """Any bytes are read or refused, as a batch and as a single event."""
    read(body)
    opened = READER.open_single(body, "track")
    if isinstance(opened, Opened):
        assert len(opened.pieces) == 1
        READER.read(opened)


@given(st.lists(odd_events | values, max_size=6))
def test_every_event_is_accepted_or_faulty(events: list[Any]) -> None:
    """Events in = accepted + faults, and the faults are at the right places with a reason."""
    reading = read(batch(events))

    assert len(events) == len(reading.accepted) + len(reading.faults)
    for fault in reading.faults:
        assert fault.code and fault.reason
        assert fault.path.startswith(f"batch[{fault.place}]")


@given(st.lists(odd_events, max_size=4), st.binary(max_size=30).filter(lambda b: not set(b) & set(b'"[]{},\\')))
def test_what_no_parser_takes_harms_no_neighbour(events: list[Any], junk: bytes) -> None:
    """Between two good events anything may stand: both are accepted, in order."""
    good = [b'{"type":"page","messageId":"%d","userId":"u"}' % number for number in range(2)]
    middle = [json.dumps(event).encode() for event in events] + [junk, b"NaN", b'{"x":"\x00"}']
    reading = read(b'{"batch":[%s]}' % b",".join([good[0], *middle, good[1]]))

    kept = [event.body for _, event in reading.accepted]
    assert (kept[0], kept[-1]) == (good[0], good[1])
    assert len(middle) + 2 == len(reading.accepted) + len(reading.faults)


@given(st.lists(good_events, min_size=1, max_size=5))
def test_good_events_pass_through(events: list[dict[str, Any]]) -> None:
    """A good event says what was sent, its parts byte by byte, and its messageId is its id."""
    raw = [json.dumps(event, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") for event in events]
    reading = read(b'{"batch":[%s]}' % b",".join(raw))

    assert not reading.faults
    for sent, text, (key, event) in zip(events, raw, reading.accepted, strict=True):
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        for name in PARTS[:4]:
            expected = b"" if sent.get(name) is None else bytes(members[name])
            assert bytes(getattr(event, name)) == expected
        told = (event.type, event.id, event.user_id, event.anonymous_id, event.timestamp)
        assert told == tuple(sent.get(name) for name in ("type", "messageId", "userId", "anonymousId", "timestamp"))
        assert key == (sent.get("anonymousId") or sent["userId"])


@given(odd_events)
def test_quick_and_slow_way_agree(event: dict[str, Any]) -> None:
    """What the quick way accepts, the slow way accepts as it is."""
    body = json.dumps(event).encode()
    opened = READER.open_single(body, "page")
    assert isinstance(opened, Opened)
    quick = READER.read(opened)
    slow = READER.read(opened._replace(events=None))

    if quick.accepted and event.get("messageId"):
        assert [(key, e.body) for key, e in quick.accepted] == [(key, e.body) for key, e in slow.accepted]
    assert [fault[:3] for fault in quick.faults] == [fault[:3] for fault in slow.faults]


@given(st.lists(odd_events, max_size=4))
def test_what_is_accepted_keeps_the_promise(events: list[Any]) -> None:
    """Everybody can rely on the types, the times and the decodability of an accepted event."""
    for key, event in read(batch(events)).accepted:
        assert key and event.id and event.type in EVENT_TYPES
        body = msgspec.json.decode(event.body)
        orjson.loads(event.body)
        for name in FIELDS[1:]:
            assert isinstance(body.get(name), str | None)
        for name in ("timestamp", "originalTimestamp", "sentAt"):
            assert body.get(name) is None or datetime.fromisoformat(body[name])
        for name in PARTS[:4]:
            assert isinstance(body.get(name), dict | None)


@pytest.mark.parametrize("name", ["3e456", "a-3e456", "e4000", "[[[[", "1e400", "9" * 199])
def test_text_that_looks_like_a_number_costs_nothing_but_time(name: str) -> None:
    """Text is never taken for a number: such an event is accepted untouched."""
    body = json.dumps({"batch": [{"type": "page", "userId": "u", "messageId": "m", "name": name, "x": f"{name} , "}]})
    reading = read(body.encode())

    assert [event.name for _, event in reading.accepted] == [name]


def test_brackets_in_text_hide_no_depth() -> None:
    """Depth counts what is nested, not what is written in text."""
    deep = '{"x":' + '["]",' * 40 + "1" + ',"["]' * 40 + "}"
    flat = json.dumps({"x": "[" * 200})
    reading = read(
        f'{{"batch":[{{"type":"page","userId":"u","properties":{deep}}},'
        f'{{"type":"page","userId":"u","properties":{flat}}}]}}'.encode()
    )

    assert [fault.code for fault in reading.faults] == ["too_deep"]
    assert len(reading.accepted) == 1


@given(st.text(alphabet=st.characters(), max_size=30))
def test_whole_characters_leaves_whole_texts_alone(text: str) -> None:
    """Only halves of surrogate pairs are replaced, also next to escaped backslashes and whole pairs."""
    written = json.dumps(text).encode()

    mended = json.loads(whole_characters(written))
    assert text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") == mended or "\ufffd" in mended
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert written == whole_characters(written)


def test_escaped_backslashes_are_no_escapes() -> None:
    r"""`\\ud83d` is a backslash and text."""
    assert whole_characters(rb'"\\ud83d"') == rb'"\\ud83d"'
    assert whole_characters(rb'"\\\ud83d"') == rb'"\\\ufffd"'
    assert whole_characters(rb'"\ud83d\ude00\ud83d"') == rb'"\ud83d\ude00\ufffd"'


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("2026-11-21T08:30:00Z", "2026-11-21T08:30:00Z"),
        ("2026-11-21T08:30:00z", "2026-11-21T08:30:00Z"),
        (" 2026-11-21 ", "2026-11-21"),
        (1_700_000_000, "2023-11-14T22:13:20.000Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (1_700_000_000_123_456, "2023-11-14T22:13:20.123Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123Z"),
        ("1700000000", "2023-11-14T22:13:20.000Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        ("", ""),
        ("  ", ""),
        ("soon", None),
        (True, None),
        ([], None),
        (1e20, None),
    ],
)
def test_times_as_senders_write_them(given_: Any, expected: str | None) -> None:
    """Every usual form becomes ISO 8601; what is no time is told apart from an empty one."""
    assert expected == moment_text(given_)


def test_mended_fields_are_the_only_ones_that_change() -> None:
    """An id that was a number becomes text; the bytes of all parts stay, also those of numbers no float could hold."""
    event = (
        b'{"type":"track","event":"E","userId":123456789012345678901,'
        b'"properties":{"n":1.10,"big":123456789012345678901}}'
    )
    [(key, kept)] = read(b'{"batch":[%s]}' % event).accepted

    assert key == "123456789012345678901"
    assert kept.user_id == key
    assert bytes(kept.properties) == b'{"n":1.10,"big":123456789012345678901}'


def test_kind_of_the_path_counts() -> None:
    """A single event is what its path says, whatever type stands in it."""
    opened = READER.open_single(b'{"type":"identify","userId":"u"}', "page")
    assert isinstance(opened, Opened)
    [(_, event)] = READER.read(opened).accepted
    assert event.type == "page"


def test_merge_becomes_an_identify_with_both_identifiers() -> None:
    """RudderStack's merge reaches identity as one event that carries both identifiers."""
    body = (
        b'{"type":"merge","messageId":"m","mergeProperties":'
        b'[{"type":"email","value":"a@b.vn"},{"type":"mobile","value":84912345678}]}'
    )
    opened = READER.open_single(body, "merge")
    assert isinstance(opened, Opened)
    [(key, event)] = READER.read(opened).accepted

    external = msgspec.json.decode(event.body)["context"]["externalIds"]
    assert (key, event.type, event.id) == ("a@b.vn", "identify", "m")
    assert [(one["type"], one["id"]) for one in external] == [("email", "a@b.vn"), ("phone", "84912345678")]


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "page", "userId": "u", "name": "x" * 21}, "too_long"),
        ({"type": "page", "userId": "u" * 41}, "too_long"),
        ({"type": "page", "userId": "u", "properties": {"a": {"b": {"c": {}}}}}, "too_deep"),
        ({"type": "page", "userId": "u", "properties": {str(n): n for n in range(12)}}, "too_many_keys"),
        ({"type": "page", "userId": "u", "properties": {"x": "x" * 200}}, "event_too_large"),
    ],
)
def test_limits_are_the_ones_that_are_set(event: dict[str, Any], code: str) -> None:
    """Each limit keeps an event aside, not its neighbour."""
    reading = read(batch([event, {"type": "page", "userId": "u"}]), SMALL)

    assert [code] == [fault.code for fault in reading.faults]
    assert len(reading.accepted) == 1


def test_events_beyond_the_limit_are_kept_aside() -> None:
    """The first events count, the rest are faults; far beyond, the request is refused."""
    event = {"type": "page", "userId": "u"}
    reading = read(batch([event] * 5), SMALL)

    assert len(reading.accepted) == 3
    assert [fault.place for fault in reading.faults] == [3, 4]
    assert read(batch([event] * 31), SMALL).code == "too_many_events"


def test_judge_takes_an_event_alone() -> None:
    """As quarantine needs it: the path of a fault begins in the event."""
    fault = READER.judge(b'{"userId":"u","event":{}}', "track")
    assert isinstance(fault, Fault)
    assert (fault.code, fault.path) == ("invalid_type", "event")
    assert not isinstance(READER.judge(b'{"type":"track","userId":"u","event":"E"}', None), Fault)
