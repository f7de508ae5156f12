"""Tests of the API of webhooks: presets, trials, and a source's webhook as it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cdp.service import Platform
from cdp.topics import EVENTS_RAW
from cdp.vault import MASK
from ingest.service import router
from ingest.webhooks.presets import presets
from tests.cdp.apps import add_token, api
from tests.ingest.webhooks.senders import SECRET, cases

TRY = "/api/v1/webhooks/try"


@pytest.fixture
async def http(ground: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with the admin's token."""
    async with api(ground, routers=[router]) as client:
        yield client


async def test_presets_are_listed_and_read(http: httpx.AsyncClient) -> None:
    """Each preset says what it follows, how it signs and what it makes; an unknown one is 404."""
    listed = (await http.get("/api/v1/webhooks/presets")).json()
    assert [one["name"] for one in listed["items"]] == list(presets())
    assert listed["next"] is None
    one = (await http.get("/api/v1/webhooks/presets/stripe")).json()
    assert one["signature"]["tolerance_seconds"] == 300
    assert one["mapping"]["events"][0]["event"] == "Order Completed"
    assert (await http.get("/api/v1/webhooks/presets/nobody")).status_code == 404


async def test_a_sample_is_tried_and_nothing_stored(http: httpx.AsyncClient, log: Any) -> None:
    """Each recorded payload tells the events it would become, what would be kept aside, and what is ignored."""
    ends = await log.end_offsets(EVENTS_RAW)
    for case in cases():
        kind = {"text": case.body.decode()}
        answer = await http.post(
            TRY, json={"preset": case.preset, "headers": case.headers, "fetched": case.fetched} | kind
        )
        assert answer.status_code == 200, answer.text
        outcomes = [one["outcome"] for one in answer.json()["events"]]
        wanted = ["ignored" if one is None else "quarantined" if "code" in one else "accepted" for one in case.events]
        assert wanted == outcomes
    assert ends == await log.end_offsets(EVENTS_RAW)


async def test_a_mapping_of_one_s_own_is_tried(http: httpx.AsyncClient) -> None:
    """Rules are numbered as they are tried: own ones first; -1 where none fits."""
    mapping = {"events": [{"when": {"kind": "a"}, "event": "A {n}", "user_id": "who"}], "user_id": "who"}
    answer = await http.post(TRY, json={"mapping": mapping, "payload": {"kind": "a", "n": 5, "who": "lan"}})
    [one] = answer.json()["events"]
    assert (one["rule"], one["event"]["event"], one["event"]["userId"]) == (0, "A 5", "lan")
    answer = await http.post(TRY, json={"mapping": mapping, "payload": {"kind": "b"}})
    [one] = answer.json()["events"]
    assert (one["rule"], one["outcome"], one["code"]) == (-1, "quarantined", "missing_identity")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"preset": "nobody", "payload": {}}, "preset"),
        ({}, "payload"),
        ({"payload": {}, "text": "{}"}, "payload"),
        ({"payload": {}, "mapping": {"timestamp": "a |"}}, "mapping.timestamp"),
    ],
)
async def test_a_wrong_trial_says_where(body: dict[str, Any], path: str, http: httpx.AsyncClient) -> None:
    """A fault is told with its path; an unreadable sample is no fault of the trial."""
    answer = await http.post(TRY, json=body)
    assert (answer.status_code, answer.json()["error"]["path"]) == (404 if path == "preset" else 400, path)
    broken = (await http.post(TRY, json={"text": "{"})).json()["events"]
    assert [(one["outcome"], one["code"]) for one in broken] == [("quarantined", "invalid_json")]


async def test_trying_needs_the_right_to_write(ground: Platform, http: httpx.AsyncClient) -> None:
    """A token that may only read sources reads presets, and tries nothing."""
    await add_token(ground, "cdp_reader", "sources:read")
    headers = {"Authorization": "Bearer cdp_reader"}
    assert (await http.get("/api/v1/webhooks/presets", headers=headers)).status_code == 200
    assert (await http.post(TRY, json={"payload": {}}, headers=headers)).status_code == 403


async def test_a_source_shows_no_secret_and_takes_its_mask_back(http: httpx.AsyncClient) -> None:
    """Secrets are masks in every answer; what was read can be put again unchanged."""
    source = {"name": "Shop", "webhook": {"preset": "shopify", "signature": {"secrets": [SECRET]}}}
    made = await http.post("/api/v1/sources", json={"key": "shop-2", **source})
    assert made.status_code == 201, made.text
    shown = (await http.get("/api/v1/sources/shop-2")).json()
    assert shown["webhook"]["signature"]["secrets"] == [MASK]
    assert SECRET not in made.text + str(shown)
    again = await http.put("/api/v1/sources/shop-2", json={"name": "Shop", "webhook": shown["webhook"]})
    assert again.status_code == 200, again.text
    wrong = await http.put("/api/v1/sources/shop-2", json={"name": "Shop", "webhook": {"preset": "nobody"}})
    assert (wrong.status_code, wrong.json()["error"]["path"]) == (400, "webhook")
