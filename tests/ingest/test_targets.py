"""Where a click may lead: to hosts that the source names, as every reader of URLs understands them."""

from __future__ import annotations

from urllib.parse import urlsplit

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ingest.source import SourceBody
from ingest.targets import target_of, with_parameters

ALLOWED = ["shop.vn", "*.shop.vn", "xn--thi-trang-6p7d.vn", "dev.vn:8443"]

HOSTS = ["shop.vn", "m.shop.vn", "evil.vn", "shop.vn.evil.vn", "evilshop.vn", "SHOP.VN", "dev.vn", "thời-trang.vn"]
PIECES = st.sampled_from(
    [
        *HOSTS,
        *(
            "https:",
            "http:",
            "HTTPS:",
            "javascript:",
            "data:",
            "ftp:",
            "//",
            "/",
            "\\",
            "\\\\",
            "@",
            ":",
            ":443",
            ":8443",
            ":80",
        ),
        *(
            "\t",
            "\n",
            "\r\n",
            " ",
            "\x00",
            "\u3002",
            "\uff0e",
            "\uff61",
            "\uff0f",
            "\u2044",
            "\uff20",
            "\uff1a",
            "\u200b",
            "\xad",
        ),
        *(
            ".",
            "..",
            "%2e",
            "%2f",
            "%5c",
            "%40",
            "%00",
            "%0d%0a",
            "#",
            "?",
            "?q=",
            "&",
            "[::1]",
            "127.0.0.1",
            "0x7f.1",
            "xn--",
        ),
        *("Set-Cookie: a=b", "\ud800", "\udcff", "é", "[", "]", "<", '"', "user", ";"),
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=30)
TARGETS = TEXTS | TEXTS.map("https://shop.vn".__add__) | TEXTS.map("https://".__add__)


def is_allowed(host: str, port: str) -> bool:
    """The stupid way to ask whether a host is in the list."""
    if (host, port) == ("dev.vn", "8443"):
        return True
    return port in ("", "443", "80") and (host in ("shop.vn", "xn--thi-trang-6p7d.vn") or host.endswith(".shop.vn"))


@given(TARGETS)
@example("https://shop.vn\\@evil.vn/")
@example("https://shop.vn%00.evil.vn/")
@example("https:\\\\evil.vn")
@example("//evil.vn")
@example("https://evil.vn\u3002shop.vn")
def test_never_an_open_redirect(text: str) -> None:
    """What goes out is plain ASCII, and both a browser's parser (WHATWG) and Python's see an allowed host in it."""
    target = target_of(text, ALLOWED)
    if target is None:
        return
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target
    browser, python = ada_url.URL(target), urlsplit(target)
    assert browser.protocol in ("http:", "https:")
    assert not (browser.username or browser.password or python.username)
    assert is_allowed(browser.hostname, browser.port)
    assert browser.hostname == python.hostname
    assert ada_url.URL(target, base="https://cdp.test/v1/click").href == browser.href


@given(TARGETS)
def test_a_browser_reads_the_same(text: str) -> None:
    """Where a text is taken for a target, a browser would have gone to the very same page with it."""
    target = target_of(text, ALLOWED)
    if target is None or any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    asked, given = ada_url.URL(text), ada_url.URL(target)
    assert (asked.protocol, asked.host) == (given.protocol, given.host)
    assert asked.pathname == given.pathname


@given(TARGETS)
def test_a_target_is_its_own_target(text: str) -> None:
    """What comes out is taken as it is."""
    target = target_of(text, ALLOWED)
    if target is not None:
        assert target_of(target, ALLOWED) == target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("https://shop.vn", "https://shop.vn/"),
        ("https://shop.vn/áo dài?q=đỏ#mua", "https://shop.vn/%C3%A1o%20d%C3%A0i?q=%C4%91%E1%BB%8F#mua"),
        ("HTTP://M.Shop.VN:80/a%2Fb?x=%26", "http://m.shop.vn/a%2Fb?x=%26"),
        ("https://a.b.shop.vn?x", "https://a.b.shop.vn?x"),
        (" https://thời-trang.vn/ ", "https://xn--thi-trang-6p7d.vn/"),
        ("https://dev.vn:8443/", "https://dev.vn:8443/"),
        ("https://shop.vn/\udcff", "https://shop.vn/%FF"),
        ("https://shop.vn//evil.vn", "https://shop.vn//evil.vn"),
        ("https://shop.vn/?next=https://evil.vn", "https://shop.vn/?next=https://evil.vn"),
    ],
)
def test_targets(text: str, target: str) -> None:
    """What people write, and what they get."""
    assert target_of(text, ALLOWED) == target


