"""Clicks on links that lead through `GET /v1/click` → events, and what is handed on to the page they lead to."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ingest.enrichment.pages import ANONYMOUS, CLICK_IDS, page_of
from ingest.sources.pixel import Parameters, event_of, is_tracking, somebody
from ingest.targets import with_parameters

# Click ids that ad platforms put on ads alone. Facebook and Zalo mark every link.
AD_IDS = frozenset(CLICK_IDS.values()) - {"fbclid", "zarsrc", "epik", "sccid"}
AD_MEDIUMS = frozenset(
    {"cpc", "ppc", "cpm", "cpv", "cpa", "ads", "ad", "paid", "paidsearch", "paid_search", "paidsocial", "paid_social"}
    | {"display", "banner", "retargeting"}
)


def asked_target(query: bytes) -> str:
    """The target that a query asks for, decoded once; bytes that are no UTF-8 as `surrogateescape` has them."""
    given = parse_qsl(query.decode(errors="surrogateescape"), errors="surrogateescape")
    return next((value for name, value in given if name == "url"), "")


def click_of(parameters: Parameters, target: str, known: str = "") -> dict[str, Any]:
    """The event of a click that leads to `target`; `known` is the id of the browser. Raises as `event_of` does."""
    event = event_of(parameters) | {"type": "track"}
    properties = event.setdefault("properties", {})
    if isinstance(properties, dict):
        properties["link_url"] = target
    context = event.setdefault("context", {})
    page = page_of(target)
    if isinstance(context, dict) and page is not None:
        for name, told in (("campaign", page.campaign), ("click_ids", page.click_ids)):
            if told:
                context.setdefault(name, told)
    event.setdefault("event", name_of(event))
    somebody(event, known)
    return event


def passed_id(event: dict[str, Any], parameters: Parameters) -> str:
    """The visitor's id for the page that is led to, if the link asks for that (`pass_id=1`); a fresh one if need be."""
    if not any(name == "pass_id" and value in ("1", "true") for name, value in parameters):
        return ""
    known = event.get("anonymousId")
    if not isinstance(known, str) or not known:
        known = event["anonymousId"] = str(uuid.uuid4())
    return known


def name_of(event: dict[str, Any]) -> str:
    """What a click is called that was given no name: by where its link stood."""
    properties, context = event.get("properties"), event.get("context")
    campaign = context.get("campaign") if isinstance(context, dict) else None
    click_ids = context.get("click_ids") if isinstance(context, dict) else None
    medium = str(campaign.get("medium", "")).lower() if isinstance(campaign, dict) else ""
    if medium == "email" or (isinstance(properties, dict) and "email_id" in properties):
        return "Email Link Clicked"
    if medium in AD_MEDIUMS or (isinstance(click_ids, dict) and not AD_IDS.isdisjoint(click_ids)):
        return "Ad Clicked"
    return "Link Clicked"


def handed_on(target: str, parameters: Parameters, anonymous_id: str = "") -> str:
    """The target with the click ids and utm_… that came with the click, and with the visitor's id if that is wanted.

    What the target has itself stays as it is.
    """
    known = {name.lower() for name, _ in parse_qsl(urlsplit(target).query, keep_blank_values=True)}
    more = {name: value for name, value in parameters if value and is_tracking(name) and name.lower() not in known}
    if anonymous_id and ANONYMOUS not in known:
        more[ANONYMOUS] = anonymous_id
    return with_parameters(target, more)
