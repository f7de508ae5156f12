"""Tests of the routes of sources, and of the tracking routes as FastAPI knows them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cdp.api import create_app
from cdp.clock import HOUR
from cdp.openapi import operations
from cdp.service import Platform
from cdp.testing import FrozenClock
from ingest.browser.builds import snippet
from ingest.collector import Collector
from ingest.paths import ROUTES
from ingest.service import WING, router
from ingest.testing import Client, authorization, stored
from tests.cdp.apps import api
from tests.ingest.conftest import WRITE_KEY

EVENT = {"userId": "lan", "event": "Order Completed"}


@pytest.fixture
async def http(ground: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with the admin's token; `ground` needs neither state nor warehouse."""
    async with api(ground, routers=[router]) as client:
        yield client


async def taken(collector: Collector, write_key: str) -> bool:
    """Whether an event with the write key is taken."""
    return (await Client(collector, write_key).post("/v1/track", EVENT)).status == 200


async def test_a_new_source_works_at_once(http: httpx.AsyncClient, collector: Collector) -> None:
    """The answer holds the write key and the line for web pages."""
    answer = await http.post("/api/v1/sources", json={"key": "app", "name": "App"})
    assert answer.status_code == 201
    source = answer.json()
    write_key = source["write_keys"][0]["key"]
    assert write_key.startswith("wk_")
    assert source["snippet"] == snippet("http://cdp/", write_key)
    assert await taken(collector, write_key)
    assert (await http.post("/api/v1/sources", json={"key": "app", "name": "App"})).status_code == 409


async def test_put_makes_and_changes(http: httpx.AsyncClient, collector: Collector) -> None:
    """What GET answers can be put again; a source keeps its write keys; disabling it stops it."""
    source = (await http.put("/api/v1/sources/app", json={"name": "App"})).json()
    kept = {name: source[name] for name in ("name", "enabled", "allowed_origins", "write_keys", "snippet")}
    again = (await http.put("/api/v1/sources/app", json=kept)).json()
    assert again["write_keys"] == source["write_keys"]

    changed = (await http.put("/api/v1/sources/app", json={"name": "Web", "enabled": False})).json()
    assert (changed["name"], changed["write_keys"]) == ("Web", source["write_keys"])
    assert not await taken(collector, source["write_keys"][0]["key"])
    assert (await http.get("/api/v1/sources/app")).json() == changed


async def test_write_keys_can_be_taken_over(http: httpx.AsyncClient, collector: Collector) -> None:
    """So that SDKs in the field need no change; but not from another source."""
    body = {"name": "Old shop", "write_keys": [{"key": "segmentKey123"}]}
    assert (await http.put("/api/v1/sources/old", json=body)).status_code == 200
    assert await taken(collector, "segmentKey123")
    assert (await http.put("/api/v1/sources/other", json=body)).status_code == 409
    assert (
        await http.put("/api/v1/sources/other", json={"name": "x", "write_keys": [{"key": "with:colon"}]})
    ).status_code == 400


async def test_rotation(http: httpx.AsyncClient, collector: Collector, clock: FrozenClock) -> None:
    """The old key works on until its grace is over; the new one at once."""
    answer = await http.post("/api/v1/sources/shop/rotate", params={"grace_hours": 2})
    old, fresh = answer.json()["write_keys"]
    assert (old["key"], old["expires_at"], fresh["expires_at"]) == (WRITE_KEY, "2026-11-21T10:30:00.000Z", None)
    assert fresh["key"] in answer.json()["snippet"]
    assert await taken(collector, WRITE_KEY) and await taken(collector, fresh["key"])
    clock.advance(2 * HOUR)
    assert not await taken(collector, WRITE_KEY)
    assert await taken(collector, fresh["key"])
    assert (await http.post("/api/v1/sources/unknown/rotate")).status_code == 404


