"""What the visitor allows: what is sent, what is kept, and what is forgotten, in each state."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site, name_of, named

pytestmark = IN_CHROMIUM

COOKIES = "document.cookie.split('; ').filter(Boolean).map((one) => one.split('=')[0])"
KEPT = f"Object.keys(localStorage).concat({COOKIES}).sort()"
# A little longer than the script gathers calls.
QUIET = "new Promise((resolve) => setTimeout(resolve, 250))"
GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {value: true})"


def consent_of(body: dict[str, Any]) -> Any:
    """What an event says of consent."""
    return body["context"].get("consent")


async def test_waiting_then_yes(site: Site) -> None:
    """Until the visitor has decided nothing is sent or kept; then all of it goes, as one device, with the decision."""
    visitor = await site.visitor()
    address = site.put_up("data-consent=wait", body="<script>cdp.track('Early')</script>")
    page = await site.tab(address + "?gclid=g-1&utm_source=google", visitor)
    await page.evaluate(f"cdp.identify('lan', {{vip: true}}); {QUIET}")
    assert await page.evaluate("cdp.consent().mode") == "wait"
    assert (site.weather.requests, await page.evaluate(KEPT)) == ([], [])

    await page.evaluate("cdp.consent({Analytics: true, Advertising: true})")
    found = await site.arrived("page", "Early", "identify", "identify")
    assert {body["anonymousId"] for body in found} == {await page.evaluate("cdp.anonymousId()")}
    assert all(consent_of(body) == {"categoryPreferences": {"Analytics": True, "Advertising": True}} for body in found)
    assert found[0]["context"]["click_ids"]["gclid"] == "g-1", "what was in the address when the page was opened"
    identified = [body["traits"] for body in found if body["type"] == "identify"]
    assert {"consent": {"analytics": True, "advertising": True}} in identified

    again = await site.tab(address, visitor)
    assert await again.evaluate("cdp.consent().mode") == "granted", "a decision is remembered"


async def test_waiting_then_no(site: Site) -> None:
    """Nothing is ever sent, and nothing but the decision is kept."""
    visitor = await site.visitor()
    address = site.put_up("data-consent=wait data-cookies=true")
    page = await site.tab(address, visitor)
    await page.evaluate("cdp.identify('lan'); cdp.track('Never'); cdp.consent(false); cdp.track('Nor this')")
    await page.reload()
    await page.wait_for_function("!!cdp.version")
    await page.evaluate(f"cdp.track('Nor that'); cdp.flush(); {QUIET}")
    assert site.weather.requests == []
    assert await page.evaluate(KEPT) == ["cdp.consent"]


async def test_yes_then_no(site: Site) -> None:
    """A refusal is told with the name that is known, as the last thing; then everything is forgotten, in every tab."""
    visitor = await site.visitor()
    address = site.put_up()
    page, other = await site.tab(address, visitor), await site.tab(address, visitor)
    await page.evaluate("cdp.identify('lan'); cdp.group('acme')")
    await site.arrived("page", "page", "identify", "group")
    device = await page.evaluate("cdp.anonymousId()")
    site.weather.status, site.weather.retry_after = 503, "1"
    await page.evaluate(
        "cdp.track('Not sent yet'); cdp.consent({analytics: false, advertising: false}); cdp.track('After')"
    )
    site.weather.status = 200
    found = await site.arrived("identify", "identify")
    last = found[-1]

    assert (last["anonymousId"], last["userId"]) == (device, "lan")
    assert last["traits"] == {"consent": {"analytics": False, "advertising": False}}
    assert {"Not sent yet", "After"}.isdisjoint(map(name_of, found))
    await other.wait_for_function("cdp.consent().mode === 'denied'")
    assert await page.evaluate(KEPT) in (["cdp.consent"], ["cdp.consent", f"cdp.pause.{site.write_key}"])
    assert await page.evaluate("cdp.anonymousId()") != device
    await other.evaluate(f"cdp.track('Nor here'); cdp.flush(); {QUIET}")
    assert "Nor here" not in map(name_of, await site.events())


async def test_anonymous_until_decided(site: Site) -> None:
    """Views and events go without any name that is kept; who somebody is, and what ads left, waits for a yes."""
    address = site.put_up("data-consent=anonymous")
    page = await site.tab(address + "?fbclid=f-1&utm_source=fb")
    await page.context.add_cookies([{"name": "_fbp", "value": "fb.1.1.2", "url": page.url}])
    await page.evaluate("cdp.identify('lan', {email: 'lan@example.com'}); cdp.group('acme'); cdp.track('Seen')")
    found = await site.arrived("page", "Seen")
    assert [name_of(body) for body in found] == ["page", "Seen"]
    assert all(body.get("userId") is None and "groupId" not in body["context"] for body in found)
    assert "f-1" not in str(found) and "fb.1.1.2" not in str(found), "nor in the address"
    assert found[0]["context"]["campaign"] == {"source": "fb"}
    assert await page.evaluate(KEPT) == ["_fbp"]
    nameless = found[0]["anonymousId"]
    await page.reload()
    await page.wait_for_function("!!cdp.version")
    assert await page.evaluate("cdp.anonymousId()") != nameless, "the next page is somebody else"

    await page.evaluate("cdp.identify('lan'); cdp.consent(true); cdp.track('Known')")
    known = named("Known", await site.arrived("identify", "identify", "Known"))
    assert (known["userId"], known["anonymousId"]) == ("lan", await page.evaluate("cdp.anonymousId()"))
    assert known["context"]["click_ids"]["fbp"] == "fb.1.1.2"


async def test_denied_until_decided(site: Site) -> None:
    """What happened before a yes is not sent after it, but who somebody is, is."""
    page = await site.tab(site.put_up("data-consent=denied"))
    await page.evaluate("cdp.track('Before'); cdp.identify('lan'); cdp.consent(true); cdp.track('After')")
    found = await site.arrived("identify", "identify", "After")
    assert sorted({name_of(body) for body in found}) == ["After", "identify"]
    assert found[-1]["userId"] == "lan"


async def test_a_word_that_nobody_knows_is_no_permission(site: Site) -> None:
    """A misspelt mode waits."""
    page = await site.tab(site.put_up("data-consent=deny"))
    await page.evaluate(QUIET)
    assert (await page.evaluate("cdp.consent().mode"), site.weather.requests) == ("wait", [])


async def test_after_a_no_a_shop_may_count_without_names(site: Site) -> None:
    """`data-denied=anonymous`: events without anything that outlives the page."""
    page = await site.tab(site.put_up("data-consent=wait data-denied=anonymous"))
    await page.evaluate("cdp.consent(false); cdp.identify('lan'); cdp.track('Counted')")
    found = await site.arrived("page", "Counted")
    assert {name_of(body) for body in found} == {"page", "Counted"}
    assert all(body.get("userId") is None for body in found)
    assert await page.evaluate(KEPT) == ["cdp.consent"]


CMP = "data-consent-analytics=C0002 data-consent-advertising=C0004"
SHAPES: dict[str, list[tuple[str, bool, bool]]] = {
    "": [
        ("true", True, True),
        ("'denied'", False, False),
        ("{analytics: true, marketing: false}", True, False),
        ("{categoryPreferences: {Advertising: true, Statistics: true}}", True, True),
        ("{categoryPreferences: {}}", False, False),
        ("{Functional: true}", False, False),
        ("{ad_storage: 'granted', ad_user_data: 'denied', analytics_storage: 'granted'}", True, False),
        ("{ad_storage: 'granted', ad_user_data: 'granted', analytics_storage: 'granted'}", True, True),
        ("null", False, False),
    ],
    CMP: [
        ("{C0001: true, C0002: true, C0004: false}", True, False),
        ("{provider: 'oneTrust', allowedConsentIds: ['C0002'], deniedConsentIds: ['C0004']}", True, False),
        ("{allowedConsentIds: ['C0004', 'C0002']}", True, True),
        ("{deniedConsentIds: ['C0002']}", False, False),
    ],
}


@pytest.mark.parametrize("options", SHAPES)
async def test_shapes_of_consent(site: Site, options: str) -> None:
    """The page's own, Segment's, RudderStack's and Google's; what is not said is not allowed."""
    page = await site.tab(site.put_up(f"data-consent=wait {options}"))
    for given, granted, advertising in SHAPES[options]:
        state = await page.evaluate(f"cdp.consent({given})")
        assert (state["mode"] == "granted", state["advertising"]) == (granted, advertising), given
    assert site.troubles == []


async def test_rudderstacks_shape_goes_along(site: Site) -> None:
    """As `context.consentManagement`, and Google's as `context.consent.google`."""
    page = await site.tab(site.put_up("data-consent=wait data-consent-analytics=C2"))
    rudder = {"provider": "oneTrust", "allowedConsentIds": ["C2"], "deniedConsentIds": ["C4"]}
    await page.evaluate("(given) => cdp.consent(given)", rudder)
    body = (await site.arrived("page"))[0]
    assert body["context"]["consentManagement"] == rudder
    assert consent_of(body) == {"categoryPreferences": {"C2": True, "C4": False}}


