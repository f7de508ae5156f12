"""Tests of the collector: who may send, from where, how much; and that a 200 means durable."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest

from cdp.clock import HOUR
from cdp.errors import TransientError
from cdp.records import partition_of
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.streams.base import Draft
from cdp.testing import FrozenClock
from cdp.topics import EVENTS_RAW
from ingest.collector import Collector
from ingest.paths import BATCHES, LETTERS, ROUTES
from ingest.testing import Client, authorization, set_aside, stored, zipped
from tests.ingest.conftest import WRITE_KEY
from tests.waiting import eventually

EVENT = {"userId": "lan", "event": "Order Completed"}
BATCH = {"batch": [{"type": "track", **EVENT}]}
ORIGIN = {"Origin": "https://shop.vn"}


def bearer(token: str) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {token}"}


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "kind"), [(f"/v1/{letter}", kind) for letter, kind in LETTERS.items()])
async def test_short_and_long_paths(path: str, kind: str, client: Client, log: Any) -> None:
    """Each call has a short and a long path, with and without slashes too many."""
    event = {**EVENT, "groupId": "g", "previousId": "p"}
    for each in (path, f"/v1/{kind}", f"/v1/{kind}/", f"//v1//{kind}//"):
        reply = await client.post(each, event)
        assert (reply.status, reply.json()["success"]) == (200, True)
    assert [one.event.type for one in await stored(log)] == [kind] * 4


@pytest.mark.parametrize("path", BATCHES)
async def test_batch_paths(path: str, client: Client, log: Any) -> None:
    """Batches are taken wherever an SDK sends them."""
    assert (await client.post(path, BATCH)).status == 200
    assert (await client.post(f"{path}/", BATCH)).status == 200
    assert len(await stored(log)) == 2


async def test_series_are_taken_and_kept_nowhere(collector: Collector, log: Any) -> None:
    """Segment's SDK posts counts about itself without a write key."""
    reply = await Client(collector).post("/v1/m", b'{"series":[]}', {"Content-Type": "text/plain"})
    assert (reply.status, reply.json()) == (200, {"success": True})
    assert await stored(log) == []


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/beacon/v2", "/pixel/v1/identify", "/v1/projects/x"])
async def test_unknown_paths(path: str, client: Client, collector: Collector) -> None:
    """A path of ours that has nothing is a 404 in JSON that a web page can read."""
    reply = await client.ask("POST", path, ORIGIN)
    assert collector.claims(path)
    assert (reply.status, reply.json()["code"], reply.json()["success"]) == (404, "not_found", False)
    assert reply.headers["access-control-allow-origin"] == "https://shop.vn"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/api/v1/sources", "/metrics", "/healthz", "/v1beta", "/bb", "/cdp.json"]
)
def test_other_paths_are_left_to_others(path: str, collector: Collector) -> None:
    """The collector claims nothing of the API."""
    assert not collector.claims(path)


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_is_claimed(path: str, collector: Collector) -> None:
    """With and without slashes too many."""
    assert collector.claims(path) and collector.claims(f"{path}/") and collector.claims(f"/{path}")


async def test_wrong_methods(client: Client) -> None:
    """405 in JSON tells which method is right; HEAD goes where GET goes."""
    reply = await client.ask("GET", "/v1/track", ORIGIN)
    assert (reply.status, reply.json()["code"], reply.headers["allow"]) == (405, "method_not_allowed", "POST, OPTIONS")
    assert (await client.ask("POST", "/cdp.js")).status == 405
    assert (await client.ask("HEAD", "/cdp.js")).status == 200
    assert (await client.ask("PUT", "/v1/batch")).status == 405


