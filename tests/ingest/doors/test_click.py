"""Clicks that are recorded and led on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from cdp.errors import TransientError
from cdp.registry import Registry
from ingest.collector import Collector
from ingest.doors import click
from ingest.metrics import FIGURES
from ingest.source import KIND
from ingest.testing import Client, Reply, set_aside, stored
from tests.ingest.conftest import WRITE_KEY
from tests.ingest.test_signatures import SECRET, signed
from tests.waiting import eventually

SHOP = "https://shop.vn/ao-dai"


@pytest.fixture
async def visitor(collector: Collector, registry: Registry) -> Client:
    """Somebody with a link of the source `shop`, which allows shop.vn and its subdomains."""
    entry = registry.get(KIND, "shop")
    await registry.put(KIND, "shop", entry.body | {"redirect_hosts": ["shop.vn", "*.shop.vn"]})
    return Client(collector)


async def follow(
    visitor: Client, target: str = SHOP, *, method: str = "GET", headers: Any = None, **query: str
) -> Reply:
    """Click."""
    asked = urlencode({"writeKey": WRITE_KEY, "url": target, **query})
    return await visitor.ask(method, f"/v1/click?{asked}", headers)


def lost(reason: str) -> int:
    """How many clicks were lost for a reason so far."""
    return FIGURES.unrecorded[reason]


async def test_a_click_is_recorded_and_led_on(visitor: Client, log: Any) -> None:
    """The event holds where the link stood and led to, and its ids; the answer is kept nowhere."""
    query = {"userId": "lan", "link_id": "nut-mua", "properties.position": "2", "fbclid": "F-1", "utm_source": "zalo"}
    reply = await follow(visitor, headers={"User-Agent": "Mozilla/5.0 X", "Referer": "https://blog.vn/"}, **query)
    assert (reply.status, reply.body) == (302, b"")
    assert reply.headers["location"] == f"{SHOP}?fbclid=F-1&utm_source=zalo"
    assert "no-store" in reply.headers["cache-control"]
    assert reply.headers["referrer-policy"] == "strict-origin-when-cross-origin"
    [one] = await stored(log)
    assert (one.event.type, one.body["event"], one.body["userId"]) == ("track", "Link Clicked", "lan")
    assert one.body["properties"] == {"link_id": "nut-mua", "position": "2", "link_url": SHOP}
    assert one.body["context"] == {
        "campaign": {"source": "zalo"},
        "click_ids": {"fbclid": "F-1"},
        "userAgent": "Mozilla/5.0 X",
        "page": {"url": "https://blog.vn/"},
    }


@pytest.mark.parametrize(
    ("query", "target", "name"),
    [
        ({}, SHOP, "Link Clicked"),
        ({"gclid": "G"}, SHOP, "Ad Clicked"),
        ({}, f"{SHOP}?ttclid=T", "Ad Clicked"),
        ({"utm_medium": "CPC"}, SHOP, "Ad Clicked"),
        ({"fbclid": "F"}, SHOP, "Link Clicked"),
        ({"email_id": "tet"}, SHOP, "Email Link Clicked"),
        ({}, f"{SHOP}?utm_medium=email", "Email Link Clicked"),
        ({"event": "Đã bấm", "gclid": "G"}, SHOP, "Đã bấm"),
    ],
)
async def test_names(visitor: Client, log: Any, query: dict[str, str], target: str, name: str) -> None:
    """A click is named by where its link stood, unless it says its name."""
    assert (await follow(visitor, target, **query)).status == 302
    [one] = await stored(log)
    assert one.body["event"] == name


async def test_the_target_keeps_what_it_has(visitor: Client, log: Any) -> None:
    """Click ids and utm_… are handed on only where the target says nothing; the event knows both."""
    reply = await follow(visitor, f"{SHOP}?utm_source=mail&gclid=own#top", gclid="other", utm_term="áo")
    assert reply.headers["location"] == f"{SHOP}?utm_source=mail&gclid=own&utm_term=%C3%A1o#top"


async def test_the_visitors_id_is_passed_if_asked(visitor: Client, log: Any) -> None:
    """With `pass_id` the page that is led to learns the anonymous id of the event, made for it if there was none."""
    reply = await follow(visitor, pass_id="1", anonymousId="a-1")
    assert reply.headers["location"] == f"{SHOP}?cdp_aid=a-1"
    reply = await follow(visitor, pass_id="1", userId="lan")
    passed = dict(parse_qsl(urlsplit(reply.headers["location"]).query))["cdp_aid"]
    assert (await follow(visitor, anonymousId="a-2")).headers["location"] == SHOP
    assert [one.body["anonymousId"] for one in await stored(log)] == unordered("a-1", passed, "a-2")


def unordered(*values: str) -> Any:
    """Equal to a list with these values in any order."""

    class Same(list[str]):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, list) and sorted(other) == sorted(self)

        __hash__ = None  # type: ignore[assignment]

    return Same(values)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "https://evil.vn/",
            "//evil.vn",
            "https://shop.vn@evil.vn",
            "https://shop.vn\\@evil.vn",
            "javascript:alert(1)",
        ),
        *("https://shop.vn/\r\nSet-Cookie: a=b", "data:text/html,<script>alert(1)</script>", "https://shop.vn.", ""),
        *("https%3A%2F%2Fshop.vn", "https://shop\u3002vn.evil.vn", "https://shop.vn:444/"),
    ],
)
async def test_refused(visitor: Client, log: Any, target: str) -> None:
    """A target that is not allowed answers a plain page that names no address, and records nothing."""
    reply = await follow(visitor, target, userId="lan")
    assert reply.status == 400
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert "location" not in reply.headers
    assert b"evil" not in reply.body
    assert b"http" not in reply.body
    assert b"<" not in reply.body
    assert await stored(log) == []


async def test_scanners_leave_no_trace(visitor: Client, log: Any) -> None:
    """HEAD is led on, and records nothing."""
    reply = await follow(visitor, method="HEAD", userId="lan")
    assert (reply.status, reply.headers["location"]) == (302, SHOP)
    assert (await follow(visitor, "https://evil.vn", method="HEAD")).status == 400
    assert await stored(log) == []


async def test_mails_outlive_write_keys(visitor: Client, registry: Registry, log: Any) -> None:
    """A link whose key is gone still leads to where some source allows, and nowhere else; the loss is counted."""
    before = lost("unknown_write_key")
    assert (await follow(visitor, writeKey="wk_of_last_year")).headers["location"] == SHOP
    assert (await follow(visitor, "https://evil.vn", writeKey="wk_of_last_year")).status == 400
    assert lost("unknown_write_key") == before + 1
    entry = registry.get(KIND, "shop")
    await registry.put(KIND, "shop", entry.body | {"enabled": False})
    assert (await follow(visitor)).status == 400
    assert await stored(log) == []


async def test_a_source_allows_its_own(visitor: Client, registry: Registry) -> None:
    """What one source allows is not allowed to another's links."""
    key = {"key": "wk_other_0123456789", "created_at": 0}
    await registry.put(KIND, "other", {"name": "Other", "write_keys": [key], "redirect_hosts": ["other.vn"]})
    assert (await follow(visitor, "https://other.vn/")).status == 400
    assert (await follow(visitor, "https://other.vn/", writeKey=key["key"])).status == 302