@pytest.mark.parametrize(
    "text",
    [
        *("", "shop.vn", "/p/12", "//shop.vn", "//evil.vn", "///evil.vn", "/\\evil.vn", "\\\\evil.vn"),
        *("https:shop.vn", "https:/shop.vn", "https:///shop.vn", "https:\\\\shop.vn", "https:/\\evil.vn"),
        *(
            "javascript:alert(1)",
            "JaVaScRiPt://shop.vn/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "ftp://shop.vn/",
        ),
        *(
            "java\tscript:alert(1)",
            "\x01https://shop.vn",
            "https://sh\top.vn/",
            "https://shop.vn\n",
            "ht\ntps://evil.vn",
        ),
        *(
            "https://shop.vn@evil.vn",
            "https://shop.vn:443@evil.vn",
            "https://evil.vn@shop.vn",
            "https://shop.vn%40evil.vn",
        ),
        *(
            "https://shop.vn\\@evil.vn",
            "https://evil.vn\\.shop.vn",
            "https://shop.vn\\evil.vn",
            "https://evil.vn#@shop.vn",
        ),
        *(
            "https://evil.vn?.shop.vn",
            "https://evil.vn/.shop.vn",
            "https://evil.vn;.shop.vn",
            "https://evil.vn&.shop.vn",
        ),
        *(
            "https://evil.vn\uff0f.shop.vn",
            "https://evil.vn\uff03.shop.vn",
            "https://evil.vn\uff1f.shop.vn",
            "https://evil.vn\u2044.shop.vn",
        ),
        *(
            "https://shop\u3002vn\u3002evil.vn",
            "https://shop.vn.",
            "https://shop..vn",
            "https://.shop.vn",
            "https://-.shop.vn",
        ),
        *(
            "https://shop.vn:8443",
            "https://shop.vn:080443",
            "https://shop.vn:x",
            "https://shop.vn:-1",
            "https://dev.vn",
        ),
        *(
            "https://shop.vn.evil.vn",
            "https://evilshop.vn",
            "https://shop.vn%2eevil.vn",
            "https://%73hop.vn",
            "https://shop%2evn",
        ),
        *(
            "https://shop.vn%00.evil.vn",
            "https://shop.vn\x00.evil.vn",
            "https://evil.vn%23.shop.vn",
            "https://evil.vn%2f.shop.vn",
        ),
        *(
            "https://[::1]",
            "https://127.0.0.1",
            "https://2130706433",
            "https://[shop.vn]",
            "https://*.shop.vn",
            "https://",
        ),
        *(
            "https%3A%2F%2Fshop.vn",
            "https%253A%252F%252Fshop.vn",
            "https://shop.vn/\r\nSet-Cookie: a=b",
            "https://shop.vn/\nx",
        ),
        *(
            "https://xn--.shop.vn.evil.vn",
            "https://ѕhop.vn",
            "https://shop\xadvn.evil.vn",
            "https://" + "a" * 5_000 + ".shop.vn",
        ),
    ],
)
def test_refused(text: str) -> None:
    """Every known way to smuggle another host past a list leads nowhere."""
    assert target_of(text, ALLOWED) is None
    assert target_of(text, []) is None


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Shop.VN", "shop.vn"),
        ("*.Shop.vn", "*.shop.vn"),
        ("thời-trang.vn", "xn--thi-trang-6p7d.vn"),
        ("localhost:3000", "localhost:3000"),
    ],
)
def test_hosts_of_a_source(written: str, kept: str) -> None:
    """Hosts are kept as they go over the wire."""
    assert SourceBody(name="x", redirect_hosts=[written]).redirect_hosts == [kept]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "*",
        "*.",
        "*.vn",
        "https://shop.vn",
        "shop.vn/p",
        "*shop.vn",
        "a.*.vn",
        "shop.vn:",
        "shop.vn:x",
        "shop vn",
        "u@shop.vn",
        ".",
    ],
)
def test_no_host(written: str) -> None:
    """Anything else is refused, a wildcard for all of a country too."""
    with pytest.raises(ValidationError):
        SourceBody(name="x", redirect_hosts=[written])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.vn/", "https://shop.vn/?a=1+2&b=%C4%91"),
        ("https://shop.vn/?x=1#top", "https://shop.vn/?x=1&a=1+2&b=%C4%91#top"),
        ("https://shop.vn/?#top", "https://shop.vn/?a=1+2&b=%C4%91#top"),
    ],
)
def test_parameters(url: str, expected: str) -> None:
    """They go to the end of the query, before the fragment."""
    assert with_parameters(url, {"a": "1 2", "b": "đ"}) == expected
    assert with_parameters(url, {}) == url
