"""Tests of making events: whatever a platform sends, something is made of it, always the same, and never an error."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cdp.settings import CollectorSettings
from ingest.sources.segment import Fault, Limits, SegmentReader
from ingest.webhooks.events import Maker
from ingest.webhooks.payloads import Payload, read
from ingest.webhooks.presets import presets
from tests.ingest.webhooks.senders import cases

READER = SegmentReader(Limits.of(CollectorSettings()))
MAKERS = {name: Maker(preset.mapping, name) for name, preset in presets().items()}
ALL = cases()

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, dict[str, str], Any]:
    """A recorded payload with something else in some of its places."""
    case = draw(st.sampled_from([one for one in ALL if not one.body.startswith((b"type=", b"mandrill"))]))
    value = json.loads(case.body)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(value)))
        other = draw(ODD)
        if not place:
            return case.preset, case.headers, other
        inner = value
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = other
    return case.preset, case.headers, value


@given(damaged())
def test_damaged_payloads_are_judged_like_any_event(sent: tuple[str, dict[str, str], Any]) -> None:
    """Every part becomes an event that is accepted or kept aside with a reason; the same each time."""
    preset, headers, value = sent
    lowered = {name.lower(): one for name, one in headers.items()}
    payload = read(Payload("POST", (), lowered, {}, msgspec.json.encode(value)), "json")
    maker = MAKERS[preset]
    items = maker.items(payload, "shop")
    made = [one for item in items for one in maker.made(item)]
    assert items or value == []
    assert made == [one for item in maker.items(payload, "shop") for one in maker.made(item)]
    for one in made:
        if one.event is not None:
            found = READER.judge(msgspec.json.encode(one.event), None)
            assert not isinstance(found, Fault) or found.reason
            assert one.event["messageId"]


@given(st.binary(max_size=100), st.sampled_from(sorted(MAKERS)))
def test_any_bytes_are_read_or_told_unreadable(body: bytes, preset: str) -> None:
    """No body makes anything raise."""
    for kind in ("json", "form", None):
        payload = read(Payload("POST", (), {}, {}, body), kind)  # type: ignore[arg-type]
        assert payload.readable or payload.body is None
        for item in MAKERS[preset].items(payload, "shop"):
            list(MAKERS[preset].made(item))
