"""The id that the collector keeps in a cookie: who is told it, what is believed; and in Chromium, what it outlives."""

from __future__ import annotations

import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.registry import Registry
from cdp.service import Platform
from ingest.browser.id_cookie import ID, IdCookie, believed, known_id, new_id, set_cookie
from ingest.collector import Collector
from ingest.source import KIND
from ingest.testing import Client, Reply
from tests.ingest.browser import IN_CHROMIUM
from tests.ingest.browser.conftest import Site, name_of, named
from tests.ingest.conftest import WRITE_KEY

SHOP = "https://www.shop.vn"
OWN = "53a322b7-89c7-40ae-b485-187d61233e4d"
COOKIE = f"__Host-cdp_shop={OWN}"


@pytest.fixture
async def keeping(ground: Platform, registry: Registry) -> None:
    """The source keeps ids, for two origins."""
    entry = registry.get(KIND, "shop")
    body = {**entry.body, "id_cookie": {"days": 30}, "allowed_origins": [SHOP, "https://*.shop.vn", "null"]}
    await registry.put(KIND, "shop", body, by="test")


async def asked(
    collector: Collector, body: Any = None, *, method: str = "POST", key: str = WRITE_KEY, **headers: str
) -> Reply:
    """The answer to a page of the shop."""
    content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    return await Client(collector).ask(method, f"/v1/id?writeKey={key}", {"Origin": SHOP} | headers, [content])


@pytest.mark.usefixtures("keeping")
async def test_the_cookie_is_the_collectors_alone(collector: Collector) -> None:
    """Made where there is none, out of scripts' reach, sent back to this host only, and with each visit anew."""
    first = await asked(collector, {})
    made = first.json()["anonymousId"]
    assert first.json() == {"success": True, "anonymousId": made, "known": False}
    assert first.headers["set-cookie"] == (
        f"__Host-cdp_shop={made}; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax"
    )
    assert first.headers["cache-control"] == "no-store"
    assert first.headers["access-control-allow-origin"] == SHOP
    assert first.headers["access-control-allow-credentials"] == "true"

    again = await asked(collector, Cookie=f"a=b; __Host-cdp_other=no; __Host-cdp_shop={made}")
    assert again.json() == {"success": True, "anonymousId": made, "known": True}
    assert again.headers["set-cookie"] == first.headers["set-cookie"]
    assert (await asked(collector, method="GET", Cookie=f"__Host-cdp_shop={made}")).json()["anonymousId"] == made


