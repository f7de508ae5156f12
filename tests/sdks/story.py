"""What every SDK is told to send, and whether what is stored afterwards is that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from cdp import clock

Call = dict[str, Any]

# Clocks of senders and of the collector are set against each other; so much may be between them.
TOLERANCE = 5 * clock.MINUTE
EARLIER = 2 * clock.HOUR


def story(play: str, *, without: Collection[str] = ()) -> list[Call]:
    """One of every call, as the Segment spec words them, `without` some calls or fields of calls.

    `play` makes the people and marks of each telling its own.
    """
    device = {"anonymousId": f"device-{play}"}
    person = {"userId": f"lan-{play}", **device}
    product = {"sku": "AD-01", "name": "Áo dài “lụa” 👘 <b>&amp;</b>", "price": 1_850_000, "weight": 0.45}
    marked: list[Call] = [
        {"type": "page", **device, "category": "Shop", "name": "Trang chủ", "properties": {"department": "Áo dài"}},
        {"type": "track", **device, "event": "Product Viewed", "properties": product},
        {"type": "identify", **person, "traits": {"email": f"lan-{play}@example.com", "name": "Nguyễn Thị Lan"}},
        {
            "type": "track",
            **person,
            "event": "Order Completed",
            "properties": {"total": 3_700_000.5, "currency": "VND", "gift": False, "products": [product, product]},
            "timestamp": clock.to_text(clock.SystemClock().now() - EARLIER),
        },
        {"type": "group", **person, "groupId": "acme", "traits": {"name": "ACME", "employees": 12}},
        {"type": "screen", **person, "category": "App", "name": "Giỏ hàng", "properties": {"items": 2}},
        {"type": "alias", "userId": f"lan-{play}-later", "previousId": f"lan-{play}"},
    ]
    for call in marked:
        inner = call.get("properties", call.get("traits"))
        if inner is not None:
            inner["mark"] = f"{play}-{call['type']}-{call.get('event', '')}"
    told = (call for call in marked if call["type"] not in without)
    return [{name: value for name, value in call.items() if name not in without} for call in told]


def order(play: str, *, filling: int = 0) -> list[Call]:
    """A single event; `filling` makes it so many bytes larger."""
    properties = {"mark": f"{play}-order", "filling": "x" * filling}
    return [{"type": "track", "anonymousId": f"device-{play}", "event": "Order Completed", "properties": properties}]


def differences(calls: Iterable[Call], stored: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is lost, twice, changed or too many among the stored events; empty when all is well."""
    left = list(stored)
    found = []
    for call in calls:
        same = [event for event in left if _is(call, event)]
        left = [event for event in left if event not in same]
        told = f"{call['type']} {call.get('event', '')}".strip()
        if len(same) != 1:
            found.append(f"{told}: stored {len(same)} times")
        else:
            found += [f"{told}: {what}" for what in _wrong(call, same[0])]
    return found + [f"nobody sent {event['type']} {event}" for event in left]


def _is(call: Call, event: Mapping[str, Any]) -> bool:
    if call["type"] == "alias":
        return bool(event["type"] == "alias")
    marks = [event[part].get("mark") for part in ("properties", "traits")]
    return event["type"] == call["type"] and _content(call)["mark"] in marks


def _content(call: Call) -> dict[str, Any]:
    content: dict[str, Any] = call.get("properties") or call.get("traits") or {}
    return content


def _wrong(call: Call, event: Mapping[str, Any]) -> Iterable[str]:
    for name in ("userId", "anonymousId", "groupId", "event", "name"):
        if name in call and event.get(name) not in (call[name], _known(call, name)):
            yield f"{name} is {event.get(name)!r}, not {call[name]!r}"
    if "userId" not in call and event.get("userId"):
        yield f"it came from nobody known, and has the userId {event['userId']!r}"
    kept = event["traits"] if "traits" in call else event["properties"]
    for name, value in _content(call).items():
        if kept.get(name) != value:
            yield f"{name} is {kept.get(name)!r}, not {value!r}"
    due = clock.from_text(call.get("timestamp", event["receivedAt"]))
    if abs(clock.from_text(event["timestamp"]) - due) > TOLERANCE:
        yield f"it happened at {event['timestamp']}"


def _known(call: Call, name: str) -> Any:
    """analytics.js puts whom it knows already in the place of an alias's new userId."""
    return call["previousId"] if (call["type"], name) == ("alias", "userId") else call[name]