async def test_googles_consent_mode(site: Site) -> None:
    """A default is no decision; a consent platform's update is. Regions' grants do not count, their refusals do."""
    gtag = """<script>
        dataLayer = []; function gtag() { dataLayer.push(arguments); }
        gtag("consent", "default", {ad_storage: "denied", analytics_storage: "denied", wait_for_update: 500});
        gtag("consent", "default", {ad_user_data: "granted", region: ["US"]});
        gtag("js", new Date());
    </script>"""
    visitor = await site.visitor()
    address = site.put_up("data-consent=wait data-consent-google=true", head=gtag)
    page = await site.tab(address, visitor)
    await page.evaluate(QUIET)
    assert site.weather.requests == []
    assert await page.evaluate("gtag('consent', 'update', {analytics_storage: 'granted'}); dataLayer.length") == 4
    body = (await site.arrived("page"))[0]
    assert consent_of(body)["google"] == {"ad_storage": "denied", "analytics_storage": "granted"}

    device = await page.evaluate("cdp.anonymousId()")
    await page.reload()
    await page.wait_for_function("!!cdp.version")
    assert await page.evaluate("cdp.anonymousId()") == device, "the default of the next page does not withdraw it"
    await page.evaluate("gtag('consent', 'update', {analytics_storage: 'denied'})")
    assert await page.evaluate("cdp.consent().mode") == "denied"


