"""Tests of the quarantine, on the real warehouse: what is read, what an edit may do, what a replay writes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec import structs

from cdp.auth import ADMIN
from cdp.clock import DAY, HOUR
from cdp.records import QuarantinedEvent, accepted_id
from cdp.service import Platform
from cdp.testing import FrozenClock
from cdp.topics import PLANS_VIOLATED
from cdp.warehouse.rows import QuarantineRow, encode_rows, quarantine_row
from ingest.collector import Collector
from ingest.service import router
from ingest.testing import Client, ensure_source, messages, set_aside, stored
from tests.cdp.apps import add_token, api
from tests.ingest.conftest import WRITE_KEY

BATCH = {
    "batch": [
        {"type": "track", "userId": "lan", "messageId": "m-1"},
        {"type": "track", "userId": "lan", "event": {}},
        {"type": "page", "userId": "lan", "messageId": "m-3", "timestamp": "soon"},
    ],
    "sentAt": "2026-11-21T08:29:00Z",
    "context": {"consent": {"categoryPreferences": {"Advertising": False}}},
    "integrations": {"All": False},
}


async def load(platform: Platform, *more: QuarantinedEvent) -> None:
    """What the loader does with events.quarantined."""
    rows = [quarantine_row(event) for event in [*await set_aside(platform.log), *more]]
    await platform.warehouse.insert("quarantine", QuarantineRow.__struct_fields__, encode_rows(rows))


@pytest.fixture
async def filled(platform: Platform, clock: FrozenClock) -> Platform:
    """Three events in quarantine, sent in one batch; an hour has passed."""
    await ensure_source(platform.registry, WRITE_KEY, "test", clock=clock, key="shop")
    reply = await Client(Collector(platform), WRITE_KEY).post("/v1/batch", BATCH)
    assert len(reply.json()["results"]) == 3
    await load(platform)
    clock.advance(HOUR)
    return platform


@pytest.fixture
async def http(filled: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with the admin's token."""
    async with api(filled, routers=[router]) as client:
        yield client


async def ids(http: httpx.AsyncClient, **filters: Any) -> dict[str, str]:
    """Code → id of what is listed."""
    answer = await http.get("/api/v1/quarantine", params=filters)
    assert answer.status_code == 200, answer.text
    return {item["code"]: item["id"] for item in answer.json()["items"]}


async def test_list_and_filters(http: httpx.AsyncClient, filled: Platform) -> None:
    """Each filter keeps what it says, alone and together."""
    codes = {"missing_event", "invalid_type", "invalid_timestamp"}
    assert set(await ids(http)) == codes
    assert set(await ids(http, source="shop", status="any")) == codes
    assert await ids(http, source="other") == {}
    assert set(await ids(http, code="invalid_type")) == {"invalid_type"}
    assert await ids(http, status="replayed") == {}
    assert set(await ids(http, since="2026-11-21T08:30:00Z", until="2026-11-21T08:30:00.001Z")) == codes
    assert await ids(http, since="2026-11-21T08:30:00.001Z") == {}
    assert await ids(http, until="2026-11-21T08:30:00Z") == {}
    assert await ids(http, code="' OR 1=1 --") == {}


