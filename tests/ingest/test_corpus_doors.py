"""Bad input at every door: no 500, nobody waits, no secret is told, and whoever comes next is served."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import orjson
import pytest
from structlog.testing import capture_logs

from cdp.records import QuarantinedEvent, decode_quarantined, decode_raw
from cdp.registry import Registry
from cdp.service import Platform
from cdp.streams.base import Message
from cdp.testing import FrozenClock
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW
from cdp.vault import open_vault
from ingest.collector import Collector
from ingest.source import KIND, SourceBody
from ingest.source import stored as kept
from ingest.testing import Client, Reply, Stored, ensure_source
from tests.ingest.conftest import WRITE_KEY
from tests.ingest.corpus_doors import BODY, DOORS, KEY, SECRETS, SOURCE, Knock

NEIGHBOUR = {"event": "Neighbour", "anonymousId": "n-1"}


@pytest.fixture
async def doors(ground: Platform, registry: Registry, clock: FrozenClock) -> Collector:
    """A collector with a source that has everything, one that has nothing, and the one of other tests."""
    await ensure_source(registry, "wk_plain_0123456789", "test", clock=clock, key="plain")
    entry = await ensure_source(registry, KEY, "test", clock=clock, key=SOURCE)
    body = kept(SourceBody.model_validate(BODY), lambda: open_vault(ground.settings), SOURCE, {})
    await registry.put(KIND, SOURCE, entry.body | body)
    gateway = Collector(ground)
    await gateway.start()
    return gateway


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    """A case is found by its name."""
    assert len(DOORS) >= 200
    assert len({case.name for case in DOORS}) == len(DOORS)


class Follower:
    """Tells what came to the log since it was asked last."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._reader: Any = None
        self._read = 0

    async def news(self) -> tuple[list[Stored], list[QuarantinedEvent]]:
        """Accepted events, and those set aside."""
        topics = (EVENTS_RAW, EVENTS_QUARANTINED)
        self._reader = self._reader or await self._log.reader(topics, start="earliest")
        messages: list[Message] = []
        wanted = sum([sum((await self._log.end_offsets(topic)).values()) for topic in topics])
        while self._read + len(messages) < wanted:
            messages += await self._reader.read(limit=10_000, timeout=5)
        self._read += len(messages)
        raw = [message for message in messages if message.topic == EVENTS_RAW.name]
        aside = [message for message in messages if message.topic == EVENTS_QUARANTINED.name]
        return (
            [
                Stored(one.partition, batch, event)
                for one in raw
                for batch in decode_raw(one.value)
                for event in batch.events
            ],
            [event for one in aside for event in decode_quarantined(one.value).events],
        )


@pytest.mark.parametrize("door", sorted({case.door for case in DOORS}))
async def test_door(door: str, doors: Collector, log: Any) -> None:
    """What must become of each case, becomes of it; and it leaves no trace but what it brought."""
    problems, follower = [], Follower(log)
    for case in (one for one in DOORS if one.door == door):
        try:
            await _knock(case, doors, follower)
        except (AssertionError, TimeoutError) as error:
            problems.append(f"{case.name}: {error or 'it took too long'}")
    assert not problems, "\n\n".join(problems)


async def _knock(case: Knock, doors: Collector, follower: Follower) -> None:
    # A server unquotes the path, and nothing but the path.
    path, mark, query = case.path.partition("?")
    with capture_logs() as lines:
        async with asyncio.timeout(20):
            reply = await Client(doors).ask(case.method, unquote(path) + mark + query, case.headers, case.parts)
    kept, aside = await follower.news()

    assert reply.status in case.statuses, (reply.status, reply.body[:500])
    assert not case.code or reply.json()["code"] == case.code
    assert case.stored is None or case.stored == len(kept), (case.stored, len(kept))
    _check_answer(reply)
    _check_stored(kept)
    told = [reply.body, repr(reply.headers).encode(), repr(lines).encode()]
    told += [event.body.encode() + event.reason.encode() for event in aside]
    sent = b"".join(part or b"" for part in case.parts)
    for secret in (one.encode() for one in SECRETS):
        assert secret in sent or not any(secret in one for one in told)
    assert not [line for line in lines if line["log_level"] in ("error", "critical")], lines
    assert doors._in_flight == 0
    assert (await Client(doors, WRITE_KEY).post("/v1/track", NEIGHBOUR)).status == 200
    neighbours, _ = await follower.news()
    assert [one.event.event for one in neighbours] == ["Neighbour"]


def _check_answer(reply: Reply) -> None:
    """Headers cannot be forged; an error tells what and why; a click leads nowhere but where the source allows."""
    assert not any("\r" in value or "\n" in value for value in reply.headers.values())
    if reply.status >= 400 and reply.headers["content-type"] == "application/json":
        answer = reply.json()
        assert answer["success"] is False
        assert answer["code"] and answer["message"]
        assert len(reply.body) < 5_000, "what was sent is not echoed at length"
    if reply.status == 302:
        host = urlsplit(reply.headers["location"]).hostname or ""
        assert host == "shop.vn" or host.endswith(".shop.vn"), reply.headers["location"]
        assert urlsplit(reply.headers["location"]).scheme in ("http", "https")


def _check_stored(found: list[Stored]) -> None:
    """Every event that was taken can be read by everyone, and nobody is verified who was not."""
    for one in found:
        raw = bytes(one.event.body)
        assert msgspec.json.decode(raw).keys() == orjson.loads(raw).keys()
        assert one.event.user_id or one.event.anonymous_id
        assert one.event.verified in (None, True)
