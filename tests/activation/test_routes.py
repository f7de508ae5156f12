"""The routes of destinations and syncs, through the whole application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from activation.destinations import SEGMENT
from activation.ledger import Ledger, Start, Verdict, Wish
from activation.routes import router
from activation.testing import HANG, Answer, FakeDestination
from cdp.api import create_app
from cdp.auth import digest
from cdp.records import Delivery
from cdp.service import Platform
from cdp.vault import MASK
from tests.activation.arena import change, profile_id
from tests.activation.house import SECRET, remember, remember_deliveries, with_activation

HOOK = {"connector": "webhook", "settings": {"url": "https://shop.example/hook", "secret": SECRET}}


@pytest.fixture
async def real(platform: Platform) -> Platform:
    """The platform, allowed to reach loopback."""
    return with_activation(platform, allow_private_addresses=True, timeout_seconds=0.3)


@pytest.fixture
async def api(real: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A client with every scope; a segment `vip` exists."""
    for name, scopes in (("root", ["admin"]), ("reader", ["destinations:read"]), ("writer", ["destinations:write"])):
        await real.registry.put("token", name, {"name": name, "sha256": digest(name), "scopes": scopes})
    await real.registry.put(SEGMENT, "vip", {"name": "VIP"})
    transport = httpx.ASGITransport(create_app(real, {}, [router]))
    async with httpx.AsyncClient(transport=transport, base_url="http://cdp", headers=bearer("root")) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"authorization": f"Bearer {token}"}


def ledger(platform: Platform, key: str = "hook") -> Ledger:
    """A destination's ledger."""
    return Ledger(platform.state, platform.settings.state.prefix, key)


def lines(place: Path) -> list[str]:
    """The lines of a file."""
    return place.read_text(encoding="utf-8").splitlines()


async def put(api: httpx.AsyncClient, path: str, body: Any) -> dict[str, Any]:
    """Define, successfully."""
    answer = await api.put(f"/api/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def attach(api: httpx.AsyncClient, settings: dict[str, Any], *, connector: str = "webhook") -> None:
    """A destination `hook` that takes `vip`."""
    await put(api, "destinations/hook", {"connector": connector, "settings": settings})
    await put(api, "syncs/vip-to-hook", {"segment": "vip", "destination": "hook"})


async def test_a_destination_is_defined_shown_listed_and_deleted(api: httpx.AsyncClient) -> None:
    """The life of a definition; its secret is masked everywhere."""
    defined = await put(api, "destinations/hook", HOOK | {"name": "CRM"})
    shown = (await api.get("/api/v1/destinations/hook")).json()
    listed = (await api.get("/api/v1/destinations")).json()

    assert defined == shown | {"made": {}}
    assert shown["settings"]["secret"] == MASK and shown["name"] == "CRM" and shown["enabled"]
    assert listed == {"items": [shown], "next": None}
    assert SECRET not in json.dumps([defined, shown, listed])
    assert (await api.delete("/api/v1/destinations/hook")).status_code == 204
    assert (await api.get("/api/v1/destinations/hook")).status_code == 404
    assert (await api.delete("/api/v1/destinations/hook")).status_code == 404


async def test_a_made_secret_is_answered_once(api: httpx.AsyncClient) -> None:
    """Only the answer to the definition that made it tells it."""
    body = {"connector": "webhook", "settings": {"url": "https://shop.example/"}}
    assert (await put(api, "destinations/hook", body))["made"]["secret"].startswith("whsec_")
    assert (await put(api, "destinations/hook", body))["made"] == {}


async def test_lists_come_in_pages(api: httpx.AsyncClient) -> None:
    """`next` leads through all of them, once."""
    for number in range(5):
        await put(api, f"destinations/hook-{number}", HOOK)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await api.get("/api/v1/destinations", params={"limit": 2, "after": after})).json()
        found += [item["key"] for item in page["items"]]
        after = page["next"]

    assert found == [f"hook-{number}" for number in range(5)]


async def test_the_catalog_has_schemas(api: httpx.AsyncClient) -> None:
    """Each connector says what it wants to know; secrets are marked as such."""
    items = {item["name"]: item for item in (await api.get("/api/v1/destinations/catalog")).json()["items"]}

    assert set(items) >= {"webhook", "file", "kafka"}
    assert items["webhook"]["settings"]["properties"]["secret"]["format"] == "password"
    assert items["webhook"]["capabilities"]["removes"] is True


@pytest.mark.parametrize(
    ("path", "body", "status", "place"),
    [
        ("destinations/hook", {"connector": "pigeon"}, 400, "connector"),
        ("destinations/hook", {"connector": "webhook", "settings": {}}, 400, "settings.url"),
        ("destinations/hook", {"connector": "webhook", "settings": {"url": "x"}}, 400, "settings.url"),
        ("destinations/catalog", HOOK, 400, "key"),
        ("syncs/s", {"segment": "vip", "destination": "nowhere"}, 400, "destination"),
        ("syncs/s", {"segment": "nobody", "destination": "nowhere"}, 400, "segment"),
    ],
)
async def test_what_is_wrong_is_said(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, place: str
) -> None:
    """The error leads to the field."""
    answer = await api.put(f"/api/v1/{path}", json=body)

    assert (answer.status_code, answer.json()["error"]["path"]) == (status, place)


