"""User agents: which browser, system and device, which machine, and which mail service fetches for its readers."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ua_parser import Result

MEMORY = 1 << 14
LONGEST = 1_024

# In-app browsers that the parser's list does not know.
ZALO = re.compile(r"\bZalo (?:android|iOS)/(\d+)")
SYSTEMS = {"Mac OS X": "macOS", "Web0S": "webOS"}

# By what a user agent holds, the first that fits; Dalvik and CFNetwork are apps on a device, not browsers.
DEVICES = (
    ("console", re.compile(r"PlayStation|Xbox|Nintendo")),
    ("tv", re.compile(r"\bTV\b|SmartTV|SMART-TV|AppleTV|GoogleTV|BRAVIA|CrKey|Roku|\bAFT[A-Z]|Tizen.*TV|Web0S|HbbTV")),
    (
        "tablet",
        re.compile(r"iPad|Tablet|\bKF[A-Z]{2,}\b|Kindle|PlayBook|Android(?!.*(?:Mobile|Mini)|.*\bWatch\b)(?!.*Dalvik)"),
    ),
    ("mobile", re.compile(r"Mobi|iPhone|iPod|Android|Mini/|Phone|MIDP|BlackBerry")),
    ("desktop", re.compile(r"Windows NT|Macintosh|X11|CrOS|Linux")),
)
DALVIK = "Dalvik/"
# Programs in which people read their mail, which crawlerdetect takes for machines: their opens are a person's.
MAIL_CLIENTS = re.compile(r"Microsoft Outlook|\bOutlook-(?:iOS|Android)/")
# What an engine without backtracking cannot look for.
LOOKAROUND = re.compile(r"\(\?<?[=!]")
# Makers and models that stand for not knowing: browsers hide the model as K.
UNKNOWN = frozenset({"K", "Smartphone", "Tablet", "Generic", "iOS-Device"})


class Agent(NamedTuple):
    """What a user agent tells, each part as a context has it; what it does not tell is empty."""

    browser: dict[str, str]
    os: dict[str, str]
    device: dict[str, str]
    bot: str


class MailProxy(NamedTuple):
    """A mail service that fetches images in place of its readers.

    With `prefetch` it does so whether or not anybody opens the mail: such an open proves nothing.
    """

    name: str
    prefetch: bool


NOTHING = Agent({}, {}, {}, "")
APPLE = MailProxy("Apple Mail Privacy Protection", True)
MAIL_PROXIES = {
    "GoogleImageProxy": MailProxy("Gmail", False),
    "YahooMailProxy": MailProxy("Yahoo Mail", False),
}


@lru_cache(MEMORY)
def agent_of(text: str) -> Agent:
    """What a user agent tells. A machine's, and a mail service's, tells nothing of a person's browser."""
    text = text[:LONGEST]
    if not text or mail_proxy_of(text):
        return NOTHING
    if name := bot_of(text):
        return Agent({}, {}, {}, name)
    from ua_parser import parse

    told = parse(text)
    return Agent(_browser(text, told), _system(told), _device(text, told), "")


def mail_proxy_of(text: str) -> MailProxy | None:
    """The mail service whose user agent this is. Apple's says nothing but `Mozilla/5.0`."""
    if text.strip() == "Mozilla/5.0":
        return APPLE
    return next((proxy for mark, proxy in MAIL_PROXIES.items() if mark in text), None)


def bot_of(text: str) -> str:
    """The name of the crawler, scanner or program whose user agent this is; "" for a person's."""
    return "" if MAIL_CLIENTS.search(text) else _machines().name_of(text.strip())


class Machines:
    """The patterns of crawlerdetect, all looked for at once.

    Python's own alternation of 1,400 patterns takes 0.1 to 2 ms for a user agent, and most for those of in-app
    browsers, which are many; the engine behind ua-parser takes about 15 µs, whatever comes.
    """

    def __init__(self) -> None:
        from crawlerdetect.providers import crawlers, exclusions
        from ua_parser.lazy import UserAgentMatcher
        from ua_parser.regex import Resolver

        # What tells nothing, such as "Safari/…", goes first, as crawlerdetect does it.
        self._vain = re.compile("|".join(exclusions.data), re.IGNORECASE)
        quick = [pattern for pattern in crawlers.data if not LOOKAROUND.search(pattern)]
        self._quick = Resolver(([UserAgentMatcher(f"(?i)({pattern})") for pattern in quick], [], []))
        slow = [pattern for pattern in crawlers.data if LOOKAROUND.search(pattern)]
        self._slow = re.compile("|".join(slow) or r"(?!)", re.IGNORECASE)

    def name_of(self, text: str) -> str:
        """The word that the first pattern that fits finds; "" where none does."""
        from ua_parser import Domain

        telling = self._vain.sub("", text)
        if not telling:
            return ""
        if found := self._quick(telling, Domain.USER_AGENT).user_agent:
            return _word(telling, found.family)
        slow = self._slow.search(telling)
        return _word(telling, slow[0]) if slow else ""


def _word(text: str, part: str) -> str:
    """The whole word that a part of the text stands in."""
    before, _, after = text.partition(part)
    word = re.findall(r"[\w.-]*$", before)[0] + part + re.findall(r"^[\w.-]*", after)[0]
    return word.strip(" /;,()").partition("/")[0] or "bot"


@cache
def _machines() -> Machines:
    return Machines()


def _browser(text: str, told: Result) -> dict[str, str]:
    if zalo := ZALO.search(text):
        return {"name": "Zalo", "version": zalo[1]}
    found = told.user_agent
    if found is None or (told.os is not None and found.family == told.os.family):
        return {}
    return _versioned(found.family, found.major, found.minor)


def _system(told: Result) -> dict[str, str]:
    found = told.os
    return {} if found is None else _versioned(SYSTEMS.get(found.family, found.family), found.major, found.minor)


def _device(text: str, told: Result) -> dict[str, str]:
    kind = "mobile" if text.startswith(DALVIK) else next((kind for kind, mark in DEVICES if mark.search(text)), "")
    if not kind:
        return {}
    found = told.device
    if found is None or kind == "desktop":
        return {"type": kind}
    maker, model = found.brand or "", found.model or ""
    named = {
        "manufacturer": "" if maker.startswith("Generic") else maker,
        "model": "" if model in UNKNOWN else model,
    }
    return {"type": kind} | {name: value for name, value in named.items() if value}


def _versioned(name: str, major: str | None, minor: str | None) -> dict[str, str]:
    if not major:
        return {"name": name}
    return {"name": name, "version": f"{major}.{minor}" if minor and minor != "0" else major}
