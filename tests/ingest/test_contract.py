"""What SDKs need of a collector, sentence by sentence, where no recording nor other test says it already."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import CdpError, TransientError
from cdp.registry import Registry
from cdp.testing import FrozenClock
from ingest.answers import failed
from ingest.collector import Collector
from ingest.paths import ROUTES
from ingest.testing import Client, ensure_source, set_aside, stored
from tests.ingest.conftest import WRITE_KEY

TRACK = {"type": "track", "event": "Order Completed", "anonymousId": "a", "messageId": "m"}
EVENTS = [path for path, route in ROUTES.items() if route.work == "events"]


def body_for(path: str) -> bytes:
    """One event, as the path takes it."""
    event = {**TRACK, "userId": "u", "groupId": "g", "previousId": "p"}
    body = {"batch": [event]} if ROUTES[path].kind is None else event
    merge = [{"type": "email", "value": "lan@example.com"}, {"type": "user_id", "value": "u"}]
    return json.dumps({**body, "mergeProperties": merge}).encode()


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "multipart/form-data; boundary=x",
        "\u00ff",
    ],
)
async def test_the_content_type_decides_nothing(
    content_type: str | None, encoding: str, client: Client, log: Any
) -> None:
    """JSON arrives under any name, zipped or not, and is read as what it is."""
    headers = {"Content-Type": content_type} if content_type is not None else {}
    for path in ("/v1/t", "/v1/batch"):
        body = body_for(path)
        if encoding:
            body, headers["Content-Encoding"] = gzip.compress(body), encoding
        assert (await client.post(path, body, headers)).status == 200
    assert len(await stored(log)) == 2


NOBODY = [{}, {"userId": None}, {"userId": ""}]


@pytest.mark.parametrize("user", NOBODY)
@pytest.mark.parametrize("device", [{}, {"anonymousId": None}, {"anonymousId": ""}])
async def test_empty_ids_are_absent_ones(
    user: dict[str, Any], device: dict[str, Any], client: Client, log: Any
) -> None:
    """null, "" and nothing are the same: one of userId and anonymousId is enough, none is too little."""
    event = {"type": "track", "event": "Viewed"}
    batch = [{**event, **user, "anonymousId": "a"}, {**event, "userId": "u", **device}, {**event, **user, **device}]
    reply = await client.post("/v1/batch", {"batch": batch})

    assert [one["index"] for one in reply.json()["results"]] == [2]
    assert len(await stored(log)) == 2
    assert len(await set_aside(log)) == 1


@pytest.mark.parametrize("missing", ["userId", "previousId"])
async def test_an_alias_names_two(missing: str, client: Client, log: Any) -> None:
    """Without either id it says nothing; with an empty anonymousId, as Python's SDK sends it, it is fine."""
    alias = {"type": "alias", "userId": "lan", "previousId": "device", "anonymousId": None}
    assert "results" not in (await client.post("/v1/alias", alias)).json()
    for empty in ({}, {missing: None}, {missing: ""}):
        rest = {name: value for name, value in alias.items() if name != missing}
        assert len((await client.post("/v1/batch", {"batch": [rest | empty]})).json()["results"]) == 1
    assert len(await stored(log)) == 1


async def test_what_is_not_known_harms_nothing(client: Client, log: Any) -> None:
    """SDKs send fields of their own, in events and around them: none is a reason to refuse."""
    own = {
        "_metadata": {"bundled": ["Segment.io"], "nodeVersion": "20"},
        "integrations": {"All": True, "Salesforce": False},
        "channel": "server",
        "originalTimestamp": "2026-11-21T08:00:00.123456+00:00",
        "sentAt": "2026-11-21T08:00:01Z",
        "writeKey": "whatever",
        "options": {},
        "rudderId": "r",
        "mergeProperties": None,
        "version": 2,
    }
    around = {"timestamp": "2026-11-21T08:00:02.000Z", "sentAt": "2026-11-21T08:00:02Z", "sequence": 5, "extra": [1]}
    reply = await client.post("/v1/batch", {"batch": [{**TRACK, **own}], **around})

    assert reply.json().keys() == {"success", "trace_id"}
    [kept] = await stored(log)
    assert kept.body.items() >= TRACK.items()
    assert kept.body["integrations"] == own["integrations"]


@pytest.mark.parametrize(
    "message_id",
    [
        "0f9c2a64-8c3f-4d0e-9e55-3a7d2f0b1c55",
        "0F9C2A64-8C3F-4D0E-9E55-3A7D2F0B1C55",
        "ajs-next-1795249800000-0f9c2a64-8c3f-4d0e-9e55-3a7d2f0b1c55",
        "ajs-next-0cc175b9c0f1b6a831c399e269772661",
        "ajs-0cc175b9c0f1b6a831c399e269772661",
        "node-next-1795249800000-0f9c2a64",
        "node-0cc175b9c0f1b6a831c399e269772661-0f9c2a64-8c3f-4d0e-9e55-3a7d2f0b1c55",
        "0cc175b9c0f1b6a831c399e269772661",
        "k3j9x2",
        "tin nhắn số 1",
    ],
)
async def test_a_message_id_is_any_text(message_id: str, client: Client, log: Any) -> None:
    """It is kept as it came, and a repeat has it again, so that it is known for one."""
    for headers in ({}, {"X-Retry-Count": "1"}):
        assert (await client.post("/v1/t", {**TRACK, "messageId": message_id}, headers)).status == 200
    first, second = await stored(log)
    assert first.event.id == second.event.id == message_id


