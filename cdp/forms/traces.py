"""Ids that are no person's: of a browser, a click, an installation, an advertisement, a company.

Who copies a link passes on the click id in it; who uses a shared telephone has its ids. They stay with the event.
"""

from __future__ import annotations

import re

# Of other companies' scripts: Google Analytics, Meta, TikTok, Amplitude.
COOKIES = ("ga_client_id", "fbp", "ttp", "amp_device_id")
# By the parameter in which each platform passes them: Google, Meta, TikTok, Zalo, Microsoft, X, LinkedIn, Snap,
# Pinterest, Reddit, Yandex, Yahoo.
CLICK_IDS = (
    *("gclid", "gbraid", "wbraid", "dclid", "fbclid", "fbc", "ttclid", "zclid", "zarsrc", "msclkid", "twclid"),
    *("li_fat_id", "sccid", "epik", "rdt_cid", "yclid", "yj_r"),
)
OTHERS = re.compile(
    r"(?:.*\.)?(?:push_token|idfa|idfv|gaid|aaid|advertising_id)|group_id|previous_id|.*clid|.*_click_id"
)


def is_personal(name: str) -> bool:
    """Whether an external id of this type may be a person's. The ids of our own SDKs' devices are not told from it."""
    plain = name.strip().lower()
    return plain.removeprefix("_") not in (*COOKIES, *CLICK_IDS) and not OTHERS.fullmatch(plain)