# --- who sends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query", "inside", "status", "code"),
    [
        (authorization(WRITE_KEY), "", {}, 200, ""),
        (authorization(WRITE_KEY, colon=""), "", {}, 200, ""),
        (authorization(WRITE_KEY, colon=":secret"), "", {}, 200, ""),
        ({"Authorization": authorization(WRITE_KEY)["Authorization"].replace("Basic", "basic")}, "", {}, 200, ""),
        ({}, "", {"writeKey": WRITE_KEY}, 200, ""),
        ({}, f"?writeKey={WRITE_KEY}", {}, 200, ""),
        ({}, f"?v=1&writeKey={WRITE_KEY}&x", {}, 200, ""),
        ({"X-Write-Key": WRITE_KEY}, "", {}, 200, ""),
        (bearer(WRITE_KEY), "", {}, 200, ""),
        (bearer("a.jwt.token"), "", {"writeKey": WRITE_KEY}, 200, ""),
        (authorization(WRITE_KEY), "", {"writeKey": WRITE_KEY}, 200, ""),
        (authorization(WRITE_KEY), "?writeKey=other", {}, 200, ""),
        ({"Authorization": "Basic Og=="}, "", {"writeKey": WRITE_KEY}, 200, ""),
        ({"Authorization": "Basic %%%"}, "", {"writeKey": WRITE_KEY}, 200, ""),
        ({}, "?writeKey=unknown", {"writeKey": WRITE_KEY}, 200, ""),
        ({}, "", {}, 401, "no_write_key"),
        ({}, "", {"writeKey": ""}, 401, "no_write_key"),
        ({}, "", {"writeKey": 5}, 401, "no_write_key"),
        (authorization("unknown"), "", {}, 401, "unknown_write_key"),
        (authorization("unknown"), "", {"writeKey": WRITE_KEY}, 401, "unknown_write_key"),
        ({}, "", {"writeKey": "unknown"}, 401, "unknown_write_key"),
        ({}, f"?writeKey={WRITE_KEY}", {"writeKey": "unknown"}, 401, "unknown_write_key"),
        (bearer("unknown"), "", {}, 401, "unknown_write_key"),
        (authorization(WRITE_KEY), "", {"writeKey": "other"}, 401, "write_key_mismatch"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
async def test_write_key_matrix(
    headers: dict[str, str],
    query: str,
    inside: dict[str, Any],
    status: int,
    code: str,
    path: str,
    collector: Collector,
    log: Any,
) -> None:
    """The write key is found wherever it stands, in the order of trust: Basic, body, query, X-Write-Key, Bearer."""
    body = {**(EVENT if path == "/v1/track" else BATCH), **inside}
    reply = await Client(collector).post(path + query, body, headers)

    assert (reply.status, reply.json().get("code", "")) == (status, code)
    assert len(await stored(log)) == (1 if status == 200 else 0)
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_write_keys_inside_events_count_for_nothing(client: Client, log: Any) -> None:
    """Events of a batch may repeat any write key."""
    await client.post("/v1/batch", {"batch": [{"type": "track", **EVENT, "writeKey": "other"}]})
    assert [one.batch.source for one in await stored(log)] == ["shop"]


async def test_keys_change_while_the_collector_runs(
    client: Client, collector: Collector, registry: Registry, clock: FrozenClock
) -> None:
    """A key can be disabled, expire, or be replaced, from one request to the next."""
    entry = registry.get("source", "shop")
    fresh = {"key": "wk_fresh", "created_at": clock.now()}
    old = {"key": WRITE_KEY, "created_at": 0, "expires_at": clock.now() + HOUR}
    await registry.put("source", "shop", {**entry.body, "write_keys": [old, fresh]})
    assert (await client.post("/v1/track", EVENT)).status == 200
    assert (await client.post("/v1/track", {**EVENT, "writeKey": "wk_fresh"})).status == 200, "two keys of one source"

    clock.advance(HOUR)
    assert (await client.post("/v1/track", EVENT)).json()["code"] == "expired_write_key"
    assert (await Client(collector, "wk_fresh").post("/v1/track", EVENT)).status == 200

    await registry.put("source", "shop", {**registry.get("source", "shop").body, "enabled": False})
    reply = await Client(collector, "wk_fresh").post("/v1/track", EVENT)
    assert (reply.status, reply.json()["code"]) == (401, "source_disabled")

    await registry.delete("source", "shop")
    assert (await Client(collector, "wk_fresh").post("/v1/track", EVENT)).json()["code"] == "unknown_write_key"


async def test_origins_of_a_source(client: Client, registry: Registry) -> None:
    """Where a source names its web pages, others are refused; servers send no origin."""
    entry = registry.get("source", "shop")
    await registry.put("source", "shop", {**entry.body, "allowed_origins": ["https://shop.vn"]})

    assert (await client.post("/v1/track", EVENT, ORIGIN)).status == 200
    assert (await client.post("/v1/track", EVENT)).status == 200
    reply = await client.post("/v1/track", EVENT, {"Origin": "https://evil.example"})
    assert (reply.status, reply.json()["code"]) == (403, "origin_not_allowed")
    assert reply.headers["access-control-allow-origin"] == "https://evil.example", "so that the page learns why"


# --- CORS -----------------------------------------------------------------------------------------

NEEDED = ("authorization", "content-type", "x-retry-count", "anonymousid", "sentat", "x-write-key")


@pytest.mark.parametrize("path", [*ROUTES, "/v1/projects/k/settings", "/sourceConfig/", "/v1/t/"])
async def test_preflights(path: str, collector: Collector) -> None:
    """Every route lets every page send what SDKs send, without a write key."""
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-mine",
    }
    reply = await Client(collector).ask("OPTIONS", path, asked)

    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == "https://shop.vn"
    assert reply.headers["access-control-allow-credentials"] == "true"
    assert {"GET", "POST", "OPTIONS", "HEAD"} <= set(reply.headers["access-control-allow-methods"].split(", "))
    allowed = reply.headers["access-control-allow-headers"].split(", ")
    assert {*NEEDED, "x-mine"} <= set(allowed)
    assert len(allowed) == len(set(allowed))
    assert int(reply.headers["access-control-max-age"]) >= 900


async def test_preflight_of_nonsense(collector: Collector) -> None:
    """What is no list of names is not repeated."""
    reply = await Client(collector).ask("OPTIONS", "/v1/t", {"Access-Control-Request-Headers": "a\tb; <script>"})
    assert "script" not in reply.headers["access-control-allow-headers"]


@pytest.mark.parametrize("origin", ["https://shop.vn", "null", None])
@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("POST", "/v1/t", WRITE_KEY),
        ("POST", "/v1/t", "unknown"),
        ("POST", "/v1/nothing", ""),
        ("GET", "/v1/t", ""),
        ("GET", "/cdp.js", ""),
        ("GET", f"/v1/projects/{WRITE_KEY}/settings", ""),
        ("GET", "/v1/projects/unknown/settings", ""),
        ("GET", "/sourceConfig/?writeKey=unknown", ""),
        ("GET", "/pixel/v1/track", ""),
    ],
)
async def test_every_answer_can_be_read_by_any_page(
    method: str, path: str, key: str, origin: str | None, collector: Collector
) -> None:
    """Errors too, and with them `Retry-After`."""
    headers = {**authorization(key), **({"Origin": origin} if origin else {})}
    reply = await Client(collector).ask(method, path, headers, [json.dumps(EVENT).encode()])

    assert reply.headers["access-control-allow-origin"] == (origin or "*")
    assert ("Origin" in reply.headers.get("vary", "")) == (origin is not None)
    if reply.status >= 400 and reply.headers["content-type"] != "image/gif":
        assert "Retry-After" in reply.headers["access-control-expose-headers"]


