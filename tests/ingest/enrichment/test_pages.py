"""What the URL of a page tells."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.pages import CLICK_IDS, TRACKING, page_of

NAMES = st.sampled_from(
    ["utm_source", "utm_campaign", "UTM_Medium", "gclid", "fbclid", "ScCid", "q", "page", "a b", "é"]
)
VALUES = st.text(max_size=8).filter(lambda text: text.isprintable())
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=6)
URLS = st.builds(
    lambda scheme, host, port, path, query, fragment: f"{scheme}://{host}{port}{path}?{urlencode(query)}{fragment}",
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(["shop.vn", "WWW.Shop.VN", "thời-trang.vn", "[2402:800::1]", "user:pw@shop.vn"]),
    st.sampled_from(["", ":80", ":443", ":8443", ":"]),
    st.sampled_from(["", "/", "/p/12", "/%C3%A1o", "/Á"]),
    QUERIES,
    st.sampled_from(["", "#top", "#/route?gclid=1"]),
)


@given(URLS | st.text())
def test_canonical_once_is_canonical(url: str) -> None:
    """The canonical URL of a canonical URL is itself, and holds nothing that says how somebody came."""
    page = page_of(url)
    if page is None:
        return
    again = page_of(page.canonical)
    assert again is not None
    assert again.canonical == page.canonical
    assert (again.campaign, again.click_ids) == ({}, {})


@given(URLS)
def test_canonical_is_the_same_page(url: str) -> None:
    """Only tracking, fragment, user and default port go: path and other parameters stay."""
    page = page_of(url)
    assert page is not None
    before, after = urlsplit(url), urlsplit(page.canonical)
    assert (after.hostname, after.path) == (before.hostname, before.path or "/")
    assert not after.fragment
    assert not after.username
    kept = [(name, value) for name, value in parse_qsl(before.query, keep_blank_values=True) if not _tracks(name)]
    assert sorted(parse_qsl(after.query, keep_blank_values=True)) == sorted(kept)


def _tracks(name: str) -> bool:
    return name.lower() in TRACKING or name.lower().startswith("utm_")


@given(QUERIES)
def test_every_click_id_is_told(query: list[tuple[str, str]]) -> None:
    """The first value of each click id and utm_… is told, empty ones never."""
    page = page_of(f"https://shop.vn/?{urlencode(query)}")
    assert page is not None
    first: dict[str, str] = {}
    for name, value in query:
        if value:
            first.setdefault(name.lower(), value)
    assert page.click_ids == {CLICK_IDS[name]: value for name, value in first.items() if name in CLICK_IDS}
    told = {"name" if name == "utm_campaign" else name[4:]: first[name] for name in first if name.startswith("utm_")}
    assert page.campaign == told


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://shop.vn", "https://shop.vn/"),
        ("HTTPS://Shop.VN:443/Áo?b=2&a=1&utm_source=zalo#mua", "https://shop.vn/Áo?a=1&b=2"),
        ("http://shop.vn:8080/?a=2&a=1&&", "http://shop.vn:8080/?a=2&a=1"),
        ("https://shop.vn/?q=%C3%A1o+d%C3%A0i&fbclid=x", "https://shop.vn/?q=%C3%A1o+d%C3%A0i"),
        ("https://lan:secret@shop.vn/", "https://shop.vn/"),
        ("https://shop.vn/?cdp_aid=1&_ga=2.1&mc_eid=3&ajs_uid=lan&ajs_trait_email=x&gad_source=1", "https://shop.vn/"),
    ],
)
def test_canonical(url: str, canonical: str) -> None:
    """Examples of the documentation."""
    page = page_of(url)
    assert page is not None
    assert page.canonical == canonical


@pytest.mark.parametrize(
    "url",
    ["", "about:blank", "android-app://vn.shop", "file:///tmp/x", "/p/12", "https://", "https://a b/", "x" * 9_000],
)
def test_no_page(url: str) -> None:
    """What is no URL of the web tells nothing."""
    assert page_of(url) is None
