"""Several tabs of one browser: nobody overwrites another's list, and a list whose page has gone is taken over."""

from __future__ import annotations

from collections import Counter

from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site, name_of
from tests.ingest.browser.test_delivery import drained, queued

pytestmark = IN_CHROMIUM


async def test_two_tabs_share_a_browser_and_lose_nothing(site: Site) -> None:
    """Both wait while the collector is away; both tell everything once, as one device."""
    visitor = await site.visitor()
    address = site.put_up()
    site.weather.status = 503
    tabs = [await site.tab(address, visitor) for _ in range(2)]
    for number in range(20):
        await tabs[number % 2].evaluate(f"cdp.track('Event {number}')")
    assert await queued(tabs[0]) == 22
    site.weather.status = 200
    found = await site.arrived("page", "page", *(f"Event {number}" for number in range(20)))

    assert len(found) == 22
    assert len({body["anonymousId"] for body in found}) == 1
    assert len(await site.stored()) == 22, "each tab sent its own list"


async def test_the_list_of_a_closed_tab_is_taken_over_by_one_that_opens(site: Site) -> None:
    """Once, whatever the first tab had tried."""
    visitor = await site.visitor()
    address = site.put_up()
    site.weather.status = 503
    staying = await site.tab(address, visitor)
    closing = await site.tab(address, visitor)
    await closing.evaluate("cdp.track('Closed')")
    await closing.close()
    site.weather.status = 200
    await site.tab(address, visitor)
    found = await site.arrived("page", "page", "page", "Closed")
    assert Counter(map(name_of, found)) == {"page": 3, "Closed": 1}
    await drained(staying)


async def test_the_list_of_a_crashed_tab_is_taken_over_when_its_time_is_up(site: Site) -> None:
    """A tab that said nothing is believed to live for two minutes; what is too old to be known again is left out."""
    visitor = await site.visitor()
    address = site.put_up("data-auto-page=false")
    page = await site.tab(address, visitor)
    crash = """([key, tries, until]) => {
        const lines = tries.map((tried, n) => {
            const at = new Date().toISOString();
            const names = {event: `Crashed ${n}`, messageId: `${key}-${n}-${until}`, anonymousId: "dead"};
            const event = {type: "track", timestamp: at, ...names};
            return `${tried && Date.now() - tried * 86400000} ${JSON.stringify(event)}`;
        });
        localStorage.setItem(`cdp.queue.${key}.dead${until}`, [Date.now() + until, ...lines].join("\\n"));
    }"""
    await page.evaluate(crash, [site.write_key, [0, 5, 7], -1])
    await page.evaluate(crash, [site.write_key, [0], 100_000])
    await page.evaluate(crash, ["another-source", [0], -1])
    await page.reload()
    found = await site.arrived("Crashed 0", "Crashed 1")

    assert sorted(map(name_of, found)) == ["Crashed 0", "Crashed 1"]
    left = await page.evaluate("Object.keys(localStorage).filter((key) => key.includes('.dead'))")
    assert sorted(left) == ["cdp.queue.another-source.dead-1", f"cdp.queue.{site.write_key}.dead100000"]


async def test_two_tabs_that_open_together_take_a_list_over_once(site: Site) -> None:
    """Should both take it, the messageIds are the same."""
    visitor = await site.visitor()
    address = site.put_up("data-auto-page=false")
    site.weather.status = 503
    page = await site.tab(address, visitor)
    await page.evaluate("for (let n = 0; n < 10; n++) cdp.track(`Left ${n}`)")
    await page.close()
    site.weather.status = 200
    tabs = [await visitor.new_page() for _ in range(3)]
    for tab in tabs:
        await tab.goto(address, wait_until="commit")
    found = await site.arrived(*(f"Left {number}" for number in range(10)))
    assert len(found) == 10
