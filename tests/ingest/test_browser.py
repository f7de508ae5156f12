"""Tests of cdp.js in a real Chromium, on a page of another origin."""

from __future__ import annotations

import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cdp.http import Front, HttpServer
from cdp.service import Platform
from cdp.settings import HttpSettings
from ingest.collector import Collector
from ingest.testing import Stored, stored
from tests.ingest.conftest import WRITE_KEY
from tests.parts import CHROMIUM_FLAGS, chromium
from tests.waiting import eventually

pytestmark = pytest.mark.browser
PAGE = """<!doctype html><title>Áo dài</title>
<script>(window.cdp = window.cdp || []).push(["track", "Early", {{n: 1}}])</script>
<script async src="{collector}/cdp.js" data-write-key="{key}"></script>"""


class Shop(http.server.BaseHTTPRequestHandler):
    """One page for every address."""

    page = ""

    def do_GET(self) -> None:
        """Answer the page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.page.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


class Away:
    """The collector, that can be away."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self.away = False
        self.refused = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or 503."""
        if self.away and scope["method"] == "POST":
            headers = [(b"access-control-allow-origin", b"*"), (b"retry-after", b"1"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body"})
            self.refused += 1
            return
        await self._collector(scope, receive, send)


@pytest.fixture
async def away(collector: Collector) -> Away:
    """The collector, at hand."""
    return Away(collector)


@pytest.fixture
async def address(away: Away) -> AsyncIterator[str]:
    """The collector, listening."""
    server = HttpServer(HttpSettings(port=0))
    await server.start(Front(away))
    yield server.url
    await server.stop()
    server.release()


@pytest.fixture
def shop(address: str) -> Iterator[str]:
    """A page with the snippet."""
    handler = type("Handler", (Shop,), {"page": PAGE.format(collector=address, key=WRITE_KEY)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/ao-dai?utm_source=zalo&utm_campaign=tet"
    server.shutdown()
    server.server_close()


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    """A tab."""
    from playwright.async_api import async_playwright

    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        yield await browser.new_page()
        await browser.close()


async def arrived(platform: Platform, count: int) -> dict[str, Stored]:
    """The events by messageId, once there are so many."""

    async def enough() -> dict[str, Stored]:
        found = {one.event.id: one for one in await stored(platform.log)}
        return found if len(found) >= count else {}

    return await eventually(enough, timeout=20)


async def test_the_story_of_a_visit(ground: Platform, shop: str, page: Any) -> None:
    """Page view by itself, calls made before loading, track, identify, group, alias; one device, then one user."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type in ("warning", "error") else None)
    await page.goto(shop)
    await page.wait_for_function("!!(window.cdp && window.cdp.track)")
    device = await page.evaluate("cdp.anonymousId()")
    await page.evaluate(
        """() => {
            cdp.identify("lan", {email: "lan@example.com"});
            cdp.track("Order Completed", {total: 1850000, name: "Áo dài lụa"});
            cdp.group("acme", {plan: "pro"});
            cdp.alias("lan-2");
        }"""
    )
    found = sorted((await arrived(ground, 6)).values(), key=lambda one: one.body["timestamp"])

    assert problems == [] or all("favicon" in problem for problem in problems)
    bodies = {one.body.get("event") or one.event.type: one.body for one in found}
    assert set(bodies) == {"page", "Early", "identify", "Order Completed", "group", "alias"}
    assert {body["anonymousId"] for body in bodies.values()} == {device}
    assert (bodies["page"].get("userId"), bodies["Order Completed"]["userId"]) == (None, "lan")
    assert bodies["page"]["properties"]["title"] == "Áo dài"
    assert bodies["page"]["context"]["campaign"] == {"source": "zalo", "name": "tet"}
    assert bodies["identify"]["traits"] == {"email": "lan@example.com"}
    assert bodies["alias"]["previousId"] == "lan"

    await page.reload()
    await page.wait_for_function("!!(window.cdp && window.cdp.track)")
    assert await page.evaluate("cdp.anonymousId()") == device
    await page.evaluate("cdp.identify('hung')")
    assert await page.evaluate("cdp.anonymousId()") != device, "another person at the same device"


async def test_nothing_is_lost_while_the_collector_is_away(ground: Platform, away: Away, shop: str, page: Any) -> None:
    """Events wait, also across a page that ends, and each arrives once the collector is back."""
    await page.goto(shop)
    await page.wait_for_function("!!(window.cdp && window.cdp.track)")
    await arrived(ground, 2)
    away.away = True
    await page.evaluate("cdp.track('While away', {n: 1})")
    await eventually(lambda: away.refused)
    await page.goto("about:blank")
    assert "While away" not in {one.body.get("event") for one in (await arrived(ground, 2)).values()}

    away.away = False
    await page.goto(shop)
    assert "While away" in {one.body.get("event") for one in (await arrived(ground, 5)).values()}


async def test_what_happens_last_is_sent_as_the_page_ends(ground: Platform, shop: str, page: Any) -> None:
    """A click that leaves the page is not lost."""
    await page.goto(shop)
    await page.wait_for_function("!!(window.cdp && window.cdp.track)")
    await page.evaluate("() => { cdp.track('Left', {}); location.href = 'about:blank'; }")
    assert "Left" in {one.body.get("event") for one in (await arrived(ground, 3)).values()}
