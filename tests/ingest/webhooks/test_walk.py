"""The walk of webhooks through the whole product: who their people are, whatever the order, and each thing once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdp.cli.commands import run
from cdp.clock import SystemClock
from cdp.settings import Settings
from cdp.wiring import running
from ingest.webhooks.presets import presets
from tests.ingest.webhooks.senders import Case, case, definition
from tests.waiting import eventually

ROLES = ["collector", "api", "resolver", "loader"]
PEOPLE = [("zalo_user_id", "246845883529197922"), ("email", "lan.nguyen@example.com"), ("phone", "0912345670")]


class Shop:
    """The running product, and platforms that send to it."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self.url = str(client.base_url)
        self.token = token

    async def define(self, preset: str) -> None:
        """A source of the preset's name."""
        body = {"key": preset, "name": preset, "webhook": definition(preset)}
        assert (await self._client.post("/api/v1/sources", json=body)).status_code == 201

    async def deliver(self, one: Case) -> None:
        """Send a recorded payload, signed."""
        sent = one.sent(SystemClock().now())
        path = f"/v1/webhooks/{one.preset}"
        answer = await self._client.post(path, content=sent.body, headers={**sent.headers, "Authorization": ""})
        assert answer.status_code == 200, answer.text

    async def person(self, identifier: str) -> Any:
        """The profile, with its events; the latest first."""
        answer = await self._client.get(f"/api/v1/profiles/{identifier}", params={"include": "events"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def counts(self, source: str) -> dict[str, int]:
        """What became of the source's events."""
        status = (await self._client.get("/api/v1/status")).json()
        found: dict[str, int] = next(one for one in status["conservation"] if one["source"] == source)
        return found


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    """The product with these roles, on a free port."""
    anywhere = settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})
    async with running(anywhere, ROLES, say=lambda _: None) as service:
        begin = service.credentials
        token = begin.admin_token or ""
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=begin.url, headers=headers, timeout=30) as client:
            yield Shop(client, token)


async def test_platforms_tell_of_one_person(shop: Shop) -> None:
    """A refund before its order, both twice, a payment, contact details shared in Zalo: one person, found by each id.

    Each event is stored once, and an order has the time at which it was made.
    """
    for preset in ("shopify", "zalo-oa"):
        await shop.define(preset)
    refund = case("shopify", "a refund, which names its order only")
    order, paid = case("shopify", "an order"), case("shopify", "paid")
    for one in (refund, paid, order, order, refund, case("zalo-oa", "shared contact details")):
        await shop.deliver(one)

    async def whole() -> Any:
        found = await shop.person("shopify_customer_id:7364829103")
        assert {"Order Refunded", "Order Completed", "Order Paid", "Lead Submitted"} == _names(found)
        return found

    found = await eventually(whole, timeout=30)
    times = {one["name"]: one["at"] for one in found["events"]}
    assert times["Order Completed"] == "2026-11-21T08:30:00.000Z"
    assert len(found["events"]) == 4
    same = [await shop.person(f"{kind}:{value}") for kind, value in PEOPLE]
    assert {one["profile_id"] for one in same} == {found["profile_id"]}
    counts = await shop.counts("shopify")
    assert (counts["accepted"], counts["stored"], counts["duplicate"]) == (5, 3, 2)


def _names(profile: Any) -> set[str]:
    return {one["name"] for one in profile["events"]}


async def test_the_command_line_tries_a_payload(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cdp webhook try` prints what a file would become, by a preset or by a source; `presets` lists the platforms."""
    await shop.define("pos")
    file = tmp_path / "sale.json"
    file.write_bytes(case("pos", "a sale").body)

    async def said(*words: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["cdp", "webhook", *words, "--json", "--url", shop.url, "--token", shop.token])
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(run)
        assert ended.value.code == 0
        return json.loads(capsys.readouterr().out)

    assert [one["name"] for one in await said("presets")] == list(presets())
    assert (await said("preset", "stripe"))["title"] == "Stripe"
    for words in (("--preset", "pos"), ("--source", "pos", "--header", "X-Any: thing")):
        [one] = (await said("try", str(file), *words))["events"]
        assert (one["outcome"], one["event"]["event"]) == ("accepted", "Order Completed")
