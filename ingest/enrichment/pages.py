"""The URL of a page → what it tells: campaign, click ids, and the URL that stays the same whoever led here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

MEMORY = 1 << 13
LONGEST = 4_096

UTM = "utm_"
# `utm_campaign` is the campaign's name in the Segment spec; every other one goes by its own.
CAMPAIGN_NAMES = {"campaign": "name"}

# Ids that ad platforms put on the links that are clicked: parameter → name in `context.click_ids`.
CLICK_IDS = {
    "gclid": "gclid",  # Google Ads
    "gbraid": "gbraid",
    "wbraid": "wbraid",
    "dclid": "dclid",
    "fbclid": "fbclid",  # Meta
    "ttclid": "ttclid",  # TikTok
    "msclkid": "msclkid",  # Microsoft
    "li_fat_id": "li_fat_id",  # LinkedIn
    "zarsrc": "zarsrc",  # Zalo
    "twclid": "twclid",  # X
    "yclid": "yclid",  # Yandex
    "epik": "epik",  # Pinterest
    "sccid": "sccid",  # Snapchat writes it ScCid
    "rdt_cid": "rdt_cid",  # Reddit
    "irclickid": "irclickid",  # Impact
}
# The anonymous id that `GET /v1/click` gives along.
ANONYMOUS = "cdp_aid"
# What else says how somebody came, and nothing of the page.
TRACKING = {
    *("_ga", "_gl", "gad_source", "gad_campaignid", "gclsrc", "srsltid"),
    *("_hsenc", "_hsmi", "hsctatracking", "mc_cid", "mc_eid", "mkt_tok", "vero_id"),
    *("igsh", "igshid", "wickedid", "ajs_aid", "ajs_event", "ajs_uid"),
    *CLICK_IDS,
    ANONYMOUS,
}
TRACKING_PREFIXES = (UTM, "ajs_prop_", "ajs_trait_", "hsa_")

PORTS = {"http": ":80", "https": ":443"}
SHAPE = re.compile(r"(?i:(https?))://([^/?#]+)([^?#]*)(?:\?([^#]*))?")
PLACE = re.compile(r"(\[[0-9a-f:.]+\]|[^:@\[\]\s\\]+)(?::([0-9]*))?")


class Page(NamedTuple):
    """What a URL tells. `canonical` is the URL without fragment, default port and tracking, its query sorted."""

    canonical: str
    campaign: dict[str, str]
    click_ids: dict[str, str]


@lru_cache(MEMORY)
def page_of(url: str) -> Page | None:
    """What the URL of a page tells; None for what is no URL of the web, or is longer than 4,096 characters."""
    parts = SHAPE.match(url.strip()) if len(url) <= LONGEST else None
    place = PLACE.fullmatch(parts[2].rpartition("@")[2].lower()) if parts else None
    if parts is None or place is None:
        return None
    scheme, query = parts[1].lower(), parts[4] or ""
    pairs = [pair for pair in query.split("&") if pair]
    kept = sorted((pair for pair in pairs if not _is_tracking(_name(pair))), key=_raw_name)
    port = f":{place[2]}" if place[2] and f":{place[2]}" != PORTS[scheme] else ""
    canonical = f"{scheme}://{place[1]}{port}{parts[3] or '/'}{'?' if kept else ''}{'&'.join(kept)}"
    campaign, click_ids = told_by((_name(pair), _value(pair)) for pair in pairs)
    return Page(canonical, campaign, click_ids)


def told_by(parameters: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Decoded parameters of a query → campaign, click ids. Of equal names the first counts, empty ones never."""
    campaign: dict[str, str] = {}
    click_ids: dict[str, str] = {}
    for given, value in parameters:
        name = given.lower()
        if not value:
            continue
        if name in CLICK_IDS:
            click_ids.setdefault(CLICK_IDS[name], value)
        elif name.startswith(UTM) and (short := name.removeprefix(UTM)):
            campaign.setdefault(CAMPAIGN_NAMES.get(short, short), value)
    return campaign, click_ids


def _is_tracking(name: str) -> bool:
    name = name.lower()
    return name in TRACKING or name.startswith(TRACKING_PREFIXES)


def _raw_name(pair: str) -> str:
    return pair.partition("=")[0]


def _name(pair: str) -> str:
    return unquote_plus(_raw_name(pair))


def _value(pair: str) -> str:
    return unquote_plus(pair.partition("=")[2])
