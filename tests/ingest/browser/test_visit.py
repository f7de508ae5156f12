"""A visit to a shop: what the script tells by itself, and what each call of the page becomes."""

from __future__ import annotations

from typing import Any

from ingest.browser.builds import CURRENT
from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site, name_of, named

pytestmark = IN_CHROMIUM


async def test_the_story_of_a_visit(site: Site) -> None:
    """Page view by itself, calls made before loading in their order, then every call; one device, then one user."""
    early = "<script>cdp.track('Early', {n: 1}); cdp.track('Later', {n: 2}, () => window.called = 1)</script>"
    page = await site.tab(site.put_up(body=early) + "?utm_source=zalo&utm_campaign=tet#secret")
    device = await page.evaluate("cdp.anonymousId()")
    await page.evaluate(
        """() => {
            cdp.identify("lan", {email: "lan@example.com"});
            cdp.identify({phone: "0912345678"});
            cdp.track("Order Completed", {total: 1850000, name: "Áo dài lụa"}, {integrations: {All: false}});
            cdp.group("acme", {plan: "pro"});
            cdp.screen("Giỏ hàng");
            cdp.page("Shop", "Sản phẩm", {sku: "AD-1"});
            cdp.alias("lan-2");
            cdp.push(["track", "Pushed"]);
        }"""
    )
    found = await site.arrived(
        "page",
        "page",
        "Early",
        "Later",
        "identify",
        "identify",
        "Order Completed",
        "group",
        "screen",
        "alias",
        "Pushed",
    )

    assert site.troubles == []
    assert [name_of(body) for body in found][:3] == ["page", "Early", "Later"]
    assert await page.evaluate("window.called") == 1
    assert {body["anonymousId"] for body in found} == {device}
    first, bodies = found[0], {name_of(body): body for body in found}
    assert (first.get("userId"), bodies["Order Completed"]["userId"]) == (None, "lan")
    assert first["properties"]["title"] == "Áo dài"
    assert first["properties"]["url"].endswith("?utm_source=zalo&utm_campaign=tet"), "and not what stands behind #"
    assert first["context"]["campaign"] == {"source": "zalo", "name": "tet"}
    assert {"userAgent", "locale", "timezone", "screen", "library", "page"} <= first["context"].keys()
    identified = [body for body in found if body["type"] == "identify"]
    assert [body["traits"] for body in identified] == [
        {"email": "lan@example.com"},
        {"email": "lan@example.com", "phone": "0912345678"},
    ]
    assert bodies["Order Completed"]["integrations"] == {"All": False}
    assert bodies["Order Completed"]["properties"] == {"total": 1850000, "name": "Áo dài lụa"}
    assert (bodies["group"]["groupId"], bodies["group"]["traits"]) == ("acme", {"plan": "pro"})
    assert bodies["screen"]["context"]["groupId"] == "acme"
    assert (bodies["page"]["category"], bodies["page"]["name"], bodies["page"]["properties"]["sku"]) == (
        "Shop",
        "Sản phẩm",
        "AD-1",
    )
    assert (bodies["alias"]["userId"], bodies["alias"]["previousId"]) == ("lan-2", "lan")
    assert all(sent.body["sentAt"] and not sent.cookies for sent in site.weather.batches)
    assert await page.evaluate("document.cookie") == "", "no cookie unless it is allowed"


async def test_the_same_browser_is_known_again_and_another_person_is_not(site: Site) -> None:
    """Ids outlive the page; another person at the same browser, and reset, begin anew."""
    address = site.put_up()
    page = await site.tab(address)
    device = await page.evaluate("cdp.identify('lan', {vip: true}); cdp.anonymousId()")
    await page.reload()
    await page.wait_for_function("!!cdp.version")
    assert await page.evaluate("[cdp.user().id(), cdp.anonymousId(), cdp.user().traits()]") == [
        "lan",
        device,
        {"vip": True},
    ]

    await page.evaluate("cdp.group('acme'); cdp.identify('hung', {new: true})")
    other = await page.evaluate("cdp.anonymousId()")
    assert other != device
    assert await page.evaluate("cdp.user().traits()") == {"new": True}
    assert await page.evaluate("cdp.group().id() || null") is None

    await page.evaluate("cdp.reset(); cdp.track('After')")
    after = named("After", await site.arrived("After", "group"))
    assert after.get("userId") is None
    assert after["anonymousId"] not in (device, other)


