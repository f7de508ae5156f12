"""Plans and the catalogue through the API, on either warehouse: what was stored teaches, what breaks is counted."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Raw
from redis.asyncio import Redis

from cdp.auth import ADMIN
from cdp.clock import HOUR
from cdp.records import Violation, Violations, encode
from cdp.service import Platform
from cdp.settings import Settings
from cdp.streams.base import Message
from cdp.testing import FrozenClock
from cdp.topics import PLANS_VIOLATED
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import Loader
from ingest.collector import Collector
from ingest.service import router
from ingest.testing import Client, ensure_source, messages
from tests.cdp.apps import add_token, api
from tests.cdp.warehouse.test_loader import event, resolved
from tests.clickhouse_http import ClickHouseServer
from tests.ingest.conftest import WRITE_KEY

PLAN = "/api/v1/sources/shop/plan"
ORDER = {"required": ["total"], "properties": {"total": {"type": "number"}}}
BODY = {"mode": "observe", "events": {"Order Completed": ORDER}}


@pytest.fixture(params=["embedded", "server"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A fresh database in-process, or on a server over HTTP."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    if request.param == "embedded":
        warehouse: dict[str, Any] = {"dsn": f"chdb://{request.getfixturevalue('chdb_folder')}", "database": name}
    else:
        server: ClickHouseServer = request.getfixturevalue("clickhouse_server")
        warehouse = {"dsn": server.dsn(name)}
    return Settings.load(
        data_dir=tmp_path / "data", state={"prefix": f"{name}:"}, warehouse={**warehouse, "handles": 2}
    )


@pytest.fixture
async def warehouse(settings: Settings) -> AsyncIterator[Warehouse]:
    """An opened warehouse."""
    opened = Warehouse(settings)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def loader(platform: Platform, state: Redis) -> Loader:
    """The loader of the platform; the source `shop` exists."""
    await ensure_source(platform.registry, WRITE_KEY, "test", clock=platform.clock, key="shop")
    return Loader(platform.log, platform.warehouse, state, platform.settings.state.prefix, pace=0)


@pytest.fixture
async def http(platform: Platform, loader: Loader) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with the admin's token."""
    async with api(platform, routers=[router]) as client:
        yield client


def orders(count: int, **properties: Any) -> Message:
    """Orders as the resolver passes them on."""
    said = [
        {"order_id": f"o-{number}", "total": number, "email": "lan@shop.vn", **properties} for number in range(count)
    ]
    some = [
        event(number, source="shop", name="Order Completed", properties=Raw(encode(one)))
        for number, one in enumerate(said)
    ]
    return resolved(0, *some)


async def load_violations(platform: Platform, loader: Loader) -> None:
    """What the loader does with everything on plans.violated."""
    await loader.handle(await messages(platform.log, PLANS_VIOLATED))


