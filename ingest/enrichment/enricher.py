"""Adds to an event what it tells only implicitly: after the log and before the warehouse, so that no sender waits.

    userAgent ─► browser, os, device, bot        page.url ─► page.canonical, campaign, click_ids
    ip        ─► location, and less of itself    properties.currency ─► its code in ISO 4217

What an event says itself under one of these names stays. The same event under the same definitions gives the same
answer. What was read is remembered by its bytes, because senders repeat themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from cdp.records import NOTHING
from cdp.registry import Entry
from cdp.service import Platform
from ingest.enrichment.addresses import address_of, kept
from ingest.enrichment.agents import agent_of
from ingest.enrichment.currencies import code_of
from ingest.enrichment.pages import page_of
from ingest.enrichment.places import Places, places
from ingest.enrichment.switches import Enrichment, IpPolicy
from ingest.source import KIND, source_of

MEMORY = 1 << 13
# Bytes beyond which a page is not remembered, and a user agent is none.
MEMORABLE = 2_048

LONGEST_EMPTY = 4
EMPTY = (b"{}", b"null", b'""')
# Properties that are amounts of money, in the Segment spec and beside it.
AMOUNTS = ("revenue", "total", "subtotal", "price", "value", "amount")

Parts = dict[str, Raw]


# Members to add to a context, as JSON text with their commas: all together, and each by its name.
Told = tuple[bytes, dict[str, bytes]]

NOT_TOLD: Told = (b"", {})


class Located(Struct):
    """A page's URL, and the canonical one if somebody said it already."""

    url: Any = None
    canonical: Raw = NOTHING


class Priced(Struct):
    """A track event's currency."""

    currency: Any = None


_members = msgspec.json.Decoder(Parts).decode
_located = msgspec.json.Decoder(Located).decode
_priced = msgspec.json.Decoder(Priced).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Wanted(NamedTuple):
    """What a source wants of its contexts: fields of `Enrichment`."""

    agent: bool
    bots: bool
    ip: IpPolicy
    geo: bool
    campaign: bool
    canonical_url: bool

    @classmethod
    def by(cls, enrichment: Enrichment) -> Wanted:
        """What a definition asks for."""
        return cls(*(getattr(enrichment, name) for name in cls._fields))


class Asked(NamedTuple):
    """What a source wants."""

    of_contexts: Wanted
    currency: bool
    default_currency: str | None

    @classmethod
    def by(cls, enrichment: Enrichment) -> Asked:
        """What a definition asks for."""
        return cls(Wanted.by(enrichment), enrichment.currency, enrichment.default_currency)


class SourceEnricher:
    """Enriches events as their source wants it. A `cdp.service.Enricher`."""

    name = "ingest"

    def __init__(self, platform: Platform) -> None:
        settings = platform.settings
        self._places = places(settings.enrichment.geo_file, settings.data_dir)
        self._asked = {entry.key: _asked(entry) for entry in platform.registry.all(KIND)}
        platform.registry.watch(self._changed)

    def enrich(self, source: str, kind: str, context: bytes, properties: bytes) -> tuple[bytes, bytes]:
        """An event's context and properties → both, enriched; where there is nothing to add, the very same bytes."""
        wanted, currency, default = self._asked.get(source, ASKED_BY_DEFAULT)
        if context != b"{}":
            context = with_context(context, wanted, self._places)
        if kind == "track" and (currency or default):
            properties = with_currency(properties, normalise=currency, default=default)
        return context, properties

    def _changed(self, kind: str, key: str, entry: Entry | None) -> None:
        """Follow a definition. What a deleted source asked for holds for its events that are still under way."""
        if kind == KIND and entry is not None:
            self._asked[key] = _asked(entry)


def _asked(entry: Entry) -> Asked:
    return Asked.by(source_of(entry).body.enrichment)