async def test_scopes(api: httpx.AsyncClient) -> None:
    """Nobody without a token; readers read; writers write, but see a real person only with profiles:read."""
    await put(api, "destinations/hook", HOOK)
    anybody = {"authorization": ""}
    assert (await api.get("/api/v1/destinations", headers=anybody)).status_code == 401
    assert (await api.get("/api/v1/destinations/hook", headers=bearer("reader"))).status_code == 200
    for method, path in (
        ("PUT", "destinations/hook"),
        ("DELETE", "destinations/hook"),
        ("POST", "destinations/hook/test"),
        ("POST", "destinations/hook/dry-run"),
        ("POST", "destinations/hook/replay"),
        ("POST", "destinations/hook/reconcile"),
        ("PUT", "syncs/s"),
        ("DELETE", "syncs/s"),
    ):
        answer = await api.request(method, f"/api/v1/{path}", headers=bearer("reader"), json=HOOK)
        assert answer.status_code == 403, path
    dry = {"profile_id": profile_id(1)}
    answer = await api.post("/api/v1/destinations/hook/dry-run", json=dry, headers=bearer("writer"))
    assert answer.status_code == 403


async def test_a_sync_is_defined_and_deleted(api: httpx.AsyncClient, real: Platform) -> None:
    """Deleting it, or pointing it elsewhere, forgets who is there."""
    await put(api, "destinations/hook", HOOK)
    body = {"segment": "vip", "destination": "hook", "mapping": {"identifiers": ["email"], "traits": {"c": "a.b"}}}
    shown = await put(api, "syncs/s", body)
    assert shown["mapping"] == {"identifiers": ["email"], "traits": {"c": "a.b"}}
    assert (await api.get("/api/v1/syncs")).json() == {"items": [shown], "next": None}
    assert (await api.get("/api/v1/syncs/s")).json() == shown
    assert (await api.delete("/api/v1/destinations/hook")).status_code == 409

    await ledger(real).desire("vip", [Wish(profile_id(1), "add", 1, 1)], 1)
    await put(api, "destinations/other", HOOK)
    await put(api, "syncs/s", body | {"destination": "other"})
    assert (await ledger(real).standing()).pending == 0
    await ledger(real, "other").desire("vip", [Wish(profile_id(1), "add", 1, 1)], 1)
    assert (await api.delete("/api/v1/syncs/s")).status_code == 204
    assert (await ledger(real, "other").standing()).pending == 0


async def test_a_test_sends_one_sample(api: httpx.AsyncClient) -> None:
    """The sample is signed and sent, and what came of it is answered."""
    async with FakeDestination(Answer(200, body=b"thanks"), Answer(401), HANG) as destination:
        await put(api, "destinations/hook", {"connector": "webhook", "settings": {"url": destination.url}})
        results = [(await api.post("/api/v1/destinations/hook/test")).json() for _ in range(3)]

    assert [result["outcome"] for result in results] == ["delivered", "retrying", "retrying"]
    assert (results[0]["status"], results[0]["reply"]) == (200, "thanks")
    assert results[1]["reason"] == "HTTP 401: the credentials are refused"
    assert results[2]["reason"] == "no answer within 0.3 s" and results[2]["status"] is None
    assert json.loads(destination.received[0].body)["data"]["segment"] == "test"


async def test_a_test_of_a_file_writes_a_line(api: httpx.AsyncClient, real: Platform) -> None:
    """Other transports are tested the same way."""
    await put(api, "destinations/out", {"connector": "file", "settings": {"path": "{segment}.jsonl"}})
    assert (await api.post("/api/v1/destinations/out/test")).json()["outcome"] == "delivered"

    assert len(lines(real.settings.data_dir / "exports" / "test.jsonl")) == 1


async def test_private_addresses_are_refused_by_default(api: httpx.AsyncClient, platform: Platform) -> None:
    """A destination on loopback is not reached unless the operator allows it."""
    strict = httpx.ASGITransport(create_app(platform, {}, [router]))
    async with (
        FakeDestination() as destination,
        httpx.AsyncClient(transport=strict, base_url="http://cdp", headers=bearer("root")) as client,
    ):
        port = destination.url.split(":")[2].split("/")[0]
        strictly = with_activation(platform, ports=(int(port),))
        client._transport.app.state.platform = strictly  # type: ignore[attr-defined]
        await put(client, "destinations/hook", {"connector": "webhook", "settings": {"url": destination.url}})
        result = (await client.post("/api/v1/destinations/hook/test")).json()

    assert "not public" in result["reason"]
    assert destination.received == []