async def test_a_plan_is_put_read_and_deleted(http: httpx.AsyncClient, platform: Platform) -> None:
    """As it was given, with its version; of a source that exists only, and for as long as that does."""
    assert (await http.get(PLAN)).status_code == 404
    assert (await http.put("/api/v1/sources/none/plan", json=BODY)).status_code == 404
    first = (await http.put(PLAN, json=BODY)).json()
    again = (await http.put(PLAN, json=BODY | {"mode": "block"})).json()
    assert again["version"] > first["version"]
    shown = (await http.get(PLAN)).json()
    assert (shown["mode"], shown["events"], shown["unplanned"], shown["source"]) == (
        "block",
        BODY["events"],
        "allow",
        "shop",
    )
    assert (await http.delete(PLAN)).status_code == 204
    assert (await http.get(PLAN)).status_code == 404
    await http.put(PLAN, json=BODY)
    await http.delete("/api/v1/sources/shop")
    assert platform.registry.find("plan", "shop") is None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"mode": "maybe"}, "mode"),
        ({"events": {"E": 5}}, "events.E"),
        ({"events": {"E": {"properties": {"x": {"type": "strin"}}}}}, "events.E.properties.x.type"),
        ({"identify": {"$ref": "http://127.0.0.1/"}}, "identify.$ref"),
        ({"event": {}}, "event"),
        ({"page": {"description": "\ud800"}}, ""),
    ],
)
async def test_what_is_no_plan_is_refused(body: Any, path: str, http: httpx.AsyncClient) -> None:
    """400, with the path of what is wrong, and nothing is put in force."""
    content = json.dumps(body).encode()
    answer = await http.put(PLAN, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"].get("path", "")) == (400, path)
    assert (await http.get(PLAN)).status_code == 404


async def test_learnt_from_stored_events(http: httpx.AsyncClient, loader: Loader) -> None:
    """Nothing is saved unless asked; what is saved is in force; nothing personal is in it."""
    await loader.handle([orders(20, currency="VND")])
    answer = (await http.post(f"{PLAN}/infer", json={"mode": "quarantine"})).json()
    schema = answer["plan"]["events"]["Order Completed"]
    assert schema["required"] == ["currency", "email", "order_id", "total"]
    assert schema["properties"]["currency"]["enum"] == ["VND"]
    assert (answer["version"], answer["learnt_from"]) == (
        None,
        [{"type": "track", "event": "Order Completed", "events": 20}],
    )
    assert "lan@" not in str(answer)
    assert (await http.get(PLAN)).status_code == 404
    saved = (await http.post(f"{PLAN}/infer", json={"each": 5, "save": True})).json()
    assert saved["learnt_from"][0]["events"] == 5
    assert (await http.get(PLAN)).json()["version"] == saved["version"]
    assert (await http.post(f"{PLAN}/infer", json={"event": "Other"})).json()["learnt_from"] == []


async def test_compared_with_what_is_in_force(http: httpx.AsyncClient, loader: Loader) -> None:
    """A given plan, or what stored events teach; and how these would fare."""
    await loader.handle([orders(10)])
    await http.put(PLAN, json=BODY)
    strict = {**ORDER, "required": ["total", "coupon"]}
    answer = (await http.post(f"{PLAN}/diff", json={"plan": {"events": {"Order Completed": strict}}})).json()
    assert answer["breaking"] is True
    assert [change["words"] for change in answer["changes"]] == ["'coupon' must be there now"]
    assert (answer["trial"]["events"], answer["trial"]["violating"]) == (10, 10)
    assert answer["trial"]["problems"][0] | {"reason": ""} == {
        "event": "Order Completed",
        "path": "properties.coupon",
        "keyword": "required",
        "reason": "",
        "events": 10,
    }
    learnt = (await http.post(f"{PLAN}/diff")).json()
    assert (learnt["trial"]["violating"], learnt["breaking"]) == (0, True)


async def test_one_event_is_checked(http: httpx.AsyncClient) -> None:
    """What would become of it, in each mode, and of one that nobody could take."""
    bad = {"type": "track", "event": "Order Completed", "userId": "lan", "properties": {"total": "5"}}
    assert (await http.post(f"{PLAN}/check", json={"event": bad})).json() == {"outcome": "accepted", "problems": []}
    for mode, outcome in (("observe", "accepted"), ("quarantine", "quarantined"), ("block", "blocked")):
        answer = (await http.post(f"{PLAN}/check", json={"event": bad, "plan": BODY | {"mode": mode}})).json()
        assert (answer["outcome"], answer["problems"][0]["path"]) == (outcome, "properties.total")
    answer = (await http.post(f"{PLAN}/check", json={"event": {"type": "track"}})).json()
    assert (answer["outcome"], answer["problems"][0]["keyword"]) == ("quarantined", "missing_identity")


async def test_violations_are_counted_once(
    http: httpx.AsyncClient, platform: Platform, loader: Loader, clock: FrozenClock
) -> None:
    """By event, path and rule, with first and last seen; a repeat of an event adds nothing, however it is loaded."""
    await http.put(PLAN, json=BODY)
    client = Client(Collector(platform), WRITE_KEY)
    batch = [
        {
            "type": "track",
            "event": "Order Completed",
            "userId": "lan",
            "messageId": f"m{number}",
            "properties": properties,
        }
        for number, properties in enumerate([{"total": "5"}, {"total": "6"}, {}, {"total": 7}])
    ]
    for _ in range(2):
        await client.post("/v1/batch", {"batch": batch})
        clock.advance(HOUR)
    for _ in range(2):
        await load_violations(platform, loader)

    items = (await http.get(f"{PLAN}/violations")).json()["items"]
    assert [(one["path"], one["keyword"], one["violations"]) for one in items] == [
        ("properties.total", "type", 2),
        ("properties.total", "required", 1),
    ]
    assert items[1]["message_id"] == "m2"
    assert items[0]["last_seen"] == "2026-11-21T09:30:00.000Z"

    async def found(**filters: Any) -> list[int]:
        answer = await http.get(f"{PLAN}/violations", params=filters)
        return [one["violations"] for one in answer.json()["items"]]

    assert await found(keyword="required") == await found(event="Order Completed", keyword="required") == [1]
    assert await found(event="Other") == await found(type="page") == await found(mode="block") == []
    assert await found(path="properties.total") == [2, 1]
    assert await found(since="2026-11-21T10:30:00Z") == await found(until="2026-11-21T08:30:00Z") == []
    assert (await http.get("/api/v1/sources/none/plan/violations")).status_code == 404


async def test_pages_of_violations(http: httpx.AsyncClient, platform: Platform, loader: Loader) -> None:
    """Each rule is on one page, the most often broken first."""
    some = [
        Violation("shop", "track", f"p{number % 7}", "type", "…", f"m{number}", "t", number, "observe")
        for number in range(40)
    ]
    await loader.handle([Message(PLANS_VIOLATED.name, 0, 0, 0, encode(Violations(some)))])
    seen: list[tuple[int, str]] = []
    after: str | None = ""
    while after is not None:
        page = (await http.get(f"{PLAN}/violations", params={"limit": 2, "after": after})).json()
        seen += [(one["violations"], one["path"]) for one in page["items"]]
        after = page["next"]
    assert sorted(seen, reverse=True) == seen
    assert {path for _, path in seen} == {f"p{number}" for number in range(7)}
    assert len(seen) == 7
    assert (await http.get(f"{PLAN}/violations", params={"after": "junk"})).status_code == 400


async def test_the_catalogue(http: httpx.AsyncClient, loader: Loader) -> None:
    """Events are counted exactly; their fields are described, and no example shows anybody."""
    page = event(900, source="shop", type="page", name="Home")
    await loader.handle(
        [orders(5, note="gọi 0912345678"), resolved(1, page), resolved(2, event(901, source="web", name="a/b"))]
    )
    items = (await http.get("/api/v1/catalogue/events")).json()["items"]
    assert [(one["source"], one["type"], one["name"], one["events"]) for one in items] == [
        ("shop", "page", "page", 1),
        ("shop", "track", "Order Completed", 5),
        ("web", "track", "a/b", 1),
    ]
    assert (
        len((await http.get("/api/v1/catalogue/events", params={"source": "shop", "type": "page"})).json()["items"])
        == 1
    )
    first = (await http.get("/api/v1/catalogue/events", params={"limit": 1})).json()
    rest = (await http.get("/api/v1/catalogue/events", params={"limit": 5, "after": first["next"]})).json()["items"]
    assert [*first["items"], *rest] == items

    [order] = (await http.get("/api/v1/catalogue/events/Order Completed")).json()["items"]
    fields = {one["path"]: one for one in order["fields"]}
    assert (order["looked_at"], fields["total"]["types"], fields["total"]["share"]) == (5, ["integer"], 1.0)
    assert fields["total"]["examples"] == ["0", "1", "2", "3", "4"]
    assert fields["email"]["examples"] == fields["note"]["examples"] == ["***"]
    assert fields["email"]["formats"] == ["email"]
    assert (await http.get("/api/v1/catalogue/events/a%2Fb")).json()["items"][0]["source"] == "web"
    assert (await http.get("/api/v1/catalogue/events/page")).json()["items"][0]["type"] == "page"
    assert (await http.get("/api/v1/catalogue/events/none")).status_code == 404
    assert (await http.get("/api/v1/catalogue/traits")).json()["items"] == []


async def test_scopes(platform: Platform, loader: Loader) -> None:
    """Learning reads, saving writes."""
    await add_token(platform, "cdp_reader", "sources:read")
    async with api(platform, routers=[router], token="cdp_reader") as client:
        assert (await client.post(f"{PLAN}/infer", json={"save": True})).status_code == 403
        assert (await client.post(f"{PLAN}/infer", json={})).status_code == 200
        assert (await client.get("/api/v1/catalogue/events")).status_code == 403
    assert ADMIN