@pytest.mark.usefixtures("keeping")
async def test_the_page_may_bring_its_id(collector: Collector) -> None:
    """Taken where there is no cookie; the cookie wins, unless somebody signed out; nonsense is none."""
    assert (await asked(collector, {"anonymousId": OWN})).json()["anonymousId"] == OWN
    assert (await asked(collector, {"anonymousId": "page-0001"}, Cookie=COOKIE)).json()["anonymousId"] == OWN
    renewed = await asked(collector, {"anonymousId": "page-0001", "renew": True}, Cookie=COOKIE)
    assert renewed.json() == {"success": True, "anonymousId": "page-0001", "known": False}
    for nonsense in ("short", "x" * 101, "a b c d e f", 'evil";path', "=;\r\nSet-Cookie: a=b", 17, None, {}):
        answer = await asked(collector, {"anonymousId": nonsense})
        assert len(answer.json()["anonymousId"]) == 32
        assert answer.headers["set-cookie"].count("\n") == 0
    for broken in (b"{", b"[]", b'"x"', b"\xff"):
        answer = await asked(collector, broken)
        assert (answer.status, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.usefixtures("keeping")
async def test_only_pages_that_are_named_are_told(collector: Collector) -> None:
    """A page elsewhere, a frame without an origin and a caller that hides learn nothing, and give nobody an id."""
    for origin in ("https://evil.example", "null", ""):
        answer = await asked(collector, {"anonymousId": "attacker-1"}, Origin=origin, Cookie=COOKIE)
        assert (answer.status, answer.json()["code"]) == (403, "origin_not_allowed")
        assert "set-cookie" not in answer.headers and OWN not in answer.body.decode()
    assert (await asked(collector, method="GET", Origin="https://evil.example", Cookie=COOKIE)).status == 403
    own_page = await Client(collector).ask("GET", f"/v1/id?writeKey={WRITE_KEY}", {"Cookie": COOKIE})
    assert own_page.json()["anonymousId"] == OWN
    assert (await asked(collector, {}, Origin="https://blog.shop.vn")).status == 200


async def test_a_source_that_does_not_want_it(collector: Collector) -> None:
    """404, and no cookie; an unknown write key is 401."""
    answer = await asked(collector, {})
    assert (answer.status, answer.json()["code"]) == (404, "no_id_cookie")
    assert "set-cookie" not in answer.headers
    assert (await asked(collector, {}, key="unknown")).status == 401


@given(st.text(max_size=120) | st.text(string.ascii_letters + string.digits + "._:-", max_size=120))
def test_what_is_believed_can_stand_in_a_cookie(value: str) -> None:
    """What comes out of a cookie is what went in, or nothing."""
    if believed(value):
        header = set_cookie(IdCookie(), "shop", value)
        assert known_id(header.partition(";")[0], "shop") == value
    assert ID.fullmatch(new_id())


class TestInChromium:
    """The script with `data-server-id`."""

    pytestmark = IN_CHROMIUM

    async def test_an_id_outlives_what_the_script_keeps(self, site: Site) -> None:
        """Storage is emptied, as Safari does after a week: the visitor is still the same; signing out ends that."""
        await site.open(id_cookie={}, allowed_origins=[f"http://localhost:{site.pages.port}"])
        visitor = await site.visitor()
        address = site.put_up("data-server-id=true")
        page = await site.tab(address, visitor)
        device = (await site.arrived("page"))[0]["anonymousId"]
        [cookie] = await visitor.cookies()
        assert (cookie["name"], cookie["value"]) == (f"__Host-cdp_{site.key}", device)
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")

        await page.evaluate("localStorage.clear()")
        site.weather.gate.clear()
        await page.reload()
        await page.wait_for_function("!!cdp.version")
        await page.evaluate("cdp.track('Held')")
        site.weather.gate.set()
        found = await site.arrived("page", "page", "Held")
        assert {body["anonymousId"] for body in found} == {device}, "what waited has the id that the collector knows"
        assert await page.evaluate("cdp.anonymousId()") == device
        assert all(not sent.cookies for sent in site.weather.batches), "the cookie goes to no other door"

        await page.evaluate("cdp.reset(); cdp.track('Anew')")
        fresh = named("Anew", await site.arrived("Anew"))["anonymousId"]
        assert fresh != device
        assert [one["value"] for one in await visitor.cookies()] == [fresh]

    async def test_a_collector_that_keeps_no_ids_does_no_harm(self, site: Site) -> None:
        """The script's own id does, and events are not held up for long."""
        page = await site.tab(site.put_up("data-server-id=true"))
        found = await site.arrived("page")
        assert found[0]["anonymousId"] == await page.evaluate("cdp.anonymousId()")

    async def test_nothing_is_asked_before_a_yes(self, site: Site) -> None:
        """No cookie of the collector's either."""
        await site.open(id_cookie={}, allowed_origins=[f"http://localhost:{site.pages.port}"])
        visitor = await site.visitor()
        page = await site.tab(site.put_up("data-server-id=true data-consent=wait"), visitor)
        await page.evaluate("cdp.track('Waits'); new Promise((resolve) => setTimeout(resolve, 250))")
        assert (site.weather.requests, await visitor.cookies()) == ([], [])
        await page.evaluate("cdp.consent(true)")
        found = await site.arrived("page", "Waits", "identify")
        [cookie] = await visitor.cookies()
        assert {body["anonymousId"] for body in found} == {cookie["value"]}
        assert name_of(found[0]) == "page"
