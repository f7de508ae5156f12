"""Requests that are no more than an address → events: images in e-mails and pages without script, links in e-mails.

Everything stands in the query string, nested at its dots (`event=Opened&properties.campaign=tet`), as in RudderStack's
`/pixel/v1/{track,page}`; or in `data`, as base64 of JSON, as in Segment's `/v1/pixel/{type}`. What the request itself
tells of the person's browser goes into the context.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from cdp.errors import InvalidError
from ingest.enrichment.agents import mail_proxy_of
from ingest.enrichment.pages import CLICK_IDS, UTM, told_by
from ingest.sources.segment import Opened, made

# What `<img>` gets: one transparent point.
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
MOST_PARAMETERS = 200
DEEPEST = 10

Parameters = list[tuple[str, str]]

# Names that say what to do with the event, and are no part of it.
INSTRUCTIONS = frozenset({"writeKey", "data", "url", "pass_id"})
# Short for what the Segment spec says of e-mails: links in mails should not be longer than they must.
SHORT = {
    **{name: f"properties.{name}" for name in ("email_id", "email_subject", "campaign_id", "campaign_name")},
    **{name: f"properties.{name}" for name in ("link_id", "list_id", "list_name")},
    "email": "context.traits.email",
    "phone": "context.traits.phone",
}
PREFETCH = re.compile(r"\b(?:prefetch|preview)\b", re.IGNORECASE)
PREFETCH_HEADERS = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")


def parameters_of(query: bytes) -> Parameters:
    """The parameters of a query string, decoded."""
    return parse_qsl(query.decode(errors="replace"), keep_blank_values=True)[:MOST_PARAMETERS]


def event_of(parameters: Parameters) -> dict[str, Any]:
    """The event that parameters describe. Of equal names the first counts; one that contradicts it is left out.

    Raises `InvalidError` when `data` is no base64 of a JSON object.
    """
    coded = next((value for name, value in parameters if name == "data"), "")
    event = _decoded(coded) if coded else {}
    for name, value in parameters:
        if name not in INSTRUCTIONS and not is_tracking(name):
            _put(event, SHORT.get(name, name).split(".", DEEPEST), value)
    campaign, click_ids = told_by(parameters)
    for name, told in (("campaign", campaign), ("click_ids", click_ids)):
        if told:
            _put(event, ["context", name], told)
    return event


def is_tracking(name: str) -> bool:
    """Whether a parameter is an ad's click id or a campaign's utm_…"""
    return name.lower() in CLICK_IDS or name.lower().startswith(UTM)


def seen_by(event: dict[str, Any], header: Callable[[bytes], str]) -> None:
    """Put into the event's context what the request's headers tell, where it says nothing itself."""
    agent, page = header(b"user-agent"), header(b"referer")
    if agent:
        _put(event, ["context", "userAgent"], agent)
    if page:
        _put(event, ["context", "page", "url"], page)
    if any(PREFETCH.search(header(name)) for name in PREFETCH_HEADERS):
        _put(event, ["context", "prefetch"], True)


def fetched_by_mail(event: dict[str, Any], header: Callable[[bytes], str]) -> bool:
    """Whether a mail service asks in its readers' place, which is put into the context. Its address is not theirs."""
    proxy = mail_proxy_of(header(b"user-agent"))
    if proxy is not None:
        _put(event, ["context", "mail_proxy"], proxy._asdict())
    return proxy is not None


def opened_mail(event: dict[str, Any]) -> None:
    """Name an image's event that says neither what nor of what type it is: an open of a mail, else a view of a page.

    A page's URL goes to where the Segment spec has it.
    """
    properties = event.get("properties")
    mail = isinstance(properties, dict) and "email_id" in properties
    event.setdefault("type", "track" if mail or event.get("event") else "page")
    if event["type"] == "track" and mail:
        event.setdefault("event", "Email Opened")
    page = event.get("context", {}).get("page") if isinstance(event.get("context"), dict) else None
    if event["type"] == "page" and isinstance(page, dict) and "url" in page:
        _put(event, ["properties", "url"], page["url"])


def somebody(event: dict[str, Any], known: str = "") -> None:
    """Give an event without an id the one that its browser is `known` by, or that of a stranger.

    One that names a person is not tied to the browser: whoever a mail was forwarded to opens it under the name of who
    it was sent to. Where an address is all it has, all its events have one id, lest each open be a new device.
    """
    if event.get("userId") or event.get("anonymousId"):
        return
    address = _address(event)
    event["anonymousId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, address)) if address else known or str(uuid.uuid4())


def _address(event: dict[str, Any]) -> str:
    """The e-mail address or phone number that an event names its person by; empty without."""
    context = event.get("context")
    for traits in (event.get("traits"), context.get("traits") if isinstance(context, dict) else None):
        if isinstance(traits, dict):
            for name in ("email", "phone"):
                if isinstance(given := traits.get(name), str) and given.strip():
                    return f"{name}:{given.strip().lower()}"
    return ""


def opened(event: dict[str, Any]) -> Opened:
    """The event, ready for the intake. Raises `InvalidError` for one that is nested too deeply."""
    try:
        return made([event])
    except RecursionError:
        raise InvalidError("Nested too deeply to be read.", path="data", code="too_deep") from None


def _decoded(coded: str) -> dict[str, Any]:
    """What `data` holds; base64 in either alphabet, with or without its padding, a `+` become a space included."""
    plain = coded.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        found = msgspec.json.decode(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidError(f"`data` is no base64 of JSON: {error}.", path="data", code="invalid_json") from None
    if not isinstance(found, dict):
        raise InvalidError("`data` must be an object.", path="data", code="not_an_object")
    return found


def _put(event: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        inner = event.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        event = inner
    event.setdefault(path[-1], value)