@pytest.fixture
async def slow(log: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """A log that takes nothing before the event is set; nobody waits for it longer than a moment."""
    go, append = asyncio.Event(), log.append

    async def later(drafts: Any) -> Any:
        await go.wait()
        return await append(drafts)

    monkeypatch.setattr(log, "append", later)
    monkeypatch.setattr(click, "PATIENCE", 0.01)
    yield go
    go.set()


async def test_nobody_waits_for_a_slow_log(visitor: Client, log: Any, slow: asyncio.Event) -> None:
    """Whoever clicked is led on; the event is written when the log takes it."""
    assert (await follow(visitor, userId="lan")).headers["location"] == SHOP
    slow.set()
    await eventually(lambda: _some(log))


async def _some(log: Any) -> bool:
    return len(await stored(log)) == 1


async def test_a_log_that_is_away(visitor: Client, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever clicked is led on; the loss is counted."""

    async def append(drafts: Any) -> list[int]:
        raise TransientError("away")

    monkeypatch.setattr(log, "append", append)
    before = lost("unavailable")
    assert (await follow(visitor, userId="lan")).headers["location"] == SHOP
    assert lost("unavailable") == before + 1


async def test_too_many_at_once(visitor: Client, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound events that wait are given up, and counted; people are led on all the same."""
    monkeypatch.setattr(click, "MOST_LATE", 1)
    before = lost("overloaded")
    replies = await asyncio.gather(*(follow(visitor, userId=f"u-{number}") for number in range(3)))
    assert [reply.status for reply in replies] == [302, 302, 302]
    await asyncio.sleep(0)
    assert lost("overloaded") == before + 2


async def test_a_collector_that_is_full_or_stops(visitor: Client, collector: Collector, log: Any) -> None:
    """A collector with no room for another request leads on, and counts; it leads nowhere else for that."""
    await collector.stop()
    before = lost("overloaded")
    assert (await follow(visitor, userId="lan")).headers["location"] == SHOP
    assert (await follow(visitor, "https://evil.vn")).status == 400
    assert lost("overloaded") == before + 1
    assert await stored(log) == []


async def test_signed_identity(visitor: Client, registry: Registry, log: Any) -> None:
    """Where a source enforces it, the link's `context.identity.signature` proves who it is of; all are led on."""
    rules = {"mode": "enforce", "method": "hmac", "secrets": [SECRET]}
    await registry.put(KIND, "shop", registry.get(KIND, "shop").body | {"identity": rules})
    proof = {"context.identity.signature": signed("lan")}
    assert (await follow(visitor, userId="lan", **proof)).status == 302
    assert (await follow(visitor, userId="nam", **proof)).status == 302
    [one] = await stored(log)
    assert one.body["userId"] == "lan"
    assert "identity" not in one.body.get("context", {})
    [aside] = await set_aside(log)
    assert aside.code == "unsigned_identity"


@pytest.mark.parametrize(
    "query", ["context=x", "properties=x", "data=%25", "type=page&name=x", "userId=" + "x" * 9_000, "event="]
)
async def test_odd_parameters(visitor: Client, query: str) -> None:
    """No parameter stops whoever clicked."""
    reply = await visitor.ask("GET", f"/v1/click?writeKey={WRITE_KEY}&{query}&url={SHOP}")
    assert (reply.status, reply.headers["location"]) == (302, SHOP)