# --- what is written ------------------------------------------------------------------------------


async def test_one_message_per_partition_in_order(client: Client, log: Any, settings: Settings) -> None:
    """A batch becomes one message for each partition, one person's events in order; untouched."""
    events = [
        {"type": "track", "event": f"E{number}", "anonymousId": f"device-{number % 7}", "messageId": f"m-{number}"}
        for number in range(50)
    ]
    await client.post("/v1/batch", {"batch": events, "sentAt": "2026-11-21T08:30:01Z", "context": {"ip": "1.2.3.4"}})

    kept = await stored(log)
    assert sorted(one.event.id for one in kept) == sorted(f"m-{number}" for number in range(50))
    assert len({id(one.batch) for one in kept}) == len({one.partition for one in kept})
    for one in kept:
        assert one.partition == partition_of(one.body["anonymousId"], settings.log.partitions)
        assert (one.batch.sent_at, bytes(one.batch.context)) == ("2026-11-21T08:30:01Z", b'{"ip":"1.2.3.4"}')
    for device in {one.body["anonymousId"] for one in kept}:
        own = [int(one.event.id[2:]) for one in kept if one.body["anonymousId"] == device]
        assert own == sorted(own)


async def test_the_envelope_of_a_single_event(client: Client, log: Any, clock: FrozenClock) -> None:
    """Source, moment, address, sentAt and the trace of the caller are kept; the answer tells the trace."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    reply = await client.post("/v1/track", {**EVENT, "sentAt": "2026-11-21T08:30:00Z"}, headers)

    [one] = await stored(log)
    assert reply.json() == {"success": True, "trace_id": trace}
    assert (one.batch.source, one.batch.trace_id, one.batch.received_at) == ("shop", trace, clock.now())
    assert (one.batch.ip, one.batch.sent_at) == ("203.0.113.0", "2026-11-21T08:30:00Z")
    assert len(one.event.id) == 32, "a messageId is made where there is none"


@pytest.mark.parametrize("header", ["", "junk", "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])
async def test_without_a_trace_one_is_made(header: str, client: Client) -> None:
    """Each request has a trace of its own."""
    traces = {(await client.post("/v1/track", EVENT, {"traceparent": header})).json()["trace_id"] for _ in range(2)}
    assert len(traces) == 2 and all(len(trace) == 32 for trace in traces)


async def test_results_tell_what_was_kept_aside(client: Client, log: Any) -> None:
    """Each faulty event is told with index, id, code, reason and path; its neighbours are stored."""
    events = [{"type": "track", **EVENT}, {"type": "track", "userId": "lan", "messageId": "m-2"}, 5]
    reply = await client.post("/v1/batch", {"batch": events, "context": {"consent": {}}, "sentAt": 1_700_000_000})

    [second, third] = reply.json()["results"]
    assert second | {"quarantine_id": "", "message": ""} == {
        "index": 1,
        "message_id": "m-2",
        "status": "quarantined",
        "code": "missing_event",
        "message": "",
        "path": "batch[1].event",
        "quarantine_id": "",
    }
    assert (third["index"], third["code"], third["path"]) == (2, "not_an_object", "batch[2]")
    aside = {event.id: event for event in await set_aside(log)}
    assert set(aside) == {second["quarantine_id"], third["quarantine_id"]}
    kept = aside[second["quarantine_id"]]
    assert (kept.body, kept.source, kept.trace_id) == (
        json.dumps(events[1], separators=(",", ":")),
        "shop",
        reply.json()["trace_id"],
    )
    assert kept.sent_at == "2023-11-14T22:13:20.000Z"
    assert json.loads(kept.beside) == {"context": {"consent": {}}, "ip": "203.0.113.0"}
    assert len(await stored(log)) == 1


async def test_the_same_faulty_event_sent_again_is_the_same(client: Client, log: Any) -> None:
    """With a messageId, a client's repeat is known by its id; without one, each is an event of its own."""
    for body in (
        {"userId": "u", "messageId": "m"},
        {"userId": "u", "messageId": "m"},
        {"userId": "u"},
        {"userId": "u"},
    ):
        await client.post("/v1/track", body)
    assert len({event.id for event in await set_aside(log)}) == 3


