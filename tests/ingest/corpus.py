"""Bad and odd input, each with what must become of it. Used by the collector's tests and by those of the whole product.

A case says how many of its events are stored, and the codes of those kept aside, in order; or the status and code with
which the whole request is refused. Nothing here may be answered 500, and no good neighbour may be lost.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any, NamedTuple

GOOD = '{"type":"track","event":"Neighbour","userId":"n-1"}'
BATCH, TRACK = "/v1/batch", "/v1/track"
JSON = {"Content-Type": "application/json"}
GZIP = {**JSON, "Content-Encoding": "gzip"}


class Expect(NamedTuple):
    """What must come of a case. With a status of 200, `accepted` events are stored and `codes` are kept aside."""

    status: int = 200
    accepted: int = 0
    codes: tuple[str, ...] = ()
    code: str = ""


class Case(NamedTuple):
    """A request. The write key is added to its headers."""

    name: str
    path: str
    headers: dict[str, str]
    body: bytes
    expect: Expect


def among(name: str, event: str | bytes, *codes: str) -> Case:
    """A bad event between two good ones: these are stored. Without codes it is mended, and stored as well."""
    piece = event if isinstance(event, bytes) else event.encode()
    body = b'{"batch":[%s,%s,%s],"sentAt":"2026-11-21T08:30:00Z"}' % (GOOD.encode(), piece, GOOD.encode())
    return Case(name, BATCH, JSON, body, Expect(accepted=2 if codes else 3, codes=codes))


def alone(name: str, body: str | bytes, *codes: str, path: str = TRACK) -> Case:
    """One event, kept aside or (without codes) stored."""
    content = body if isinstance(body, bytes) else body.encode()
    return Case(name, path, JSON, content, Expect(accepted=0 if codes else 1, codes=codes))


def refused(name: str, body: str | bytes, code: str, *, path: str = BATCH, headers: dict[str, str] = JSON) -> Case:
    """A body of which nothing can be stored."""
    content = body if isinstance(body, bytes) else body.encode()
    return Case(name, path, headers, content, Expect(400, code=code))


def track(properties: str = "{}", **fields: Any) -> str:
    """A track event with properties given as JSON text."""
    event = json.dumps({"type": "track", "event": "E", "userId": "u-1", **fields}, ensure_ascii=False)
    return f'{event[:-1]},"properties":{properties}}}'


def nested(levels: int) -> str:
    """An object that deep."""
    return '{"a":' * levels + "1" + "}" * levels


def many(count: int) -> str:
    """A batch of that many events."""
    return '{"batch":[' + ",".join([GOOD] * count) + "]}"


NUMBERS = [
    among("NaN", track('{"x":NaN}'), "invalid_json"),
    among("Infinity", track('{"x":-Infinity}'), "invalid_json"),
    among("1e400", track('{"x":1e400}'), "number_out_of_range"),
    among("-1E+400 in a list", track('{"x":[1,{"y":-1E+400}]}'), "number_out_of_range"),
    among("1e0000000400", track('{"x":1e0000000400}'), "number_out_of_range"),
    among(
        "a huge number in context",
        track(context={}).replace('"context": {}', '"context": {"n":9e999}'),
        "number_out_of_range",
    ),
    among(
        "a huge number where nobody looks",
        '{"type":"track","event":"E","userId":"u","junk":1e999}',
        "number_out_of_range",
    ),
    among("5,000 digits", track('{"x":' + "7" * 5_000 + "}"), "number_out_of_range"),
    among("2^64", track('{"x":18446744073709551616}')),
    among("300 digits", track('{"x":' + "7" * 300 + "}")),
    among("a tiny number", track('{"x":1e-400}')),
    among("1e308", track('{"x":1e308}')),
    among("leading zero", track('{"x":007}'), "invalid_json"),
    among("hexadecimal", track('{"x":0xFF}'), "invalid_json"),
    among("plus sign", track('{"x":+1}'), "invalid_json"),
]
TEXTS = [
    among("half an emoji", track('{"x":"\\ud83d"}')),
    among("the other half", track('{"x":"\\uDE00 tail"}')),
    among("half an emoji in the event's name", '{"type":"track","event":"cut \\ud83d","userId":"u"}'),
    among("NUL", track('{"x":"\\u0000"}')),
    among("NUL in an id", '{"type":"page","userId":"a\\u0000b"}'),
    among("raw control character", track('{"x":"a\x01b"}'), "invalid_json"),
    among("raw newline", track('{"x":"a\nb"}'), "invalid_json"),
    among("invalid UTF-8", b'{"type":"page","userId":"u","name":"\xff\xfe"}', "invalid_utf8"),
    among("Latin-1", 'x{"type":"page","userId":"Tr\xe2n"}'[1:].encode("latin-1"), "invalid_utf8"),
    among("overlong UTF-8", b'{"type":"page","userId":"u","name":"\xc0\xaf"}', "invalid_utf8"),
    among("surrogates as UTF-8", b'{"type":"page","userId":"u","name":"\xed\xa0\x80"}', "invalid_utf8"),
    among("invalid UTF-8 where nobody looks", b'{"type":"page","userId":"u","junk":"\xff"}', "invalid_utf8"),
    among("unknown escape", track('{"x":"\\x41"}'), "invalid_json"),
    among("emoji", track('{"x":"👩‍👩‍👧‍👦🇻🇳"}', userId="người-👍")),
    among("right to left", track('{"x":"\u202eevil\u202c مرحبا"}')),
    among("decomposed Vietnamese", track('{"x":"Nguyê\u0303n Thi\u0323 Lan"}')),
    among("zero width", track('{"x":"\u200b\ufeff"}')),
    among("line separators", track('{"x":"\u2028\u2029"}')),
    among("SQL", track('{"x":"\'; DROP TABLE events; --"}', userId="1' OR '1'='1")),
    among("script", track('{"x":"<script>alert(1)</script>"}')),
    among("template", track('{"x":"{{7*7}} ${jndi:ldap://x} %s %n"}')),
    among("long text", track('{"x":"' + "x" * 100_000 + '"}')),
]
STRUCTURE = [
    among("duplicate keys", '{"type":"page","userId":"first","userId":"last"}'),
    among("prototype pollution", track('{"__proto__":{"admin":true},"constructor":{"prototype":{}}}')),
    among("empty keys", track('{"":{"":""}}')),
    among("dotted and nested keys", track('{"a.b":1,"a":{"b":2}}')),
    among("too deep", track(nested(40)), "too_deep"),
    among("too deep, brackets in text", track('{"x":' + '["]",' * 40 + "1" + ',"["]' * 40 + "}"), "too_deep"),
    among("just deep enough", track(nested(31))),
    among("nesting 100,000", track("[" * 100_000 + "]" * 100_000), "too_deep"),
    among("nesting 900", track(nested(900)), "too_deep"),
    among("too many keys", track(json.dumps({f"k{n}": n for n in range(1_001)})), "too_many_keys"),
    among("too many bytes", track('{"x":"' + "x" * 520_000 + '"}'), "event_too_large"),
    among("a million empty lists", track('{"x":[' + "[]," * 1_000_000 + "1]}"), "event_too_large"),
    among("a million keys", track('{"x":{' + ",".join(['"k":1'] * 600_000) + "}}"), "event_too_large"),
    among("nesting 2,000,000", track("[" * 2_000_000 + "]" * 2_000_000), "event_too_large"),
    among("not an object: number", "5", "not_an_object"),
    among("not an object: text", '"track"', "not_an_object"),
    among("not an object: list", "[[]]", "not_an_object"),
    among("not an object: null", "null", "not_an_object"),
    among("an empty object", "{}", "unknown_type"),
    among("nothing between the commas", "", "invalid_json"),
    among("a bare word", "undefined", "invalid_json"),
    among("single quotes", "{'type':'page','userId':'u'}", "invalid_json"),
    among("a trailing comma", '{"type":"page","userId":"u",}', "invalid_json"),
    among("a comment", '{"type":"page",/* hm */"userId":"u"}', "invalid_json"),
]
TYPES = [
    among("no type", '{"event":"E","userId":"u"}', "unknown_type"),
    among("unknown type", '{"type":"purchase","userId":"u"}', "unknown_type"),
    among("type in capitals", '{"type":"Track","event":"E","userId":"u"}', "unknown_type"),
    among("type is a number", '{"type":7,"userId":"u"}', "invalid_type"),
    among("no ids", '{"type":"track","event":"E"}', "missing_identity"),
    among("null and empty ids", '{"type":"track","event":"E","userId":null,"anonymousId":""}', "missing_identity"),
    among("userId is a number", '{"type":"track","event":"E","userId":12345}'),
    among("userId beyond 64 bits", '{"type":"track","event":"E","userId":123456789012345678901234567890}'),
    among("userId is 12345.0", '{"type":"track","event":"E","userId":12345.0}'),
    among("userId is 1.5", '{"type":"track","event":"E","userId":1.5}', "invalid_type"),
    among("userId is true", '{"type":"track","event":"E","userId":true}', "invalid_type"),
    among("userId is an object", '{"type":"track","event":"E","userId":{"id":1}}', "invalid_type"),
    among("anonymousId is a list", '{"type":"track","event":"E","anonymousId":["a"]}', "invalid_type"),
    among("messageId is a number", '{"type":"page","userId":"u","messageId":99}'),
    among("messageId is an object", '{"type":"page","userId":"u","messageId":{}}', "invalid_type"),
    among("giant userId", json.dumps({"type": "page", "userId": "x" * 501}), "too_long"),
    among("giant event name", json.dumps({"type": "track", "userId": "u", "event": "x" * 501}), "too_long"),
    among("track without event", '{"type":"track","userId":"u"}', "missing_event"),
    among("event is empty", '{"type":"track","userId":"u","event":""}', "missing_event"),
    among("event is a number", '{"type":"track","userId":"u","event":404}'),
    among("event is an object", '{"type":"track","userId":"u","event":{}}', "invalid_type"),
    among("group without groupId", '{"type":"group","userId":"u"}', "missing_group_id"),
    among("alias without previousId", '{"type":"alias","userId":"u"}', "missing_previous_id"),
    among("alias without userId", '{"type":"alias","anonymousId":"a","previousId":"b"}', "missing_user_id"),
    among("alias to itself", '{"type":"alias","userId":"u","previousId":"u"}'),
    among("properties are a list", '{"type":"page","userId":"u","properties":[1]}', "invalid_type"),
    among("properties are text", '{"type":"page","userId":"u","properties":"{}"}', "invalid_type"),
    among("PHP's empty properties", '{"type":"page","userId":"u","properties":[]}'),
    among("traits are null", '{"type":"identify","userId":"u","traits":null}'),
    among("traits are a number", '{"type":"identify","userId":"u","traits":1}', "invalid_type"),
    among("context is text", '{"type":"page","userId":"u","context":"web"}', "invalid_type"),
    among("context.traits are text", '{"type":"page","userId":"u","context":{"traits":"x"}}', "invalid_type"),
    among("integrations is a list", '{"type":"page","userId":"u","integrations":["All"]}', "invalid_type"),
    among("merge of one", '{"type":"merge","mergeProperties":[{"type":"email","value":"a@b.vn"}]}', "invalid_merge"),
]
TIMES = [
    among("no time", track(timestamp="yesterday"), "invalid_timestamp"),
    among("empty time", track(timestamp="")),
    among("month 13", track(timestamp="2026-13-01T00:00:00Z"), "invalid_timestamp"),
    among("year 0", track(timestamp="0000-00-00T00:00:00Z"), "invalid_timestamp"),
    among("year 9999", track(timestamp="9999-12-31T23:59:59.999Z")),
    among("year 1", track(timestamp="0001-01-01T00:00:00+14:00")),
    among("year 292277026596", track(timestamp="292277026596-12-04T15:30:08Z"), "invalid_timestamp"),
    among("epoch seconds", track(timestamp=1_700_000_000)),
    among("epoch milliseconds as text", track(timestamp="1700000000123")),
    among("epoch with fraction", track(timestamp=1_700_000_000.123)),
    among("before 1970", track(timestamp=-1_000)),
    among("an absurd number", track(timestamp=1e300), "invalid_timestamp"),
    among("time is true", track(timestamp=True), "invalid_timestamp"),
    among("time is an object", track(timestamp={"$date": 1}), "invalid_timestamp"),
    among("date alone", track(timestamp="2026-11-21")),
    among("basic format", track(timestamp="20261121T083000Z")),
    among("small z", track(timestamp="2026-11-21T08:30:00z")),
    among("nanoseconds", track(timestamp="2026-11-21T08:30:00.123456789Z")),
    among("spaces around", track(timestamp=" 2026-11-21T08:30:00Z ")),
    among("JavaScript's toString", track(timestamp="Sat Nov 21 2026 08:30:00 GMT+0700"), "invalid_timestamp"),
    among("bad originalTimestamp", track(originalTimestamp="never"), "invalid_timestamp"),
    Case("bad sentAt of a batch", BATCH, JSON, b'{"batch":[%s],"sentAt":"soon"}' % GOOD.encode(), Expect(accepted=1)),
]
BODIES = [
    refused("no body", "", "empty_body"),
    refused("only spaces", "  \r\n ", "empty_body"),
    refused("no JSON", "hello", "invalid_json"),
    refused("cut off", many(3)[:-20], "invalid_json"),
    refused("something after the end", many(1) + "x", "invalid_json"),
    refused("form", "type=track&event=E", "invalid_json"),
    refused("XML", "<?xml version='1.0'?><event/>", "invalid_json"),
    refused("UTF-16", many(1).encode("utf-16"), "invalid_json"),
    refused("binary", bytes(range(256)), "invalid_json"),
    refused("a list of events", f"[{GOOD}]", "not_an_object"),
    refused("a number", "5", "not_an_object"),
    refused("null", "null", "not_an_object"),
    refused("no batch", "{}", "no_batch"),
    refused("batch is null", '{"batch":null}', "no_batch"),
    refused("batch is an object", '{"batch":{"0":{}}}', "no_batch"),
    refused("batch is text", '{"batch":"[]"}', "no_batch"),
    refused("single: no JSON", '{"event":"E",', "invalid_json", path=TRACK),
    refused("single: a list", f"[{GOOD}]", "not_an_object", path=TRACK),
    refused("single: no body", "", "empty_body", path=TRACK),
    refused("context of a batch is text", '{"batch":[],"context":"x"}', "invalid_type"),
    refused("context of a batch has a huge number", '{"batch":[],"context":{"x":1e999}}', "number_out_of_range"),
    refused("one million elements", '{"batch":[' + "1," * 1_000_000 + "1]}", "too_many_events"),
    refused("broken, with a million brackets", '{"batch":[' + "[]," * 1_000_000 + "NaN]}", "too_many_values"),
    refused("12,000 events", many(12_000), "too_many_events"),
    refused("larger than the limit", many(1) + " " * 5_000_000, "body_too_large"),
    Case("an empty batch", BATCH, JSON, b'{"batch":[]}', Expect()),
    Case("BOM", BATCH, JSON, b"\xef\xbb\xbf" + many(2).encode(), Expect(accepted=2)),
    Case("spaces everywhere", BATCH, JSON, json.dumps(json.loads(many(2)), indent=8).encode(), Expect(accepted=2)),
    Case(
        "two batches: the last counts", BATCH, JSON, b'{"batch":[{}],"batch":[%s]}' % GOOD.encode(), Expect(accepted=1)
    ),
    Case("5,001 events", BATCH, JSON, many(5_001).encode(), Expect(accepted=5_000, codes=("too_many_events",))),
    alone("single: half an emoji", '{"userId":"u","event":"\\ud83d"}'),
    alone("single: a huge number", '{"userId":"u","event":"E","properties":{"x":1e999}}', "number_out_of_range"),
    alone("single: invalid UTF-8", b'{"userId":"u","event":"E","x":"\xff"}', "invalid_utf8"),
    alone("single: nesting 100,000", '{"userId":"u","x":' + "[" * 100_000 + "]" * 100_000 + "}", "too_deep"),
    alone("single: too large", track('{"x":"' + "x" * 600_000 + '"}'), "event_too_large"),
    alone("single: no event", '{"userId":"u"}', "missing_event"),
    alone("single: a batch inside", '{"userId":"u","event":"E","batch":5}'),
    alone("single: merge of nothing", '{"userId":"u"}', "invalid_merge", path="/v1/merge"),
]
ZIPPED = [
    refused("gzip: none", "{}", "invalid_gzip", headers=GZIP),
    refused("gzip: cut off", gzip.compress(many(50).encode())[:-9], "invalid_gzip", headers=GZIP),
    refused("gzip: empty", b"", "invalid_gzip", headers=GZIP),
    refused("gzip: wrong checksum", gzip.compress(many(1).encode())[:-8] + b"12345678", "invalid_gzip", headers=GZIP),
    refused("gzip: bomb", gzip.compress(b"0" * 50_000_000), "body_too_large", headers=GZIP),
    refused("gzip: bomb of members", gzip.compress(b" ") * 1_000, "invalid_gzip", headers=GZIP),
    refused("gzip: twice", gzip.compress(gzip.compress(many(1).encode())), "invalid_json", headers=GZIP),
    refused(
        "deflate", zlib.compress(many(1).encode()), "bad_encoding", headers={**JSON, "Content-Encoding": "deflate"}
    ),
    refused("brotli", b"\x0b\x02\x80{}\x03", "bad_encoding", headers={**JSON, "Content-Encoding": "br"}),
    Case("gzip", BATCH, GZIP, gzip.compress(many(3).encode()), Expect(accepted=3)),
    Case(
        "gzip: two members",
        BATCH,
        GZIP,
        gzip.compress(many(2).encode()[:40]) + gzip.compress(many(2).encode()[40:]),
        Expect(accepted=2),
    ),
]
LABELS = [
    Case(
        "a form's label on JSON",
        BATCH,
        {"Content-Type": "application/x-www-form-urlencoded"},
        many(1).encode(),
        Expect(accepted=1),
    ),
    Case("no label", BATCH, {}, many(1).encode(), Expect(accepted=1)),
    Case("text", TRACK, {"Content-Type": "text/plain"}, b'{"userId":"u","event":"E"}', Expect(accepted=1)),
]

CORPUS: list[Case] = [*NUMBERS, *TEXTS, *STRUCTURE, *TYPES, *TIMES, *BODIES, *ZIPPED, *LABELS]
