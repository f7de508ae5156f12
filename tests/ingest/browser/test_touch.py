"""What brought the visitor: campaigns, click ids and referrers, first and last."""

from __future__ import annotations

from typing import Any

from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site

pytestmark = IN_CHROMIUM
CLICKS = (
    *("gclid", "gbraid", "wbraid", "dclid", "fbclid", "ttclid", "msclkid", "li_fat_id", "zarsrc", "twclid", "ScCid"),
    *("epik", "rdt_cid", "yclid", "irclickid"),
)


async def view(site: Site, page: Any, count: int) -> dict[str, Any]:
    """The context of the newest of so many page views."""
    return (await site.arrived(*["page"] * count))[-1]["context"]


async def test_first_and_last_touch(site: Site) -> None:
    """The first one stays; the last one is the newest campaign, click or other site, and a direct visit is none."""
    visitor = await site.visitor()
    address = site.put_up()
    page = await site.tab(address + "?utm_source=zalo&utm_campaign=tet&zarsrc=31", visitor)
    first = await view(site, page, 1)
    assert first["campaign"] == {"source": "zalo", "name": "tet"}
    assert first["touch"]["first"] == first["touch"]["last"]
    assert first["touch"]["first"]["campaign"] == {"source": "zalo", "name": "tet"}
    assert first["touch"]["first"]["click_ids"] == {"zarsrc": "31"}
    assert first["touch"]["first"]["page"] == address

    await page.goto(address)
    direct = await view(site, page, 2)
    assert "campaign" not in direct
    assert direct["touch"] == first["touch"]

    await page.goto(address + "?gclid=G-1&gclid=G-2")
    ad = await view(site, page, 3)
    assert ad["touch"]["first"] == first["touch"]["first"]
    assert (ad["touch"]["last"]["click_ids"], ad["touch"]["last"].get("campaign")) == ({"gclid": "G-1"}, None)
    assert ad["click_ids"] == {"zarsrc": "31", "gclid": "G-1"}, "each platform gets its own newest"

    await page.evaluate("cdp.reset()")
    await page.goto(address)
    anew = await view(site, page, 4)
    assert "click_ids" not in anew
    assert anew["touch"]["first"].get("campaign") is None, "another person came by no campaign"


async def test_every_click_id(site: Site) -> None:
    """In whatever case it is written; kept for the whole visit, within bounds."""
    query = "&".join(f"{name}={name}-Value" for name in CLICKS) + "&GCLSRC=aw&utm_content=" + "x" * 900
    page = await site.tab(site.put_up() + "?" + query)
    await page.evaluate("cdp.track('Order Completed')")
    context = (await site.arrived("page", "Order Completed"))[-1]["context"]
    fbc = context["click_ids"].pop("fbc")
    assert context["click_ids"] == {name.lower(): f"{name}-Value" for name in CLICKS}
    assert fbc.startswith("fb.1.") and fbc.endswith(".fbclid-Value")
    assert len(context["touch"]["first"]["campaign"]["content"]) == 500


async def test_what_pixels_left(site: Site) -> None:
    """Cookies of Meta's and TikTok's pixels are read, not made; a newer click wins over the pixel's."""
    visitor = await site.visitor()
    address = site.put_up()
    values = {
        "_fbp": "fb.1.1700000000000.1",
        "_fbc": "fb.1.1700000000000.Old",
        "_ttp": "2abc",
        "ttclid": "E.C.P.1",
        "_other": "x",
    }
    await visitor.add_cookies([{"name": name, "value": value, "url": address} for name, value in values.items()])
    page = await site.tab(address, visitor)
    assert (await view(site, page, 1))["click_ids"] == {
        "fbp": "fb.1.1700000000000.1",
        "fbc": "fb.1.1700000000000.Old",
        "ttp": "2abc",
        "ttclid": "E.C.P.1",
    }
    await page.goto(address + "?fbclid=New")
    fbc = (await view(site, page, 2))["click_ids"]["fbc"]
    assert fbc.endswith(".New")
    await page.goto(address)
    assert (await view(site, page, 3))["click_ids"]["fbc"] == fbc, "with the time of the click"


async def test_other_sites(site: Site) -> None:
    """A referrer of another site is a touch, but not in the middle of a visit, and one's own subdomain never."""
    visitor = await site.visitor()
    address = site.put_up()

    def at(host: str) -> str:
        return address.replace("localhost", host)

    leading = site.put('<!doctype html><a id=go href="#">go</a>', Referrer_Policy="unsafe-url")
    page = await visitor.new_page()

    async def come(referrer: str, count: int) -> dict[str, Any]:
        await page.goto(leading.replace("localhost", referrer) + "?q=secret")
        await page.evaluate(
            "(to) => { const a = document.getElementById('go'); a.href = to; a.click(); }", at("www.ao-dai.com.vn")
        )
        await page.wait_for_url(at("www.ao-dai.com.vn"))
        return await view(site, page, count)

    first = await come("blog.ao-dai.com.vn", 1)
    assert "referrer" not in first["touch"]["first"]
    await page.evaluate(
        "localStorage.setItem('cdp.touch', localStorage.getItem('cdp.touch').replace(/\"seen\":\\d+/, '\"seen\":1'))"
    )
    search = await come("www.tim-kiem.com.vn", 2)
    assert search["touch"]["last"]["referrer"] == leading.replace("localhost", "www.tim-kiem.com.vn"), (
        "without its query"
    )
    bank = await come("pay.bank.vn", 3)
    assert bank["touch"] == search["touch"], "back from the bank's page"


async def test_a_campaign_that_the_page_took_away(site: Site) -> None:
    """An application that tidies its address before the script is there loses no campaign."""
    tidy = "<script>history.replaceState({}, '', location.pathname)</script>"
    page = await site.tab(site.put_up(head=tidy) + "?utm_source=tiktok&ttclid=T-1")
    context = await view(site, page, 1)
    assert context["touch"]["first"]["campaign"] == {"source": "tiktok"}
    assert context["click_ids"] == {"ttclid": "T-1"}