async def test_gzip_and_parts(client: Client, collector: Collector, log: Any) -> None:
    """A gzipped body in many parts, without a length, is taken on any route."""
    body = zipped(json.dumps(EVENT).encode())
    headers = {**authorization(WRITE_KEY), "Content-Encoding": "gzip", "Content-Type": "text/plain"}
    reply = await client.ask("POST", "/v1/t", headers, [body[:10], b"", body[10:]])
    assert reply.status == 200
    assert len(await stored(log)) == 1


async def test_pixels(collector: Collector, log: Any) -> None:
    """An image's address is an event; the answer is a GIF whatever comes of it, its status tells the truth."""
    client = Client(collector)
    address = (
        f"/pixel/v1/track?writeKey={WRITE_KEY}&event=Opened&anonymousId=a-1&properties.campaign=t%E1%BA%BFt&x.y=1&x=2"
    )
    reply = await client.ask("GET", address)
    assert (reply.status, reply.headers["content-type"], reply.body[:6]) == (200, "image/gif", b"GIF89a")
    [one] = await stored(log)
    assert one.body == {
        "type": "track",
        "messageId": one.event.id,
        "event": "Opened",
        "anonymousId": "a-1",
        "properties": {"campaign": "tết"},
    }
    reply = await client.ask("GET", "/pixel/v1/page?writeKey=unknown")
    assert (reply.status, reply.body[:6]) == (401, b"GIF89a")