async def test_who_listens_hears_and_may_refuse(site: Site) -> None:
    """`on` tells of calls, of messages before they go, and of what was sent; a message that is refused stays here."""
    listen = """<script>
        window.heard = [];
        cdp.track("Secret", {});
        cdp.on("message", (message) => { message.context.page.url = "hidden"; return message.event !== "Secret"; });
        cdp.on("track", (event) => heard.push(event));
        cdp.on("sent", (events) => heard.push(events.length));
        cdp.ready(() => heard.push("ready"));
    </script>"""
    page = await site.tab(site.put_up(body=listen))
    await page.evaluate("cdp.track('Open')")
    found = await site.arrived("page", "Open")
    await page.wait_for_function("heard.length > 3")

    assert [name_of(body) for body in found] == ["page", "Open"]
    assert {body["context"]["page"]["url"] for body in found} == {"hidden"}
    heard: list[Any] = await page.evaluate("heard")
    assert heard[0] == "Secret" and "ready" in heard and "Open" in heard
    assert sum(one for one in heard if isinstance(one, int)) <= 2


async def test_a_page_can_do_nothing_that_breaks_it(site: Site) -> None:
    """Circles, elements, functions, big integers, listeners that throw: the page goes on, and what can be told is."""
    page = await site.tab(site.put_up(body="<script>cdp.push(null, 7, [])</script>"))
    await page.evaluate(
        """() => {
            const circle = {name: "circle"}; circle.self = circle;
            cdp.on("track", () => { throw new Error("mine"); });
            cdp.track("Odd", {circle, body: document.body, call: () => 1, big: 10n, emoji: "\\ud83d"});
            cdp.track(); cdp.identify(); cdp.group(); cdp.alias(); cdp.page(null); cdp.page(undefined, 7);
            cdp.consent(); cdp.on(); cdp.ready(); cdp.push(["nothing"], null, 7);
            cdp.track("Fine");
        }"""
    )
    bodies = {name_of(body): body for body in await site.arrived("Odd", "Fine")}
    assert bodies["Odd"]["properties"]["circle"] == {"name": "circle"}
    assert bodies["Odd"]["properties"]["big"] == "10"
    assert not [trouble for trouble in site.troubles if not trouble.startswith("cdp:")], "told, not thrown"


async def test_a_snippet_that_stands_twice_counts_once(site: Site) -> None:
    """In the theme and in a tag manager: one page view."""
    page = await site.tab(site.put_up(body=site.tag()))
    await page.evaluate("cdp.track('Last')")
    found = await site.arrived("page", "Last")
    assert [name_of(body) for body in found] == ["page", "Last"]


async def test_options_by_address_and_under_another_name(site: Site) -> None:
    """Where only an address can be given its query says the options, and Segment's stub works under its own name."""
    html = f"""<!doctype html><script>
        analytics = []; analytics.track = (...given) => analytics.push(["track", ...given]);
        analytics.track("Product Viewed", {{sku: 1}}); const kept = analytics;
        </script>
        <script async src="{site.collector}/cdp.js?writeKey={site.write_key}&global=analytics&autoPage=false">
        </script>"""
    page = await site.tab(site.put(html), wait="!!analytics.version")
    await page.evaluate("kept.track('By the stub', {})")
    found = await site.arrived("Product Viewed", "By the stub")
    assert len(found) == 2


async def test_a_tag_manager_makes_the_element(site: Site) -> None:
    """As docs/how-to/website.md says for tag managers; calls made in the meantime are kept."""
    html = f"""<!doctype html><title>Managed</title><script>
        (function () {{
            var script = document.createElement('script');
            script.async = true;
            script.src = '{site.collector}/cdp.js?writeKey={site.write_key}&spa=off';
            document.head.appendChild(script);
        }})();
        (window.cdp = window.cdp || []).push(['track', 'Early']);
        </script>"""
    await site.tab(site.put(html))
    assert [name_of(body) for body in await site.arrived("page", "Early")] == ["page", "Early"]
    assert site.troubles == []


async def test_an_optimiser_moves_the_code(site: Site) -> None:
    """Where the script became part of a file of the page's, the element with the write key still says what to do."""
    html = f"""<!doctype html><title>Optimised</title>
        <script type="text/plain" data-write-key="{site.write_key}" data-host="{site.collector}/"></script>
        <script type="module">{CURRENT.plain.decode()}</script>"""
    await site.tab(site.put(html))
    await site.arrived("page")
