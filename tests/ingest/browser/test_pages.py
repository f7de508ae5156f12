"""Pages of all kinds: strict policies, forbidden storage, applications that change their route, names of the web."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.browser.builds import CURRENT, snippet
from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site, name_of

pytestmark = IN_CHROMIUM


def paths(found: list[dict[str, Any]]) -> list[str]:
    """The last part of the path, with query and fragment, of each page view."""
    return [body["properties"]["url"].rpartition("/")[2] for body in found if body["type"] == "page"]


async def test_a_policy_without_inline_scripts(site: Site) -> None:
    """No inline script, no eval, no inline style: one element with data- attributes does, and nothing is reported."""
    host = f"http://localhost:{site.pages.port}"
    policy = (
        f"default-src 'none'; script-src {host} {site.collector}; connect-src {site.collector}; "
        "require-trusted-types-for 'script'"
    )
    html = f"<!doctype html><title>Strict</title>{site.tag()}<script src=/shop-files/strict.js></script>"
    await site.tab(site.put(html, Content_Security_Policy=policy))
    found = await site.arrived("page", "By its own script")
    assert len(found) == 2
    assert site.troubles == []


async def test_a_pinned_build(site: Site) -> None:
    """The API's snippet loads one build whose hash the browser checks; another it refuses, and the page lives."""
    lines = snippet(site.collector, site.write_key)
    page = await site.tab(site.put(f"<!doctype html><title>Pinned</title>{lines}"))
    await site.arrived("page")
    assert site.troubles == []
    assert await page.evaluate("cdp.track('Works')") is None

    wrong = lines.replace(CURRENT.integrity, "sha384-" + "A" * 64)
    page = await site.tab(site.put(wrong + "<script>cdp.track('x'); window.alive = 1</script>"), wait="!!window.alive")
    assert await page.evaluate("cdp.version") is None


async def test_storage_that_is_forbidden(site: Site) -> None:
    """In a sandbox every access throws: the script remembers as long as the page lives, and sends."""
    inner = site.put_up(body="<script>cdp.identify('lan')</script>")
    outer = site.put(f'<!doctype html><iframe sandbox="allow-scripts" src="{inner}"></iframe>')
    page = await site.tab(outer, wait="true")
    frame = page.frames[1]
    await frame.wait_for_function("!!(window.cdp && cdp.version)")
    blocked = "(() => { try { return localStorage.length } catch { return 'blocked' } })()"
    assert await frame.evaluate(blocked) == "blocked"
    await frame.evaluate("cdp.track('Boxed'); cdp.reset(); cdp.track('Anew')")
    found = await site.arrived("page", "identify", "Boxed", "Anew")
    devices = [body["anonymousId"] for body in found]
    assert len(set(devices)) == 2 and devices[0] == devices[-2]
    assert site.troubles == []


async def test_storage_that_is_full(site: Site) -> None:
    """What no longer fits is kept in memory; ids stay what they are."""
    visitor = await site.visitor()
    address = site.put_up("data-auto-page=false")
    page = await site.tab(address, visitor)
    await page.evaluate(
        """() => {
            localStorage.clear();
            for (let size = 1 << 22; size; size >>= 1) {
                try { for (let n = 0; ; n++) localStorage.setItem(`x${size}-${n}`, "x".repeat(size)); } catch {}
            }
        }"""
    )
    ids = await page.evaluate("[cdp.anonymousId(), cdp.anonymousId()]")
    await page.evaluate("cdp.track('Full'); cdp.identify('lan'); cdp.track('Still')")
    found = await site.arrived("Full", "identify", "Still")
    assert {body["anonymousId"] for body in found} == set(ids)
    assert len(set(ids)) == 1


async def test_routes_of_an_application(site: Site) -> None:
    """Each path is a page, with the title it has got by then and the page before as its referrer; a query is none."""
    page = await site.tab(site.put_up(body="<script>cdp.ready(() => window.ready = 1)</script>"), wait="!!window.ready")
    start = page.url
    await page.evaluate(
        """async (start) => {
            const pause = () => new Promise((resolve) => setTimeout(resolve, 150));
            history.pushState({}, "", start + "/a"); document.title = "A"; await pause();
            history.replaceState({}, "", start + "/a?sort=price"); await pause();
            history.pushState({}, "", start + "/b#top"); history.replaceState({}, "", start + "/c"); await pause();
            history.pushState({}, "", start + "/told"); cdp.page("Told by the page"); await pause();
            history.back(); await pause();
            cdp.track("End");
        }""",
        start,
    )
    found = await site.arrived("End", "page", "page", "page", "page", "page")
    name = start.rpartition("/")[2]
    assert paths(found) == [name, "a", "c", "told", "c"]
    views = [body for body in found if body["type"] == "page"]
    assert views[1]["properties"]["title"] == "A"
    assert views[2]["properties"]["referrer"] == f"{start}/a?sort=price"
    assert [body["properties"].get("name") for body in views] == [None, None, None, "Told by the page", None]