# --- what SDKs fetch ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/projects/{}/settings", "/v1/projects/projects/{}/settings/", "/projects/{}/settings"]
)
async def test_settings_of_segment_sdks(path: str, collector: Collector) -> None:
    """They lead back to the address they were asked at, without a preflight, for known keys alone."""
    client = Client(collector)
    reply = await client.ask("GET", path.format(WRITE_KEY), {"Host": "cdp.shop.vn:8443"})
    settings = reply.json()
    assert (
        settings["integrations"]["Segment.io"].items() >= settings["integrations"]["Customer.io Data Pipelines"].items()
    )
    segment = settings["integrations"]["Segment.io"]
    assert (segment["apiKey"], segment["apiHost"], segment["protocol"]) == (WRITE_KEY, "cdp.shop.vn:8443/v1", "http")
    assert settings["metrics"] == {"sampleRate": 0}

    reply = await client.ask("GET", path.format("unknown"))
    assert (reply.status, reply.json()["code"]) == (404, "unknown_write_key")


async def test_public_address_wins(ground: Platform) -> None:
    """Behind a proxy the address that is set is told."""
    http = ground.settings.http.model_copy(update={"public_url": "https://cdp.shop.vn/in/"})
    collector = Collector(dataclasses.replace(ground, settings=ground.settings.model_copy(update={"http": http})))
    reply = await Client(collector).ask("GET", f"/v1/projects/{WRITE_KEY}/settings")
    segment = reply.json()["integrations"]["Segment.io"]
    assert (segment["apiHost"], segment["protocol"]) == ("cdp.shop.vn/in/v1", "https")


async def test_settings_of_rudderstack(collector: Collector) -> None:
    """By Basic authorization or by query."""
    client = Client(collector)
    for headers, query in ((authorization(WRITE_KEY), "?p=npm"), ({}, f"?writeKey={WRITE_KEY}")):
        source = (await client.ask("GET", f"/sourceConfig/{query}", headers)).json()["source"]
        assert (source["id"], source["writeKey"], source["enabled"], source["config"]) == ("shop", WRITE_KEY, True, {})
    assert (await client.ask("GET", "/sourceConfig/")).status == 401


# --- limits and troubles --------------------------------------------------------------------------


def limited(ground: Platform, **limits: Any) -> Collector:
    """A collector with other limits."""
    collector = ground.settings.collector.model_copy(update=limits)
    return Collector(dataclasses.replace(ground, settings=ground.settings.model_copy(update={"collector": collector})))


class Stalled:
    """A log whose appends wait until they may go on, and may fail then."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.waiting = 0
        self.go = asyncio.Event()
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Append, later."""
        self.waiting += 1
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        offsets: list[int] = await self._log.append(drafts)
        return offsets


@pytest.fixture
def stalled(ground: Platform) -> tuple[Stalled, Platform]:
    """The log, stalled, and a platform on it."""
    log = Stalled(ground.log)
    return log, dataclasses.replace(ground, log=log)  # type: ignore[arg-type]


async def test_no_answer_before_it_is_durable(stalled: tuple[Stalled, Platform]) -> None:
    """A request waits for the log."""
    log, platform = stalled
    asked = asyncio.create_task(Client(Collector(platform), WRITE_KEY).post("/v1/track", EVENT))
    await eventually(lambda: log.waiting)
    assert not asked.done()
    assert (await log.end_offsets(EVENTS_RAW)) == dict.fromkeys(range(4), 0)
    log.go.set()
    assert (await asked).status == 200
    assert sum((await log.end_offsets(EVENTS_RAW)).values()) == 1


async def test_log_away(stalled: tuple[Stalled, Platform]) -> None:
    """503 with Retry-After, red health, nothing stored; and all is well once the log is back."""
    log, platform = stalled
    collector = Collector(platform)
    client = Client(collector, WRITE_KEY)
    log.go.set()
    log.failure = TransientError("The disk is full.", retry_after=2.2)
    reply = await client.post("/v1/batch", BATCH, ORIGIN)
    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert reply.json() == {"success": False, "code": "unavailable", "message": "The disk is full."}
    assert not collector.health().ok

    log.failure = None
    assert (await client.post("/v1/batch", BATCH)).status == 200
    assert collector.health().ok
    assert sum((await log.end_offsets(EVENTS_RAW)).values()) == 1


