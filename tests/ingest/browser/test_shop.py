"""A small shop from the first click to the order: an application with a cart, an account and a banner that asks."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site, name_of
from tests.ingest.browser.pages import SHOP

pytestmark = IN_CHROMIUM


def put_up(site: Site, attributes: str) -> str:
    """Open the shop, and give its address."""
    style = "<link rel=stylesheet href=/shop-files/style.css>"
    head = f'<html lang=vi><meta name=viewport content="width=device-width">{style}'
    return site.put_up(attributes, title="Lụa Hà Đông", head=head, body=(SHOP / "index.html").read_text("utf-8"))


async def picture(page: Any, name: str) -> None:
    """Keep a picture of the page where `PICTURES` says so, for people to look at."""
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def look(page: Any) -> None:
    """See a page for as long as it takes to be seen, by the page's own clock: a busy machine's is another."""
    await page.evaluate("() => new Promise((seen) => setTimeout(seen, 80))")


async def test_from_the_ad_to_the_order(site: Site) -> None:
    """Each step is told once, as one person, with the ad that brought her, and only after she said yes."""
    visitor = await site.visitor(viewport={"width": 1000, "height": 720}, locale="vi-VN")
    page = await site.tab(
        put_up(site, "data-consent=wait") + "?utm_source=facebook&utm_campaign=tet&fbclid=F-1", visitor
    )
    await page.wait_for_selector("#banner:not([hidden])")
    await picture(page, "1-banner")
    await page.click("text=Áo dài >> nth=0")
    assert site.weather.requests == []

    await page.click("#all")
    await page.click("#AD-01")
    await look(page)
    await page.click("[data-route=khan-lua]")
    await look(page)
    await page.click("#KL-01")
    await look(page)
    await picture(page, "2-shelf")
    await page.click("[data-route=tai-khoan]")
    await look(page)
    await page.fill("[name=name]", "Nguyễn Thị Lan")
    await page.fill("[name=phone]", "0912 345 678")
    await page.fill("[name=email]", "lan@example.com")
    await picture(page, "3-account")
    await page.click("form button")
    await look(page)
    await page.click("[data-route=gio-hang]")
    await look(page)
    await picture(page, "4-cart")
    await page.click("#order")
    await page.wait_for_selector("text=Cảm ơn bạn")
    await picture(page, "5-thanks")
    await look(page)
    await page.close()
    found = await site.arrived("Order Completed", "identify", "identify", *["page"] * 7)

    assert site.troubles == []
    assert len({body["anonymousId"] for body in found}) == 1
    count = Counter(map(name_of, found))
    assert (count["Product Added"], count["Order Completed"]) == (2, 1)
    titles = [body["properties"]["title"] for body in found if name_of(body) == "page"]
    assert titles == ["Lụa Hà Đông", "Áo dài", "Khăn lụa", "Tài khoản", "Lụa Hà Đông", "Giỏ hàng", "Cảm ơn"]
    order = next(body for body in found if name_of(body) == "Order Completed")
    assert (order["userId"], order["properties"]["total"]) == ("kh-5678", 2_270_000)
    assert order["context"]["touch"]["first"]["campaign"] == {"source": "facebook", "name": "tet"}
    assert order["context"]["click_ids"]["fbclid"] == "F-1"
    assert order["context"]["consent"] == {"categoryPreferences": {"Analytics": True, "Advertising": True}}


async def test_the_shop_on_a_phone_without_a_yes(site: Site) -> None:
    """Whoever says no can buy all the same, and nothing is told."""
    visitor = await site.visitor(viewport={"width": 390, "height": 780}, locale="vi-VN")
    page = await site.tab(put_up(site, "data-consent=wait"), visitor)
    await page.wait_for_selector("#banner:not([hidden])")
    await picture(page, "6-phone-banner")
    await page.click("#none")
    await page.click("#AD-02")
    await page.click("[data-route=gio-hang]")
    await page.click("#order")
    await page.wait_for_selector("text=Cảm ơn bạn")
    await picture(page, "7-phone-thanks")
    assert (await page.text_content("#state")) == "không ghi nhận"
    assert site.weather.requests == []
    assert site.troubles == []
