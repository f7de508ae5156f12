"""Tests of the stored events as JSON lines."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest

from cdp import events
from cdp.anchors import anchor_key
from cdp.clock import MINUTE, to_decimal, to_text
from cdp.service import Platform
from cdp.testing import START
from tests.cdp.apps import api

ANCHOR, PROFILE = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def row(number: int, **change: Any) -> dict[str, Any]:
    """A stored event, received `number` minutes after the start."""
    moment = to_decimal(START + number * MINUTE)
    return {
        "anchor_id": ANCHOR,
        "at": moment,
        "received_at": moment,
        "source": "web",
        "message_id": f"m{number}",
        "type": "track",
        "name": "Order Completed",
        "user_id": "lan",
        "anonymous_id": "device",
        "group_id": "",
        "properties": '{"total":1850000}',
        "context": "{}",
        "traits": "",
        "trace_id": "4bf9",
        "log_partition": number % 3,
        "log_offset": number,
        "log_index": 0,
        **change,
    }


async def store(platform: Platform, *rows: dict[str, Any]) -> None:
    """Insert the rows."""
    lines = b"\n".join(orjson.dumps(one) for one in rows)
    await platform.warehouse.insert("events", list(rows[0]), lines)


async def lines(platform: Platform, **query: Any) -> list[dict[str, Any]]:
    """The events that the API gives."""
    async with api(platform) as http:
        answer = await http.get("/api/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.text.splitlines()]


async def test_a_line_is_the_event_in_both_spellings(platform: Platform) -> None:
    """It has our names, Segment's names, its objects as objects, and the profile its anchor belongs to now."""
    await store(platform, row(0))
    await platform.state.set(anchor_key(platform.settings.state.prefix, ANCHOR), uuid.UUID(PROFILE).bytes)

    assert await lines(platform) == [
        {
            "message_id": "m0",
            "anchor_id": ANCHOR,
            "profile_id": PROFILE,
            "source": "web",
            "type": "track",
            "name": "Order Completed",
            "at": to_text(START),
            "received_at": to_text(START),
            "trace_id": "4bf9",
            "log_partition": 0,
            "log_offset": 0,
            "log_index": 0,
            "properties": {"total": 1850000},
            "context": {},
            "traits": {},
            "messageId": "m0",
            "event": "Order Completed",
            "userId": "lan",
            "anonymousId": "device",
            "timestamp": to_text(START),
            "receivedAt": to_text(START),
        }
    ]


async def test_a_page_has_a_name_and_no_event(platform: Platform) -> None:
    """Segment's spelling calls a track's name `event` and a page's name `name`."""
    await store(platform, row(0, type="page", name="Trang chủ"))
    [line] = await lines(platform)

    assert "event" not in line
    assert line["name"] == "Trang chủ"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["m4", "m3", "m2", "m1", "m0"]),
        ({"order": "oldest"}, ["m0", "m1", "m2", "m3", "m4"]),
        ({"limit": 2}, ["m4", "m3"]),
        ({"limit": 2, "order": "oldest"}, ["m0", "m1"]),
        ({"source": "app"}, ["m1"]),
        ({"type": "page"}, ["m2"]),
        ({"event": "Signed Up"}, ["m3"]),
        ({"message_id": "m4"}, ["m4"]),
        ({"message_id": "m4", "source": "app"}, []),
        ({"since": to_text(START + 3 * MINUTE)}, ["m4", "m3"]),
        ({"until": to_text(START + 3 * MINUTE), "since": to_text(START + MINUTE)}, ["m2", "m1"]),
        ({"event": "' OR 1=1 --"}, []),
    ],
)
async def test_filters_and_order(platform: Platform, query: dict[str, Any], expected: list[str]) -> None:
    """Each filter narrows; `since` is included, `until` is not; the order is that of receipt."""
    await store(platform, row(0), row(1, source="app"), row(2, type="page"), row(3, name="Signed Up"), row(4))

    assert [line["message_id"] for line in await lines(platform, **query)] == expected


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_every_event_comes_once_however_small_the_chunks(
    platform: Platform, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that end between events of the same moment neither lose nor repeat any."""
    monkeypatch.setattr(events, "FIRST_ROWS", 7)
    monkeypatch.setattr(events, "CHUNK_BYTES", 3_000)
    same = [
        row(number // 10, message_id=f"m{number}", log_partition=number % 3, log_offset=number // 7, log_index=number)
        for number in range(60)
    ]
    await store(platform, *same)
    found = [line["message_id"] for line in await lines(platform, order=order, limit=50)]
    everything = [line["message_id"] for line in await lines(platform, order=order, limit=1_000)]

    assert sorted(everything) == sorted(one["message_id"] for one in same)
    assert found == everything[:50]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"limit": 0}, "limit"),
        ({"order": "sideways"}, "order"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-22T00:00:00Z", "until": "2026-11-21T00:00:00Z"}, "since"),
    ],
)
async def test_a_wrong_question_is_refused(platform: Platform, query: dict[str, Any], path: str) -> None:
    """The path names the parameter."""
    async with api(platform) as http:
        answer = await http.get("/api/v1/events", params=query)

    assert (answer.status_code, answer.json()["error"]["path"]) == (400, path)


async def test_no_events_are_no_lines(platform: Platform) -> None:
    """An empty warehouse is an empty answer, not an error."""
    assert await lines(platform) == []
