"""What becomes of events when the way to the collector is bad: nothing is lost, and repeats have one messageId."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site, name_of
from tests.ingest.browser.weather import Sent
from tests.waiting import eventually

pytestmark = IN_CHROMIUM
LIMIT = 60_000
QUEUES = "Object.entries(localStorage).filter(([key]) => key.startsWith('cdp.queue.'))"


async def queued(page: Any) -> int:
    """How many events of all tabs lie in this browser's storage."""
    return int(
        await page.evaluate(f"{QUEUES}.map(([_, text]) => text.split('\\n').length - 1).reduce((a, b) => a + b, 0)")
    )


def pauses(requests: Sequence[Sent]) -> list[float]:
    """The seconds between one request and the next."""
    return [later.at - sent.at for sent, later in pairwise(requests)]


async def drained(page: Any) -> None:
    """Wait until nothing lies there any more."""

    async def nothing() -> bool:
        return await queued(page) == 0

    await eventually(nothing)


async def test_offline_then_online(site: Site) -> None:
    """Offline nothing is tried; what happened then keeps its time, and goes when the browser is back."""
    visitor = await site.visitor()
    page = await site.tab(site.put_up(), visitor)
    await site.arrived("page")
    await visitor.set_offline(True)
    when = await page.evaluate("cdp.track('Offline', {n: 1}); new Date().toISOString()")
    await page.evaluate("cdp.flush()")
    assert await queued(page) == 1
    await visitor.set_offline(False)
    event = (await site.arrived("Offline"))[-1]

    assert event["timestamp"][:18] == when[:18]
    assert len(site.weather.batches) == 2, "no try in vain"
    await drained(page)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_collector_that_is_full_is_left_alone_as_long_as_it_asks(site: Site, status: int) -> None:
    """`Retry-After` holds for this tab, for another one and for the next page; then the same events go again."""
    visitor = await site.visitor()
    address = site.put_up()
    site.weather.status, site.weather.retry_after = status, "2"
    page = await site.tab(address, visitor)
    await eventually(lambda: site.weather.batches)
    refused = site.weather.batches[0]
    site.weather.status = 200
    await page.evaluate("cdp.track('Meanwhile')")
    await page.reload()
    other = await site.tab(address, visitor)
    await other.evaluate("cdp.track('Other'); cdp.flush()")
    found = await site.arrived("page", "page", "page", "Meanwhile", "Other")

    assert len(found) == 5
    assert [sent.status for sent in site.weather.batches][1:] == [200] * (len(site.weather.batches) - 1)
    assert min(sent.at for sent in site.weather.batches[1:]) - refused.at >= 1.9, "nobody came before it was time"
    assert set(refused.ids) <= {body["messageId"] for body in found}


async def test_a_collector_that_is_down_is_tried_again_ever_less_often(site: Site) -> None:
    """The pauses grow, and a refusal that repeating cannot help is given up."""
    site.weather.status = 500
    page = await site.tab(site.put_up("data-auto-page=false"))
    await page.evaluate("cdp.track('Tried')")
    await eventually(lambda: len(site.weather.batches) > 2, timeout=20)
    first, second = pauses(site.weather.batches)[:2]
    assert first >= 0.5 and second >= 1

    site.weather.status = 200
    await page.evaluate("cdp.flush()")
    await site.arrived("Tried")
    site.weather.status = 401
    await page.evaluate("cdp.on('failed', (events, status) => window.failed = [events[0].event, status])")
    await page.evaluate("cdp.track('Refused')")
    await page.wait_for_function("!!window.failed")
    assert await page.evaluate("failed") == ["Refused", 401]
    assert await queued(page) == 0
    assert [trouble for trouble in site.troubles if "events refused 401" in trouble]


async def test_a_slow_collector_gets_one_request_at_a_time(site: Site) -> None:
    """What happens while one is under way gathers, and goes together."""
    site.weather.gate.clear()
    page = await site.tab(site.put_up())
    await eventually(lambda: site.weather.batches)
    for number in range(25):
        await page.evaluate(f"cdp.track('Slow {number}')")
    await asyncio.sleep(0.3)
    assert len(site.weather.batches) == 1
    site.weather.gate.set()
    await site.arrived("page", *(f"Slow {number}" for number in range(25)))
    assert [len(sent.ids) for sent in site.weather.batches] == [1, 25]


