"""What is added to events, and that nothing they say is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.testing import FrozenClock
from ingest.enrichment.addresses import kept
from ingest.enrichment.currencies import code_of
from ingest.enrichment.enricher import SourceEnricher, Wanted, with_context, with_currency
from ingest.enrichment.places import Places
from ingest.enrichment.switches import Enrichment
from ingest.source import KIND
from tests.ingest.enrichment.test_places import CITY, LOCATION, write

NOWHERE = Places(None, Path())
ALL = Enrichment(default_currency="VND")
OFF = Enrichment(agent=False, bots=False, ip="keep", geo=False, campaign=False, canonical_url=False, currency=False)
AGENT = "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile Safari/537.36"
URL = "https://Shop.VN/p/12?utm_source=zalo&utm_campaign=tet&gclid=G-1&size=m#mua"
TOLD = {
    "browser": {"name": "Chrome Mobile", "version": "130"},
    "os": {"name": "Android", "version": "14"},
    "device": {"type": "mobile", "manufacturer": "Samsung", "model": "SM-A546E"},
    "campaign": {"source": "zalo", "name": "tet"},
    "click_ids": {"gclid": "G-1"},
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
PAGES = st.fixed_dictionaries({}, optional={"url": st.just(URL) | JSON, "title": JSON, "canonical": JSON})
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "userAgent": st.sampled_from([AGENT, "curl/8", "Mozilla/5.0", ""]) | JSON,
        "ip": st.ip_addresses().map(str) | JSON,
        "page": PAGES | JSON,
        **{
            name: st.just({}) | JSON for name in ("browser", "os", "device", "bot", "campaign", "click_ids", "location")
        },
        "traits": st.just({"ip": "1.2.3.4", "userAgent": AGENT, "page": {"url": URL}}),
        "mail_proxy": st.just({"name": "Gmail"}),
    },
)


def enriched(context: Any, wanted: Enrichment = ALL, where: Places = NOWHERE) -> Any:
    """A context, enriched."""
    return msgspec.json.decode(with_context(msgspec.json.encode(context), Wanted.by(wanted), where))


def test_everything() -> None:
    """Browser, system, device, campaign, click ids and canonical URL are told; the address loses its end."""
    context = {"userAgent": AGENT, "ip": "14.160.1.2", "page": {"url": URL, "title": "Áo"}, "locale": "vi-VN"}
    assert enriched(context) == context | TOLD | {
        "ip": "14.160.1.0",
        "page": {"canonical": "https://shop.vn/p/12?size=m", "url": URL, "title": "Áo"},
    }


@pytest.mark.parametrize(
    ("off", "gone"),
    [
        ({"agent": False}, {"browser", "os", "device"}),
        ({"campaign": False}, {"campaign", "click_ids"}),
        ({"canonical_url": False}, set()),
        ({"ip": "drop"}, {"ip"}),
        ({"geo": False}, set()),
    ],
)
def test_each_switch(off: dict[str, Any], gone: set[str]) -> None:
    """A switch takes away what is its own, and nothing else."""
    context = {"userAgent": AGENT, "ip": "14.160.1.2", "page": {"url": URL}}
    whole, less = enriched(context), enriched(context, ALL.model_copy(update=off))
    assert whole.keys() - less.keys() == gone
    assert ("canonical" in less["page"]) == ("canonical_url" not in off)


@given(CONTEXTS)
def test_what_an_event_says_stays(context: dict[str, Any]) -> None:
    """Only the address may change, and empty parts; twice is as once; and off is off."""
    after = enriched(context)
    for name, part in context.items():
        if name == "ip":
            expected = kept(part, "truncate") if isinstance(part, str) else part if part is None else None
            assert after.get("ip") == expected
        elif name == "page" and isinstance(part, dict) and isinstance(after["page"], dict):
            assert {**after["page"], **part} == after["page"]
        elif name in TOLD or name in ("bot", "location"):
            assert after[name] == part or part in (None, {}, "")
        else:
            assert after[name] == part
    assert enriched(after) == after
    raw = msgspec.json.encode(context)
    assert with_context(raw, Wanted.by(OFF), NOWHERE) is raw


@given(CONTEXTS)
def test_nothing_without_a_mark(context: dict[str, Any]) -> None:
    """A context without user agent, page and address, as servers send it, keeps its very bytes."""
    raw = msgspec.json.encode({name: part for name, part in context.items() if name not in ("userAgent", "ip", "page")})
    assert with_context(raw, Wanted.by(ALL), NOWHERE) is raw


def test_bots_and_mail_services() -> None:
    """A machine is named; what a mail service fetched tells nothing of a browser."""
    assert enriched({"userAgent": "curl/8.5.0"}) == {"userAgent": "curl/8.5.0", "bot": {"name": "curl"}}
    assert "bot" not in enriched({"userAgent": "curl/8.5.0"}, ALL.model_copy(update={"bots": False}))
    fetched = {"userAgent": AGENT, "mail_proxy": {"name": "Gmail", "prefetch": False}}
    assert enriched(fetched) == fetched


def test_location_by_address(tmp_path: Path) -> None:
    """The whole address is looked up before its end goes; a location that is said already stays."""
    write(tmp_path / "geo.mmdb", {"14.160.1.2/32": CITY})
    where = Places(tmp_path / "geo.mmdb", tmp_path)
    assert enriched({"ip": "14.160.1.2"}, where=where) == {"ip": "14.160.1.0", "location": LOCATION}
    assert enriched({"ip": "14.160.1.2"}, Enrichment(ip="drop"), where) == {"location": LOCATION}
    said = {"ip": "14.160.1.2", "location": {"city": "Huế"}}
    assert enriched(said, where=where)["location"] == {"city": "Huế"}
    assert enriched({"ip": ["x"]}, where=where) == {}


AMOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "currency": st.sampled_from(["VND", "đ", "usd", "xu", "", 5, None, ["VND"]]),
        "total": st.sampled_from([1, 2.5, "199000", "1e3", "x", None, True, [1]]),
        "name": JSON,
    },
)


@given(AMOUNTS, st.booleans(), st.none() | st.just("VND"))
def test_currency(properties: dict[str, Any], normalise: bool, default: str | None) -> None:
    """A currency is written as its code; the default one stands in only where there is an amount and none is said."""
    raw = msgspec.json.encode(properties)
    after = msgspec.json.decode(with_currency(raw, normalise=normalise, default=default))
    said, total = properties.get("currency"), properties.get("total")
    if said:
        expected = (code_of(said) or said) if normalise and isinstance(said, str) else said
    else:
        amount = (isinstance(total, int | float) and not isinstance(total, bool)) or total == "199000"
        expected = default if default and amount else said
    assert after == (properties if expected == said else properties | {"currency": expected})


@pytest.fixture
async def platform(settings: Settings, clock: FrozenClock, log: Any, registry: Registry) -> Platform:
    """What the enricher stands on."""
    return Platform(settings, clock, log, registry)


@pytest.fixture
def define(registry: Registry) -> Callable[..., Any]:
    """Define the enrichment of the source `shop`."""

    async def put(**enrichment: Any) -> None:
        await registry.put(KIND, "shop", {"name": "Shop", "enrichment": enrichment})

    return put


async def test_each_source_its_own(platform: Platform, define: Callable[..., Any]) -> None:
    """A definition holds from the moment it is known; a source without one has the defaults."""
    await define(ip="keep", default_currency="VND")
    enricher = SourceEnricher(platform)
    context, properties = b'{"ip":"14.160.1.2"}', b'{"total":5}'
    assert enricher.enrich("shop", "track", context, properties) == (context, b'{"total":5,"currency":"VND"}')
    assert enricher.enrich("shop", "page", context, properties) == (context, properties)
    assert enricher.enrich("other", "track", context, properties) == (b'{"ip":"14.160.1.0"}', properties)
    await define(ip="drop")
    assert enricher.enrich("shop", "track", context, properties) == (b"{}", properties)
    await platform.registry.delete(KIND, "shop")
    assert enricher.enrich("shop", "track", context, properties) == (b"{}", properties)
