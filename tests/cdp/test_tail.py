"""Tests of the live view: what each stage shows, what filters let through, and how clients come and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from cdp.auth import digest, platform
from cdp.errors import TransientError
from cdp.http import HttpServer
from cdp.records import (
    Deliveries,
    Delivery,
    QuarantinedBatch,
    QuarantinedEvent,
    RawBatch,
    ResolvedBatch,
    ResolvedEvent,
    SegmentChange,
    SegmentChanges,
    encode,
)
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import HttpSettings, Settings
from cdp.stages import lines_of
from cdp.streams.base import Draft, Log, Message
from cdp.tail import QUEUE, Client, Stream, Tail, router
from cdp.testing import FrozenClock, accepted_event
from cdp.topics import DELIVERIES, EVENTS_QUARANTINED, EVENTS_RAW, EVENTS_RESOLVED, SEGMENTS_CHANGES, Topic
from tests.waiting import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROFILE = "0b1f0000-0000-0000-0000-000000000001"
ORDER = {"type": "track", "event": "Order Completed", "userId": "lan", "anonymousId": "device"}


def raw(source: str = "web", trace_id: str = TRACE, body: Any = ORDER) -> RawBatch:
    """One track event."""
    return RawBatch(source, trace_id, 1, [accepted_event(body, "m1")])


RECORDS: dict[Topic, Any] = {
    EVENTS_RAW: raw(),
    EVENTS_QUARANTINED: QuarantinedBatch(
        [QuarantinedEvent("q1", "web", TRACE, 1, "no_type", "No type.", "{}", "type")]
    ),
    EVENTS_RESOLVED: ResolvedBatch(
        [ResolvedEvent(0, 0, "web", TRACE, 1, "m1", "track", 1, PROFILE, PROFILE, "Order Completed", "lan", "device")]
    ),
    SEGMENTS_CHANGES: SegmentChanges([SegmentChange("vip", PROFILE, "entered", 1, 1, trace_id=TRACE)]),
    DELIVERIES: Deliveries(
        [Delivery("d1", "hook", "webhook", "vip", PROFILE, 1, "add", "delivered", 1, 1, trace_id=TRACE)]
    ),
}
STAGES = ["raw", "quarantined", "resolved", "membership", "delivery"]


def message(topic: Topic, record: Any) -> Message:
    """The record as it lies on the log."""
    return Message(topic.name, 0, 0, 1, encode(record))


WALK = [line for topic, record in RECORDS.items() for line in lines_of(message(topic, record))]


def passed(filters: dict[str, str], lines: list[dict[str, Any]] = WALK) -> list[str]:
    """The stages of the lines that a client with these filters is given."""
    client = Client(filters)
    for line in lines:
        client.offer(line)
    return [line["stage"] for line in client.waiting() if line]


def test_each_record_is_a_line_with_its_stage_and_trace() -> None:
    """The five topics are the five stages, and all show the trace."""
    assert [line["stage"] for line in WALK] == STAGES
    assert {line["trace_id"] for line in WALK} == {TRACE}
    assert WALK[0] == {
        "stage": "raw",
        "trace_id": TRACE,
        "at": 1,
        "source": "web",
        "type": "track",
        "message_id": "m1",
        "event": "Order Completed",
        "user_id": "lan",
        "anonymous_id": "device",
    }


@pytest.mark.parametrize("body", [{}, {"event": None, "userId": None}])
def test_an_event_without_names_is_shown(body: Any) -> None:
    """Whatever is missing, the raw line is shown."""
    [line] = lines_of(message(EVENTS_RAW, raw(body=body)))

    assert (line["event"], line["user_id"]) == ("", "")


def test_without_filters_everything_passes() -> None:
    """A client without filters sees the whole walk."""
    assert passed({}) == STAGES


@pytest.mark.parametrize(
    ("filters", "stages"),
    [
        ({"source": "web"}, STAGES),
        ({"source": "app"}, []),
        ({"event": "Order Completed"}, STAGES),
        ({"type": "page"}, []),
        ({"profile_id": PROFILE}, ["resolved", "membership", "delivery"]),
        ({"segment": "vip"}, ["membership", "delivery"]),
        ({"destination": "hook"}, ["delivery"]),
        ({"trace_id": TRACE}, STAGES),
        ({"trace_id": "other"}, []),
        ({"stage": "membership"}, ["membership"]),
        ({"stage": "delivery", "source": "web"}, ["delivery"]),
        ({"stage": "delivery", "source": "app"}, []),
    ],
)
def test_filters(filters: dict[str, str], stages: list[str]) -> None:
    """A stage that cannot answer a filter shows what follows from a line that passed."""
    assert passed(filters) == stages


FIELDS = ["source", "type", "event", "profile_id", "segment", "destination", "trace_id"]


@given(
    filters=st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(["web", "vip", "track", PROFILE, TRACE])),
    lines=st.permutations(WALK),
)
def test_a_line_that_contradicts_a_filter_never_passes(filters: dict[str, str], lines: list[dict[str, Any]]) -> None:
    """Whatever came before, a line whose own field differs from the filter is not shown."""
    shown = passed(filters, lines)

    contradicted = {
        line["stage"] for line in WALK if any(line.get(f, wanted) != wanted for f, wanted in filters.items())
    }
    assert not contradicted & set(shown)


def test_a_client_that_does_not_read_is_cut() -> None:
    """Its queue is emptied, and nothing is kept for it any more."""
    client = Client({})
    for _ in range(QUEUE + 5):
        client.offer(WALK[0])

    assert client.cut.is_set()
    assert client.waiting() == []


async def append(log: Log, topic: Topic, record: Any) -> None:
    """Put the record on partition 0."""
    await log.append([Draft(topic.name, 0, encode(record))])


async def test_clients_share_one_reader_and_see_only_what_comes_after_them(log: Log) -> None:
    """What was appended before a client came is not shown to it; the last client's leaving ends the reading."""
    tail = Tail(log)
    await append(log, EVENTS_RAW, raw(trace_id="before"))
    async with tail.watch({}) as first:
        await append(log, EVENTS_RAW, raw(trace_id="between"))
        assert (await first.next(5))["trace_id"] == "between"  # type: ignore[index]
        async with tail.watch({}) as second:
            await append(log, EVENTS_RAW, raw(trace_id="after"))
            assert (await first.next(5))["trace_id"] == "after"  # type: ignore[index]
            assert (await second.next(5))["trace_id"] == "after"  # type: ignore[index]
        assert reading()
    assert not reading()


