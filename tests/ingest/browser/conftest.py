"""One Chromium, one collector, one web server for all these tests; each has its source, its pages and its tabs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from cdp.clock import SystemClock
from cdp.http import Front, HttpServer
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import HttpSettings, Settings
from cdp.streams import open_log
from ingest.browser.builds import STUB
from ingest.collector import Collector
from ingest.source import KIND
from ingest.testing import Stored, stored
from tests.ingest.browser.pages import Page, Pages
from tests.ingest.browser.weather import Weather
from tests.parts import CHROMIUM_FLAGS, chromium
from tests.waiting import eventually

# Names of the web that lead here: cookies and sites behave as they do out there.
HOSTS = "--host-resolver-rules=MAP *.vn 127.0.0.1,MAP *.test 127.0.0.1"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium_browser() -> AsyncIterator[Any]:
    """A headless Chromium."""
    executable = chromium()
    from playwright.async_api import async_playwright

    async with async_playwright() as play:
        running = await play.chromium.launch(executable_path=executable, args=[*CHROMIUM_FLAGS, HOSTS])
        yield running
        with contextlib.suppress(TimeoutError):  # a browser on a busy machine may not end by itself; its driver ends it
            async with asyncio.timeout(20):
                await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def grounds(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """A log and a registry."""
    for name in [name for name in os.environ if name.startswith("CDP_")]:
        del os.environ[name]
    settings = Settings.load(data_dir=tmp_path_factory.mktemp("browser") / "cdp-data")
    clock = SystemClock()
    log = open_log(settings)
    await log.start()
    registry = Registry(log, clock)
    await registry.start()
    yield Platform(settings, clock, log, registry)
    await registry.close()
    await log.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(grounds: Platform) -> AsyncIterator[Collector]:
    """The collector of all sites."""
    collector = Collector(grounds)
    await collector.start()
    yield collector
    await collector.stop()


@pytest.fixture(scope="session")
def pages() -> Iterator[Pages]:
    """The shops' web server."""
    serving = Pages()
    yield serving
    serving.stop()


class Site:
    """A shop's site: its source, the way to the collector, its pages, and the tabs that look at them."""

    def __init__(self, ground: Platform, weather: Weather, server: HttpServer, pages: Pages, browser: Any) -> None:
        self.weather = weather
        self.pages = pages
        self.collector = f"http://localhost:{server.port}"
        self.key = f"site-{uuid.uuid4().hex[:12]}"
        self.write_key = f"wk_{self.key}"
        self.troubles: list[str] = []
        self._ground = ground
        self._browser = browser
        self._closing = AsyncExitStack()

    async def open(self, **body: Any) -> None:
        """Define the source."""
        write_keys = [{"key": self.write_key, "created_at": 0}]
        await self._ground.registry.put(KIND, self.key, {"name": "Shop", "write_keys": write_keys, **body}, by="test")

    def tag(self, attributes: str = "") -> str:
        """The element that loads the script."""
        return f'<script async src="{self.collector}/cdp.js" data-write-key="{self.write_key}" {attributes}></script>'

    def put_up(self, attributes: str = "", *, title: str = "Áo dài", head: str = "", body: str = "") -> str:
        """Put up a page with the snippet and `attributes`, and give its address on localhost."""
        html = (
            f"<!doctype html><meta charset=utf-8><title>{title}</title>{head}"
            f"<script>{STUB}</script>{self.tag(attributes)}<body>{body}"
        )
        return self.put(html)

    def put(self, html: str, **headers: str) -> str:
        """Put up a page as it is, and give its address on localhost."""
        name = uuid.uuid4().hex[:8]
        named = {header.replace("_", "-"): value for header, value in headers.items()}
        self.pages.known[name] = Page(html, named)
        return f"http://localhost:{self.pages.port}/{name}"

    async def visitor(self, **options: Any) -> Any:
        """A browser context: somebody with a browser of their own."""
        context = await self._browser.new_context(**options)
        self._closing.push_async_callback(context.close)
        return context

    async def tab(self, address: str, visitor: Any = None, *, wait: str = "!!(window.cdp && cdp.version)") -> Any:
        """A tab at an address, once the script is there. What its pages complain of is kept."""
        visitor = visitor or await self.visitor()
        page = await visitor.new_page()
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda message: self._hear(message))
        await page.goto(address)
        await page.wait_for_function(wait)
        return page

    def _hear(self, message: Any) -> None:
        if message.type in ("warning", "error") and "favicon" not in f"{message.text} {message.location}":
            self.troubles.append(message.text)

    async def stored(self) -> list[Stored]:
        """This site's events on the log, repeats too."""
        return [one for one in await stored(self._ground.log) if one.batch.source == self.key]

    async def events(self) -> list[dict[str, Any]]:
        """This site's events in the order in which they happened, each once."""
        found = {one.event.id: one.body for one in await self.stored()}
        return sorted(found.values(), key=lambda body: str(body["timestamp"]))

    async def arrived(self, *names: str) -> list[dict[str, Any]]:
        """The events, once there is one of each of these names (of an event, or a call)."""

        async def all_there() -> list[dict[str, Any]]:
            found = await self.events()
            have = [name_of(body) for body in found]
            missing = [name for name in {*names} if have.count(name) < names.count(name)]
            assert not missing, f"missing {missing}, have {have}"
            return found

        return await eventually(all_there, timeout=20)

    async def close(self) -> None:
        """Close the tabs."""
        await self._closing.aclose()


def name_of(body: dict[str, Any]) -> str:
    """What an event is called here: its own name, or its call's."""
    return str(body.get("event") or body["type"])


def named(name: str, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """The first of that name."""
    return next(body for body in bodies if name_of(body) == name)


@pytest_asyncio.fixture(loop_scope="session")
async def site(grounds: Platform, gateway: Collector, pages: Pages, chromium_browser: Any) -> AsyncIterator[Site]:
    """A site, open."""
    weather = Weather(gateway)
    server = HttpServer(HttpSettings(port=0))
    await server.start(Front(weather))
    opened = Site(grounds, weather, server, pages, chromium_browser)
    await opened.open()
    yield opened
    await opened.close()
    weather.gate.set()
    weather.back.set()
    await server.stop()
    server.release()