async def test_pages(http: httpx.AsyncClient, filled: Platform) -> None:
    """Every event is on one page, the latest received first."""
    late = [
        structs.replace(event, id=f"late-{number}", received_at=event.received_at + DAY + number % 2)
        for number, event in enumerate((await set_aside(filled.log)) * 2)
    ]
    await load(filled, *late)
    seen: list[tuple[str, str]] = []
    after = ""
    while after is not None:
        page = (await http.get("/api/v1/quarantine", params={"limit": 2, "after": after})).json()
        seen += [(item["received_at"], item["id"]) for item in page["items"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) == 9
    assert [moment for moment, _ in seen] == sorted((moment for moment, _ in seen), reverse=True)
    assert (await http.get("/api/v1/quarantine", params={"after": "junk"})).json()["error"]["path"] == "after"


async def test_get_one(http: httpx.AsyncClient) -> None:
    """An event is shown as it was received; an unknown one is a 404."""
    event_id = (await ids(http))["missing_event"]
    answer = (await http.get(f"/api/v1/quarantine/{event_id}")).json()
    assert json.loads(answer["body"]) == BATCH["batch"][0]  # type: ignore[index]
    assert (answer["status"], answer["path"], answer["message_id"]) == ("quarantined", "batch[0].event", "m-1")
    assert (await http.get("/api/v1/quarantine/unknown")).status_code == 404


async def test_a_corrected_event_is_replayed_as_if_it_had_been_good(
    http: httpx.AsyncClient, filled: Platform, clock: FrozenClock
) -> None:
    """It keeps its moment, sentAt, trace, address, and what stood beside it; then it is marked, once."""
    event_id = (await ids(http))["missing_event"]
    fixed = {**BATCH["batch"][0], "event": "Order Completed"}  # type: ignore[dict-item]
    answer = await http.post(f"/api/v1/quarantine/{event_id}/replay", json={"body": fixed})
    assert (answer.status_code, answer.json()["status"]) == (200, "replayed")

    [one] = await stored(filled.log)
    original = next(event for event in await set_aside(filled.log) if event.id == event_id)
    assert (one.event.id, one.event.type, one.body) == ("m-1", "track", fixed)
    assert (one.batch.received_at, one.batch.sent_at) == (clock.now() - HOUR, "2026-11-21T08:29:00Z")
    assert (one.batch.source, one.batch.trace_id, one.batch.ip) == ("shop", original.trace_id, "203.0.113.0")
    assert json.loads(bytes(one.batch.context)) == BATCH["context"]
    assert json.loads(bytes(one.batch.integrations)) == BATCH["integrations"]

    await load(filled)
    assert "missing_event" not in await ids(http)
    assert (await ids(http, status="replayed"))["missing_event"] == event_id
    again = await http.post(f"/api/v1/quarantine/{event_id}/replay", json={"body": fixed})
    assert again.status_code == 409
    assert len(await stored(filled.log)) == 1


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (None, "event"),
        ({"type": "track", "userId": "lan", "event": []}, "event"),
        ({"type": "track", "event": "E"}, "userId"),
        ({"userId": "lan", "event": "E"}, "type"),
        ("{", ""),
        ("5", ""),
    ],
)
async def test_an_invalid_edit_changes_nothing(edit: Any, path: str, http: httpx.AsyncClient, filled: Platform) -> None:
    """400 with the path of the fault."""
    event_id = (await ids(http))["missing_event"]
    before = await set_aside(filled.log)
    body = {} if edit is None else {"json": {"body": edit}}
    answer = await http.post(f"/api/v1/quarantine/{event_id}/replay", **body)
    assert answer.status_code == 400
    assert answer.json()["error"].get("path", "") == path
    assert await stored(filled.log) == []
    assert await set_aside(filled.log) == before


async def test_a_single_event_keeps_the_kind_of_its_path(http: httpx.AsyncClient, filled: Platform) -> None:
    """What came to /v1/group is a group event also when it is replayed, with a stable id of its own."""
    await Client(Collector(filled), WRITE_KEY).post("/v1/group", {"userId": "lan"})
    await load(filled)
    event_id = (await ids(http))["missing_group_id"]
    await http.post(f"/api/v1/quarantine/{event_id}/replay", json={"body": {"userId": "lan", "groupId": "acme"}})
    [one] = await stored(filled.log)
    assert (one.event.type, one.event.id) == ("group", event_id)


async def test_an_event_that_was_accepted_before_gets_a_new_id(http: httpx.AsyncClient, filled: Platform) -> None:
    """Its messageId is known to deduplication, which would drop the corrected event."""
    event = QuarantinedEvent(
        id=accepted_id(1, 7, 0),
        source="shop",
        trace_id="t",
        received_at=1,
        code="warehouse_refused",
        reason="…",
        body='{"type":"page","userId":"lan","messageId":"m-9"}',
        message_id="m-9",
    )
    await load(filled, event)
    answer = await http.post(f"/api/v1/quarantine/{event.id}/replay")
    assert answer.status_code == 200
    assert [one.event.id for one in await stored(filled.log)] == [event.id]