async def test_list_and_delete(http: httpx.AsyncClient, collector: Collector) -> None:
    """Pages by key; a deleted source takes nothing more."""
    for key in ("a", "b"):
        await http.post("/api/v1/sources", json={"key": key, "name": key})
    first = (await http.get("/api/v1/sources", params={"limit": 2})).json()
    rest = (await http.get("/api/v1/sources", params={"limit": 2, "after": first["next"]})).json()
    assert [[one["key"] for one in page["items"]] for page in (first, rest)] == [["a", "b"], ["shop"]]
    assert rest["next"] is None
    assert (await http.delete("/api/v1/sources/shop")).status_code == 204
    assert not await taken(collector, WRITE_KEY)
    assert (await http.delete("/api/v1/sources/shop")).status_code == 404


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"key": "App!", "name": "x"}, "key"),
        ({"key": "app"}, "name"),
        ({"key": "app", "name": "x", "allowed_origins": ["shop.vn"]}, "allowed_origins[0]"),
        ({"key": "app", "name": "x", "write_keys": []}, "write_keys"),
        ({"key": "app", "name": "x", "colour": "red"}, "colour"),
    ],
)
async def test_invalid_sources(body: dict[str, Any], path: str, http: httpx.AsyncClient) -> None:
    """400 with the path."""
    answer = await http.post("/api/v1/sources", json=body)
    assert (answer.status_code, answer.json()["error"]["path"]) == (400, path)


# --- twins ----------------------------------------------------------------------------------------


async def test_routes_that_fastapi_meets_answer_as_the_gateway_does(ground: Platform, log: Any) -> None:
    """The gateway answers first; a request that gets to FastAPI all the same is handed to it."""
    collector = Collector(ground)
    app = create_app(dataclasses.replace(ground, roles=[collector]), {}, [router])
    for method, path, body in (
        ("POST", "/v1/track", EVENT),
        ("POST", "/v1/t", EVENT),
        ("POST", "/v1/batch", {"batch": [{"type": "page", "userId": "u"}, {}]}),
        ("POST", "/v1/batch", "nonsense"),
        ("GET", f"/v1/projects/{WRITE_KEY}/settings", None),
        ("GET", "/cdp.js", None),
        ("POST", "/v1/m", None),
    ):
        content = [b"" if body is None else json.dumps(body).encode()]
        direct = await Client(collector).ask(method, path, authorization(WRITE_KEY), content)
        twin = await Client(app).ask(method, path, authorization(WRITE_KEY), content)
        assert (direct.status, direct.body[:17]) == (twin.status, twin.body[:17])
        assert twin.headers.items() >= {name: twin.headers[name] for name in direct.headers}.items()
    assert len(await stored(log)) == 6


async def test_a_process_without_a_collector_says_so(http: httpx.AsyncClient) -> None:
    """503, so that a client whose proxy errs keeps its events."""
    answer = await http.post("/v1/track", json=EVENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_collector")
    assert answer.headers["retry-after"]


# They take no events of the tracking API.
OTHERS = {"/v1/id", "/v1/webhooks/{source}"}


def test_openapi_describes_every_route(ground: Platform) -> None:
    """Each long tracking route is documented, with an example that the collector takes, and its answers."""
    document = create_app(ground, {}, [router]).openapi()
    found = {path: operation for path, _, operation in operations(document)}
    letters = {"/v1/t", "/v1/i", "/v1/p", "/v1/s", "/v1/g", "/v1/a", "/v1/b", "/v1/m", "/b", "/batch", "/v1/batch/b"}
    pixels = {path for path, route in ROUTES.items() if route.work == "pixel"} - {"/v1/pixel.gif"}
    jitsu = {path for path in ROUTES if path.startswith("/api/s/")}
    for path in set(ROUTES) - letters - jitsu - pixels - {"/sourceConfig"}:
        assert path in found, path
    others = {"/sourceConfig/", "/pixel/v1/{kind}", "/v1/pixel/{kind}", "/v1/projects/{write_key}/settings"}
    assert others <= found.keys()
    for path, operation in found.items():
        assert operation["summary"] and operation["description"], path
        if path.startswith("/v1/") and path not in OTHERS and "requestBody" in operation:
            assert operation["security"] == [{"writeKey": []}]
            assert {"200", "400", "401", "503"} <= operation["responses"].keys()


async def test_documented_examples_are_taken(ground: Platform, client: Client, log: Any) -> None:
    """Whoever copies an example succeeds."""
    document = create_app(ground, {}, [router]).openapi()
    count = 0
    for path, method, operation in operations(document):
        if method == "post" and not path.startswith("/api/") and path not in OTHERS:
            example = operation["requestBody"]["content"]["application/json"]["example"]
            reply = await client.post(path, example)
            assert (reply.status, "results" in reply.json()) == (200, False), (path, reply.body)
            count += len(example.get("batch", [1]))
    assert count == len(await stored(log))


def test_what_the_roles_of_the_wing_need() -> None:
    """A collector needs nothing but the log; only files are compared with what is stored."""
    needs = {name: offer.needs for name, offer in WING.roles.items()}
    assert needs == {"collector": frozenset(), "importer": frozenset({"warehouse"})}