async def test_the_unexpected_is_no_crash(stalled: tuple[Stalled, Platform]) -> None:
    """What nobody thought of is a 500 in JSON with CORS headers, which every SDK repeats."""
    log, platform = stalled
    log.go.set()
    log.failure = RuntimeError("boom")
    reply = await Client(Collector(platform), WRITE_KEY).post("/v1/track", EVENT)
    assert (reply.status, reply.json()["code"]) == (500, "internal")
    assert b"boom" not in reply.body
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_overload(stalled: tuple[Stalled, Platform]) -> None:
    """Beyond the limit of requests at once, 503 with Retry-After at once; those taken are stored."""
    log, platform = stalled
    collector = limited(platform, max_in_flight=3)
    client = Client(collector, WRITE_KEY)
    taken = [asyncio.create_task(client.post("/v1/track", EVENT)) for _ in range(3)]
    await eventually(lambda: log.waiting and collector.health().figures["in_flight"] == 3)
    reply = await client.post("/v1/track", EVENT, ORIGIN)
    assert (reply.status, reply.json()["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")
    assert reply.headers["access-control-allow-origin"] == "https://shop.vn"
    for path in (f"/v1/projects/{WRITE_KEY}/settings", f"/sourceConfig/?writeKey={WRITE_KEY}", "/cdp.js"):
        assert (await client.ask("GET", path)).status == 200, "an SDK that is refused these never starts"

    log.go.set()
    assert [(await each).status for each in taken] == [200, 200, 200]
    assert (await client.post("/v1/track", EVENT)).status == 200
    assert len(await stored(log)) == 4


async def test_stopping_finishes_what_is_under_way(stalled: tuple[Stalled, Platform]) -> None:
    """New requests are sent away, those under way are answered, then it has stopped."""
    log, platform = stalled
    collector = Collector(platform)
    client = Client(collector, WRITE_KEY)
    taken = asyncio.create_task(client.post("/v1/track", EVENT))
    await eventually(lambda: log.waiting)
    stopping = asyncio.create_task(collector.stop())
    await asyncio.sleep(0)
    assert (await client.post("/v1/track", EVENT)).status == 503
    assert not stopping.done()
    log.go.set()
    await stopping
    assert (await taken).status == 200


async def test_hanging_up_leaves_no_trace(client: Client, collector: Collector, log: Any) -> None:
    """Half a body is nothing, and nobody is answered."""
    reply = await client.ask("POST", "/v1/track", authorization(WRITE_KEY), [b'{"userId"', None])
    assert reply.status == 0
    assert collector.health().figures["in_flight"] == 0
    assert await stored(log) == []


async def test_slow_bodies_time_out(ground: Platform) -> None:
    """408, which every SDK repeats, and the connection is closed."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in authorization(WRITE_KEY).items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/t", "headers": headers, "query_string": b""}
    await limited(ground, body_timeout_seconds=0.01)(scope, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_bad_key_is_refused_before_the_body_is_read(ground: Platform) -> None:
    """Strangers cost nothing."""

    async def receive() -> Any:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    basic = base64.b64encode(b"unknown:")
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/t",
        "headers": [(b"authorization", b"Basic " + basic)],
        "query_string": b"",
    }
    await Collector(ground)(scope, receive, send)
    assert sent[0]["status"] == 401


async def test_limits_that_are_set(ground: Platform, log: Any) -> None:
    """The collector's limits are those of the settings."""
    client = Client(limited(ground, max_batch_events=2, max_body_bytes=1_000), WRITE_KEY)
    reply = await client.post("/v1/batch", {"batch": [{"type": "track", **EVENT}] * 3})
    assert [result["code"] for result in reply.json()["results"]] == ["too_many_events"]
    reply = await client.post("/v1/track", b"x" * 1_001)
    assert (reply.status, reply.json()["code"]) == (400, "body_too_large")
    assert len(await stored(log)) == 2


async def test_requests_are_counted(client: Client) -> None:
    """Prometheus can tell routes, statuses, events and the time of appends."""
    from prometheus_client import REGISTRY

    def figure(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def figures() -> list[float]:
        return [
            figure("cdp_collector_requests_total", route="/v1/batch", status="200"),
            figure("cdp_collector_events_total", source="shop", outcome="accepted"),
            figure("cdp_collector_events_total", source="shop", outcome="quarantined"),
            figure("cdp_collector_refused_total", code="no_batch"),
            figure("cdp_collector_append_seconds_count"),
        ]

    before = figures()
    await client.post("/v1/batch", {"batch": [{"type": "track", **EVENT}, {"type": "track", **EVENT}, {}]})
    await client.post("/v1/batch", {})
    assert [now - then for now, then in zip(figures(), before, strict=True)] == [1, 2, 1, 1, 1]