async def test_several_at_once(http: httpx.AsyncClient, filled: Platform) -> None:
    """Each has an outcome of its own: one that still is faulty, or does not exist, stops no other."""
    found = await ids(http)
    late = structs.replace((await set_aside(filled.log))[0], id="fits-now", body='{"type":"page","userId":"u"}')
    await load(filled, late)
    chosen = ["fits-now", found["invalid_type"], "unknown"]
    results = (await http.post("/api/v1/quarantine/replay", json={"ids": chosen})).json()["results"]
    assert [(one["id"], one["status"], one["code"]) for one in results] == [
        ("fits-now", "replayed", ""),
        (found["invalid_type"], "refused", "invalid_type"),
        ("unknown", "refused", "not_found"),
    ]
    assert len(await stored(filled.log)) == 1


async def test_discarded_events_wait_no_longer(http: httpx.AsyncClient, filled: Platform) -> None:
    """They are kept, out of the list, and can still be replayed."""
    found = await ids(http)
    answer = await http.post(f"/api/v1/quarantine/{found['missing_event']}/discard")
    assert answer.json()["status"] == "discarded"
    results = (await http.post("/api/v1/quarantine/discard", json={"ids": [found["invalid_type"]]})).json()["results"]
    assert [one["status"] for one in results] == ["discarded"]
    await load(filled)
    assert set(await ids(http)) == {"invalid_timestamp"}
    assert set(await ids(http, status="discarded")) == {"missing_event", "invalid_type"}
    fixed = {"body": {"type": "page", "userId": "u"}}
    assert (await http.post(f"/api/v1/quarantine/{found['missing_event']}/replay", json=fixed)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/v1/quarantine", "quarantine:read"),
        ("GET", "/api/v1/quarantine/summary", "quarantine:read"),
        ("POST", "/api/v1/quarantine/edit", "quarantine:write"),
        ("GET", "/api/v1/sources/shop/plan", "sources:read"),
        ("PUT", "/api/v1/sources/shop/plan", "sources:write"),
        ("DELETE", "/api/v1/sources/shop/plan", "sources:write"),
        ("POST", "/api/v1/sources/shop/plan/infer", "sources:read"),
        ("POST", "/api/v1/sources/shop/plan/diff", "sources:read"),
        ("POST", "/api/v1/sources/shop/plan/check", "sources:read"),
        ("GET", "/api/v1/sources/shop/plan/violations", "sources:read"),
        ("GET", "/api/v1/quarantine/x", "quarantine:read"),
        ("POST", "/api/v1/quarantine/x/replay", "quarantine:write"),
        ("POST", "/api/v1/quarantine/x/discard", "quarantine:write"),
        ("POST", "/api/v1/quarantine/replay", "quarantine:write"),
        ("POST", "/api/v1/quarantine/discard", "quarantine:write"),
        ("GET", "/api/v1/sources", "sources:read"),
        ("POST", "/api/v1/sources", "sources:write"),
        ("GET", "/api/v1/sources/shop", "sources:read"),
        ("PUT", "/api/v1/sources/shop", "sources:write"),
        ("POST", "/api/v1/sources/shop/rotate", "sources:write"),
        ("DELETE", "/api/v1/sources/shop", "sources:write"),
    ],
)
async def test_every_route_asks_for_its_scope(method: str, path: str, scope: str, filled: Platform) -> None:
    """401 without a token, 403 with a token of another scope."""
    assert scope != ADMIN
    await add_token(filled, "cdp_other", "events:write")
    body = {"json": {"ids": ["x"], "key": "k", "name": "n"}} if method != "GET" else {}
    for token, status in (("", 401), ("cdp_wrong", 401), ("cdp_other", 403)):
        async with api(filled, routers=[router], token=token) as client:
            assert (await client.request(method, path, **body)).status_code == status