@pytest.mark.parametrize(
    ("spa", "expected"), [("query", ["", "?a=1", "x"]), ("hash", ["", "?a=1", "x", "x#b"]), ("off", [""])]
)
async def test_what_makes_a_page_can_be_chosen(site: Site, spa: str, expected: list[str]) -> None:
    """Path and query, the fragment too, or nothing at all."""
    page = await site.tab(
        site.put_up(f"data-spa={spa}", body="<script>cdp.ready(() => window.r = 1)</script>"), wait="!!window.r"
    )
    await page.evaluate(
        """async () => {
            const pause = () => new Promise((resolve) => setTimeout(resolve, 150));
            const start = location.pathname;
            history.pushState({}, "", start + "?a=1"); await pause();
            history.pushState({}, "", start + "/x"); await pause();
            location.hash = "#b"; await pause();
            cdp.track("End");
        }"""
    )
    found = await site.arrived("End")
    start = paths(found)[0]
    assert paths(found) == [start + part if part[:1] in ("?", "") else part for part in expected]


async def test_a_page_that_was_loaded_ahead(site: Site) -> None:
    """Nothing happens until somebody sees it."""
    ahead = "<script>Object.defineProperty(document, 'prerendering', {value: true, configurable: true})</script>"
    page = await site.tab(
        site.put_up(head=ahead, body="<script>cdp.track('Early')</script>"), wait="document.readyState === 'complete'"
    )
    assert await page.evaluate("cdp.version") is None
    assert site.weather.batches == []
    await page.evaluate("document.dispatchEvent(new Event('prerenderingchange'))")
    assert len(await site.arrived("page", "Early")) == 2


async def test_subdomains_share_an_id_where_cookies_are_allowed(site: Site) -> None:
    """Under `com.vn`, which no shop owns, the shop's own domain is found; signing out on one is signing out on all."""
    visitor = await site.visitor()
    address = site.put_up("data-cookies=true data-auto-page=false")
    www, blog = (address.replace("localhost", f"{name}.ao-dai.com.vn") for name in ("www", "blog"))
    shop = await site.tab(www, visitor)
    await shop.evaluate("cdp.identify('lan', {vip: true})")
    device = await shop.evaluate("cdp.anonymousId()")
    reader = await site.tab(blog, visitor)
    assert await reader.evaluate("[cdp.anonymousId(), cdp.user().id()]") == [device, "lan"]
    cookies = {cookie["name"]: cookie for cookie in await visitor.cookies()}
    assert {cookie["domain"] for cookie in cookies.values()} == {".ao-dai.com.vn"}
    assert cookies.keys() == {"cdp.anonymousId", "cdp.userId"}

    await reader.evaluate("cdp.reset(); cdp.identify('hung', {})")
    assert await shop.evaluate("[cdp.user().id(), cdp.user().traits()]") == ["hung", {}]
    assert await shop.evaluate("cdp.anonymousId()") == await reader.evaluate("cdp.anonymousId()") != device
    assert "anonymousId" not in await shop.evaluate("Object.keys(localStorage).join()"), "one truth"


async def test_without_cookies_each_name_has_its_own_id(site: Site) -> None:
    """And no cookie is set, however often the page is opened."""
    visitor = await site.visitor()
    address = site.put_up()
    www, blog = (address.replace("localhost", f"{name}.ao-dai.test") for name in ("www", "blog"))
    ids = [await (await site.tab(one, visitor)).evaluate("cdp.anonymousId()") for one in (www, blog, www)]
    assert ids[0] == ids[2] != ids[1]
    assert await visitor.cookies() == []
    found = await site.arrived("page", "page", "page")
    assert [name_of(body) for body in found] == ["page"] * 3