def with_context(context: bytes, wanted: Wanted, where: Places) -> bytes:
    """A context with what can be told from it; the very same bytes where there is nothing to tell.

    What is added goes in front as text; the rest is written anew only where it changes. This runs for each event.
    """
    agent, bots, policy, geo, campaign, canonical = wanted
    own = _members(context)
    size, added, changed = len(own), b"", False
    if "userAgent" in own and "mail_proxy" not in own and len(raw := bytes(own["userAgent"])) <= MEMORABLE:
        text, parts = _told_by_agent(raw, agent, bots)
        said = "browser" in own or "os" in own or "device" in own or "bot" in own
        added = _unsaid(parts, own) if said else text
    if "page" in own:
        raw = bytes(own["page"])
        read = _told_by_page if len(raw) <= MEMORABLE else _told_by_page.__wrapped__
        text, parts, page = read(raw, campaign, canonical)
        added += _unsaid(parts, own) if "campaign" in own or "click_ids" in own else text
        if page is not None:
            own["page"], changed = page, True
    if "ip" in own:
        raw = bytes(own["ip"])
        if geo and where.known and (location := where.of(_full(raw))):
            added += _unsaid({"location": b'"location":%s,' % location}, own)
        if (less := _less(raw, policy)) is not None:
            own["ip"], changed = less, True
            if not less:
                del own["ip"]
    rest = _encode(own) if changed or len(own) != size else context
    if not added:
        return rest
    return b"{%s%s" % (added, rest[1:]) if rest != b"{}" else b"{%s}" % added[:-1]


def _unsaid(parts: Mapping[str, bytes], own: Parts) -> bytes:
    """What the event does not say itself. What it says empty is taken from it: it says nothing."""
    unsaid = b""
    for name, text in parts.items():
        if name not in own:
            unsaid += text
        elif len(own[name]) <= LONGEST_EMPTY and bytes(own[name]) in EMPTY:
            del own[name]
            unsaid += text
    return unsaid


def _told(parts: Mapping[str, Any]) -> Told:
    texts = {name: b'"%s":%s,' % (name.encode(), _encode(part)) for name, part in parts.items() if part}
    return b"".join(texts.values()), texts


@lru_cache(MEMORY)
def _told_by_agent(raw: bytes, agent: bool, bots: bool) -> Told:
    text = _any(raw)
    if not isinstance(text, str) or not (agent or bots):
        return NOT_TOLD
    found = agent_of(text)
    parts: dict[str, Any] = {"browser": found.browser, "os": found.os, "device": found.device} if agent else {}
    if bots and found.bot:
        parts["bot"] = {"name": found.bot}
    return _told(parts)


@lru_cache(MEMORY)
def _told_by_page(raw: bytes, campaign: bool, canonical: bool) -> tuple[bytes, dict[str, bytes], Raw | None]:
    """What a page adds to the context, and the page with its canonical URL if it had none."""
    located = _located(raw) if raw[:1] == b"{" else Located()
    page = page_of(located.url) if isinstance(located.url, str) else None
    if page is None:
        return *NOT_TOLD, None
    told = _told({"campaign": page.campaign, "click_ids": page.click_ids}) if campaign else NOT_TOLD
    if not canonical or len(located.canonical):
        return *told, None
    return *told, Raw(b'{"canonical":%s,%s' % (_encode(page.canonical), raw[1:]))


@lru_cache(MEMORY)
def _less(raw: bytes, policy: IpPolicy) -> Raw | None:
    """What takes the place of an address, empty if it goes; None if it stays."""
    text = _any(raw)
    left = kept(text, policy) if isinstance(text, str) else None
    if text is None or left == text or policy == "keep":
        return None
    return NOTHING if left is None else Raw(_encode(left))


@lru_cache(MEMORY)
def _full(raw: bytes) -> str:
    """An address as it is looked up."""
    text = _any(raw)
    return str(address_of(text) or "") if isinstance(text, str) else ""


def with_currency(properties: bytes, *, normalise: bool, default: str | None) -> bytes:
    """Properties whose currency is written as ISO 4217 has it; the default one where an amount stands without any."""
    written = _priced(properties).currency
    if written:
        code = code_of(written) if normalise and isinstance(written, str) else None
        return properties if code is None or code == written else _encode(_members(properties) | {"currency": code})
    if default is None:
        return properties
    own = _members(properties)
    if not any(_is_amount(bytes(own[name])) for name in AMOUNTS if name in own):
        return properties
    return _encode(own | {"currency": default})


def _is_amount(raw: bytes) -> bool:
    value = _any(raw)
    if isinstance(value, str):
        return value.strip().replace(".", "", 1).isdecimal()
    return isinstance(value, int | float) and not isinstance(value, bool)


ASKED_BY_DEFAULT = Asked.by(Enrichment())