@pytest.mark.parametrize(("gpc", "mode"), [("", "granted"), ("data-gpc=all", "denied"), ("data-gpc=ignore", "granted")])
async def test_global_privacy_control(site: Site, gpc: str, mode: str) -> None:
    """By itself it forbids advertising, whatever else is said; a shop may let it forbid everything."""
    visitor = await site.visitor()
    await visitor.add_init_script(GPC)
    page = await site.tab(site.put_up(gpc) + "?gclid=g-1&q=lụa", visitor)
    await page.evaluate(f"cdp.track('Seen'); {QUIET}")
    assert await page.evaluate("cdp.consent().mode") == mode
    if mode == "denied":
        assert (site.weather.requests, await page.evaluate(KEPT)) == ([], [])
        return
    body = (await site.arrived("page", "Seen"))[0]
    if gpc:
        assert consent_of(body) is None
        assert body["context"]["click_ids"] == {"gclid": "g-1"}
        return
    assert consent_of(body) == {"categoryPreferences": {"Advertising": False}, "gpc": True}
    assert "click_ids" not in body["context"] and "g-1" not in str(body)
    assert body["properties"]["search"].startswith("?q=")
    await page.evaluate("cdp.consent({Analytics: true, Marketing: true}); cdp.track('Still')")
    still = named("Still", await site.arrived("Still"))
    assert consent_of(still) == {
        "categoryPreferences": {"Analytics": True, "Marketing": False, "Advertising": False},
        "gpc": True,
    }


async def test_a_proof_of_identity_goes_with_the_name_and_not_without_it(site: Site) -> None:
    """A listener adds what the shop's server signed, to a refusal too; where nobody is named it stays here."""
    sign = "<script>cdp.on('message', (message) => { message.context.identity = {signature: 'aa'} })</script>"
    page = await site.tab(site.put_up("data-denied=anonymous", body=sign))
    await page.evaluate("cdp.identify('lan')")
    await site.arrived("page", "identify")
    await page.evaluate("cdp.consent(false); cdp.track('Nameless')")
    await site.arrived("identify", "identify", "Nameless")
    sent = [event for batch in site.weather.batches for event in batch.body["batch"]]
    signed = {name_of(event): "identity" in event["context"] for event in sent}
    assert signed == {"page": True, "identify": True, "Nameless": False}
