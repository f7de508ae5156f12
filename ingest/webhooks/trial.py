"""Tries a webhook on a sample: the events it would make, and what would become of each. Nothing is stored."""

from __future__ import annotations

from typing import Any, NamedTuple

from cdp.records import encode
from ingest.sources.segment import Fault, SegmentReader
from ingest.webhooks import payloads
from ingest.webhooks.events import Item, Maker, holds
from ingest.webhooks.mapping import Mapping
from ingest.webhooks.payloads import BodyKind, Payload
from ingest.webhooks.presets import Preset


class Sample(NamedTuple):
    """What a platform might send. Header names may have any case; `fetched` stands for what it would give if asked."""

    raw: bytes
    headers: dict[str, str]
    query: dict[str, str]
    fetched: Any = None


class Outcome(NamedTuple):
    """What would become of a part of a sample. `rule` is the number of the rule that fits, own ones first; -1: none.

    `event` is None where it is ignored; `fault` says why it would be kept aside.
    """

    rule: int
    event: dict[str, Any] | None
    fault: Fault | None


def tried(
    sample: Sample,
    reader: SegmentReader,
    source: str,
    *,
    preset: Preset | None,
    mapping: Mapping,
    body: BodyKind | None,
) -> list[Outcome]:
    """What a source with this preset and mapping would make of a sample."""
    headers = {name.lower(): value for name, value in sample.headers.items()}
    given = Payload("POST", (), headers, sample.query, sample.raw)
    payload = payloads.read(given, body or (preset.body if preset else None))
    if not payload.readable:
        found = reader.judge(sample.raw, "track")
        return [Outcome(-1, None, found if isinstance(found, Fault) else None)]
    maker = Maker(mapping.over(preset.mapping) if preset else mapping, preset.name if preset else "")
    items = [_with_fetched(item, preset, sample.fetched) for item in maker.items(payload, source)]
    made = [one for item in items for one in maker.made(item)]
    return [Outcome(one.rule, one.event, _fault(one.event, reader)) for one in made]


def _with_fetched(item: Item, preset: Preset | None, fetched: Any) -> Item:
    if preset is None or preset.fetch is None or not holds(preset.fetch.when, item.scope):
        return item
    return item._replace(scope={**item.scope, "fetched": fetched})


def _fault(event: dict[str, Any] | None, reader: SegmentReader) -> Fault | None:
    if event is None:
        return None
    try:
        found = reader.judge(encode(event), None)
    except RecursionError:
        return Fault("too_deep", "Nested too deeply to be written again.")
    return found if isinstance(found, Fault) else None
