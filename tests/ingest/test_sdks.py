"""Recorded requests of official SDKs, byte for byte: each is answered as its SDK needs, each event kept once."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from cdp.records import partition_of
from cdp.registry import Registry
from cdp.settings import Settings
from cdp.testing import FrozenClock
from ingest.collector import Collector
from ingest.testing import Client, ensure_source, set_aside, stored

RECORDINGS = {
    file.stem: json.loads(file.read_text("utf-8"))["requests"]
    for file in sorted(Path(__file__).parent.joinpath("fixtures").glob("*.json"))
}
WRITE_KEY = "fixture-write-key"


@pytest.mark.parametrize("sdk", RECORDINGS)
async def test_recorded_requests(
    sdk: str, collector: Collector, registry: Registry, clock: FrozenClock, log: Any, settings: Settings
) -> None:
    """Exactly 200 for what is sent, settings that lead back here, preflights that allow what is asked."""
    await ensure_source(registry, WRITE_KEY, "test", clock=clock, key="sdk")
    client = Client(collector)
    expected = []
    for request in RECORDINGS[sdk]:
        path = request["path"] + (f"?{urlencode(request['query'])}" if request["query"] else "")
        body = base64.b64decode(request.get("body_base64", "")) or request.get("body", "").encode()
        reply = await client.ask(request["method"], path, request["headers"], [body])

        if request["method"] == "OPTIONS":
            assert reply.status == 204
            asked = request["headers"]["access-control-request-headers"].split(",")
            assert set(asked) <= set(reply.headers["access-control-allow-headers"].split(", "))
        else:
            assert (reply.status, isinstance(reply.json(), dict)) == (200, True), reply.body
        if "origin" in request["headers"]:
            assert reply.headers["access-control-allow-origin"] == request["headers"]["origin"]
        expected += request["events"]

    kept = await stored(log)
    assert await set_aside(log) == []
    assert sorted(event["messageId"] for event in expected) == sorted(one.event.id for one in kept)
    sent = {event["messageId"]: event for event in expected}
    for one in kept:
        event = sent[one.event.id]
        key = event.get("anonymousId") or event["userId"]
        assert one.event.type == event["type"]
        assert (one.batch.source, one.partition) == ("sdk", partition_of(key, settings.log.partitions))


def test_recordings_are_there() -> None:
    """Every SDK of the facts is covered."""
    assert len(RECORDINGS) == 8