# --- many at once -----------------------------------------------------------------------------------

ORDERS = {"Order Completed": {"required": ["total"], "properties": {"total": {"type": "number"}}}}


def sold(number: int, **properties: Any) -> dict[str, Any]:
    """An order as a shop sends it."""
    return {
        "type": "track",
        "event": "Order Completed",
        "userId": "lan",
        "messageId": f"o-{number}",
        "properties": properties,
    }


@pytest.fixture
async def planned(filled: Platform, clock: FrozenClock) -> Platform:
    """Beside the three events: five orders set aside by a plan, of which three can be mended alike."""
    await filled.registry.put("plan", "shop", {"mode": "quarantine", "events": ORDERS})
    wrong = [{"amount": "5"}, {"amount": "6"}, {"amount": "7"}, {"amount": "8 đ"}, {"total": None}]
    batch = {"batch": [sold(number, **properties) for number, properties in enumerate(wrong)]}
    await Client(Collector(filled), WRITE_KEY).post("/v1/batch", batch)
    await load(filled)
    clock.advance(HOUR)
    return filled


MENDING = [
    {"op": "rename", "path": "properties.amount", "to": "properties.total"},
    {"op": "convert", "path": "properties.total", "to": "number"},
]
BROKEN = {"code": "plan_violation"}


async def test_more_filters(http: httpx.AsyncClient, planned: Platform) -> None:
    """By type, name, path whatever the item's number, messageId, and any text in it."""

    async def found(**filters: Any) -> int:
        return len((await http.get("/api/v1/quarantine", params=filters)).json()["items"])

    assert await found() == 8
    assert await found(type="track") == 7
    assert await found(event="Order Completed") == 5
    assert await found(path="properties.total") == 5
    assert await found(path="batch[1].event") == await found(path="event") == 2
    assert await found(message_id="o-3") == 1
    assert await found(text="8 Đ") == 1
    assert await found(text="%' OR 1=1") == 0
    items = (await http.get("/api/v1/quarantine", params={"message_id": "o-3"})).json()["items"]
    assert [(item["type"], item["event"], item["path"]) for item in items] == [
        ("track", "Order Completed", "batch[3].properties.total")
    ]


async def test_summary(http: httpx.AsyncClient, planned: Platform) -> None:
    """Counts by what is asked; the same filters; most first."""
    answer = (await http.get("/api/v1/quarantine/summary")).json()
    assert [(item["code"], item["events"]) for item in answer["items"]] == [
        ("plan_violation", 5),
        ("invalid_timestamp", 1),
        ("invalid_type", 1),
        ("missing_event", 1),
    ]
    assert answer["events"] == 8
    assert answer["items"][0]["source"] is None
    by = {"by": ["source", "event", "path"], "code": "plan_violation"}
    [item] = (await http.get("/api/v1/quarantine/summary", params=by)).json()["items"]
    assert (item["source"], item["event"], item["path"], item["code"]) == (
        "shop",
        "Order Completed",
        "properties.total",
        None,
    )
    assert item["first_received"] == item["last_received"] == "2026-11-21T09:30:00.000Z"


async def test_a_dry_run_shows_and_changes_nothing(http: httpx.AsyncClient, planned: Platform) -> None:
    """Before and after of each event, and which of them would still be refused."""
    before = await set_aside(planned.log)
    asked = {"where": BROKEN, "edits": MENDING, "dry_run": True}
    answer = (await http.post("/api/v1/quarantine/edit", json=asked)).json()
    assert answer["counts"] == {"edited": 4, "unchanged": 1}
    results = {json.loads(one["before"])["messageId"]: one for one in answer["results"]}
    assert json.loads(results["o-0"]["after"])["properties"] == {"total": 5}
    assert (results["o-0"]["code"], results["o-3"]["code"]) == ("", "plan_violation")
    assert results["o-3"]["path"] == "properties.total"
    assert await set_aside(planned.log) == before


