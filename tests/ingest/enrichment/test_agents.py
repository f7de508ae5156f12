"""What user agents tell."""

from __future__ import annotations

import pytest
from crawlerdetect import CrawlerDetect
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment.agents import Agent, agent_of, bot_of, mail_proxy_of

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
ANDROID = "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
PEOPLE = {
    f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1": ("Mobile Safari", "17.5", "iOS", "17.5", "mobile"),
    f"{IPHONE} Mobile/15E148 Zalo iOS/573 ZaloTheme/light ZaloLanguage/vi": ("Zalo", "573", "iOS", "17.5", "mobile"),
    f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/480.0;]": ("Facebook", "480", "iOS", "17.5", "mobile"),
    f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36": ("Chrome Mobile", "130", "Android", "14", "mobile"),
    f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36": ("Chrome", "130", "Windows", "10", "desktop"),
    f"{WINDOWS} coc_coc_browser/128.0.240 Chrome/122.0.6261.240 Safari/537.36": (
        *("Coc Coc", "128", "Windows", "10", "desktop"),
    ),
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/17.5 Safari/605.1.15": (
        *("Safari", "17.5", "macOS", "10.15", "desktop"),
    ),
    f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {WEBKIT} Version/16.6 Mobile/15E148 Safari/604.1": (
        *("Mobile Safari", "16.6", "iOS", "16.6", "tablet"),
    ),
    "Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36": (
        *("Chrome", "129", "Android", "13", "tablet"),
    ),
    "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36": (
        *("Chrome", "94", "webOS", None, "tv"),
    ),
    "Dalvik/2.1.0 (Linux; U; Android 14; SM-A546E Build/UP1A)": (None, None, "Android", "14", "mobile"),
}
BOTS = {
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "Googlebot",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)": "facebookexternalhit",
    "coccocbot-web/1.0 (+http://help.coccoc.com/searchengine)": "coccocbot-web",
    "curl/8.5.0": "curl",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36": (
        "HeadlessChrome"
    ),
}


ORACLE = CrawlerDetect(user_agent="unknown")


def _mutilated(text: str) -> st.SearchStrategy[str]:
    """A text with a piece missing or doubled."""
    places = st.integers(0, len(text))
    return st.builds(lambda start, end, other: text[:start] + text[end:other], places, places, places)


@pytest.mark.parametrize(("text", "told"), PEOPLE.items())
def test_people(text: str, told: tuple[str | None, ...]) -> None:
    """Browser, system and kind of device are told of what people in Vietnam use, in-app browsers included."""
    agent = agent_of(text)
    found = (agent.browser.get("name"), agent.browser.get("version"), agent.os.get("name"), agent.os.get("version"))
    assert (*found, agent.device.get("type")) == told
    assert not agent.bot


@pytest.mark.parametrize(("text", "name"), BOTS.items())
def test_bots(text: str, name: str) -> None:
    """Machines are named, and get no browser of their own."""
    assert agent_of(text) == Agent({}, {}, {}, name)


@pytest.mark.parametrize(
    ("text", "name", "prefetch"),
    [
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "Gmail", False),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "Yahoo Mail", False),
        ("Mozilla/5.0", "Apple Mail Privacy Protection", True),
    ],
)
def test_mail_services(text: str, name: str, prefetch: bool) -> None:
    """Who fetches for a reader is neither a bot nor the reader's browser."""
    assert mail_proxy_of(text) == (name, prefetch)
    assert agent_of(text) == Agent({}, {}, {}, "")


@pytest.mark.parametrize(
    "text",
    [
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0.4266; ms-office; MSOffice 16)",
        "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.12026; Pro)",
        "Outlook-iOS/723.4031091.prod.iphone (4.2347.0)",
        "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.3.1",
    ],
)
def test_mail_programs(text: str) -> None:
    """Who opens a mail in a program of their own is a person."""
    assert bot_of(text) == ""


def test_models() -> None:
    """Maker and model are told where the user agent names them, and not where it hides them."""
    assert agent_of(f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36").device == {
        "type": "mobile",
        "manufacturer": "Samsung",
        "model": "SM-A546E",
    }
    hidden = f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/130.0.0.0 Mobile Safari/537.36"
    assert agent_of(hidden).device == {"type": "mobile"}


@given(st.text(max_size=300) | st.sampled_from([*PEOPLE, *BOTS]).flatmap(_mutilated))
def test_the_list_of_crawlerdetect(text: str) -> None:
    """Ours says of any text what crawlerdetect says, many times as fast."""
    assert bool(bot_of(text)) == ORACLE.is_crawler(text)


@pytest.mark.parametrize(
    "text", ["YandexBot/3.0", "Yandex/1.0", "YandexSearch/1.0", "YandexSearchBrowser", "Mozilla/5.0 cubot"]
)
def test_patterns_of_every_kind(text: str) -> None:
    """What only a backtracking engine can look for is looked for too, and models named like a bot are none."""
    assert bool(bot_of(text)) == ORACLE.is_crawler(text)


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    """No text makes it fail."""
    agent_of(text)