def reading() -> bool:
    """Whether some tail reads the log."""
    return any(task.get_name() == "tail" for task in asyncio.all_tasks())


async def test_an_unreadable_message_hides_no_other(log: Log) -> None:
    """What is no record is passed over."""
    tail = Tail(log)
    async with tail.watch({}) as client:
        await log.append([Draft(EVENTS_RAW.name, 0, b"{")])
        await append(log, EVENTS_RAW, raw())
        assert (await client.next(5))["stage"] == "raw"  # type: ignore[index]
    await tail.close()


async def test_closing_ends_every_stream_and_lets_nobody_in(log: Log) -> None:
    """A client gets the end; a new one is told to come back."""
    tail = Tail(log)
    async with tail.watch({}) as client:
        await tail.close()
        assert await client.next(5) is None
    with pytest.raises(TransientError):
        async with tail.watch({}):
            pass


async def test_a_stuck_client_is_let_go(log: Log) -> None:
    """A client whose connection takes nothing more ends once its queue is full; others are not held up."""
    tail = Tail(log)
    sent: list[Any] = []

    async def send(piece: Any) -> None:
        sent.append(piece)
        if len(sent) > 2:
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    stuck = asyncio.create_task(Stream(tail, {})({}, receive, send))
    await eventually(lambda: len(sent) == 2)
    event = accepted_event({}, "m")
    for _ in range(3):
        await append(log, EVENTS_RAW, RawBatch("web", TRACE, 1, [event] * QUEUE))
    await asyncio.wait_for(stuck, 20)


@pytest.fixture
def tail(log: Log) -> Tail:
    """A tail of this test's log."""
    return Tail(log)


@pytest.fixture
async def served(
    settings: Settings, log: Log, registry: Registry, clock: FrozenClock, tail: Tail
) -> AsyncIterator[HttpServer]:
    """The tail's route on a real socket; the token `cdp_t` may use it."""
    await registry.put("token", "t", {"name": "t", "sha256": digest("cdp_t"), "scopes": ["tail:read"]})
    app = FastAPI()
    app.include_router(router)
    app.state.tail = tail
    app.dependency_overrides[platform] = lambda: Platform(settings, clock, log, registry)
    server = HttpServer(HttpSettings(port=0))
    await server.start(app)  # type: ignore[arg-type]
    yield server
    await tail.close()
    await server.stop()
    server.release()


async def test_over_http_it_is_a_stream_of_server_sent_events(served: HttpServer, log: Log) -> None:
    """Each line is an event named after its stage; a client that goes away ends the reading."""
    headers = {"Authorization": "Bearer cdp_t"}
    async with (
        httpx.AsyncClient(base_url=served.url, headers=headers) as http,
        http.stream("GET", "/api/v1/tail", params={"source": "web"}) as answer,
    ):
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        for topic, record in RECORDS.items():
            await append(log, topic, record)
        lines = answer.aiter_lines()
        seen = {}
        while len(seen) < len(STAGES):
            line = await anext(lines)
            if line.startswith("event: "):
                seen[line.removeprefix("event: ")] = json.loads((await anext(lines)).removeprefix("data: "))
    assert seen == {line["stage"]: line for line in WALK}
    await eventually(lambda: not reading())


async def test_stopping_the_service_ends_the_streams(served: HttpServer, tail: Tail) -> None:
    """A client's stream ends by itself, whole, when the service stops."""
    headers = {"Authorization": "Bearer cdp_t"}
    async with (
        httpx.AsyncClient(base_url=served.url, headers=headers) as http,
        http.stream("GET", "/api/v1/tail") as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == ": watching"
        await tail.close()
        assert [line async for line in lines] == [""]