# --- apps -----------------------------------------------------------------------------------------


async def test_what_kotlin_sends(collector: Collector, log: Any) -> None:
    """Zipped text in pieces without a length, the key in the body alone."""
    body = gzip.compress(
        json.dumps({"batch": [TRACK], "sentAt": "2026-11-21T08:30:00Z", "writeKey": WRITE_KEY}).encode()
    )
    headers = {
        "Content-Type": "text/plain",
        "Content-Encoding": "gzip",
        "Transfer-Encoding": "chunked",
        "User-Agent": "analytics-kotlin/1.24.1",
    }
    reply = await Client(collector).ask("POST", "/v1/b", headers, [body[:7], body[7:20], body[20:]])
    assert (reply.status, len(await stored(log))) == (200, 1)


async def test_what_swift_sends(collector: Collector, log: Any) -> None:
    """A line for each event, ids in capitals, the key in the body alone."""
    events = ",".join("\n" + json.dumps({**TRACK, "messageId": f"0F9C2A64-000{number}"}) for number in range(3))
    body = f'{{ "batch": [{events}\n],"sentAt":"2026-11-21T08:30:00.000Z","writeKey":"{WRITE_KEY}"}}'.encode()
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "analytics-ios/1.9.4"}
    reply = await Client(collector).ask("POST", "/v1/b", headers, [body])
    assert (reply.status, len(await stored(log))) == (200, 3)


@pytest.mark.parametrize("path", ["/api/s/track", "/api/s/s2s/track"])
async def test_what_jitsu_s_sdk_sends(path: str, collector: Collector, log: Any) -> None:
    """A key of two parts in a header of its own; other paths beside are nothing."""
    client = Client(collector)
    assert (await client.post(path, TRACK, {"X-Write-Key": f"{WRITE_KEY}:secret"})).status == 200
    assert (await client.post(path, {**TRACK, "writeKey": f"{WRITE_KEY}:secret"})).status == 200
    assert (await client.post(path, TRACK, {"X-Write-Key": "unknown:secret"})).status == 401
    assert (await client.post("/api/s/nothing", TRACK)).status == 404
    assert len(await stored(log)) == 2


# --- answers --------------------------------------------------------------------------------------

# Repeated by SDKs: 408, 429, 500, 503. Final: the others. Not here: 501, 505 and 511, which Segment's drop; redirects,
# which make a GET of a POST; 202 and 204, which six SDKs take for a failure.
ANSWERS = {200, 400, 401, 403, 404, 405, 408, 429, 500, 503}


def errors(base: type[CdpError] = CdpError) -> Iterator[type[CdpError]]:
    """Every kind of error that the product has."""
    yield base
    for derived in base.__subclasses__():
        if not derived.__module__.startswith("tests."):
            yield from errors(derived)


# Those that need more than a message have tests of their own.
PLAIN = (CdpError.__init__, TransientError.__init__)
SAID = sorted((kind for kind in errors() if kind.__init__ in PLAIN), key=lambda kind: kind.__name__)


@given(kind=st.sampled_from(SAID), message=st.text())
def test_any_error_is_told_as_sdks_need_it(kind: type[CdpError], message: str) -> None:
    """JSON with `code`, `message` and `success: false`: without them four SDKs make eleven requests of one 400."""
    answer = failed(kind(message))
    body = json.loads(answer.body)
    headers = dict(answer.headers)

    assert answer.status in ANSWERS - {200}
    assert body["success"] is False
    assert body["code"] and isinstance(body["code"], str)
    assert isinstance(body["message"], str)
    assert headers[b"content-type"] == b"application/json"
    assert b"Retry-After" in headers[b"access-control-expose-headers"]


@given(seconds=st.floats(allow_nan=False, allow_infinity=False))
def test_retry_after_is_whole_seconds(seconds: float) -> None:
    """Most SDKs read nothing else: at least 1, and never so many that one gives up."""
    answer = failed(TransientError("away", retry_after=seconds))
    told = dict(answer.headers)[b"retry-after"].decode()
    assert answer.status == 503
    assert told.isdigit()
    assert 1 <= int(told) <= 300


@pytest.mark.parametrize("path", EVENTS)
@pytest.mark.parametrize("dress", ["{}", "{}/", "/{}", "{}//", "{}?a=1"])
async def test_events_are_thanked_for_with_200_and_nothing_else(path: str, dress: str, client: Client) -> None:
    """Under any spelling of the path the answer is exactly 200 with a JSON object, never a redirect."""
    reply = await client.post(dress.format(path), body_for(path))
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json()["success"] is True
    assert "results" not in reply.json()


async def test_a_write_key_may_need_escaping(registry: Registry, collector: Collector, clock: FrozenClock) -> None:
    """Keys taken over from elsewhere have any letters; in a path they come escaped."""
    await ensure_source(registry, "wk/ü+1%", "test", clock=clock, key="other")
    reply = await Client(collector).ask("GET", "/v1/projects/wk%2F%C3%BC+1%25/settings")
    assert reply.json()["integrations"]["Segment.io"]["apiKey"] == "wk/ü+1%"