@pytest.mark.parametrize("lost", ["the request", "the answer"])
async def test_a_page_that_closes_in_mid_flight(site: Site, lost: str) -> None:
    """Whether the collector had the events already or not: the next page brings what nobody confirmed, once for all."""
    visitor = await site.visitor()
    address = site.put_up()
    if lost == "the request":
        site.weather.gate.clear()
    else:
        site.weather.back.clear()
    page = await site.tab(address, visitor)
    await page.evaluate("cdp.track('Clicked')")
    await eventually(lambda: site.weather.batches)
    await page.evaluate("cdp.track('Left')")
    await page.close()
    site.weather.gate.set()
    site.weather.back.set()

    again = await site.tab(address, visitor)
    found = await site.arrived("page", "page", "Clicked", "Left")
    assert Counter(map(name_of, found)) == {"page": 2, "Clicked": 1, "Left": 1}
    await drained(again)


async def test_what_happens_last_is_sent_as_the_page_ends(site: Site) -> None:
    """A click that leaves the page arrives without another page of the shop being opened."""
    page = await site.tab(site.put_up())
    await site.arrived("page")
    await page.evaluate("() => { cdp.track('Left', {}); location.href = 'about:blank'; }")
    await site.arrived("Left")


async def test_a_hidden_page_sends_at_once(site: Site) -> None:
    """A phone may end a page that is out of sight without telling it."""
    page = await site.tab(site.put_up())
    await site.arrived("page")
    await page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", {value: true});
            cdp.track("Hidden");
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await site.arrived("Hidden")


async def test_pieces_that_may_outlive_the_page(site: Site) -> None:
    """A request has at most 60 KB, in bytes, not letters; what a closing page cannot hand over, the next one brings."""
    visitor = await site.visitor()
    address = site.put_up()
    page = await site.tab(address, visitor)
    await site.arrived("page")
    await page.evaluate(
        """() => {
            for (let n = 0; n < 150; n++) cdp.track(`Big ${n}`, {text: "Ấ".repeat(500)});
            location.href = "about:blank";
        }"""
    )
    await page.wait_for_url("about:blank")
    await eventually(lambda: len(site.weather.batches) > 1)
    await site.tab(address, visitor)
    found = await site.arrived(*(f"Big {number}" for number in range(150)))

    assert Counter(map(name_of, found)) == {"page": 2} | {f"Big {number}": 1 for number in range(150)}
    assert max(sent.size for sent in site.weather.batches) <= LIMIT
    assert len(site.weather.batches) >= 6


async def test_an_event_larger_than_a_piece_goes_alone(site: Site) -> None:
    """It cannot outlive the page, but a page that stays sends it."""
    page = await site.tab(site.put_up())
    await page.evaluate("cdp.track('Before'); cdp.track('Huge', {text: 'x'.repeat(100000)}); cdp.track('After')")
    await site.arrived("Before", "Huge", "After")
    assert max(sent.size for sent in site.weather.batches) > 100_000
    assert [len(sent.ids) for sent in site.weather.batches if sent.size > LIMIT] == [1]


async def test_a_list_stays_within_bounds(site: Site) -> None:
    """While the collector is away for long the newest thousand events are kept; each piece has room after the other."""
    visitor = await site.visitor()
    await visitor.add_init_script(
        """const real = fetch; window.rejected = 0;
        window.fetch = (...given) => real(...given).catch((error) => { rejected++; throw error; });"""
    )
    site.weather.status = 503
    page = await site.tab(site.put_up("data-auto-page=false"), visitor)
    await page.evaluate("for (let n = 0; n < 1100; n++) cdp.track(`Event ${n}`)")
    assert await queued(page) == 1000
    site.weather.status = 200
    await page.evaluate("cdp.flush()")
    await drained(page)
    found = await site.events()
    assert len(found) == 1000
    assert "Event 99" not in map(name_of, found)
    assert await page.evaluate("rejected") == 0, "the browser lets only 64 KB at once outlive a page"


async def test_a_page_from_the_back_forward_cache(site: Site) -> None:
    """A page that was kept and is shown again neither sends again what the page after it took over, nor goes silent."""
    visitor = await site.visitor()
    first, second = site.put_up(), site.put_up()
    page = await site.tab(first, visitor)
    await site.arrived("page")
    await page.evaluate("window.kept = true")
    await page.goto(second)
    await page.wait_for_function("!!cdp.version")
    await page.go_back()
    await page.wait_for_function("!!cdp.version")
    await page.evaluate("cdp.track('Back')")
    found = await site.arrived("page", "page", "page", "Back")
    assert Counter(map(name_of, found)) == {"page": 3, "Back": 1}