async def test_a_dry_run_shows_and_sends_nothing(api: httpx.AsyncClient) -> None:
    """The request as it would be, with secrets masked."""
    async with FakeDestination() as destination:
        settings = {"url": destination.url, "secret": SECRET, "headers": {"authorization": "Bearer t0psecret"}}
        await put(api, "destinations/hook", {"connector": "webhook", "settings": settings})
        answer = await api.post("/api/v1/destinations/hook/dry-run", json={"segment": "vip", "action": "remove"})
        real_person = await api.post("/api/v1/destinations/hook/dry-run", json={"profile_id": profile_id(1)})

    [request] = answer.json()["requests"]
    assert request["body"]["type"] == "segment.exited"
    assert request["headers"]["authorization"] == MASK
    assert "t0psecret" not in answer.text and SECRET not in answer.text
    assert real_person.json()["requests"][0]["body"]["data"]["identifiers"] == {}
    assert destination.received == []


async def test_status_replay_and_reconcile(api: httpx.AsyncClient, real: Platform) -> None:
    """Who waits, who was set aside and comes back, and what a comparison finds."""
    await attach(api, HOOK["settings"])  # type: ignore[arg-type]
    status = (await api.get("/api/v1/destinations/hook/status")).json()
    assert (status["pending"], status["failed"], status["breaker"], status["oldest"]) == (0, 0, "unknown", None)

    now = real.clock.now()
    book = ledger(real)
    await real.state.set(book.lease_key, "us")
    await book.desire("vip", [Wish(profile_id(1), "add", 1, now), Wish(profile_id(2), "add", 1, now)], now)
    await book.begin("us", "vip", [Start(profile_id(1), 1, 1, 0)], now)
    await book.settle("us", "vip", [Verdict(profile_id(1), 1, "failed")], now)
    await book.note({"error": "HTTP 422", "error_at": now, "breaker": "closed", "delivered_at": now})
    status = (await api.get("/api/v1/destinations/hook/status")).json()
    assert (status["pending"], status["failed"], status["breaker"]) == (1, 1, "closed")
    assert status["oldest"] == status["last_error_at"] == "2026-11-21T08:30:00.000Z"
    assert status["last_error"] == "HTTP 422"

    assert (await api.post("/api/v1/destinations/hook/replay")).json() == {"replayed": 1}
    await remember(real.warehouse, change(1, 1), change(3, 1))
    assert (await api.post("/api/v1/destinations/hook/reconcile")).json() == {"checked": 2, "enqueued": 1}
    assert (await api.get("/api/v1/destinations/hook/status")).json()["pending"] == 3


async def test_deliveries_are_listed_newest_first(api: httpx.AsyncClient, real: Platform) -> None:
    """In pages, each attempt once, and only those that are asked for."""
    await put(api, "destinations/hook", HOOK)
    attempts = [
        Delivery(
            f"id-{number}",
            "hook",
            "webhook",
            "vip",
            profile_id(number),
            1,
            "add",
            "delivered" if number % 5 else "failed",
            1,
            1000 * (number // 3),
            "" if number % 5 else "HTTP 422",
        )
        for number in range(20)
    ]
    await remember_deliveries(real.warehouse, *attempts)
    await remember_deliveries(real.warehouse, attempts[0])
    listed: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        params = {"limit": 7, "after": after}
        page = (await api.get("/api/v1/destinations/hook/deliveries", params=params)).json()
        listed += page["items"]
        after = page["next"]

    assert len(listed) == 20 and {item["id"] for item in listed} == {one.id for one in attempts}
    assert [item["at"] for item in listed] == sorted((item["at"] for item in listed), reverse=True)
    failed = (await api.get("/api/v1/destinations/hook/deliveries", params={"outcome": "failed"})).json()["items"]
    assert {item["id"] for item in failed} == {"id-0", "id-5", "id-10", "id-15"}
    one = await api.get("/api/v1/destinations/hook/deliveries", params={"profile_id": profile_id(3), "segment": "vip"})
    assert [item["sequence"] for item in one.json()["items"]] == [1]
    wrong = await api.get("/api/v1/destinations/hook/deliveries", params={"after": "yesterday"})
    assert wrong.status_code == 400
    assert (await api.get("/api/v1/destinations/nowhere/deliveries")).status_code == 404


async def test_the_document_has_examples(api: httpx.AsyncClient) -> None:
    """Each route is summarised, each field described."""
    document = (await api.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        if "/destinations" in path or "/syncs" in path:
            assert all(route.get("summary") and route.get("description") for route in methods.values()), path
    for name in ("DestinationView", "SyncView", "DestinationStatus", "DeliveryView", "DestinationBody", "SyncBody"):
        for field, schema in document["components"]["schemas"][name]["properties"].items():
            assert schema.get("description"), (name, field)