async def test_edited_and_replayed_in_one_go(http: httpx.AsyncClient, planned: Platform) -> None:
    """Those that are good now go in, under their own ids and time; those that are not stay as they were."""
    asked = {"where": BROKEN, "edits": MENDING, "replay": True}
    answer = (await http.post("/api/v1/quarantine/edit", json=asked)).json()
    assert answer["counts"] == {"replayed": 3, "refused": 2}
    sent = {one.event.id: one.body["properties"] for one in await stored(planned.log)}
    assert sent == {"o-0": {"total": 5}, "o-1": {"total": 6}, "o-2": {"total": 7}}
    await load(planned)
    left = (await http.get("/api/v1/quarantine", params=BROKEN)).json()["items"]
    assert {json.loads(item["body"])["messageId"] for item in left} == {"o-3", "o-4"}
    assert json.loads(left[0]["body"]) in (sold(3, amount="8 đ"), sold(4, total=None))
    again = (await http.post("/api/v1/quarantine/edit", json=asked)).json()
    assert again["counts"] == {"refused": 2}


async def test_edits_are_kept(http: httpx.AsyncClient, planned: Platform) -> None:
    """Without a replay the corrected events wait, and can be replayed by the filter."""
    await http.post("/api/v1/quarantine/edit", json={"where": BROKEN, "edits": MENDING})
    await load(planned)
    assert await stored(planned.log) == []
    answer = (await http.post("/api/v1/quarantine/replay", json={"where": BROKEN})).json()
    assert answer["counts"] == {"replayed": 3, "refused": 2}
    assert len(await stored(planned.log)) == 3


async def test_a_large_replay_goes_on_where_it_was(http: httpx.AsyncClient, planned: Platform) -> None:
    """Each call does its part; the cursor passes over those that are refused; in the end each was seen once."""
    await planned.registry.put("plan", "shop", {"mode": "observe", "events": ORDERS})
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        asked = {"where": {"status": "any"}, "limit": 3, "after": after}
        answer = (await http.post("/api/v1/quarantine/replay", json=asked)).json()
        seen += [one["id"] for one in answer["results"]]
        after = answer["next"]
    assert len(seen) == len(set(seen)) == 8
    assert len(await stored(planned.log)) == 5


async def test_a_replay_meets_the_plan_of_its_source(http: httpx.AsyncClient, planned: Platform) -> None:
    """Like a fresh event: refused with the path where the plan is strict, noted where it only observes."""
    [event_id] = [
        item["id"] for item in (await http.get("/api/v1/quarantine", params={"message_id": "o-4"})).json()["items"]
    ]
    refused = await http.post(f"/api/v1/quarantine/{event_id}/replay")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "plan_violation")
    assert refused.json()["error"]["path"] == "properties.total"
    noted = len(await messages(planned.log, PLANS_VIOLATED))
    await planned.registry.put("plan", "shop", {"mode": "observe", "events": ORDERS})
    assert (await http.post(f"/api/v1/quarantine/{event_id}/replay")).status_code == 200
    assert len(await messages(planned.log, PLANS_VIOLATED)) == noted + 1


async def test_discarded_by_filter(http: httpx.AsyncClient, planned: Platform) -> None:
    """A whole kind is decided about at once."""
    answer = (await http.post("/api/v1/quarantine/discard", json={"where": BROKEN | {"text": "amount"}})).json()
    assert answer["counts"] == {"discarded": 4}
    await load(planned)
    assert len(await ids(http, code="plan_violation")) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"ids": ["x"], "where": {}},
        {"ids": []},
        {"where": {"colour": "red"}},
        {"where": {}, "after": "junk"},
        {"where": {}, "edits": [{"op": "set", "path": "", "value": 1}]},
        {"where": {}, "edits": [{"op": "explode"}]},
        {"where": {}, "edits": []},
    ],
)
async def test_a_wrong_choice_is_refused(asked: dict[str, Any], http: httpx.AsyncClient) -> None:
    """Nothing is guessed: all events are never meant by mistake."""
    given_ = {"edits": [{"op": "remove", "path": "a"}]} | asked
    assert (await http.post("/api/v1/quarantine/edit", json=given_)).status_code == 400
